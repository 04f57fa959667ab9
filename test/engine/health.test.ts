import { defineJob, type Executor, type Health, JobchartError, type TaskEnd } from 'jobchart'
import { virtualClock } from 'jobchart/testing'
import { describe, expect, test } from 'vitest'
import { HealthWatch } from '../../src/engine/health.ts'
import { Bench, codeOf, type HostOptions, Work } from './bench.ts'
import { FaultyStorage } from './faulty-storage.ts'

/** The clocks agree. */
const clock = { skewMs: 0 }
/** What its executors run, and take. */
const executorsWith = (running: number) => ({
  default: { running, room: 10 - running },
  live: { running: 0, room: 100_000 },
  processes: { running: 0, room: 10 },
})
const executors = executorsWith(0)
const MUST_BE_ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** One engine whose storage can fail, with its reported health. */
async function watched(options: Omit<HostOptions, 'jobs'> = {}) {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: '1s', execute: work.execute })
  const told: Health[] = []
  const onHealth = (health: Health) => told.push(health)
  const front = await bench.start({ jobs: [type], work: false })
  const faults = new FaultyStorage(bench.disk)
  const host = await bench.start({ jobs: [type], onHealth, ...options }, faults)
  await bench.clock.settle()
  return { bench, work, type, told, front, ...host, statuses: () => told.map(({ status }) => status) }
}

test('an engine is ok from its start to its stop, says since when, and counts running tasks', async () => {
  const { bench, engine, ada, type, told, work } = await watched()
  const startedAt = new Date(bench.clock.now()).toISOString()
  await ada.submit(type, 1)
  await bench.clock.advance(5_000)
  expect(engine.health).toEqual({
    status: 'ok',
    since: startedAt,
    running: 1,
    abandoned: 0,
    executors: executorsWith(1),
    clock,
  })
  work.run().finish()
  await bench.clock.settle()
  await engine.stop()
  const stopped = {
    status: 'stopped',
    since: new Date(bench.clock.now()).toISOString(),
    running: 0,
    abandoned: 0,
    executors: {},
    clock,
  }
  expect(engine.health).toEqual(stopped)
  expect(told).toEqual([{ status: 'ok', since: startedAt, running: 0, abandoned: 0, executors, clock }, stopped])
  await engine.start()
  await bench.clock.settle()
  expect([engine.health.status, told.at(-1)?.status]).toEqual(['ok', 'ok'])
})

test('a storage that refuses writes degrades the engine, which claims nothing and still reads', async () => {
  const { bench, engine, ada, front, type, faults, told, work } = await watched()
  await ada.submit(type, 'runs')
  faults.failing('write')
  expect(await codeOf(ada.submit(type, 'lost'))).toBe('STORAGE_UNAVAILABLE')
  expect(engine.health).toMatchObject({
    status: 'degraded',
    since: expect.stringMatching(MUST_BE_ISO),
    error: { name: 'JobchartError', code: 'STORAGE_UNAVAILABLE', message: 'it is down' },
    running: 1,
  })
  const { id } = await front.ada.submit(type, 'waits')
  const claims = faults.calls('claim')
  await bench.clock.advance(10_000)
  expect(faults.calls('claim')).toBe(claims)
  expect([work.runs.length, (await ada.get(id)).status, told.length]).toEqual([1, 'queued', 2])
  expect((await ada.list()).items).toHaveLength(2)
})

test('a degraded engine tests the storage by one write per sweep, and no more', async () => {
  const { bench, ada, type, faults } = await watched({ heartbeat: '1h' })
  faults.failing('write')
  await codeOf(ada.submit(type, 1))
  const before = faults.calls('beat')
  await bench.clock.advance(30_000)
  expect(faults.calls('beat') - before).toBe(30)
  // A sweep that could not write is skipped.
  expect(faults.calls('commit')).toBe(1)
})

test('when the disk works again the engine is ok by the next sweep, and claims waiting jobs at once', async () => {
  const { bench, engine, ada, front, type, faults, statuses, work } = await watched()
  faults.failing('write')
  await codeOf(ada.submit(type, 1))
  const { id } = await front.ada.submit(type, 'waits')
  await bench.clock.advance(5_000)
  faults.heal()
  await bench.clock.advance(1_000)
  expect([engine.health.status, engine.running()]).toEqual(['ok', [id]])
  expect(engine.health).not.toHaveProperty('error')
  expect([statuses(), work.runs.length]).toEqual([['ok', 'degraded', 'ok'], 1])
})

