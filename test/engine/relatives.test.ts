import { defineJob, type FollowUp, task } from 'jobchart'
import { expect, test } from 'vitest'
import { assign, createMachine, fromCallback, fromObservable, fromTransition, sendParent, sendTo, setup } from 'xstate'
import { z } from 'zod'
import { Bench, Work } from './bench.ts'
import { FaultyStorage } from './faulty-storage.ts'

// Whole machines on a whole engine. The tests of the model check what each construct does to a record.

/** A child that notifies its parent when its task is claimed, which ends the parent if it has follow-ups. */
function telling(work: Work, options: { readonly followUp?: () => readonly FollowUp[] } = {}) {
  const child = createMachine({
    invoke: { src: 'work' },
    on: { 'task.started': { actions: sendParent({ type: 'BUSY' }) } },
  }).provide({ actors: { work: task({}, work.execute) } })
  const parent = createMachine({
    initial: 'aside',
    invoke: { src: 'load' },
    states: { aside: { on: { BUSY: 'busy' } }, busy: options.followUp === undefined ? {} : { type: 'final' } },
  }).provide({ actors: { load: child } } as never)
  return { outer: defineJob({ type: 'outer', lifecycle: parent, ...options }) }
}

test('an invoked machine is a job of its own, whose end is an event for its parent', async () => {
  const bench = new Bench()
  const work = new Work()
  const child = createMachine({
    initial: 'working',
    states: {
      working: { invoke: { src: 'work', onDone: 'done', onError: 'failed' } },
      done: { type: 'final' },
      failed: { type: 'final', tags: 'failure' },
    },
    output: { rows: 3 },
  }).provide({ actors: { work: task({}, work.execute) } })
  const parent = createMachine({
    context: { rows: 0 },
    initial: 'loading',
    states: {
      loading: {
        invoke: {
          src: 'load',
          onDone: { target: 'loaded', actions: assign({ rows: ({ event }) => event.output.rows }) },
        },
      },
      loaded: { type: 'final' },
    },
    output: ({ context }) => context,
  }).provide({ actors: { load: child } })
  const type = defineJob({ type: 'parent', lifecycle: parent })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  const { items } = await engine.system.list({ type: 'parent/load' })
  expect(items).toMatchObject([{ parentId: id, createdBy: 'ada', trigger: 'parent', status: 'working' }])
  expect((await ada.list()).items.map((job) => job.id)).toEqual([id])
  work.run().finish()
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'loaded', output: { rows: 3 } })
  expect(await ada.get(items[0]?.id ?? '')).toMatchObject({ phase: 'settled', outcome: 'success' })
})

test('I29 cancelling a parent stops its child, signals the child’s code, and holds the child’s slot until that returns', async () => {
  const bench = new Bench()
  const work = new Work()
  const child = createMachine({
    initial: 'working',
    states: { working: { invoke: { src: 'work' } } },
  }).provide({ actors: { work: task({}, work.execute) } })
  const parent = createMachine({
    initial: 'loading',
    on: { cancel: '.cancelled' },
    states: { loading: { invoke: { src: 'load' } }, cancelled: { type: 'final', tags: 'cancelled' } },
  }).provide({ actors: { load: child } })
  const type = defineJob({ type: 'parent', lifecycle: parent, commands: { cancel: z.object({}) } })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined, { pipeline: 'p' })
  await ada.cancel(id)
  expect(work.run().context.signal.aborted).toBe(true)
  const [stopped] = (await engine.system.list({ type: 'parent/load' })).items
  expect(stopped).toMatchObject({ status: 'stopped', outcome: 'cancelled' })
  await expect(ada.submit(type, undefined, { pipeline: 'p' })).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
  work.run().finish()
  await bench.clock.settle()
  await ada.submit(type, undefined, { pipeline: 'p' })
})

