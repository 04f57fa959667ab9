import { defineJob } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, sqliteDisk, Work } from './bench.ts'

const DAY_MS = 86_400_000
/** For tests that pass hours. */
const RARELY = { poll: '10m', sweep: '1m', heartbeat: '10m', deadAfter: '1h' } as const

test('I17 no time of a job or its history falls when the clock falls by a day', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: 0 }, execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id, createdAt } = await ada.submit(type, 1)
  await bench.clock.advance(1_000)
  bench.clock.jump(-DAY_MS)
  work.run().context.progress({ completed: 1 })
  work.run().fail(new Error('again'))
  await bench.clock.advance(5_000)
  await ada.cancel(id)
  const { startedAt = '', endedAt = '', updatedAt } = await ada.get(id)
  const times = [createdAt, startedAt, endedAt, updatedAt]
  expect(times).toEqual([...times].sort())
  const history = (await ada.history(id)).map(({ at }) => at)
  expect(history).toEqual([...history].sort())
  const rows = (await bench.log(id)).filter(({ jobSequence }) => jobSequence > 0).map(({ at }) => at)
  expect(rows).toEqual([...rows].sort((a, b) => a - b))
})

test('I19 waiting and retried work is still claimed when the clock falls by a day', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: 0 }, execute: work.execute })
  const { ada } = await bench.start({ jobs: [type], concurrency: 1 })
  await ada.submit(type, 'running')
  await ada.submit(type, 'waiting')
  bench.clock.jump(-DAY_MS)
  work.run().fail(new Error('again'))
  await bench.clock.advance(5_000)
  work.run().finish()
  await bench.clock.advance(5_000)
  expect(work.runs).toHaveLength(3)
})

test('I33 no timer fires twice when the clock falls by a day', async () => {
  const bench = new Bench()
  const machine = createMachine({
    initial: 'a',
    states: { a: { after: { 1000: 'b' } }, b: { after: { 1000: 'c' } }, c: {} },
  })
  const type = defineJob({ type: 'm', lifecycle: machine })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.advance(1_000)
  bench.clock.jump(-DAY_MS)
  await bench.clock.advance(5_000)
  expect((await ada.history(id)).map(({ to }) => to)).toEqual(['a', 'b', 'c'])
  bench.clock.jump(DAY_MS)
  await bench.clock.advance(1_000)
  expect((await ada.history(id)).map(({ to }) => to)).toEqual(['a', 'b', 'c'])
})

test.each([-DAY_MS, DAY_MS])('I17 a clock jump of %i ms takes no work from a living engine', async (jump) => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  // The next sweep comes before the next heartbeat.
  await bench.clock.advance(2_100)
  bench.clock.jump(jump)
  await bench.clock.advance(30_000)
  expect(work.runs).toHaveLength(1)
  expect(one.engine.running()).toEqual([id])
})

test('I17 the work of a frozen engine is still taken over when the clock falls by a day', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type], deadAfter: '10s' })
  const { id } = await one.ada.submit(type, 1)
  await bench.clock.advance(2_100)
  one.faults.isMute = true
  bench.clock.jump(-DAY_MS)
  await bench.clock.advance(30_000)
  expect((await two.ada.history(id)).filter(({ to }) => to === 'queued')).toHaveLength(2)
})

test('I18 a dead engine is still noticed at once after the clock fell by a day', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  bench.clock.jump(-DAY_MS)
  await one.crash()
  await bench.clock.advance(2_000)
  expect((await two.ada.history(id)).filter(({ to }) => to === 'queued')).toHaveLength(2)
})

test('I19 waiting work is still claimed after the clock fell by a day and the engine restarted', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type], concurrency: 1 })
  await one.ada.submit(type, 'running')
  await one.ada.submit(type, 'waiting')
  bench.clock.jump(-DAY_MS)
  await one.crash()
  await bench.start({ jobs: [type], concurrency: 2 })
  await bench.clock.advance(5_000)
  expect(work.runs).toHaveLength(3)
})

