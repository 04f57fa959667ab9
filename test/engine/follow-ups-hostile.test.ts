import { defineJob, type FollowUp, JobchartError } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine, setup } from 'xstate'
import { z } from 'zod'
import { Bench, Work } from './bench.ts'

const instant = createMachine({ initial: 'done', states: { done: { type: 'final' } } })

// Regression: its end is in the changeset of another job's end, and its own follow-ups were not made.
test('a job that ends at its admission, in the same tick as the run before it, gets its follow-ups too', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = setup({ actors: { child: instant } }).createMachine({
    initial: 'on',
    states: { on: { invoke: { src: 'child', onDone: 'off' } }, off: { type: 'final' } },
  })
  const holder = defineJob({ type: 'holder', execute: work.execute })
  const after = defineJob({ type: 'after', execute: work.execute })
  const brief = defineJob({ type: 'brief', lifecycle: machine, followUp: () => [{ kind: 'submit', job: after }] })
  const { ada } = await bench.start({ jobs: [holder, brief, after] })
  const queued = { pipeline: 'p', overlap: 'queue' } as const
  for (const each of [1, 2]) await ada.submit(holder, each, queued)
  const { id, phase } = await ada.submit(brief, undefined, queued)
  expect(phase).toBe('waiting')
  for (const _ of [1, 2]) {
    work.run().finish()
    await bench.clock.settle()
  }
  await bench.clock.advance(1_000)
  expect(await ada.get(id)).toMatchObject({ outcome: 'success' })
  expect((await ada.list({ type: 'after' })).items).toMatchObject([{ trigger: 'dependency' }])
})

// Regression: the submitter got an error without a code.
test('a job that ends at its start is stored although a pipeline of its follow-up changes meanwhile', async () => {
  const bench = new Bench()
  const run = defineJob({ type: 'run', execute: () => {} })
  const followUp = (): readonly FollowUp[] => [{ kind: 'pause', pipeline: 'p', reason: 'done' }]
  const type = defineJob({ type: 'instant', lifecycle: instant, followUp })
  const { ada, faults } = await bench.start({ jobs: [type, run] })
  const other = await bench.start({ jobs: [type, run] })
  await ada.pipelines.define({ id: 'p', job: run })
  let isAnswered = () => {}
  faults.plan('pipeline', new Promise((resolve) => (isAnswered = resolve)))
  const submitted = ada.submit(type, undefined)
  await bench.clock.settle()
  await other.ada.pipelines.define({ id: 'p', job: run, priority: 9 })
  isAnswered()
  expect(await submitted).toMatchObject({ outcome: 'success' })
  expect(await ada.pipelines.get('p')).toMatchObject({ paused: 'done', priority: 9 })
})

describe('a broken followUp does not prevent the end from being written', () => {
  const trap = () => {
    throw new Error('a trap')
  }
  const hostile = new Proxy({}, { get: trap, getPrototypeOf: trap, has: trap, ownKeys: trap })
  const thrown = (error: unknown) => () => {
    throw error
  }
  test.each<[string, () => unknown]>([
    ['throws an error of a storage', thrown(new JobchartError('STORAGE_UNAVAILABLE', 'of its own making'))],
    ['throws one of an unknown outcome', thrown(new JobchartError('OUTCOME_UNKNOWN', 'of its own making'))],
    ['throws what cannot be looked at', thrown(hostile)],
    ['gives what cannot be looked at', () => hostile],
    ['is asynchronous, and rejects', () => Promise.reject(new Error('late'))],
  ])('where it %s', async (_, followUp) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'first', execute: work.execute, followUp: followUp as () => readonly FollowUp[] })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    work.run().finish()
    await bench.clock.advance(2_000)
    // An unhandled rejection is reported in a later turn of the process.
    await new Promise<void>((resume) => setImmediate(resume))
    expect(await ada.get(id)).toMatchObject({ outcome: 'success' })
    expect(await failedKinds(bench)).toEqual(['followUp'])
  })
})

// Regression: it delayed the end, its slot, and every timer of its engine forever.
test('a schema that never answers delays an end by 5 s, and delays no timer of another job longer', async () => {
  const bench = new Bench()
  const silent = z.unknown().refine(() => new Promise<boolean>(() => {}))
  const never = defineJob({ type: 'never', input: silent, execute: () => {} })
  const ending = (after: number) =>
    createMachine({ initial: 'on', states: { on: { after: { [after]: 'off' } }, off: { type: 'final' } } })
  const followUp = (): readonly FollowUp[] => [1, 2, 3].map((input) => ({ kind: 'submit', job: never, input }))
  const held = defineJob({ type: 'held', lifecycle: ending(1_000), followUp })
  const other = defineJob({ type: 'other', lifecycle: ending(1_500) })
  const { ada } = await bench.start({ jobs: [held, other, never] })
  await ada.submit(held, undefined, { pipeline: 'p' })
  await ada.submit(other, undefined)
  await bench.clock.advance(7_000)
  expect((await ada.list()).items.map(({ outcome }) => outcome)).toEqual(['success', 'success'])
  expect(await failedKinds(bench)).toEqual(['submit', 'submit', 'submit'])
})

// Regression: the row of one end held 9,900 events.
test('I49 a list of too many follow-ups starts none of them, and the log says so once', async () => {
  const bench = new Bench()
  const retries = Array.from({ length: 10_000 }, (): FollowUp => ({ kind: 'retry' }))
  const type = defineJob({ type: 'instant', lifecycle: instant, followUp: () => retries })
  const { ada } = await bench.start({ jobs: [type] })
  expect(await ada.submit(type, undefined)).toMatchObject({ outcome: 'success' })
  expect(await failedKinds(bench)).toEqual(['followUp'])
  expect((await ada.list()).items).toHaveLength(1)
})

async function failedKinds(bench: Bench): Promise<readonly string[]> {
  const events = (await bench.log()).flatMap((row) => row.events)
  return events.flatMap((event) => (event.type === 'job.followUpFailed' ? [event.kind] : []))
}