test('a submit is tried while degraded; the first one written makes the engine ok, and is claimed', async () => {
  const { engine, ada, bench, type, faults, work } = await watched({ sweep: '1h' })
  faults.failing('write')
  expect(await codeOf(ada.submit(type, 1))).toBe('STORAGE_UNAVAILABLE')
  faults.heal()
  const { id } = await ada.submit(type, 2)
  await bench.clock.settle()
  expect([engine.health.status, engine.running(), work.runs.length]).toEqual(['ok', [id], 1])
})

test('any successful write makes the engine ok, and waiting jobs are claimed then', async () => {
  const { bench, engine, ada, front, type, faults } = await watched({ sweep: '1h', heartbeat: '2s' })
  faults.failing('write')
  await codeOf(ada.submit(type, 1))
  const { id } = await front.ada.submit(type, 'waits')
  await bench.clock.advance(1_000)
  faults.heal()
  await bench.clock.advance(1_000)
  expect([engine.health.status, engine.running()]).toEqual(['ok', [id]])
})

test('a failed read degrades the engine too, until a write and then a whole sweep have succeeded', async () => {
  const { bench, engine, ada, front, type, faults, statuses, work } = await watched()
  faults.failing('read')
  expect(await codeOf(ada.list())).toBe('STORAGE_UNAVAILABLE')
  await front.ada.submit(type, 'waits')
  // Heartbeats are written all the time.
  await bench.clock.advance(10_000)
  expect([engine.health.status, work.runs.length]).toEqual(['degraded', 0])
  faults.heal()
  await bench.clock.advance(1_000)
  expect([statuses(), work.runs.length]).toEqual([['ok', 'degraded', 'ok'], 1])
})

test('a read that fails in every sweep keeps the engine degraded, and is reported once', async () => {
  const { bench, faults, statuses, engine } = await watched()
  faults.plan('due', ...new Array<'refused'>(20).fill('refused'))
  await bench.clock.advance(15_000)
  expect([statuses(), engine.health.status]).toEqual([['ok', 'degraded'], 'degraded'])
})

test('a storage that fails every other write changes the health at most once a sweep', async () => {
  const { bench, ada, type, faults, told } = await watched()
  for (let round = 0; round < 100; round++) {
    faults.plan('commit', 'refused')
    await codeOf(ada.submit(type, 'refused'))
    await codeOf(ada.submit(type, 'taken'))
    await bench.clock.advance(100)
  }
  expect(told.length).toBeGreaterThan(4)
  expect(told.length).toBeLessThan(24)
})

test('one changeset that the storage refuses among others of its turn is reported once', async () => {
  const { bench, ada, type, faults, statuses, engine } = await watched()
  faults.plan('commit', 'refused', Promise.resolve(), 'refused')
  const codes = await Promise.all([1, 2, 3].map((input) => codeOf(ada.submit(type, input))))
  await bench.clock.settle()
  expect([codes, statuses()]).toEqual([
    ['ok', 'STORAGE_UNAVAILABLE', 'ok'],
    ['ok', 'degraded'],
  ])
  await bench.clock.advance(1_000)
  expect([statuses(), engine.health.running]).toEqual([['ok', 'degraded', 'ok'], 2])
})

test.each(['unsent', 'unheard'] as const)(
  'a write of unknown outcome degrades the engine if the outcome cannot be read: %s',
  async (fault) => {
    const { ada, type, faults, engine } = await watched()
    faults.plan('commit', fault)
    faults.plan('landed', 'refused')
    expect(await codeOf(ada.submit(type, 1))).toBe('OUTCOME_UNKNOWN')
    expect(engine.health).toMatchObject({ status: 'degraded', error: { code: 'STORAGE_UNAVAILABLE' } })
  },
)