describe('a wrong clock', () => {
  const HOUR_MS = 3_600_000
  const YEAR_MS = 365 * DAY_MS

  test.each(['memory', 'sqlite'])(
    'that was a year off in an earlier run leaves no trace in later times: %s',
    async (disk) => {
      const bench = new Bench(disk === 'sqlite' ? sqliteDisk() : undefined)
      const work = new Work()
      const type = defineJob({ type: 'w', execute: work.execute })
      bench.clock.jump(YEAR_MS)
      const one = await bench.start({ jobs: [type], ...RARELY })
      await one.ada.submit(type, 'before')
      await bench.clock.advance(5_000)
      await one.crash()
      bench.clock.jump(-YEAR_MS)
      const two = await bench.start({ jobs: [type], ...RARELY })
      const ran = work.runs.length
      const now = bench.clock.now()
      const { id, createdAt } = await two.ada.submit(type, 'after', { startAt: now + HOUR_MS })
      expect(createdAt).toBe(new Date(now).toISOString())
      expect((await two.ada.get(id)).phase).toBe('waiting')
      await bench.clock.advance(HOUR_MS - 1)
      expect(work.runs.length).toBe(ran)
      await bench.clock.advance(1)
      expect(work.runs.length).toBe(ran + 1)
      expect((await two.ada.get(id)).startedAt).toBe(new Date(now + HOUR_MS).toISOString())
    },
  )

  test('that was a year off in an earlier run delays no deadline, set then or now', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'm',
      lifecycle: createMachine({
        initial: 'a',
        states: { a: { after: { 10000: 'b' } }, b: { after: { 10000: 'c' } }, c: {} },
      }),
    })
    bench.clock.jump(YEAR_MS)
    const one = await bench.start({ jobs: [type] })
    const { id } = await one.ada.submit(type, undefined)
    await bench.clock.advance(6_000)
    await one.engine.stop()
    bench.clock.jump(-YEAR_MS)
    const two = await bench.start({ jobs: [type] })
    const next = await two.ada.submit(type, undefined)
    // Up to a heartbeat of the time that passed before is unknown.
    await bench.clock.advance(6_000)
    expect((await two.ada.get(id)).status).toBe('b')
    expect((await two.ada.get(next.id)).status).toBe('a')
    await bench.clock.advance(4_000)
    expect((await two.ada.get(next.id)).status).toBe('b')
    // The same in a third run, after a second one that stored only right times.
    await two.engine.stop()
    const three = await bench.start({ jobs: [type] })
    await bench.clock.advance(12_000)
    for (const job of [id, next.id]) expect((await three.ada.get(job)).status).toBe('c')
    const times = (await three.ada.history(id)).map(({ at }) => at)
    expect(times).toEqual([...times].sort())
  })

  test('that was a year off in an earlier run lets waiting jobs begin', async () => {
    for (const disk of [undefined, sqliteDisk()]) {
      const bench = new Bench(disk)
      const work = new Work()
      const type = defineJob({ type: 'w', execute: work.execute })
      bench.clock.jump(YEAR_MS)
      const one = await bench.start({ jobs: [type] })
      await one.ada.submit(type, 1, { pipeline: 'p' })
      const queued = await one.ada.submit(type, 2, { pipeline: 'p', overlap: 'queue' })
      await one.crash()
      bench.clock.jump(-YEAR_MS)
      const two = await bench.start({ jobs: [type] })
      await bench.clock.advance(2_000)
      work.run().finish()
      await bench.clock.advance(2_000)
      expect((await two.ada.get(queued.id)).status).toBe('running')
    }
  })

  test('that is set back by an hour while the engine runs keeps a scheduled start at its time', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    bench.clock.jump(-HOUR_MS)
    await ada.submit(type, 1, { startAt: bench.clock.now() + 1_000 })
    await bench.clock.advance(999)
    expect(work.runs).toHaveLength(0)
    await bench.clock.advance(1)
    expect(work.runs).toHaveLength(1)
  })

  test('that is set while a job waits starts the job by the corrected time', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type], ...RARELY })
    await ada.submit(type, 1, { startAt: bench.clock.now() + 2 * HOUR_MS })
    await ada.submit(type, 2, { startAt: bench.clock.now() + 2 * HOUR_MS, pipeline: 'p', overlap: 'queue' })
    bench.clock.jump(-HOUR_MS)
    await bench.clock.advance(2 * HOUR_MS + 5_000)
    expect(work.runs).toHaveLength(0)
    bench.clock.jump(HOUR_MS)
    // It starts at the next sweep.
    await bench.clock.advance(60_000)
    expect(work.runs).toHaveLength(2)
  })

  test.each([-DAY_MS, -HOUR_MS, HOUR_MS, DAY_MS])(
    'that is set by %i ms moves no timer, timeout, backoff or grace',
    async (jump) => {
      const bench = new Bench()
      const ran: number[] = []
      const start = bench.clock.elapsed()
      const since = () => bench.clock.elapsed() - start
      const work = new Work()
      const slow = defineJob({ type: 'slow', timeout: '20s', killGrace: '5s', execute: work.execute })
      const timed = defineJob({
        type: 'timed',
        lifecycle: createMachine({
          initial: 'a',
          states: { a: { after: { 30000: 'b' } }, b: { after: { 30000: 'c' } }, c: {} },
        }),
      })
      const again = defineJob({
        type: 'again',
        retry: { limit: 1, backoff: '1h' },
        execute: () => {
          ran.push(since())
          throw new Error('no')
        },
      })
      const { ada, heard } = await bench.start({ jobs: [slow, timed, again], ...RARELY })
      const [one, two] = await Promise.all([ada.submit(slow, 1), ada.submit(timed, undefined)])
      await ada.submit(again, 1)
      await bench.clock.advance(10_000)
      const due = Number(
        (await bench.row((await ada.list({ type: 'again' })).items[0]?.id ?? '')).tasks[0]?.availableAt,
      )
      const pause = due - bench.clock.now()
      bench.clock.jump(jump)
      await bench.clock.advance(9_999)
      expect((await ada.get(one.id)).status).toBe('running')
      await bench.clock.advance(1)
      expect(work.run().context.signal.aborted).toBe(true)
      expect(heard.filter(({ type }) => type === 'task.abandoned')).toHaveLength(0)
      await bench.clock.advance(9_999)
      expect((await ada.get(two.id)).status).toBe('a')
      await bench.clock.advance(1)
      expect((await ada.get(two.id)).status).toBe('b')
      await bench.clock.advance(30_000)
      expect((await ada.get(two.id)).status).toBe('c')
      expect(ran).toHaveLength(1)
      // The next sweep claims it.
      await bench.clock.advance(pause - 50_001)
      expect(ran).toHaveLength(1)
      await bench.clock.advance(60_001)
      expect(ran).toHaveLength(2)
      const history = (await ada.history(two.id)).map(({ at }) => at)
      expect(history).toEqual([...history].sort())
    },
  )

  test('shows as skew in health, and times that are shown are wall clock times', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', retry: { limit: 1, backoff: '1h' }, execute: work.execute })
    const { ada, engine, heard } = await bench.start({ jobs: [type] })
    expect(engine.health.clock).toEqual({ skewMs: 0 })
    await bench.clock.advance(100_000)
    expect(engine.health.clock).toEqual({ skewMs: 0 })
    bench.clock.jump(-HOUR_MS)
    expect(engine.health.clock).toEqual({ skewMs: HOUR_MS })
    const { id } = await ada.submit(type, 1)
    work.run().fail(new Error('no'))
    await bench.clock.settle()
    const [reason] = await ada.explain(id)
    const until = reason?.kind === 'backoff' ? Date.parse(reason.until) - bench.clock.now() : -1
    const told = heard.findLast((event) => event.type === 'task.retried')
    expect(told?.type === 'task.retried' && Date.parse(told.availableAt) - bench.clock.now()).toBe(until)
    expect(until).toBeGreaterThan(0)
    expect(until).toBeLessThanOrEqual(HOUR_MS)
    bench.clock.jump(3 * HOUR_MS)
    expect(engine.health.clock).toEqual({ skewMs: -2 * HOUR_MS })
    await engine.stop()
    expect(engine.health.clock).toEqual({ skewMs: 0 })
    await engine.start()
    expect(engine.health.clock).toEqual({ skewMs: 0 })
  })

  test('lets no log line and no progress be older than an earlier one', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    const { context } = work.run()
    context.log('one')
    await bench.clock.advance(1_000)
    bench.clock.jump(-DAY_MS)
    context.log('two')
    context.progress({ completed: 1 })
    await context.item('k')
    await bench.clock.settle()
    const times: string[] = []
    for await (const { at } of ada.logs(id)) times.push(at)
    expect(times).toHaveLength(2)
    expect(times).toEqual([...times].sort())
    expect((await ada.get(id)).updatedAt >= String(times[0])).toBe(true)
  })

  test('does not move a delayed follow-up from its time', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({
      type: 'w',
      execute: work.execute,
      followUp: ({ retries }) => (retries === 0 ? [{ kind: 'retry', delay: '10s' }] : []),
    })
    bench.clock.jump(YEAR_MS)
    const { ada } = await bench.start({ jobs: [type] })
    await ada.submit(type, 1)
    bench.clock.jump(-YEAR_MS)
    work.run().fail(new Error('no'))
    await bench.clock.advance(9_999)
    expect(work.runs).toHaveLength(1)
    await bench.clock.advance(1)
    expect(work.runs).toHaveLength(2)
  })
})

