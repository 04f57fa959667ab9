import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, Work } from './bench.ts'

const DAY_MS = 86_400_000

test('I17 when the clock falls by a day, no time of a job or of its history falls', async () => {
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

test('I19 when the clock falls by a day, waiting and retried work is still claimed', async () => {
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

test('I33 when the clock falls by a day, no timer fires twice', async () => {
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

test.each([-DAY_MS, DAY_MS])('I17 a jump of the clock by %i ms takes no work from a living engine', async (jump) => {
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

test('I17 a clock that falls by a day does not keep a frozen engine’s work from others', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const two = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  await bench.clock.advance(2_100)
  one.faults.isMute = true
  bench.clock.jump(-DAY_MS)
  await bench.clock.advance(30_000)
  expect((await two.ada.history(id)).filter(({ to }) => to === 'queued')).toHaveLength(2)
})

test('I18 after the clock fell by a day, a dead engine is still seen at once', async () => {
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

test('I19 when the clock falls by a day and the engine is started again, waiting work is still claimed', async () => {
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