test('a child and its parent exchange events, across a restart of the engine', async () => {
  const bench = new Bench()
  const child = createMachine({
    initial: 'waiting',
    states: {
      waiting: { on: { PING: { target: 'asked', actions: sendParent({ type: 'PONG' }) } } },
      asked: { on: { PING: 'done' } },
      done: { type: 'final' },
    },
  })
  const parent = createMachine({
    initial: 'talking',
    context: { pongs: 0 },
    states: {
      talking: {
        invoke: { id: 'friend', src: 'friend', onDone: 'over' },
        on: {
          ask: { actions: sendTo('friend', { type: 'PING' }) },
          PONG: { actions: assign({ pongs: ({ context }) => context.pongs + 1 }) },
        },
      },
      over: { type: 'final' },
    },
    output: ({ context }) => context,
  }).provide({ actors: { friend: child } })
  const type = defineJob({ type: 'talk', lifecycle: parent, commands: { ask: z.object({}) } })
  const first = await bench.start({ jobs: [type] })
  const { id } = await first.ada.submit(type, undefined)
  await first.ada.send(id, { type: 'ask' })
  await first.engine.stop()
  const second = await bench.start({ jobs: [type] })
  await second.ada.send(id, { type: 'ask' })
  expect(await second.ada.get(id)).toMatchObject({ status: 'over', output: { pongs: 1 } })
})

test('a child that ignores an event writes nothing, though its parent hears of its snapshot', async () => {
  const bench = new Bench()
  const child = createMachine({ initial: 'still', states: { still: { on: { MOVE: {} } } } })
  const parent = createMachine({
    context: { seen: 0 },
    initial: 'watching',
    states: {
      watching: {
        invoke: {
          id: 'child',
          src: 'child',
          onSnapshot: { actions: assign({ seen: ({ context }) => context.seen + 1 }) },
        },
        on: { poke: { actions: sendTo('child', { type: 'NOTHING' }) } },
      },
    },
  }).provide({ actors: { child } })
  const type = defineJob({ type: 'watch', lifecycle: parent, commands: { poke: z.object({}) } })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  const before = await bench.row(id)
  const [{ id: childId } = { id: '' }] = (await engine.system.list({ type: 'watch/child' })).items
  const childBefore = await bench.row(childId)
  await ada.send(id, { type: 'poke' })
  expect((await bench.row(id)).context).toEqual({ seen: Number((before.context as { seen: number }).seen) + 1 })
  expect(await bench.row(childId)).toEqual(childBefore)
})

test('a callback receives and sends, is started again after a crash with all its messages, and is cleaned up', async () => {
  const bench = new Bench()
  const heard: string[] = []
  const listener = fromCallback(({ receive, sendBack }) => {
    heard.push('start')
    receive((event) => {
      heard.push(event.type)
      sendBack({ type: 'HEARD' })
    })
    return () => {
      heard.push('end')
    }
  })
  const machine = setup({ actors: { listener } }).createMachine({
    initial: 'on',
    context: { heard: 0 },
    states: {
      on: {
        invoke: { id: 'ear', src: 'listener' },
        on: {
          say: { actions: sendTo('ear', { type: 'WORD' }) },
          HEARD: { actions: assign({ heard: ({ context }) => context.heard + 1 }) },
          leave: 'off',
        },
      },
      off: { type: 'final' },
    },
    output: ({ context }) => context,
  })
  const type = defineJob({ type: 'ear', lifecycle: machine, commands: { say: z.object({}), leave: z.object({}) } })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.ada.send(id, { type: 'say' })
  await bench.clock.settle()
  expect(heard).toEqual(['start', 'WORD'])
  await one.crash()
  const two = await bench.start({ jobs: [type] })
  await bench.clock.advance(2_000)
  expect(heard).toEqual(['start', 'WORD', 'start', 'WORD'])
  await two.ada.send(id, { type: 'leave' })
  await bench.clock.settle()
  expect(heard.at(-1)).toBe('end')
  expect(await two.ada.get(id)).toMatchObject({ status: 'off', output: { heard: 2 } })
})

