import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { Bench, Work } from './bench.ts'

test('a failed attempt is repeated after its pause, and the chart stays in its state', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 2, backoff: '10s' }, execute: work.execute })
  const { ada, heard, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  work.run().fail(new RangeError('full'))
  await bench.clock.settle()
  const retried = heard.at(-1)
  expect(retried).toMatchObject({ type: 'task.retried', attempt: 1, error: { name: 'RangeError', message: 'full' } })
  expect([(await ada.get(id)).status, engine.running()]).toEqual(['running', []])
  const availableAt = retried?.type === 'task.retried' ? Date.parse(retried.availableAt) : 0
  const pause = availableAt - bench.clock.now()
  expect(pause).toBeGreaterThan(0)
  expect(pause).toBeLessThanOrEqual(10_000)
  await bench.clock.advance(pause - 1)
  expect(work.runs).toHaveLength(1)
  await bench.clock.advance(1)
  expect(work.run(1).context.attempt).toBe(2)
  work.run(1).finish('fine')
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'completed', output: 'fine' })
  expect('error' in (await ada.get(id))).toBe(false)
})

test('after its last retry the job fails with the last error', async () => {
  const bench = new Bench()
  let attempts = 0
  const type = defineJob({
    type: 'w',
    retry: { limit: 3, backoff: '1s' },
    execute: ({ attempt }) => {
      attempts++
      throw new Error(`failure ${attempt}`)
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.advance(15_000)
  expect(attempts).toBe(4)
  expect((await ada.get(id)).error?.message).toBe('failure 4')
})

test('a pause takes no place: other jobs run meanwhile', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: '10s' }, execute: work.execute })
  const { ada } = await bench.start({ jobs: [type], concurrency: 1 })
  await ada.submit(type, 1)
  work.run().fail(new Error('again'))
  await bench.clock.settle()
  await ada.submit(type, 2)
  expect(work.run().context.input).toBe(2)
})

test('a pause is kept over a restart', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: '60s' }, execute: work.execute })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, 1)
  work.run().fail(new Error('again'))
  await bench.clock.settle()
  const due = (await bench.row(id)).tasks[0]?.availableAt ?? 0
  await one.crash()
  await bench.start({ jobs: [type] })
  await bench.clock.advance(due - bench.clock.now() - 1)
  expect(work.runs).toHaveLength(1)
  await bench.clock.advance(1_001)
  expect(work.runs).toHaveLength(2)
})

test('a job keeps the slot of its pipeline between its retries', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 1, backoff: '10s' }, execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1, { pipeline: 'p' })
  work.run().fail(new Error('again'))
  await bench.clock.settle()
  await expect(ada.submit(type, 2, { pipeline: 'p' })).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
})

test('an output that does not fit its schema is a failure like others, and is retried', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({
    type: 'w',
    output: z.number(),
    retry: { limit: 1, backoff: 0 },
    execute: work.execute as never,
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  work.run().finish('none')
  await bench.clock.advance(1_000)
  work.run(1).finish(1)
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'completed', output: 1 })
})
