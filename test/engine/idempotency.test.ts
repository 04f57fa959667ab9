import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

test('I35 a repeated key with an equal input gives the first job, even after it has ended', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 'done' })
  const { ada } = await bench.start({ jobs: [type] })
  const first = await ada.submit(type, { a: 1, b: [{ c: 2, d: 3 }] }, { idempotencyKey: 'k' })
  await ada.result(first.id)
  const again = await ada.submit(type, { b: [{ d: 3, c: 2 }], a: 1 }, { idempotencyKey: 'k' })
  expect([again.id, again.status]).toEqual([first.id, 'completed'])
  expect((await ada.list()).items).toHaveLength(1)
})

test('I35 of 20 simultaneous submits of one key one is stored, and all get its id', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const jobs = await Promise.all(
    Array.from({ length: 20 }, () => ada.submit(type, { n: 1 }, { idempotencyKey: 'k', pipeline: 'p' })),
  )
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(1)
  expect(work.runs).toHaveLength(1)
})

test('a repeated key with another input is refused, and changes nothing', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 'done' })
  const { ada, engine, heard } = await bench.start({ jobs: [type] })
  await ada.submit(type, { n: 1 }, { idempotencyKey: 'k' })
  await engine.idle()
  const before = [await bench.contents(), heard.length]
  for (const input of [{ n: 2 }, { n: 1, m: undefined }, null, undefined, [{ n: 1 }]]) {
    expect(['INVALID_INPUT', 'NOT_STORABLE']).toContain(await codeOf(ada.submit(type, input, { idempotencyKey: 'k' })))
  }
  expect([await bench.contents(), heard.length]).toEqual(before)
})

test('I55 a key is separate for each tenant, creator and type', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 'done' })
  const other = defineJob({ type: 'o', execute: () => 'done' })
  const { ada, bob, engine } = await bench.start({ jobs: [type, other] })
  const elsewhere = engine.as({ id: 'ada', tenant: 'acme', role: 'editor' })
  const key = { idempotencyKey: 'k' }
  const jobs = [
    await ada.submit(type, 1, key),
    await ada.submit(other, 1, key),
    await bob.submit(type, 2, key),
    await elsewhere.submit(type, 3, key),
  ]
  expect(new Set(jobs.map(({ id }) => id)).size).toBe(4)
})

test('the key is checked before the slot', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const first = await ada.submit(type, 1, { idempotencyKey: 'k', pipeline: 'p' })
  expect((await ada.submit(type, 1, { idempotencyKey: 'k', pipeline: 'p' })).id).toBe(first.id)
  const error = await errorOf(ada.submit(type, 2, { idempotencyKey: 'k', pipeline: 'p' }))
  expect(error.code).toBe('INVALID_INPUT')
})

test('a refused submit does not use up its key', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1, { pipeline: 'p' })
  const again = { pipeline: 'p', idempotencyKey: 'k' }
  expect(await codeOf(ada.submit(type, 2, again))).toBe('ALREADY_RUNNING')
  work.run().finish()
  await bench.clock.settle()
  expect((await ada.submit(type, 3, again)).input).toBe(3)
})

test('I2 a submit of unknown outcome gives exactly one job when it is repeated with its key', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 'done' })
  const { ada, faults } = await bench.start({ jobs: [type] })
  for (const [key, fault] of [
    ['landed', 'unheard'],
    ['lost', 'unsent'],
  ] as const) {
    faults.plan('commit', fault)
    faults.plan('landed', 'refused')
    expect(await codeOf(ada.submit(type, key, { idempotencyKey: key }))).toBe('OUTCOME_UNKNOWN')
    const again = await ada.submit(type, key, { idempotencyKey: key })
    expect((await ada.list()).items.filter(({ input }) => input === key)).toHaveLength(1)
    expect((await ada.get(again.id)).input).toBe(key)
  }
})

test.each([
  ['removed before it could be read', () => 1],
  ['deleted while its code still runs', new Work().execute],
])('a key whose job is %s gives a new job', async (_, execute) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute })
  const { ada } = await bench.start({ jobs: [type] })
  const first = await ada.submit(type, 'in', { idempotencyKey: 'k' })
  await bench.clock.settle()
  const slow = await bench.start({ jobs: [type] })
  const answer = Promise.withResolvers<void>()
  slow.faults.plan('commit', answer.promise)
  const submitting = slow.ada.submit(type, 'in', { idempotencyKey: 'k' })
  await bench.clock.settle()
  await ada.delete(first.id)
  await bench.clock.settle()
  answer.resolve()
  const { id } = await submitting
  expect(id).not.toBe(first.id)
  expect((await ada.list()).items).toMatchObject([{ id }])
})

test('I22 the code’s own idempotencyKey is the same over its attempts, and differs from another job’s', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', retry: { limit: 2, backoff: 0 }, execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  for (const index of [0, 1]) {
    work.run(index).fail(new Error('again'))
    await bench.clock.advance(1_000)
  }
  expect(work.runs.map(({ context }) => context.attempt)).toEqual([1, 2, 3])
  expect(new Set(work.runs.map(({ context }) => context.idempotencyKey)).size).toBe(1)
  await ada.submit(type, 1)
  expect(work.run().context.idempotencyKey).not.toBe(work.run(0).context.idempotencyKey)
})
