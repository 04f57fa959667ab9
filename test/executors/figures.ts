/**
 * The figures of processes and threads, each in a fresh process: `node test/executors/figures.ts <what>`, where what is one
 * of those below. It prints them as JSON.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { setup } from 'xstate'
import { childProcess, workerThreads } from '../../src/executors/index.ts'
import { type AnyJobType, createEngine, defineJob, type Executor, task } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { waiting } from './host.ts'

const folder = mkdtempSync(join(tmpdir(), 'jobchart-figures-'))
const file = join(folder, 'jobs.db')
const module = new URL('./modules-code.ts', import.meta.url)

const TIMEOUT_MS = 1_000
const GRACE_MS = 100
const ONE_MB = 1_048_576

/** An engine on a file, and who submits to it. */
async function open(jobs: readonly AnyJobType[], executors: { readonly [name: string]: Executor } = {}) {
  const engine = await createEngine({ jobs, storage: sqliteStorage(file), executors })
  return { engine, ada: engine.as({ id: 'ada', role: 'editor' }) }
}

/** How long after its timeout and its grace the place of hung code is free, in milliseconds, of 100. */
async function hung(does: string, elsewhere: Executor) {
  const type = defineJob({
    type: 'hung',
    lifecycle: setup({
      actors: {
        work: task(
          { executor: 'elsewhere', function: 'work', timeout: TIMEOUT_MS, killGrace: GRACE_MS },
          () => undefined,
        ),
      },
    }).createMachine({
      initial: 'working',
      states: {
        working: { invoke: { id: 'work', src: 'work', input: { does }, onDone: 'ended', onError: 'ended' } },
        ended: { type: 'final' },
      },
    }),
  })
  const { engine, ada } = await open([type], { elsewhere })
  const startedAt = new Map<string, number>()
  const late: number[] = []
  engine.on('task.started', ({ jobId }) => startedAt.set(jobId, performance.now()))
  engine.on('task.stopped', ({ jobId }) => {
    late.push(performance.now() - (startedAt.get(jobId) ?? 0) - TIMEOUT_MS - GRACE_MS)
  })
  await Promise.all(Array.from({ length: 100 }, () => ada.submit(type)))
  await engine.idle()
  const { running, executors } = engine.health
  await engine.stop()
  late.sort((a, b) => a - b)
  const [middle, last] = [late[50], late[99]].map((ms) => Math.round(ms ?? Number.NaN))
  return { freed: late.length, within100Ms: late.filter((ms) => ms <= 100).length, middle, last, running, executors }
}

/** 1,000 programs, and what is left of them. */
async function thousand() {
  const type = defineJob({ type: 'program', run: { command: 'true' } })
  // The first program loads what all of them need.
  const first = await open([type])
  await first.ada.result((await first.ada.submit(type)).id)
  await first.engine.stop()
  for (let tries = 0; tries < 500 && childrenOf(process.pid).length > 0; tries++) await pause(10)
  const handles = openHandles()
  const { engine, ada } = await open([type], { processes: childProcess({ concurrency: 20 }) })
  const ids = await Promise.all(Array.from({ length: 1_000 }, async () => (await ada.submit(type)).id))
  const jobs = await Promise.all(ids.map((id) => ada.result(id)))
  await engine.stop()
  const succeeded = jobs.filter(({ outcome }) => outcome === 'success').length
  // The guard is told to end, and neither it nor its pipes are waited for.
  const isLeft = () => childrenOf(process.pid).length > 0 || openHandles().length > handles.length
  for (let tries = 0; tries < 500 && isLeft(); tries++) await pause(10)
  return { succeeded, left: childrenOf(process.pid), handles: openHandles().slice(handles.length) }
}

/** What keeps this process alive, and the files that it has open. */
function openHandles(): readonly string[] {
  return [...process.getActiveResourcesInfo(), ...readdirSync('/proc/self/fd').map(() => 'file')].sort()
}

