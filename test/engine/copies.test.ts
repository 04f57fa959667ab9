import { defineJob, type JobEvent } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine, fromPromise } from 'xstate'
import { z } from 'zod'
import { Bench, Work } from './bench.ts'

// I48: what is stored changes by commits alone. No caller, listener or handler holds an object of the record.

interface Box {
  n: unknown
}

const boxed = z.object({ n: z.number() })

test('I48 code that changes its input changes neither the submitter’s object nor the next attempt’s', async () => {
  const bench = new Bench()
  const given: number[] = []
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: 0 },
    execute: ({ input }) => {
      const box = input as Box
      given.push(Number(box.n))
      box.n = 99
      throw new Error('again')
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const mine = { n: 1 }
  const { id } = await ada.submit(type, mine)
  await bench.clock.advance(1_000)
  expect({ given, mine }).toEqual({ given: [1, 1], mine: { n: 1 } })
  expect((await ada.get(id)).input).toEqual({ n: 1 })
})

test('I48 code that puts something unstorable into its input harms nobody', async () => {
  const bench = new Bench()
  const type = defineJob({
    type: 'w',
    input: boxed,
    execute: ({ input }) => {
      ;(input as Box).n = 1n
      return 'done'
    },
  })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, { n: 1 })
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'completed', input: { n: 1 } })
  expect(faults.calls('landed')).toBe(0)
})

test('I48 a submitter who changes his object afterwards changes nothing', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const mine: Box = { n: 1 }
  const { id } = await ada.submit(type, mine)
  mine.n = 2
  expect(work.run().context.input).toEqual({ n: 1 })
  work.run().finish()
  await bench.clock.settle()
  expect((await ada.get(id)).input).toEqual({ n: 1 })
})

test('I48 a submitter who changes his object meanwhile cannot smuggle in what was never checked', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  const mine: Box = { n: 1 }
  const submitted = ada.submit(type, mine)
  bench.clock.turn(() => {
    mine.n = new Date(0)
  })
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  mine.n = new Map([[1, 2]])
  const { id } = await submitted
  expect((await ada.get(id)).input).toEqual({ n: 1 })
})

test('I48 whoever changes a view changes nothing', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const view = await ada.submit(type, { n: 1 }, { labels: { team: 'red' } })
  ;(view.input as unknown as Box).n = 2
  ;(view.labels as { team: string }).team = 'blue'
  expect(work.run().context.input).toEqual({ n: 1 })
  work.run().finish()
  await bench.clock.settle()
  expect(await ada.get(view.id)).toMatchObject({ input: { n: 1 }, labels: { team: 'red' } })
  expect((await ada.list({ labels: { team: 'red' } })).items).toHaveLength(1)
})

test('I42 a listener that changes an event changes no job', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type] })
  engine.on('job.created', (event) => Object.assign(event.labels, { team: 'blue' }))
  const { id } = await ada.submit(type, 1, { labels: { team: 'red' } })
  await bench.clock.settle()
  expect((await bench.row(id)).labels).toEqual({ team: 'red' })
  expect((await ada.list({ labels: { team: 'red' } })).items).toHaveLength(1)
})

test('I42 a listener that changes an event changes no other listener’s', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const seen: JobEvent[] = []
  engine.on('job.created', (event) => Object.assign(event, { jobId: 'other' }))
  engine.on('job.created', (event) => seen.push(event))
  const { id } = await ada.submit(type, 1)
  expect(seen.map(({ jobId }) => jobId)).toEqual([id])
})

test('I10 a task that changes its input changes no context', async () => {
  const bench = new Bench()
  const machine = createMachine({
    initial: 'working',
    context: { box: { n: 1 } },
    states: {
      working: { invoke: { src: 'work', input: ({ context }) => context, onDone: 'done' } },
      done: { type: 'final' },
    },
  })
  const work = fromPromise<void, { box: Box }>(async ({ input }) => {
    input.box.n = 99
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work } }) })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  const { context, status } = await bench.row(id)
  expect({ context, status }).toEqual({ context: { box: { n: 1 } }, status: 'done' })
})

test('I22 a step gives the same value to the attempt that runs it and to the one that finds it', async () => {
  const bench = new Bench()
  const given: unknown[] = []
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: 0 },
    execute: async ({ step }) => {
      const kept = { rows: [1], note: undefined as string | undefined }
      const result = await step('read', () => kept)
      given.push(structuredClone(result))
      result.rows.push(2)
      throw new Error('again')
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  await bench.clock.advance(1_000)
  expect(given).toEqual([{ rows: [1] }, { rows: [1] }])
})