test('a refusal about one job is no failure of the storage', async () => {
  const { bench, ada, type, engine, statuses } = await watched()
  const { id } = await ada.submit(type, 1, { pipeline: 'p' })
  await ada.cancel(id)
  const codes = [
    ada.submit(type, 1, { pipeline: 'p' }),
    ada.cancel(id),
    ada.get('absent'),
    ada.send(`${id}`, { type: 'no command' }),
  ]
  expect(await Promise.all(codes.map(codeOf))).not.toContain('ok')
  await bench.clock.advance(100)
  expect([statuses(), engine.health.status]).toEqual([['ok'], 'ok'])
})

test('running work continues while degraded, and its end is written when the disk works again', async () => {
  const { bench, ada, type, faults, engine, work } = await watched()
  const { id } = await ada.submit(type, 1)
  faults.failing('write')
  work.run().finish('done')
  // Short enough that the other engine does not declare it dead.
  await bench.clock.advance(8_000)
  expect(engine.health).toMatchObject({ status: 'degraded', running: 1 })
  faults.heal()
  await bench.clock.advance(1_000)
  expect(await ada.get(id)).toMatchObject({ status: 'completed', output: 'done' })
  expect([engine.health.status, engine.health.running, work.runs.length]).toEqual(['ok', 0, 1])
})

test('an engine that stops while degraded ignores later errors of its closed storage', async () => {
  const { bench, ada, type, faults, engine, statuses, work } = await watched()
  await ada.submit(type, 1)
  faults.isDown = true
  work.run().finish('late')
  await bench.clock.settle()
  const stopped = engine.stop({ timeout: '5s' })
  await bench.clock.advance(5_000)
  await stopped
  const { step } = work.run().context
  expect(engine.health).toEqual({
    status: 'stopped',
    since: expect.any(String),
    running: 0,
    abandoned: 0,
    executors: {},
    clock,
  })
  expect([statuses(), faults.isClosed]).toEqual([['ok', 'degraded', 'stopped'], true])
  // A new start ignores failures of the old run.
  faults.heal()
  await engine.start()
  expect(await codeOf(step('late', () => 1))).toBe('STALE_CLAIM')
  await bench.clock.advance(100)
  expect([engine.health.status, statuses().at(-1)]).toEqual(['ok', 'ok'])
})

test('an engine that cannot start is stopped, and reports nothing', async () => {
  const bench = new Bench()
  const told: Health[] = []
  const faults = new FaultyStorage(bench.disk)
  faults.plan('due', 'refused')
  const type = defineJob({ type: 'w', execute: () => 1 })
  await expect(bench.start({ jobs: [type], onHealth: (health) => told.push(health) }, faults)).rejects.toMatchObject({
    code: 'STORAGE_UNAVAILABLE',
  })
  await bench.clock.advance(2_000)
  expect(told).toEqual([])
})

test('I23 at maxAbandoned nothing is claimed, and health and explain say so, until some of the code returns', async () => {
  const { bench, ada, type, engine, work, statuses } = await watched({ maxAbandoned: 1 })
  const { id } = await ada.submit(type, 1)
  await ada.cancel(id)
  await bench.clock.advance(5_000)
  expect(engine.health).toMatchObject({ status: 'exhausted', running: 0, abandoned: 1 })
  const waiting = await ada.submit(type, 2)
  await bench.clock.advance(5_000)
  expect((await ada.get(waiting.id)).status).toBe('queued')
  expect(await ada.explain(waiting.id)).toEqual([{ kind: 'exhausted', task: 'execute' }])
  work.run().finish()
  await bench.clock.settle()
  expect(engine.health).toMatchObject({ status: 'ok', running: 1, abandoned: 0 })
  expect(await ada.explain(waiting.id)).toMatchObject([{ kind: 'running' }])
  expect(statuses()).toEqual(['ok', 'exhausted', 'ok'])
})

test.each([
  [
    'throws',
    () => {
      throw new Error('listener')
    },
  ],
  [
    'rejects',
    async () => {
      throw new Error('listener')
    },
  ],
])('I42 an onHealth that %s harms nobody, and reaches onListenerError with what it was told', async (_, onHealth) => {
  const wrong: unknown[][] = []
  const { bench, ada, type, engine } = await watched({ onHealth, onListenerError: (...told) => wrong.push(told) })
  await ada.submit(type, 1)
  await bench.clock.settle()
  expect([wrong, engine.running()]).toEqual([
    [[new Error('listener'), expect.objectContaining({ status: 'ok' })]],
    [expect.any(String)],
  ])
})

