import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { defineJob, type JobEvent, memoryStorage, type ProgramOptions } from 'jobchart'
import { childProcess } from 'jobchart/executors'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { isAlive, lineOf, linesOf, newEngine, newFolder, shell, until } from './new-engine.ts'

interface Given {
  readonly word: string
}
const input = z.object({ word: z.string() })

/** A job that is one program, an engine that knows it, and its id. */
async function started(run: ProgramOptions<Given>, options: { readonly [option: string]: unknown } = {}) {
  const type = defineJob({ type: 'program', killGrace: '100ms', ...options, input, run })
  const host = await newEngine({ jobs: [type] })
  const events: JobEvent[] = []
  for (const name of ['task.claimed', 'task.started', 'task.released', 'task.retried', 'task.stopped'] as const) {
    host.engine.on(name, (event) => events.push(event))
  }
  const { id } = await host.ada.submit(type, { word: 'given' })
  return { ...host, type, id, events }
}

const STUBBORN = 'trap "" TERM; sleep 1000 & echo "up $$ $!"; while :; do wait; done'

/** The ids of a stubborn program and of what it has started. */
async function stubborn(host: Awaited<ReturnType<typeof started>>): Promise<readonly number[]> {
  const line = await lineOf(host.ada, host.id, 'up')
  return line.split(' ').slice(1).map(Number)
}

test('a program whose job is cancelled gets SIGTERM, and its last lines are in the log', async () => {
  const { ada, id, events } = await started(
    shell('trap "echo told; exit 0" TERM; echo up; while :; do sleep 0.01; done'),
    { killGrace: '10s' },
  )
  await lineOf(ada, id, 'up')
  expect((await ada.cancel(id)).status).toBe('cancelled')
  // The shell tells on its standard error that its own child was terminated.
  const lines = (await linesOf(ada, id)).filter(({ stream }) => stream === 'stdout')
  expect(lines.map(({ text }) => text)).toEqual(['up', 'told'])
  expect(events.map(({ type }) => type)).toEqual(['task.claimed', 'task.started', 'task.stopped'])
})

test('a program that ignores SIGTERM is killed after its killGrace, with all processes that it has started', async () => {
  const host = await started(shell(STUBBORN))
  const ids = await stubborn(host)
  await host.ada.cancel(host.id)
  await linesOf(host.ada, host.id)
  await until(() => !ids.some(isAlive))
  expect(host.engine.health).toMatchObject({ running: 0, abandoned: 0, executors: { processes: { room: 10 } } })
})

test('a program that takes longer than its timeout is killed too, and fails with TIMEOUT', async () => {
  const host = await started(shell(STUBBORN), { timeout: '200ms' })
  const ids = await stubborn(host)
  expect(await host.ada.result(host.id)).toMatchObject({ outcome: 'failure', error: { code: 'TIMEOUT' } })
  await linesOf(host.ada, host.id)
  await until(() => !ids.some(isAlive))
})

test('with killGrace never, a program that ignores SIGTERM is waited for, and its log goes on until it has ended', async () => {
  const go = join(newFolder(), 'go')
  const host = await started(shell('trap "" TERM; echo up; until [ -e "$1" ]; do sleep 0.01; done; echo done', go), {
    killGrace: 'never',
  })
  const { ada, id, events } = host
  const lines = linesOf(ada, id)
  await lineOf(ada, id, 'up')
  expect((await ada.cancel(id)).status).toBe('cancelled')
  expect(await ada.explain(id)).toContainEqual({ kind: 'stopping', task: 'execute' })
  writeFileSync(go, '')
  expect((await lines).map(({ text }) => text)).toEqual(['up', 'done'])
  expect(events.at(-1)?.type).toBe('task.stopped')
})