function childrenOf(parent: number): readonly string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((id) => {
      try {
        const stat = readFileSync(`/proc/${id}/stat`, 'utf8')
        const [state, of] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return Number(of) === parent ? [`${state} ${stat.slice(0, 40)}`] : []
      } catch {
        return []
      }
    })
}

/** How much more memory this process takes while a program writes 200 MB, in MB, and how long its loop stands still. */
async function flood(script: string) {
  const type = defineJob({ type: 'flood', run: { command: '/bin/sh', args: ['-c', script] } })
  const small = defineJob({ type: 'small', run: { command: 'echo', args: ['small'] } })
  const { engine, ada } = await open([type, small])
  for (let index = 0; index < 20; index++) await ada.result((await ada.submit(small)).id)
  const before = process.memoryUsage.rss()
  let [most, longest, last] = [before, 0, performance.now()]
  const sampling = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
    longest = Math.max(longest, performance.now() - last)
    last = performance.now()
  }, 5)
  const begin = performance.now()
  const { id } = await ada.submit(type)
  const { outcome } = await ada.result(id)
  clearInterval(sampling)
  let lines = 0
  for await (const { number } of ada.logs(id)) lines = number
  await engine.stop()
  const seconds = Math.round((performance.now() - begin) / 100) / 10
  return { outcome, moreMb: Math.round((most - before) / ONE_MB), lines, seconds, loopMs: Math.round(longest) }
}

/** `kill -9` of an engine, 50 times: the programs that outlive it for a second, and the jobs that do not recover. */
async function kills() {
  const [jobs, rounds] = [5, Number(process.argv[3] ?? 50)]
  const begun = () => {
    const text = existsSync(join(folder, 'begun')) ? readFileSync(join(folder, 'begun'), 'utf8') : ''
    return text.split('\n').flatMap((line) => (line === '' ? [] : [Number(line.split(' ')[1])]))
  }
  const isRunning = (id: number) => /\) [^ZX] /.test(statOf(id))
  let [survivors, longest] = [0, 0]
  for (let round = 0, seen = 0; round < rounds; round++) {
    const script = fileURLToPath(new URL('./host.ts', import.meta.url))
    const args = [script, file, folder, round === 0 ? `${jobs}` : '0']
    const host = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] })
    // Some of the kills come while programs are being started.
    while (begun().length < seen + (round % 2 === 0 ? jobs : 1)) await pause(5)
    host.kill('SIGKILL')
    await once(host, 'exit')
    const killedAt = performance.now()
    while (begun().some(isRunning) && performance.now() - killedAt < 1_000) await pause(5)
    longest = Math.max(longest, performance.now() - killedAt)
    survivors += begun().filter(isRunning).length
    seen = begun().length
  }
  writeFileSync(join(folder, 'go'), '')
  const type = waiting(folder)
  const { engine, ada } = await open([type])
  await engine.idle()
  const recovered = await ada.count({ outcome: 'success' })
  await engine.stop()
  return { rounds, begun: begun().length, survivors, longestMs: Math.round(longest), jobs, recovered }
}

function statOf(id: number): string {
  try {
    return readFileSync(`/proc/${id}/stat`, 'utf8')
  } catch {
    return ''
  }
}

const figures: { readonly [what: string]: () => Promise<object> } = {
  'hung in a thread': () => hung('computes', workerThreads({ module })),
  'hung in a child': () => hung('ignores', childProcess({ module, concurrency: 3 })),
  thousand,
  'flood of long lines': () => flood("head -c 200000000 /dev/zero | tr '\\0' x"),
  'flood of short lines': () => flood('yes | head -c 200000000'),
  kills,
}

try {
  const [, , what = ''] = process.argv
  const figure = figures[what]
  if (figure === undefined) throw new Error(`there are ${Object.keys(figures).join(', ')}`)
  console.log(JSON.stringify(await figure()))
} finally {
  rmSync(folder, { recursive: true, force: true })
}