test('code that still runs 5 s after its kill is reported, and keeps its place and its slot', async () => {
  const bench = new Bench()
  const ended = Promise.withResolvers<TaskEnd>()
  const stuck: Executor = { room: () => 1, start: () => ended.promise, close: async () => {}, kills: true }
  const type = defineJob({ type: 'w', executor: 'stuck', killGrace: '1s', execute: () => 1 })
  const { engine, ada } = await bench.start({ jobs: [type], executors: { stuck } })
  const { id } = await ada.submit(type, undefined, { pipeline: 'p' })
  await bench.clock.settle()
  await ada.cancel(id)
  await bench.clock.advance(1_000)
  const killedAt = new Date(bench.clock.now()).toISOString()
  await bench.clock.advance(4_999)
  expect(engine.health).not.toHaveProperty('unended')
  await bench.clock.advance(1)
  expect(engine.health).toMatchObject({
    abandoned: 0,
    unended: [{ executor: 'stuck', jobId: id, task: 'execute', killedAt }],
  })
  expect(await codeOf(ada.submit(type, undefined, { pipeline: 'p' }))).toBe('ALREADY_RUNNING')
  ended.resolve({ ok: true })
  await bench.clock.settle()
  expect(engine.health).not.toHaveProperty('unended')
  expect(await codeOf(ada.submit(type, undefined, { pipeline: 'p' }))).toBe('ok')
  await bench.clock.settle()
})

describe('the rule', () => {
  const down = new JobchartError('STORAGE_UNAVAILABLE', 'it is down')
  const sweepMs = 1_000

  function rule() {
    const clock = virtualClock()
    const watch = new HealthWatch(clock, sweepMs, { set: () => {} })
    let recoveries = 0
    watch.onRecovery(() => {
      recoveries++
    })
    watch.begin()
    return { clock, watch, recoveries: () => recoveries }
  }

  test.each([
    ['STORAGE_UNAVAILABLE', down, true],
    ['OUTCOME_UNKNOWN', new JobchartError('OUTCOME_UNKNOWN', 'who knows'), true],
    ['an error of the driver', new Error('disk I/O error'), true],
    ['what is no error', 'broken', true],
    ['an answer', new JobchartError('NOT_STORABLE', 'no JSON'), false],
  ])('%s degrades it or not', (_, error, isDegraded) => {
    const { watch } = rule()
    watch.failed(error, 'write')
    expect(watch.isDegraded).toBe(isDegraded)
  })

  test('after a failed write, one write is enough', () => {
    const { watch, recoveries } = rule()
    watch.failed(down, 'write')
    watch.swept(watch.failures)
    expect(watch.isDegraded).toBe(true)
    watch.wrote()
    expect([watch.isDegraded, recoveries()]).toEqual([false, 1])
  })

  test('after a failed read, a write and then a whole sweep are needed', () => {
    const { watch } = rule()
    watch.wrote()
    watch.failed(down, 'read')
    watch.swept(watch.failures)
    expect(watch.isDegraded).toBe(true)
    watch.wrote()
    expect(watch.isDegraded).toBe(true)
    watch.swept(watch.failures)
    expect(watch.isDegraded).toBe(false)
  })

  test('a sweep with a failure is not a whole one, even if a later write succeeds', () => {
    const { watch } = rule()
    watch.failed(down, 'read')
    watch.wrote()
    const { failures } = watch
    watch.failed(down, 'read')
    watch.wrote()
    watch.swept(failures)
    expect(watch.isDegraded).toBe(true)
  })

  test('a failure within a sweep after recovery needs a whole sweep, and later a write again', async () => {
    const { clock, watch } = rule()
    watch.failed(down, 'write')
    watch.wrote()
    await clock.advance(sweepMs - 1)
    watch.failed(down, 'write')
    watch.wrote()
    expect(watch.isDegraded).toBe(true)
    watch.swept(watch.failures)
    expect(watch.isDegraded).toBe(false)
    await clock.advance(sweepMs)
    watch.failed(down, 'write')
    watch.wrote()
    expect(watch.isDegraded).toBe(false)
  })
})
