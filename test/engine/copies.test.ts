import { defineJob, type JobEvent, task } from 'jobchart'
import { expect, test } from 'vitest'
import { assign, createMachine, fromPromise } from 'xstate'
import { z } from 'zod'
import { Bench, Work } from './bench.ts'

// I48: only commits change stored data. No caller, listener or handler holds an object of the record.

interface Box {
  n: unknown
}

const boxed = z.object({ n: z.number() })

test('I48 code that changes its input changes neither the submitter’s object nor the input of the next attempt', async () => {
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

test('I48 code that puts an unstorable value into its input harms no other job', async () => {
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

test('I48 a submitter who changes their object after the submit changes nothing', async () => {
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

test('I48 a submitter who changes their object during the submit cannot store an unchecked value', async () => {
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

test('I48 changing a view changes nothing', async () => {
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

test('I42 a listener that changes an event does not change it for other listeners', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const seen: JobEvent[] = []
  engine.on('job.created', (event) => Object.assign(event, { jobId: 'other' }))
  engine.on('job.created', (event) => seen.push(event))
  const { id } = await ada.submit(type, 1)
  expect(seen.map(({ jobId }) => jobId)).toEqual([id])
})

test('I10 a task that changes its input does not change the context', async () => {
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

/** Waits for data from a command or from a first task, keeps it in its context, and works. */
function keepingType(first: Work, second: Work, initial: 'waiting' | 'working', context: { data: unknown }) {
  const machine = createMachine({
    initial,
    context,
    states: {
      waiting: {
        on: { begin: 'loading', take: { target: 'working', actions: assign({ data: ({ event }) => event.data }) } },
      },
      loading: {
        invoke: { src: 'first', onDone: { target: 'working', actions: assign({ data: ({ event }) => event.output }) } },
      },
      working: { invoke: { src: 'second', onDone: 'done' } },
      done: { type: 'final' },
    },
  })
  const actors = { first: task({}, first.execute), second: task({}, second.execute) }
  return defineJob({
    type: 'keeping',
    lifecycle: machine.provide({ actors }),
    commands: { begin: z.object({}), take: z.object({ data: z.unknown() }) },
  })
}

test.each(['a command’s sender', 'the code of a task', 'the machine’s author'])(
  'I10 %s who goes on to change what the context has taken changes no context',
  async (who) => {
    const bench = new Bench()
    const [first, second] = [new Work(), new Work()]
    const data = { rows: [1] }
    const isAuthor = who === 'the machine’s author'
    const type = keepingType(first, second, isAuthor ? 'working' : 'waiting', { data: isAuthor ? data : null })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, undefined)
    if (who === 'a command’s sender') await ada.send(id, { type: 'take', data })
    if (who === 'the code of a task') {
      await ada.send(id, { type: 'begin' })
      first.run().finish(data)
      await bench.clock.settle()
    }
    data.rows.push(2)
    second.run().finish()
    await bench.clock.settle()
    const { context, status } = await bench.row(id)
    expect({ context, status }).toEqual({ context: { data: { rows: [1] } }, status: 'done' })
  },
)

test('I48 code that changes a step’s result afterwards cannot store an unchecked value', async () => {
  const bench = new Bench()
  const given: unknown[] = []
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: 0 },
    execute: async ({ step, attempt }) => {
      const rows: unknown[] = [1]
      const recorded = step('read', () => rows)
      for (let turn = 0; turn < 20; turn++) await Promise.resolve()
      rows.push(new Map([[1, 2]]))
      const result = await recorded
      if (attempt > 1) given.push(result)
      throw new Error('again')
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  await bench.clock.advance(1_000)
  expect(given).toEqual([[1]])
})

test('I22 a step gives the same value to the attempt that runs it and to a later attempt', async () => {
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
