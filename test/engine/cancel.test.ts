import { type CancelOptions, defineJob, JobchartError } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

// The default.
const GRACE_MS = 5_000

test('a job that is cancelled while it waits never runs', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type], concurrency: 1 })
  await ada.submit(type, 'first')
  const { id, status } = await ada.submit(type, 'second')
  expect(status).toBe('queued')
  expect(await ada.cancel(id, { reason: 'changed my mind' })).toMatchObject({
    status: 'cancelled',
    outcome: 'cancelled',
    phase: 'settled',
  })
  work.run().finish()
  await engine.idle()
  expect(work.runs.map(({ context }) => context.input)).toEqual(['first'])
  expect((await ada.get(id)).startedAt).toBe(undefined)
  expect((await ada.history(id)).at(-1)).toMatchObject({ to: 'cancelled', reason: 'changed my mind' })
})

test('I26 cancelling a running job settles it at once, signals its code, and drops the late result', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine, heard } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  expect((await ada.cancel(id)).status).toBe('cancelled')
  const { signal } = work.run().context
  expect(signal.aborted).toBe(true)
  expect(signal.reason).toBeInstanceOf(JobchartError)
  expect(signal.reason).toMatchObject({ code: 'TASK_STOPPED', jobId: id })
  const before = await ada.get(id)
  work.run().finish('too late')
  await bench.clock.settle()
  const after = await ada.get(id)
  expect({ ...after, updatedAt: before.updatedAt }).toEqual(before)
  expect((await bench.row(id)).tasks).toEqual([])
  expect(heard.at(-1)?.type).toBe('task.stopped')
  expect(engine.running()).toEqual([])
})

test('I14 a cancelled job holds its slot until its code has returned', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1, { pipeline: 'p' })
  await ada.cancel(id)
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ALREADY_RUNNING')
  await bench.clock.advance(GRACE_MS - 1)
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ALREADY_RUNNING')
  work.run().finish()
  await bench.clock.settle()
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ok')
})

test('I14 cancelled code that still reports as it returns frees its slot at once', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1, { pipeline: 'p' })
  await ada.cancel(id)
  // Its reports are stale, but its end is not, although both would be one changeset.
  work.run().context.progress({ completed: 1 })
  work.run().context.log('cleaned up')
  work.run().finish()
  await bench.clock.settle()
  expect((await bench.row(id)).tasks).toEqual([])
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ok')
})

test('I23 code that ignores its stop is abandoned after its grace, and the slot is free', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: '1s', execute: work.execute })
  const { ada, heard, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1, { pipeline: 'p' })
  await ada.cancel(id)
  await bench.clock.advance(999)
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ALREADY_RUNNING')
  await bench.clock.advance(1)
  expect(heard.at(-1)).toMatchObject({ type: 'task.abandoned', jobId: id, task: 'execute' })
  const next = await ada.submit(type, 2, { pipeline: 'p' })
  expect(engine.running()).toEqual([next.id])
  const before = await bench.row(id)
  work.run(0).finish('at last')
  await bench.clock.settle()
  expect(await bench.row(id)).toEqual(before)
})

test("killGrace 'never' holds the slot as long as the code runs", async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: 'never', execute: work.execute })
  const { ada, heard } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1, { pipeline: 'p' })
  await ada.cancel(id)
  await bench.clock.advance(60_000)
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ALREADY_RUNNING')
  work.run().fail(new Error('torn down'))
  await bench.clock.settle()
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ok')
  expect(heard.some(({ type }) => type === 'task.abandoned')).toBe(false)
  expect((await ada.get(id)).status).toBe('cancelled')
})

test('I23 abandoned code keeps its place; at maxAbandoned nothing is claimed until some of it returns', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: 0, execute: work.execute })
  const { ada } = await bench.start({ jobs: [type], concurrency: 5, maxAbandoned: 2 })
  const leaky = [await ada.submit(type, 'a'), await ada.submit(type, 'b')]
  for (const { id } of leaky) await ada.cancel(id)
  await bench.clock.advance(2_000)
  const waiting = await ada.submit(type, 'c')
  await bench.clock.advance(5_000)
  expect([(await ada.get(waiting.id)).status, work.runs.length]).toEqual(['queued', 2])
  work.run(0).finish()
  await bench.clock.settle()
  expect([(await ada.get(waiting.id)).status, work.runs.length]).toEqual(['running', 3])
})

