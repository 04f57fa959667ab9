import { defineJob, type SubmittedJob } from 'jobchart'
import { expect, test } from 'vitest'
import { z } from 'zod'
import { Bench, codeOf, errorOf } from './bench.ts'

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
  // The compiler would refuse some of these jobs.
  expect(await codeOf(ada.submitMany(jobs as readonly SubmittedJob[], { atomic: true }))).toBe(code)
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

test('runs of a stored pipeline are submitted together, and are all refused while it is paused', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [numbered] })
  await ada.pipelines.define({ id: 'p', job: numbered, input: 0 })
  const jobs = [
    { type: numbered, input: 1 },
    { type: numbered, input: 2, pipeline: 'p', overlap: 'queue' as const },
    { type: numbered, input: 3, pipeline: 'p', overlap: 'queue' as const },
  ]
  await ada.pipelines.pause('p', 'the source is down')
  expect(await codeOf(ada.submitMany(jobs, { atomic: true }))).toBe('INVALID_STATE')
  expect(await ada.count()).toBe(0)
  await ada.pipelines.resume('p')
  const outcomes = await ada.submitMany(jobs, { atomic: true })
  expect(outcomes.map(({ job }) => job?.phase)).toEqual(['active', 'active', 'waiting'])
  await bench.clock.advance(2_000)
  expect(await ada.count({ status: 'completed' })).toBe(3)
})

test.each([true, false])('many submits whose signal was aborted store nothing: atomic %s', async (atomic) => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [numbered] })
  const jobs = [1, 2].map((input) => ({ type: numbered, input }))
  const { signal } = new AbortController()
  expect(await ada.submitMany(jobs, { atomic, signal })).toHaveLength(2)
  const given = new Error('enough')
  await expect(ada.submitMany(jobs, { atomic, signal: AbortSignal.abort(given) })).rejects.toBe(given)
  expect(await ada.count()).toBe(2)
})

test('of queued runs that are submitted together, the one of the highest priority goes first', async () => {
  const bench = new Bench()
  const began: unknown[] = []
  const noted = defineJob({ type: 'noted', execute: ({ input }) => void began.push(input) })
  const { ada } = await bench.start({ jobs: [noted] })
  const jobs = [0, 1, 5, 1].map((priority, input) => {
    return { type: noted, input, priority, pipeline: 'p', overlap: 'queue' as const }
  })
  await ada.submitMany(jobs, { atomic: true })
  await bench.clock.advance(2_000)
  expect(began).toEqual([0, 2, 1, 3])
})

test('no jobs at all are stored as none, and what is no list of jobs is refused by name', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [numbered] })
  for (const atomic of [true, false]) expect(await ada.submitMany([], { atomic })).toEqual([])
  for (const [jobs, named] of [
    [numbered, 'jobs'],
    [[{ type: numbered, input: 1 }, null], 'jobs.1'],
    [[numbered.type], 'jobs.0'],
  ] as const) {
    const error = await errorOf(ada.submitMany(jobs as never))
    expect([error.code, error.message.split(' ')[0]]).toEqual(['INVALID_INPUT', named])
  }
  expect(await ada.count()).toBe(0)
})
