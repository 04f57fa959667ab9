import { defineJob, type Session } from 'jobchart'
import { memberJobs } from 'jobchart/presets'
import { expect, test } from 'vitest'
import { createMachine, fromPromise } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'

function loadingType(work: Work, labels?: { readonly waiting: string }, version = '1', options = {}) {
  const machine = createMachine({
    initial: 'loading',
    states: {
      loading: { on: { hurry: 'urgent', ABORT: 'aborted' }, invoke: { src: 'load', onDone: 'loaded' } },
      urgent: { on: { ABORT: 'aborted' }, invoke: { src: 'load', onDone: 'loaded' } },
      loaded: { type: 'final' },
      aborted: { type: 'final', tags: 'cancelled' },
    },
  })
  return defineJob({
    type: 'load',
    version,
    lifecycle: machine.provide({ actors: { load: fromPromise(() => work.execute({} as never)) } } as never),
    commands: { hurry: z.object({}), ABORT: z.object({}) },
    cancel: 'ABORT',
    ...(labels === undefined ? {} : { labels }),
    ...options,
  })
}

const steps = async (session: Session, id: string) =>
  (await session.history(id)).map(({ from, to, by }) => `${from ?? ''} > ${to} by ${by.id}`)

test.each([
  ['waiting', undefined],
  ['QUEUED', { waiting: 'QUEUED' }],
] as const)('a job that waits for its time shows a label of its own: %s', async (label, labels) => {
  const bench = new Bench()
  const type = loadingType(new Work(), labels)
  const { ada } = await bench.start({ jobs: [type] })
  const startAt = bench.clock.now() + 5_000
  const job = await ada.submit(type, {}, { startAt })
  expect([job.status, job.phase]).toEqual([label, 'waiting'])
  await ada.submit(type, {}, {})
  const seen = async () => [
    (await ada.list({ status: label })).items.map(({ id }) => id),
    await ada.count({ status: 'loading' }),
    await ada.counts({ by: 'status' }),
  ]
  expect(await seen()).toEqual([[job.id], 1, { [label]: 1, loading: 1 }])
  await bench.clock.advance(5_000)
  expect(await seen()).toEqual([[], 2, { loading: 2 }])
  expect((await ada.get(job.id)).status).toBe('loading')
  expect(await steps(ada, job.id)).toEqual([` > ${label} by ada`, `${label} > loading by engine`])
  const [, admission] = await ada.history(job.id)
  expect(admission?.at).toBe(new Date(startAt).toISOString())
})

test('a run that waits for its slot shows the label too, and streams report its admission', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = loadingType(work)
  const { ada, engine } = await bench.start({ jobs: [type] })
  const told: unknown[] = []
  engine.on('job.admitted', ({ from, to }) => told.push([from, to]))
  const queued = { pipeline: 'p', overlap: 'queue' } as const
  const first = await ada.submit(type, {}, queued)
  const second = await ada.submit(type, {}, queued)
  expect([first.status, second.status]).toEqual(['loading', 'waiting'])
  work.run().finish(1)
  await bench.clock.settle()
  expect((await ada.get(second.id)).status).toBe('loading')
  expect(told).toEqual([['waiting', 'loading']])
})

test('a waiting job keeps the label when its chart moves, and begins in the new state', async () => {
  const bench = new Bench()
  const type = loadingType(new Work())
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, {}, { startAt: bench.clock.now() + 5_000 })
  expect((await ada.send(id, { type: 'hurry' })).status).toBe('waiting')
  expect(await codeOf(ada.send(id, { type: 'hurry' }))).toBe('INVALID_STATE')
  await bench.clock.advance(5_000)
  expect(await steps(ada, id)).toEqual([' > waiting by ada', 'waiting > waiting by ada', 'waiting > urgent by engine'])
})

test('a job that ends while it waits has the label of its end', async () => {
  const bench = new Bench()
  const type = loadingType(new Work())
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, {}, { startAt: bench.clock.now() + 5_000 })
  expect(await ada.cancel(id)).toMatchObject({ status: 'aborted', outcome: 'cancelled', phase: 'settled' })
  expect(await steps(ada, id)).toEqual([' > waiting by ada', 'waiting > aborted by ada'])
})

test('a waiting job takes the waiting label of the version that it is migrated to', async () => {
  const bench = new Bench()
  const old = loadingType(new Work())
  const { ada, crash } = await bench.start({ jobs: [old] })
  const { id } = await ada.submit(old, {}, { startAt: bench.clock.now() + 60_000 })
  await crash()
  const migrate = () => ({ state: 'loading' })
  const next = loadingType(new Work(), { waiting: 'SOON' }, '2', { previous: [old], migrate })
  const two = await bench.start({ jobs: [next] })
  expect((await two.ada.send(id, { type: 'hurry' })).status).toBe('SOON')
  await bench.clock.advance(60_000)
  expect((await two.ada.get(id)).status).toBe('urgent')
})

test('members’ jobs wait under the label Waiting', async () => {
  const bench = new Bench()
  const { defineJob: define, policy } = memberJobs()
  const type = define({ type: 'Load', execute: () => 1 })
  const { engine } = await bench.start({ jobs: [type], policy })
  const ed = engine.as({ id: 'ed', role: 'Editor' })
  const { id } = await ed.submit(type, {}, { startAt: bench.clock.now() + 1_000 })
  expect((await ed.get(id)).status).toBe('Waiting')
  await bench.clock.advance(2_000)
  expect((await ed.history(id)).map(({ to }) => to)).toEqual(['Waiting', 'Running', 'Successful'])
})