test('an observable sends its values to a chart that asks for snapshots, and its end', async () => {
  const bench = new Bench()
  type Observer = { next?: (value: number) => void; complete?: () => void }
  let observer: Observer = {}
  const numbers = fromObservable(
    () =>
      ({
        subscribe: (given: Observer) => {
          observer = given
          return { unsubscribe: () => {} }
        },
      }) as never,
  )
  const machine = createMachine({
    initial: 'counting',
    context: { last: 0 },
    states: {
      counting: {
        invoke: {
          src: 'numbers',
          onSnapshot: { actions: assign({ last: ({ event }) => event.snapshot.context ?? 0 }) },
          onDone: 'done',
        },
      },
      done: { type: 'final' },
    },
    output: ({ context }) => context,
  }).provide({ actors: { numbers } })
  const type = defineJob({ type: 'count', lifecycle: machine })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  for (const value of [1, 2, 3]) observer.next?.(value)
  observer.complete?.()
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'done', output: { last: 3 } })
})

test('transition logic keeps its state in the job, over a restart', async () => {
  const bench = new Bench()
  const counter = fromTransition((count: number, event) => (event.type === 'ADD' ? count + 1 : count), 0)
  const machine = createMachine({
    initial: 'counting',
    context: { seen: -1 },
    states: {
      counting: {
        invoke: {
          id: 'counter',
          src: 'counter',
          onSnapshot: { actions: assign({ seen: ({ event }) => event.snapshot.context }) },
        },
        on: { add: { actions: sendTo('counter', { type: 'ADD' }) }, stop: 'done' },
      },
      done: { type: 'final' },
    },
    output: ({ context }) => context,
  }).provide({ actors: { counter } })
  const type = defineJob({ type: 'count', lifecycle: machine, commands: { add: z.object({}), stop: z.object({}) } })
  const one = await bench.start({ jobs: [type] })
  const { id } = await one.ada.submit(type, undefined)
  await one.ada.send(id, { type: 'add' })
  await one.engine.stop()
  const { ada } = await bench.start({ jobs: [type] })
  await ada.send(id, { type: 'add' })
  await ada.send(id, { type: 'stop' })
  expect(await ada.get(id)).toMatchObject({ output: { seen: 2 } })
})

test('a task sends the events that it declares to its chart, and receives messages', async () => {
  const bench = new Bench()
  const talker = task({ events: ['HALF'] }, async ({ send, inbox }) => {
    await send({ type: 'HALF' })
    const refusal = await send({ type: 'OTHER' }).catch((error: unknown) => (error as { code: string }).code)
    for await (const message of inbox) return { refusal, message: message.type }
    return null
  })
  const machine = createMachine({
    initial: 'working',
    states: {
      working: {
        invoke: { id: 'talker', src: 'talker', onDone: { target: 'done' } },
        on: { HALF: { actions: sendTo('talker', { type: 'GO_ON' }) } },
      },
      done: { type: 'final', output: ({ event }) => ('output' in event ? event.output : null) },
    },
    output: ({ event }) => event.output,
  }).provide({ actors: { talker } })
  const type = defineJob({ type: 'talk', lifecycle: machine })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ output: { refusal: 'INVALID_INPUT', message: 'GO_ON' } })
})

test('a claim of a child’s task notifies the parent in the same commit', async () => {
  const bench = new Bench()
  const work = new Work()
  const { outer } = telling(work)
  const { ada, faults } = await bench.start({ jobs: [outer] })
  const { id } = await ada.submit(outer, undefined)
  expect(faults.calls('commit')).toBe(1)
  await bench.clock.settle()
  expect([faults.calls('commit'), work.runs.length]).toEqual([1, 1])
  expect(await ada.get(id)).toMatchObject({ status: 'busy' })
})

