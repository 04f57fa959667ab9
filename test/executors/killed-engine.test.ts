import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { sqliteStorage } from 'jobchart/sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { waiting } from './host.ts'
import { isAlive, newEngine, newFolder, until } from './new-engine.ts'

const HOST = fileURLToPath(new URL('./host.ts', import.meta.url))

/** An engine in a process of its own, which runs one program. */
async function hosted() {
  const folder = newFolder()
  const file = join(folder, 'jobs.db')
  const host = spawn(process.execPath, [HOST, file, folder, '1'], { stdio: ['ignore', 'ignore', 'inherit'] })
  onTestFinished(() => void host.kill('SIGKILL'))
  await until(() => begunIn(folder).length === 1)
  const [{ job, process: program } = { job: '', process: 0 }] = begunIn(folder)
  onTestFinished(() => {
    if (isAlive(program)) process.kill(program, 'SIGKILL')
  })
  return { folder, file, host, job, program }
}

/** The programs that have begun. */
function begunIn(folder: string): readonly { readonly job: string; readonly process: number }[] {
  const file = join(folder, 'begun')
  if (!existsSync(file)) return []
  const lines = readFileSync(file, 'utf8').split('\n').filter(Boolean)
  return lines.map((line) => line.split(' ')).map(([job = '', id]) => ({ job, process: Number(id) }))
}

/** `kill -9`, and also of the guard beside it, so that nothing kills what it has started. */
async function killWithGuard(host: ChildProcess): Promise<void> {
  // Stopped first, so that it starts no other guard.
  host.kill('SIGSTOP')
  const guards = childrenOf(host.pid ?? 0).filter(({ command }) => command.includes('read -r what group'))
  expect(guards).toHaveLength(1)
  for (const { id } of guards) process.kill(id, 'SIGKILL')
  host.kill('SIGKILL')
  await once(host, 'exit')
}

function childrenOf(parent: number) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((id) => {
      try {
        const stat = readFileSync(`/proc/${id}/stat`, 'utf8')
        if (Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]) !== parent) return []
        return [{ id: Number(id), command: readFileSync(`/proc/${id}/cmdline`, 'utf8') }]
      } catch {
        return []
      }
    })
}

test.runIf(process.platform === 'linux')(
  'a program outlives its engine only if its guard is killed too; then no second one is started beside it',
  async () => {
    const { folder, file, host, job, program } = await hosted()
    await killWithGuard(host)
    expect(isAlive(program)).toBe(true)
    const { engine, ada } = await newEngine({
      jobs: [waiting(folder)],
      storage: sqliteStorage(file),
      sweep: '50ms',
    })
    const stillRuns = { kind: 'stillRuns', task: 'execute', attempt: 1 }
    expect(await ada.explain(job)).toEqual([stillRuns])
    expect([engine.running(), begunIn(folder).length, isAlive(program)]).toEqual([[], 1, true])
    process.kill(program, 'SIGKILL')
    await until(() => begunIn(folder).length === 2)
    expect(isAlive(program)).toBe(false)
    expect(await ada.explain(job)).toMatchObject([{ kind: 'running' }])
    writeFileSync(join(folder, 'go'), '')
    expect(await ada.result(job)).toMatchObject({ outcome: 'success', exitCode: 0 })
    expect(begunIn(folder)).toHaveLength(2)
  },
)

test.runIf(process.platform === 'linux')(
  'the guard also kills if its engine dies before it has answered, and so cannot read the answer',
  async () => {
    const script = fileURLToPath(new URL('./guarding.ts', import.meta.url))
    const host = spawn(process.execPath, [script], { stdio: ['pipe', 'pipe', 'inherit'] })
    const said: string[] = []
    createInterface({ input: host.stdout }).on('line', (line) => said.push(line))
    const programs = [0, 1].map(() => spawn('/bin/sleep', ['1000'], { detached: true, stdio: 'ignore' }).pid ?? 0)
    onTestFinished(() => {
      host.kill('SIGKILL')
      for (const program of programs) if (isAlive(program)) process.kill(program, 'SIGKILL')
    })
    const [first, second] = programs
    host.stdin.write(`${first}\n`)
    await until(() => said.includes(`guarded ${first}`))
    const [guard = { id: 0 }] = childrenOf(host.pid ?? 0).filter(({ command }) => command.includes('read -r what'))
    // Stopped, so that it does not read what it is told before the engine dies.
    process.kill(guard.id, 'SIGSTOP')
    host.stdin.write(`${second}\n`)
    await until(() => said.includes(`told ${second}`))
    host.kill('SIGKILL')
    await once(host, 'exit')
    process.kill(guard.id, 'SIGCONT')
    await until(() => !programs.some(isAlive))
  },
)

test('kill -9 of an engine ends its programs, and another engine runs them again', async () => {
  const { folder, file, host, job, program } = await hosted()
  host.kill('SIGKILL')
  await until(() => !isAlive(program))
  const { ada } = await newEngine({ jobs: [waiting(folder)], storage: sqliteStorage(file), sweep: '50ms' })
  writeFileSync(join(folder, 'go'), '')
  expect(await ada.result(job)).toMatchObject({ outcome: 'success' })
  expect(begunIn(folder)).toHaveLength(2)
})
