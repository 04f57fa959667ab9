import { defineJob } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

/** A type of which at most three jobs may be queued; one runs at a time. */
async function started() {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'bounded', execute: work.execute, limits: { queued: 3 } })
  return { bench, work, type, ...(await bench.start({ jobs: [type], concurrency: 1 })) }
}

describe('I39 a full queue', () => {
  test('refuses further submits without changing anything, and takes more when a job has begun', async () => {
    const { ada, bench, type, work, heard } = await started()
    for (const input of ['runs', 'a', 'b', 'c']) await ada.submit(type, input)
    const before = [await bench.contents(), heard.length]
    const refused = await errorOf(ada.submit(type, 'd', { idempotencyKey: 'k' }))
    expect([refused.code, refused.message]).toEqual([
      'QUEUE_FULL',
      '3 jobs of type "bounded" are queued, the most that limits.queued allows; try later',
    ])
    expect([await bench.contents(), heard.length]).toEqual(before)
    work.run().finish()
    await bench.clock.settle()
    // Its key is not used up.
    expect(await codeOf(ada.submit(type, 'another', { idempotencyKey: 'k' }))).toBe('ok')
    expect(await codeOf(ada.submit(type, 'e'))).toBe('QUEUE_FULL')
  })

  test('answers a repeated key with its first job', async () => {
    const { ada, type } = await started()
    await ada.submit(type, 'runs')
    const first = await ada.submit(type, 'a', { idempotencyKey: 'k' })
    for (const input of ['b', 'c']) await ada.submit(type, input)
    expect(await ada.submit(type, 'a', { idempotencyKey: 'k' })).toMatchObject({ id: first.id })
    expect(await codeOf(ada.submit(type, 'x', { idempotencyKey: 'k' }))).toBe('INVALID_INPUT')
  })

  test('counts runs of a pipeline and retries too, separately for each tenant', async () => {
    const { ada, bench, engine, type, work } = await started()
    await ada.pipelines.define({ id: 'p', job: type })
    const first = await ada.submit(type, 'first')
    for (const input of ['a', 'b', 'c']) await ada.submit(type, input)
    expect(await codeOf(ada.pipelines.run('p'))).toBe('QUEUE_FULL')
    work.run().finish()
    await bench.clock.settle()
    await ada.submit(type, 'd')
    expect(await codeOf(ada.retry(first.id))).toBe('QUEUE_FULL')
    expect(await codeOf(engine.as({ id: 'ada', role: 'editor', tenant: 'acme' }).submit(type, 1))).toBe('ok')
  })

  test('lets a run in that replaces a queued one', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'bounded', execute: work.execute, limits: { queued: 1 } })
    const { ada } = await bench.start({ jobs: [type], work: false })
    await ada.submit(type, 'old', { pipeline: 'p' })
    expect(await codeOf(ada.submit(type, 'other'))).toBe('QUEUE_FULL')
    expect(await codeOf(ada.submit(type, 'new', { pipeline: 'p', overlap: 'replace' }))).toBe('ok')
    expect((await ada.list({ phase: 'active' })).items.map(({ input }) => input)).toEqual(['new'])
  })

  test('refuses no child job and no follow-up', async () => {
    const bench = new Bench()
    const work = new Work()
    const child = createMachine({ initial: 'on', states: { on: { on: { never: 'off' } }, off: { type: 'final' } } })
    const parent = createMachine({ invoke: { src: 'child' } }).provide({ actors: { child } })
    const parentType = defineJob({ type: 'family', lifecycle: parent, limits: { queued: 1 } })
    const type = defineJob({
      type: 'again',
      execute: work.execute,
      limits: { queued: 1 },
      followUp: ({ retries }) => (retries === 0 ? [{ kind: 'retry', delay: '1h' }] : []),
    })
    const { ada } = await bench.start({ jobs: [type, parentType], concurrency: 1 })
    expect(await codeOf(ada.submit(parentType, undefined))).toBe('ok')
    await ada.submit(type, 'runs')
    await ada.submit(type, 'waits')
    work.run().finish()
    await bench.clock.settle()
    work.run().finish()
    await bench.clock.settle()
    expect((await ada.list({ type: 'again', phase: 'waiting' })).items).toHaveLength(2)
    expect(await codeOf(ada.submit(type, 'more'))).toBe('QUEUE_FULL')
  })

  test('of 50 submits over two engines at once, exactly as many are stored as allowed', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'bounded', execute: () => {}, limits: { queued: 9 } })
    const hosts = [await bench.start({ jobs: [type], work: false }), await bench.start({ jobs: [type], work: false })]
    const codes = await Promise.all(
      Array.from({ length: 50 }, (_, n) => codeOf(hosts[n % 2]?.ada.submit(type, n) ?? Promise.resolve())),
    )
    expect(codes.filter((code) => code === 'ok')).toHaveLength(9)
    expect(codes.filter((code) => code === 'QUEUE_FULL')).toHaveLength(41)
  })

  test('needs a whole number from 1', () => {
    for (const queued of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => defineJob({ type: 'x', execute: () => {}, limits: { queued } })).toThrow('limits.queued')
    }
  })
})