test('the program of a deleted job is killed, and following the job’s log ends', async () => {
  const host = await started(shell(STUBBORN))
  const { ada, id } = host
  const ids = await stubborn(host)
  const following = linesOf(ada, id)
  await ada.delete(id)
  expect((await following).map(({ text }) => text.slice(0, 2))).toEqual(['up'])
  await until(() => !ids.some(isAlive))
  await expect(ada.get(id)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
})

test('a program that fails is tried again; the exit code of the job is that of its last attempt', async () => {
  const { ada, id, events } = await started(shell('exit "$((6 + JOBCHART_ATTEMPT))"'), {
    retry: { limit: 1, backoff: 0 },
  })
  expect(await ada.result(id)).toMatchObject({ outcome: 'failure', exitCode: 8 })
  expect(events.filter(({ type }) => type === 'task.retried')).toHaveLength(1)
})

test('an attempt that is tried again leaves no exit code', async () => {
  const go = join(newFolder(), 'go')
  const { ada, id } = await started(
    shell('[ "$JOBCHART_ATTEMPT" = 2 ] || exit 7; echo up; until [ -e "$1" ]; do sleep 0.01; done', go),
    { retry: { limit: 1, backoff: 0 } },
  )
  await lineOf(ada, id, 'up')
  expect(await ada.get(id)).not.toHaveProperty('exitCode')
  writeFileSync(go, '')
  expect(await ada.result(id)).toMatchObject({ outcome: 'success', exitCode: 0 })
})

test.each([
  ['is killed by the stop of its engine', STUBBORN],
  ['ends without an error when its engine stops', 'trap "exit 0" TERM; sleep 1000 & echo "up $$ $!"; wait'],
])('a program that %s ends before the stop does, and its task is given back', async (_, script) => {
  const storage = memoryStorage()
  const go = join(newFolder(), 'go')
  const type = defineJob({
    type: 'program',
    killGrace: '100ms',
    run: shell(`[ -e "$1" ] || { ${script}; }; echo "attempt $JOBCHART_ATTEMPT"`, go),
  })
  const first = await newEngine({ jobs: [type], storage })
  const { id } = await first.ada.submit(type)
  const line = await lineOf(first.ada, id, 'up')
  await first.engine.stop({ timeout: 0 })
  const [leader = 0, started = 0] = line.split(' ').slice(1).map(Number)
  expect(isAlive(leader)).toBe(false)
  // What the program had started was killed; the system takes a moment to remove it.
  await until(() => !isAlive(started))
  writeFileSync(go, '')
  const second = await newEngine({ jobs: [type], storage })
  expect(await second.ada.result(id)).toMatchObject({ outcome: 'success' })
  expect((await linesOf(second.ada, id)).at(-1)?.text).toBe('attempt 1')
})

test('a program whose job was cancelled before its engine stops ends by that stop, and holds nothing', async () => {
  const storage = memoryStorage()
  const type = defineJob({ type: 'program', killGrace: '200ms', run: shell(STUBBORN) })
  const first = await newEngine({ jobs: [type], storage })
  const { id } = await first.ada.submit(type, undefined, { pipeline: 'p' })
  await lineOf(first.ada, id, 'up')
  await first.ada.cancel(id)
  await first.engine.stop({ timeout: 0 })
  const second = await newEngine({ jobs: [type], storage, work: false })
  expect(await second.ada.explain(id)).toEqual([{ kind: 'settled', outcome: 'cancelled' }])
})

test('an engine that is started again runs programs again', async () => {
  const { engine, ada, id, type } = await started(shell('echo "$JOBCHART_ATTEMPT"'))
  await ada.result(id)
  await engine.stop()
  await engine.start()
  const again = await ada.submit(type, { word: 'again' })
  expect(await ada.result(again.id)).toMatchObject({ outcome: 'success' })
})

test.each<[string, ProgramOptions<Given>, object, readonly string[]]>([
  ['stdin', { command: 'cat', stdin: 'one\ntwo' }, { exitCode: 0 }, ['one', 'two']],
  ['an empty stdin', { command: 'cat' }, { exitCode: 0 }, []],
  ['args of its input', { command: 'echo', args: ({ input }) => [input.word] }, {}, ['given']],
  ['args that no shell reads', { command: 'echo', args: ['$HOME', '*', 'a  b', '"'] }, {}, ['$HOME * a  b "']],
  ['args that are no text', { command: 'echo', args: () => [7 as never] }, { error: { code: 'INVALID_INPUT' } }, []],
  ['env', { ...shell('echo "$WORD $JOBCHART_TASK"'), env: { WORD: 'hello' } }, {}, ['hello execute']],
  ['cwd', { command: 'pwd', cwd: '/usr' }, {}, ['/usr']],
  ['a cwd that does not exist', { command: 'pwd', cwd: '/no/such' }, { error: { code: 'NOT_STARTED' } }, []],
  ['output without a newline', shell('printf "one\\ntwo"'), {}, ['one', 'two']],
  ['output that is not UTF-8', shell('printf "a\\377b\\n"'), {}, ['a\ufffdb']],
  ['a NUL character', shell('printf "a\\000b\\n"'), {}, ['a\0b']],
  ['a bar that overwrites itself', shell('printf "10%%\\r50%%\\r100%%\\r\\ndone\\r\\n"'), {}, ['100%', 'done']],
  ['no output', { command: 'true' }, { outcome: 'success', exitCode: 0 }, []],
  ['a signal', shell('kill -9 $$'), { exitCode: 137, error: { message: 'ended by SIGKILL' } }, []],
])('a program with %s', async (_, run, expected, lines) => {
  const { ada, id } = await started(run)
  expect(await ada.result(id)).toMatchObject(expected)
  expect((await linesOf(ada, id)).map(({ text }) => text)).toEqual(lines)
})

test('a command that does not exist fails with exit code 127, and says so', async () => {
  const { ada, id } = await started({ command: 'no-such-program' })
  expect(await ada.result(id)).toMatchObject({
    exitCode: 127,
    error: { name: 'ExitError', message: expect.stringContaining('no-such-program') },
  })
})

test('a cwd that does not exist is named in the error', async () => {
  const { ada, id } = await started({ command: 'pwd', cwd: '/no/such' })
  expect((await ada.result(id)).error?.message).toMatch(/\/no\/such/)
})

test('after a flood on its standard error, the error still has the last lines of a program', async () => {
  const script =
    'process.stderr.write("x\\n".repeat(500_000) + "50 %\\r100 %\\nthe disk is full\\n"); process.exitCode = 3'
  const type = defineJob({ type: 'flood', run: { command: process.execPath, args: ['-e', script] } })
  const executors = { processes: childProcess({ maxOutput: 1_000 }) }
  const { ada } = await newEngine({ jobs: [type], executors })
  const { id } = await ada.submit(type)
  const { error, exitCode } = await ada.result(id)
  expect(exitCode).toBe(3)
  expect(error?.message.split('\n').slice(-3)).toEqual(['x', '100 %', 'the disk is full'])
  expect(error?.message.split('\n')).toHaveLength(20)
  const texts = (await linesOf(ada, id)).map(({ text }) => text)
  expect(texts.slice(-2)).toEqual(['x', '(output over 1000 characters is dropped)'])
})

test('where little more than maxOutput was written, the error says that lines are missing, and has the last', async () => {
  const type = defineJob({ type: 'chatty', run: shell('for n in 1 2 3 4; do echo "line $n" >&2; done; exit 3') })
  const { ada } = await newEngine({ jobs: [type], executors: { processes: childProcess({ maxOutput: 200 }) } })
  const { error } = await ada.result((await ada.submit(type)).id)
  const gap = '(output over 200 characters is dropped)'
  expect(error?.message.split('\n')).toEqual(['line 1', 'line 2', gap, 'line 3', 'line 4'])
})

test('of a line of 1 MB, every character is kept, in lines of 10,000', async () => {
  const script = 'process.stdout.write("x".repeat(1_000_000) + "end\\nnext\\n")'
  const { ada, id } = await started({ command: process.execPath, args: ['-e', script] })
  const lines = await linesOf(ada, id)
  const all = lines.map(({ text }) => text)
  expect(Math.max(...all.map(({ length }) => length))).toBe(10_000)
  expect([all.join('').length, all.at(-1), all.join('').endsWith('xendnext')]).toEqual([1_000_007, 'next', true])
})
