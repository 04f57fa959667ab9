import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { Bench, codeOf } from './bench.ts'

const numbered = defineJob({ type: 'numbered', input: z.int(), execute: ({ input }) => input * 2 })
const bounded = defineJob({ type: 'bounded', limits: { queued: 3 }, execute: () => new Promise(() => {}) })

test('many jobs are stored in their order, and each runs', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [numbered] })
  const outcomes = await ada.submitMany(Array.from({ length: 1_500 }, (_, n) => ({ type: numbered, input: n })))
  expect(outcomes.map(({ job }) => job?.input)).toEqual(Array.from({ length: 1_500 }, (_, n) => n))
  await bench.clock.settle()
  const last = outcomes.at(-1)?.job?.id ?? ''
  expect((await ada.result(last)).output).toBe(2_998)
  expect(await ada.count({ status: 'completed' })).toBe(1_500)
})

test('each job gets its own answer, and a refused one harms no other', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [numbered] })
  const outcomes = await ada.submitMany([
    { type: numbered, input: 1 },
    { type: 'numbered', input: 'no number' },
    { type: 'unknown' },
    { type: 'numbered', input: 4, pipeline: 'p' },
    { type: 'numbered', input: 5, pipeline: 'p' },
  ])
  const codes = outcomes.map(({ error }) => (error as { code?: string } | undefined)?.code)
  expect(codes).toEqual([undefined, 'INVALID_INPUT', 'UNKNOWN_TYPE', undefined, 'ALREADY_RUNNING'])
  expect(await ada.count()).toBe(2)
})

test('an atomic submit stores all jobs in one commit', async () => {
  const bench = new Bench()
  const { ada, faults } = await bench.start({ jobs: [numbered], work: false })
  const before = faults.calls('commit')
  const jobs = Array.from({ length: 1_000 }, (_, n) => ({ type: numbered, input: n, labels: { n: String(n) } }))
  const outcomes = await ada.submitMany(jobs, { atomic: true })
  expect(faults.calls('commit') - before).toBe(1)
  expect(outcomes.map(({ job }) => job?.labels.n)).toEqual(jobs.map(({ labels }) => labels.n))
  expect(await ada.count()).toBe(1_000)
})

test.each([
  [
    'an input that does not fit',
    [
      { type: numbered, input: 1 },
      { type: 'numbered', input: 'x' },
    ],
    'INVALID_INPUT',
  ],
  ['a type that is not known', [{ type: numbered, input: 1 }, { type: 'unknown' }], 'UNKNOWN_TYPE'],
  [
    'a slot that two want',
    [
      { type: numbered, input: 1, pipeline: 'p' },
      { type: numbered, input: 2, pipeline: 'p' },
    ],
    'ALREADY_RUNNING',
  ],
  [
    'a key that two have',
    [
      { type: numbered, input: 1, idempotencyKey: 'k' },
      { type: numbered, input: 2, idempotencyKey: 'k' },
    ],
    'INVALID_INPUT',
  ],
  ['a queue that has no room for all', Array.from({ length: 4 }, () => ({ type: bounded })), 'QUEUE_FULL'],
  ['more than 1,000 jobs', Array.from({ length: 1_001 }, () => ({ type: numbered, input: 1 })), 'INVALID_INPUT'],
  ['a run that would replace another', [{ type: numbered, input: 1, overlap: 'replace' as const }], 'INVALID_INPUT'],
])('an atomic submit with %s stores none', async (_, jobs, code) => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [numbered, bounded], work: false })
  expect(await codeOf(ada.submitMany(jobs, { atomic: true }))).toBe(code)
  expect(await ada.count()).toBe(0)
})

test('queued runs of an atomic submit wait for each other', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [numbered] })
  const jobs = [1, 2, 3].map((input) => ({ type: numbered, input, pipeline: 'p', overlap: 'queue' as const }))
  const outcomes = await ada.submitMany(jobs, { atomic: true })
  expect(outcomes.map(({ job }) => job?.phase)).toEqual(['active', 'waiting', 'waiting'])
  await bench.clock.advance(2_000)
  expect(await ada.count({ status: 'completed' })).toBe(3)
})
