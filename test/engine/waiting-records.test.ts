import { defineJob, NonRetryableError, type TaskContext, task } from 'jobchart'
import { expect, test } from 'vitest'
import { assign, createMachine, setup } from 'xstate'
import { Bench, codeOf, textsOf, Work } from './bench.ts'

const records: readonly (readonly [string, (context: TaskContext) => Promise<unknown>])[] = [
  ['a step', ({ step }) => step('paid', () => 'receipt')],
  ['an item', ({ item }) => item('row 1')],
  ['an event', ({ send }) => send({ type: 'SAID' })],
]

/** Its chart counts the events that its work sends. */
function counting(work: Work) {
  const machine = setup({
    types: { context: {} as { said: number } },
    actors: { work: task({}, work.execute) },
  }).createMachine({
    context: { said: 0 },
    initial: 'working',
    states: {
      working: {
        invoke: { src: 'work', onDone: 'done' },
        on: { SAID: { actions: assign({ said: ({ context }) => context.said + 1 }) } },
      },
      done: { type: 'final' },
    },
  })
  return defineJob({ type: 'w', lifecycle: machine })
}

test.each(records)('%s waits minutes for a locked or full storage, and then the code continues', async (_, record) => {
  const bench = new Bench()
  const work = new Work()
  const type = counting(work)
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  faults.isDown = true
  let isRecorded = false
  const recording = record(work.run().context).then(() => {
    isRecorded = true
  })
  await bench.clock.advance(300_000)
  expect(isRecorded).toBe(false)
  faults.isDown = false
  await bench.clock.advance(1_000)
  await recording
  work.run().finish()
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('done')
})

test.each(records)('%s stops waiting when its task is told to stop', async (_, record) => {
  const bench = new Bench()
  const work = new Work()
  const type = counting(work)
  const { ada, faults, engine } = await bench.start({ jobs: [type] })
  await ada.submit(type, undefined)
  faults.isDown = true
  const recording = codeOf(record(work.run().context))
  await bench.clock.advance(60_000)
  const stopping = engine.stop({ timeout: '1s' })
  await bench.clock.advance(2_000)
  await stopping
  expect(['STORAGE_UNAVAILABLE', 'ENGINE_STOPPED']).toContain(await recording)
})

test('an item that waited for the storage does not replace a later item of its key', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = counting(work)
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  faults.plan('commit', 'refused', 'refused')
  const { item } = work.run().context
  const both = Promise.all([item('row', { status: 'failed' }), item('row', { status: 'completed' })])
  await bench.clock.advance(2_000)
  await both
  const statuses: string[] = []
  for await (const { status } of ada.items(id)) statuses.push(status)
  expect(statuses).toEqual(['completed'])
})

test('a later attempt waits until the storage can be read, and finds its steps', async () => {
  const bench = new Bench()
  let made = 0
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: 0 },
    execute: async ({ step, attempt }) => {
      if (attempt === 2) faults.plan('steps', 'refused', 'refused', 'unsent')
      await step('paid', () => ++made)
      if (attempt === 1) throw new Error('again')
    },
  })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.advance(10_000)
  expect([(await ada.get(id)).status, made]).toEqual(['completed', 1])
})

test('an item whose write was not answered is recorded once', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  faults.plan('commit', 'unheard')
  faults.plan('landed', 'refused')
  const recording = work.run().context.item('row')
  await bench.clock.advance(2_000)
  await recording
  const keys: string[] = []
  for await (const { key } of ada.items(id)) keys.push(key)
  expect(keys).toEqual(['row'])
})

class NotFound extends NonRetryableError {}

// As another copy of the package would make it.
const copied = Object.assign(new Error('of a copy'), { name: 'NonRetryableError' })