test('I36 a claim that ends a job with follow-ups and fails is retried, and delays other claims by a sweep at most', async () => {
  const bench = new Bench()
  const work = new Work()
  const { outer } = telling(work, { followUp: () => [] })
  const plain = defineJob({ type: 'plain', execute: work.execute })
  const front = await bench.start({ jobs: [outer, plain], work: false })
  const { id } = await front.ada.submit(outer, undefined)
  const behind = await front.ada.submit(plain, undefined)
  const faults = new FaultyStorage(bench.disk)
  faults.plan('load', ...new Array<'refused'>(20).fill('refused'))
  const worker = await bench.start({ jobs: [outer, plain] }, faults)
  await bench.clock.advance(2_000)
  expect(worker.engine.running()).toEqual([behind.id])
  expect(await front.ada.get(id)).toMatchObject({ status: 'aside' })
  faults.heal()
  await bench.clock.advance(2_000)
  expect(await front.ada.get(id)).toMatchObject({ status: 'busy' })
})

test('a chart that invokes a machine when its task starts is claimed together with the new child', async () => {
  const bench = new Bench()
  const work = new Work()
  const child = createMachine({ initial: 'ready', states: { ready: {} } })
  const parent = createMachine({
    initial: 'queued',
    invoke: { src: 'work', onDone: '.done' },
    states: {
      queued: { on: { 'task.started': 'watched' } },
      watched: { invoke: { src: 'child' } },
      done: { type: 'final' },
    },
  }).provide({ actors: { work: task({}, work.execute), child } } as never)
  const type = defineJob({ type: 'watched', lifecycle: parent })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'watched' })
  expect((await engine.system.list({ type: 'watched/child' })).items).toMatchObject([{ parentId: id, phase: 'active' }])
  work.run().finish()
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'done' })
})

test.each(['load', 'commit'] as const)(
  'what a callback says is told again if %s is refused for a while, in its order, and fails nothing',
  async (method) => {
    const bench = new Bench()
    const child = createMachine({})
    const listener = fromCallback(({ receive, sendBack }) =>
      receive(() => {
        sendBack({ type: 'FIRST' })
        sendBack({ type: 'SECOND' })
      }),
    )
    const machine = setup({ actors: { listener, child } }).createMachine({
      initial: 'on',
      // A job with a child is read together with it at each transition.
      invoke: [
        { id: 'ear', src: 'listener' },
        { id: 'child', src: 'child' },
      ],
      states: {
        on: { on: { say: { actions: sendTo('ear', { type: 'WORD' }) }, FIRST: 'first' } },
        first: { on: { SECOND: 'second' } },
        second: {},
      },
    })
    const type = defineJob({ type: 'ear', lifecycle: machine, commands: { say: z.object({}) } })
    const { ada, faults } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, undefined)
    await ada.send(id, { type: 'say' })
    faults.plan(method, 'refused', 'refused')
    const calls = faults.calls(method)
    await bench.clock.advance(2_000)
    expect(faults.calls(method)).toBeGreaterThan(calls + 2)
    expect(await ada.get(id)).toMatchObject({ status: 'second', phase: 'active' })
  },
)

// Each end of a child's work is a change of its own, and the cancel touches both: together they are one changeset.
test('a cancel of a parent and the ends of its children’s work are all obeyed, at whatever distance they come', async () => {
  for (let distance = 0; distance < 25; distance++) {
    const bench = new Bench()
    const works = [new Work(), new Work()] as const
    const child = (work: Work) =>
      setup({ actors: { work: task({}, work.obedient) } }).createMachine({
        initial: 'working',
        states: { working: { invoke: { src: 'work', onDone: 'resting' } }, resting: {} },
      })
    const lifecycle = setup({ actors: { one: child(works[0]), two: child(works[1]) } }).createMachine({
      initial: 'on',
      invoke: [{ src: 'one' }, { src: 'two' }],
      states: { on: { on: { cancel: 'off' } }, off: { type: 'final', tags: 'cancelled' } },
    })
    const type = defineJob({ type: 'parent', lifecycle, commands: { cancel: z.object({}) } })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type)
    await bench.clock.settle()
    const cancelled = ada.cancel(id)
    for (let step = 0; step < distance; step++) await null
    for (const work of works) work.run().finish()
    expect((await cancelled).status).toBe('off')
    await bench.clock.settle()
    const { items } = await ada.list({ parentId: id })
    expect(items.map(({ phase }) => phase)).toEqual(['settled', 'settled'])
    await bench.end()
  }
})