test.each([
  ['in the past', () => 1],
  ['now', (now: number) => now],
  ['a date in the past', () => new Date('1970-01-02')],
  ['text in the past', () => '2001-01-01T00:00:00.001Z'],
])('a start %s is at once', async (_, startAt) => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const job = await ada.submit(type, 1, { startAt: startAt(bench.clock.now()) })
  expect(job.status).toBe('running')
})

test('a start in the year 9999 waits, to the millisecond', async () => {
  const bench = new Bench(sqliteDisk())
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type], poll: '1d', sweep: '100d', heartbeat: '1d', deadAfter: '2d' })
  const startAt = '9999-12-31T23:59:59.999Z'
  const { id } = await ada.submit(type, 1, { startAt })
  await bench.clock.advance(10_000)
  expect(await ada.get(id)).toMatchObject({ phase: 'waiting', startAt })
  expect(await ada.explain(id)).toEqual([{ kind: 'startAt', at: startAt }])
  bench.clock.jump(Date.parse(startAt) - bench.clock.now() - 1)
  await ada.submit(type, 2)
  const [one] = (await ada.list({ phase: 'waiting' })).items
  expect(one?.id).toBe(id)
  await bench.clock.advance(200 * DAY_MS)
  expect((await ada.get(id)).status).toBe('running')
})