test.each<readonly [string, (context: TaskContext) => unknown]>([
  ['a result that is no JSON', () => new Map()],
  ['a result with NaN in it', () => ({ deep: [Number.NaN] })],
  ['a result that is a bigint', async () => 1n],
  ['a result that is too large', () => 'x'.repeat(2 ** 20 + 1)],
  ['a step whose result is no JSON', ({ step }) => step('date', () => new Date(0) as unknown)],
  ['a step whose result is too large', ({ step }) => step('large', () => 'x'.repeat(2 ** 20 + 1))],
  ['an item that is no JSON', ({ item }) => item('key', { output: 1n as unknown })],
  [
    'an error that says so',
    () => {
      throw new NonRetryableError('no such order')
    },
  ],
  ['a rejection that says so', () => Promise.reject(new NonRetryableError('no such order'))],
  ['an error of a class of one’s own', () => Promise.reject(new NotFound('no such order'))],
  ['an error of another copy of the package', () => Promise.reject(copied)],
])('%s is not tried again, whatever retry says', async (_, run) => {
  const bench = new Bench()
  let runs = 0
  const type = defineJob({
    type: 'w',
    retry: { limit: 3, backoff: 0 },
    execute: (context) => {
      runs++
      return run(context) as string
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.advance(10_000)
  expect([(await ada.get(id)).status, runs]).toEqual(['failed', 1])
})

test('a NonRetryableError keeps its name, message and cause', () => {
  const cause = new Error('404')
  const error = new NonRetryableError('no such order', { cause })
  expect(error).toMatchObject({ name: 'NonRetryableError', message: 'no such order', cause })
  expect(error).toBeInstanceOf(Error)
})

test('send of a task answers whether the chart took the event', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'one',
    invoke: { id: 'work', src: 'work' },
    states: {
      one: { on: { NEXT: 'two', NOTED: { actions: () => {} }, NEVER: { guard: () => false, target: 'two' } } },
      two: {},
    },
  })
  const type = defineJob({
    type: 'm',
    lifecycle: machine.provide({ actors: { work: task({}, work.execute) } }),
  })
  const { ada, faults } = await bench.start({ jobs: [type] })
  await ada.submit(type, undefined)
  const { send } = work.run().context
  const sent = async (event: string) => {
    const answer = send({ type: event })
    await bench.clock.settle()
    return await answer
  }
  expect([await sent('NOTED'), await sent('NEVER'), await sent('OTHER')]).toEqual([true, false, false])
  faults.plan('commit', 'conflict')
  expect([await sent('NEXT'), await sent('NEXT'), await sent('NOTED')]).toEqual([true, false, false])
})

test.each<readonly [string, () => unknown]>([
  ['undefined', () => undefined],
  ['null', () => null],
  ['a frozen object', () => Object.freeze({ code: 'E', message: 'frozen' })],
  ['a frozen error', () => Object.freeze(new Error('frozen'))],
  // biome-ignore lint/suspicious/noThenProperty: what is thrown may be anything
  ['a thenable', () => ({ then: (resolve: (value: string) => void) => resolve('not awaited') })],
  ['an object whose message throws', () => Object.defineProperty({}, 'message', { get: () => JSON.parse('{') })],
  ['a symbol', () => Symbol('s')],
  ['a function', () => () => 1],
])('code that throws %s fails like any other, and is tried again', async (_, thrown) => {
  const bench = new Bench()
  let runs = 0
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: 0 },
    execute: () => {
      runs++
      throw thrown()
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.advance(1_000)
  expect([(await ada.get(id)).status, runs]).toEqual(['failed', 2])
})

test('steps may run in parallel and inside each other; each name is used once', async () => {
  const bench = new Bench()
  const type = defineJob({
    type: 'w',
    execute: async ({ step }) => {
      const twice = await Promise.allSettled([step('one', () => 1), step('one', () => 2)])
      const inner = await step('outer', async () => (await step('inner', () => 5)) + 1)
      const names = await Promise.allSettled(
        ['', 'x'.repeat(10_000), 'x'.repeat(201)].map((name) => step(name, () => 1)),
      )
      await step('x'.repeat(200), () => 1)
      return [twice.map(({ status }) => status), inner, names.map(({ status }) => status)]
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.settle()
  const refused = 'rejected'
  expect((await ada.get(id)).output).toEqual([['fulfilled', refused], 6, [refused, refused, refused]])
})

test('progress that is reported 100,000 times is stored a few times', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  const before = faults.calls('commit')
  for (let completed = 1; completed <= 100_000; completed++) work.run().context.progress(completed)
  await bench.clock.advance(1_000)
  expect([(await ada.get(id)).progress?.completed, faults.calls('commit') - before]).toEqual([100_000, 2])
  expect(await textsOf(ada.logs(id))).toEqual([])
})