test('I28 of two simultaneous cancels one succeeds and the other is ALREADY_SETTLED; one entry is written', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  const codes = await Promise.all([codeOf(ada.cancel(id)), codeOf(ada.cancel(id))])
  expect(codes.sort()).toEqual(['ALREADY_SETTLED', 'ok'])
  expect((await ada.history(id)).filter(({ to }) => to === 'cancelled')).toHaveLength(1)
})

test('I28 a cancel of a settled job is refused, changes nothing and publishes nothing', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine, heard } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await engine.idle()
  const before = [await bench.contents(), heard.length]
  const error = await errorOf(ada.cancel(id))
  expect([error.code, error.jobId]).toEqual(['ALREADY_SETTLED', id])
  expect([await bench.contents(), heard.length]).toEqual(before)
})

test.each(['cancel first', 'end first'])(
  'I26 of a cancel and an end at the same moment one wins: %s',
  async (order) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    if (order === 'end first') work.run().finish('done')
    const cancelled = codeOf(ada.cancel(id))
    if (order === 'cancel first') work.run().finish('done')
    const code = await cancelled
    await bench.clock.settle()
    const { status, output } = await ada.get(id)
    expect([code, status, output]).toEqual(
      code === 'ok' ? ['ok', 'cancelled', undefined] : ['ALREADY_SETTLED', 'completed', 'done'],
    )
    expect((await bench.row(id)).tasks).toEqual([])
  },
)

test('I27 a job that is cancelled in the pause before a retry is not tried again', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 5, backoff: '10s' }, execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1, { pipeline: 'p' })
  work.run().fail(new Error('again'))
  await bench.clock.settle()
  expect((await ada.cancel(id)).status).toBe('cancelled')
  expect(await codeOf(ada.submit(type, 2, { pipeline: 'p' }))).toBe('ok')
  await bench.clock.advance(60_000)
  expect(work.runs.map(({ context }) => context.input)).toEqual([1, 2])
})

test('a type without a cancel command says so to callers who may see the job', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'm', lifecycle: createMachine({ initial: 'on', states: { on: {} } }) })
  const { ada, bob } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  expect(await codeOf(ada.cancel(id))).toBe('INVALID_INPUT')
  expect(await codeOf(bob.cancel(id))).toBe('JOB_NOT_FOUND')
})

test.each([
  ['a number', { reason: 5 }],
  ['501 characters', { reason: 'r'.repeat(501) }],
  ['a lone surrogate', { reason: '\ud800' }],
])('an invalid reason is refused: %s', async (_, options) => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  expect(['INVALID_INPUT', 'NOT_STORABLE']).toContain(await codeOf(ada.cancel(id, options as CancelOptions)))
  expect((await ada.get(id)).status).toBe('running')
})

test('stopped code that has not returned yet does not delay other jobs', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.obedient })
  const { ada, engine } = await bench.start({ jobs: [type], concurrency: 1 })
  const first = await ada.submit(type, 1)
  await ada.submit(type, 2)
  await ada.cancel(first.id)
  await bench.clock.settle()
  expect(work.runs).toHaveLength(2)
  work.run().finish()
  await engine.idle()
  expect((await ada.list({ phase: 'settled' })).items.map(({ status }) => status).sort()).toEqual([
    'cancelled',
    'completed',
  ])
})

test.each(['100ms', 500, '1h'] as const)(
  'killGrace is kept to the millisecond for work of the engine that gets the cancel: %s',
  async (killGrace) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', killGrace, execute: work.execute })
    const { ada, heard } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1, { pipeline: 'p' })
    await ada.cancel(id)
    const ms = { '100ms': 100, 500: 500, '1h': 3_600_000 }[killGrace]
    await bench.clock.advance(ms - 1)
    expect(heard.at(-1)?.type).not.toBe('task.abandoned')
    await bench.clock.advance(1)
    expect(heard.at(-1)?.type).toBe('task.abandoned')
  },
)

test('work of another engine keeps its whole killGrace after that engine learned of the cancel, at most a heartbeat later', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: '1s', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const [own, others] = [await ada.submit(type, 1), await ada.submit(type, 2)]
  const other = await bench.start({ jobs: [type], work: false })
  await ada.cancel(own.id)
  await other.ada.cancel(others.id)
  const left = async () => [(await bench.row(own.id)).tasks.length, (await bench.row(others.id)).tasks.length]
  await bench.clock.advance(1_000)
  expect(await left()).toEqual([0, 1])
  await bench.clock.advance(1_999)
  expect(await left()).toEqual([0, 1])
  await bench.clock.advance(1)
  expect(await left()).toEqual([0, 0])
})
