import { expect, test } from 'vitest'
import {
  type AnyActorRef,
  type AnyStateMachine,
  assign,
  cancel,
  createActor,
  createMachine,
  emit,
  enqueueActions,
  fromCallback,
  fromPromise,
  fromTransition,
  log,
  raise,
  sendParent,
  sendTo,
  setup,
  spawnChild,
  stopChild,
} from 'xstate'
import type { Chart, ChartEvent, TransitionResult } from '../../src/model/chart.ts'
import { createChart } from '../../src/model/transition.ts'
import { InertMachine, listed } from '../../src/model/xstate-internals.ts'

const never = fromPromise(async () => {
  await new Promise(() => {})
})

test('an invoke gives a start with its id, its logic’s name and its input', () => {
  const machine = machineOf({
    id: 'm',
    initial: 'a',
    context: { path: 'a.zip' },
    states: {
      a: { on: { GO: 'b' } },
      b: {
        invoke: [
          { id: 'w', src: 'work', input: ({ context, event }: Scope) => ({ ...context, by: event.type }) },
          { src: 'work' },
        ],
      },
    },
  })
  expect(resultOf(createChart(machine), 'GO').actions).toEqual([
    { kind: 'start', invocation: 1, id: 'w', src: 'work', sync: false, input: { path: 'a.zip', by: 'GO' } },
    { kind: 'start', invocation: 2, id: '1.m.b', src: 'work', sync: false },
  ])
})

test('leaving an invoke gives a stop while its task exists, before the actions of the next state', () => {
  const machine = setup({ actors: { work: never } }).createMachine({
    initial: 'a',
    states: { a: { invoke: { id: 'one', src: 'work' }, on: { GO: 'b' } }, b: { invoke: { id: 'two', src: 'work' } } },
  })
  const chart = createChart(machine)
  const { snapshot } = chart.start(undefined)
  const scope = { children: listed([{ id: 'one', src: 'work', invocation: 1 }]), nextInvocation: 2 }
  expect(chart.transition(snapshot, { type: 'GO' }, scope).actions).toEqual([
    { kind: 'leave', invocation: 1 },
    { kind: 'start', invocation: 2, id: 'two', src: 'work', sync: false },
  ])
  expect(chart.transition(snapshot, { type: 'GO' }).actions).toMatchObject([{ kind: 'start', id: 'two' }])
})

test('an invoke that is left and entered again gives both', () => {
  const machine = setup({ actors: { work: never } }).createMachine({
    initial: 'a',
    states: { a: { invoke: { id: 'one', src: 'work' }, on: { AGAIN: { target: 'a', reenter: true } } } },
  })
  const chart = createChart(machine)
  const { snapshot } = chart.start(undefined)
  const scope = { children: listed([{ id: 'one', src: 'work', invocation: 3 }]), nextInvocation: 7 }
  const result = chart.transition(snapshot, { type: 'AGAIN' }, scope)
  expect(result.created).toBe(1)
  expect(result.actions).toEqual([
    { kind: 'leave', invocation: 3 },
    { kind: 'start', invocation: 7, id: 'one', src: 'work', sync: false },
  ])
})

test('logic spawned and stopped by name is started and stopped', () => {
  const chart = createChart(
    machineOf({
      on: { GO: { actions: spawnChild('work', { id: 's', input: 5 }) }, END: { actions: stopChild('s') } },
    }),
  )
  const { snapshot, actions } = resultOf(chart, 'GO')
  expect(actions).toEqual([{ kind: 'start', invocation: 1, id: 's', src: 'work', sync: false, input: 5 }])
  const scope = { children: listed([{ id: 's', src: 'work', invocation: 1 }]), nextInvocation: 2 }
  expect(chart.transition(snapshot, { type: 'END' }, scope).actions).toEqual([{ kind: 'leave', invocation: 1 }])
})

test('a child that starts and is left in one transition never starts', () => {
  const chart = createChart(
    machineOf({ initial: 'a', states: { a: { invoke: { id: 'w', src: 'work' }, always: 'b' }, b: {} } }),
  )
  expect(chart.start(undefined)).toMatchObject({ snapshot: { state: 'b' }, actions: [], created: 1 })
})

test('a child without an id gets one, and a replay gives the same', () => {
  const chart = createChart(machineOf({ on: { GO: { actions: spawnChild('work') } } }))
  const { snapshot } = chart.start(undefined)
  const ids = [4, 4, 9].map((nextInvocation) => {
    const [action] = chart.transition(
      snapshot,
      { type: 'GO' },
      { children: listed([]), nextInvocation: nextInvocation },
    ).actions
    return action?.kind === 'start' ? action.id : undefined
  })
  expect(ids).toEqual(['work:4', 'work:4', 'work:9'])
})

test('a reference in a context is stored as XState persists it, and alive in the next transition', () => {
  const machine = machineOf({
    context: { ref: null, deep: { list: [1] } },
    on: {
      GO: { actions: assign(({ spawn }) => ({ ref: (spawn as Spawn)('work', { id: 's' }) })) },
      TELL: { actions: sendTo(({ context }: Scope) => context.ref as AnyActorRef, { type: 'HELLO' }) },
    },
  })
  const { snapshot, actions } = resultOf(createChart(machine), 'GO')
  expect(actions).toMatchObject([{ kind: 'start', invocation: 1, id: 's' }])
  expect(snapshot).toMatchObject({ hasRefs: true, context: { ref: { xstate$$type: 1, id: 's' }, deep: { list: [1] } } })
  const scope = { children: listed([{ id: 's', src: 'work', invocation: 1 }]), nextInvocation: 2 }
  const told = createChart(machine).transition(JSON.parse(JSON.stringify(snapshot)), { type: 'TELL' }, scope)
  expect(told.actions).toEqual([{ kind: 'send', to: 1, event: { type: 'HELLO' } }])
  expect(told.snapshot).toEqual(snapshot)
})

test('an event for a child, the parent or itself is data, with its delay and name if it has them', () => {
  const chart = createChart(
    machineOf({
      on: {
        CHILD: { actions: sendTo('w', { type: 'X' }) },
        LATER: { actions: sendTo('w', { type: 'X' }, { delay: 30, id: 't' }) },
        PARENT: { actions: sendParent({ type: 'X', n: 1 } as { type: string }) },
        SELF: { actions: sendTo(({ self }: { self: AnyActorRef }) => self, { type: 'X' }) },
      },
    }),
  )
  const { snapshot } = chart.start(undefined)
  const scope = { children: listed([{ id: 'w', src: 'work', invocation: 6 }]), nextInvocation: 7, parentInvoke: 'me' }
  const sent = (type: string) => chart.transition(snapshot, { type }, scope).actions
  expect(sent('CHILD')).toEqual([{ kind: 'send', to: 6, event: { type: 'X' } }])
  expect(sent('LATER')).toEqual([{ kind: 'send', to: 6, event: { type: 'X' }, delayMs: 30, id: 't' }])
  expect(sent('PARENT')).toEqual([{ kind: 'send', to: 'parent', event: { type: 'X', n: 1 } }])
  expect(sent('SELF')).toEqual([{ kind: 'send', to: 'self', event: { type: 'X' } }])
})

test('an entry action may send to the child that its own state is about to invoke', () => {
  const chart = createChart(machineOf({ entry: sendTo('w', { type: 'X' }), invoke: { id: 'w', src: 'work' } }))
  const { actions, end } = chart.start(undefined)
  expect(end).toBeUndefined()
  expect(actions).toContainEqual({ kind: 'send', to: 1, event: { type: 'X' } })
})

test('a system id is stored, and found by a later transition of the same job, not of another', () => {
  const machine = machineOf({
    initial: 'a',
    states: {
      a: { invoke: { id: 'w', src: 'work', systemId: 'printer' }, on: { AGAIN: { target: 'a', reenter: true } } },
    },
    on: { TELL: { actions: sendTo(({ system }: { system: System }) => system.get('printer'), { type: 'X' }) } },
  })
  const chart = createChart(machine)
  const { snapshot, actions } = chart.start(undefined)
  expect(actions).toMatchObject([{ kind: 'start', systemId: 'printer' }])
  const scope = { children: listed([{ id: 'w', src: 'work', invocation: 1, systemId: 'printer' }]), nextInvocation: 2 }
  for (const _ of [1, 2]) {
    expect(chart.transition(snapshot, { type: 'TELL' }, scope).actions).toMatchObject([{ kind: 'send', to: 1 }])
    expect(chart.transition(snapshot, { type: 'AGAIN' }, scope).actions).toMatchObject([
      { kind: 'leave' },
      { kind: 'start' },
    ])
  }
  // XState sends to the machine itself if the target is unknown. A line of the log says so.
  expect(chart.transition(snapshot, { type: 'TELL' }).actions).toMatchObject([
    { kind: 'log', text: expect.stringMatching('warning: sendTo found no actor for "X"'), isWarning: true },
    { kind: 'send', to: 'self' },
  ])
  expect(chart.start(undefined).actions).toMatchObject([{ kind: 'start', systemId: 'printer' }])
})

test.each([
  ['spawn of inline logic inside an assign', { actions: assign(({ spawn }) => ({ ref: (spawn as Spawn)(never) })) }],
  ['spawnChild of inline logic', { actions: spawnChild(never) }],
  ['sendTo an actor from elsewhere', { actions: sendTo(createActor(never), { type: 'X' }) }],
])('%s cannot run durably: it ends the job, and the message says what to do', (_, transition) => {
  const chart = createChart(machineOf({ on: { GO: transition } }))
  expect(resultOf(chart, 'GO').end).toMatchObject({
    kind: 'error',
    error: { code: 'INVALID_DEFINITION', message: expect.stringContaining('invoke or spawn logic by its name') },
  })
})

test('sendParent ends a job that has no parent', () => {
  const chart = createChart(machineOf({ on: { GO: { actions: sendParent({ type: 'X' }) } } }))
  expect(resultOf(chart, 'GO').end?.kind).toBe('error')
})

test('a transition does not run the logic of an invoke: no creator, no reducer, no child machine', () => {
  const initial = () => {
    throw new Error('was run')
  }
  const child = createMachine({ context: initial as never })
  for (const src of [
    fromPromise(initial),
    fromTransition((state) => state, initial as never),
    child,
    fromCallback(initial),
  ]) {
    const inline = createChart(machineOf({ invoke: { id: 'w', src } }))
    const named = createChart(machineOf({ invoke: { id: 'w', src: 'work' } }).provide({ actors: { work: src } }))
    for (const chart of [inline, named]) {
      expect(chart.start(undefined)).toMatchObject({ actions: [{ kind: 'start', id: 'w' }] })
    }
  }
})

test('an after is a timer while its state lasts, and is cancelled when the state is left', () => {
  const chart = createChart(
    createMachine({ id: 'm', initial: 'a', states: { a: { after: { 1000: 'b' }, on: { GO: 'b' } }, b: {} } }),
  )
  const start = chart.start(undefined)
  const event = { type: 'xstate.after.1000.m.a' }
  expect(start.actions).toEqual([{ kind: 'send', to: 'self', id: 'xstate.after.1000.m.a', event, delayMs: 1_000 }])
  expect(chart.transition(start.snapshot, event)).toMatchObject({
    snapshot: { state: 'b' },
    actions: [{ kind: 'cancelTimer', id: 'xstate.after.1000.m.a' }],
  })
  expect(chart.transition(start.snapshot, { type: 'GO' }).actions).toMatchObject([{ kind: 'cancelTimer' }])
})

test('a named delay is computed when its state is entered', () => {
  const machine = machineOf({ context: { ms: 30 }, initial: 'a', states: { a: { after: { soon: 'b' } }, b: {} } })
  const delays = { soon: ({ context }: Scope) => Number(context.ms) }
  expect(createChart(machine.provide({ delays })).start(undefined).actions).toMatchObject([
    { kind: 'send', delayMs: 30 },
  ])
})

test('a delayed raise and a delayed sendTo to itself are timers, and cancel removes them', () => {
  const later = { type: 'LATER', n: 1 }
  const machine = machineOf({
    on: {
      NAMED: { actions: raise(later, { id: 'r', delay: ({ event }: Scope) => Number(event.ms) }) },
      UNNAMED: { actions: raise({ type: 'LATER' }, { delay: 5 }) },
      SELF: { actions: sendTo(({ self }: { self: AnyActorRef }) => self, { type: 'LATER' }, { id: 's', delay: 7 }) },
      CANCEL: { actions: cancel('r') },
    },
  })
  const chart = createChart(machine)
  const { snapshot } = chart.start(undefined)
  const actionsOf = (event: ChartEvent) => chart.transition(snapshot, event).actions
  expect(actionsOf({ type: 'NAMED', ms: 30 })).toEqual([
    { kind: 'send', to: 'self', id: 'r', event: later, delayMs: 30 },
  ])
  expect(actionsOf({ type: 'UNNAMED' })).toEqual([{ kind: 'send', to: 'self', event: { type: 'LATER' }, delayMs: 5 }])
  expect(actionsOf({ type: 'SELF' })).toEqual([
    { kind: 'send', to: 'self', id: 's', event: { type: 'LATER' }, delayMs: 7 },
  ])
  expect(actionsOf({ type: 'CANCEL' })).toEqual([{ kind: 'cancelTimer', id: 'r' }])
})

test('a delay is a whole number of milliseconds from 0, rounded up; NaN counts as 0', () => {
  const delayOf = (ms: number) => {
    const machine = createMachine({ entry: raise({ type: 'LATER' }, { delay: () => ms }) })
    const [action] = createChart(machine).start(undefined).actions
    return action?.kind === 'send' ? action.delayMs : undefined
  }
  expect([Number.NaN, -5, 0, 33.2, 1_000].map(delayOf)).toEqual([0, 0, 0, 34, 1_000])
})

test('emit and log are data, in the order of the actions', () => {
  const machine = createMachine({
    context: { n: 3 },
    on: {
      GO: {
        actions: [
          emit(({ context }) => ({ type: 'HEARD', n: context.n })),
          log('plain'),
          log(({ context }) => context, 'labelled'),
          log(() => undefined),
        ],
      },
    },
  })
  expect(resultOf(createChart(machine), 'GO').actions).toEqual([
    { kind: 'emit', event: { type: 'HEARD', n: 3 } },
    { kind: 'log', text: 'plain' },
    { kind: 'log', text: 'labelled {"n":3}' },
    { kind: 'log', text: 'undefined' },
  ])
})

test('a log line of a value that JSON cannot show does not end the job', () => {
  const cyclic: { self?: unknown } = {}
  cyclic.self = cyclic
  for (const value of [5n, cyclic]) {
    const chart = createChart(createMachine({ on: { GO: { actions: log(() => value) } } }))
    expect(resultOf(chart, 'GO')).toMatchObject({ actions: [{ kind: 'log' }] })
    expect(resultOf(chart, 'GO').end).toBeUndefined()
  }
})

test('any other action is an effect with its parameters, run after the commit', () => {
  const ran: unknown[] = []
  const machine = setup({
    actions: { note: ({ event }, params: { word: string }) => void ran.push(event.type, params.word) },
  }).createMachine({ on: { GO: { actions: [{ type: 'note', params: { word: 'hello' } }] } } })
  const { actions } = resultOf(createChart(machine), 'GO')
  expect(ran).toEqual([])
  for (const action of actions) if (action.kind === 'effect') action.run(() => {})
  expect(ran).toEqual(['GO', 'hello'])
})

test('a named action that is not provided does nothing', () => {
  expect(resultOf(createChart(createMachine({ on: { GO: { actions: 'nowhere' } } })), 'GO').actions).toEqual([])
})

test('enqueued actions are read as if they stood in the list themselves', () => {
  const chart = createChart(
    createMachine({
      context: { n: 0 },
      on: {
        GO: {
          actions: enqueueActions(({ enqueue, check }) => {
            enqueue.assign({ n: 1 })
            if (check(({ context }) => context.n === 0)) enqueue.emit({ type: 'ONE' })
          }),
        },
      },
    }),
  )
  expect(resultOf(chart, 'GO')).toMatchObject({
    snapshot: { context: { n: 1 } },
    actions: [{ kind: 'emit', event: { type: 'ONE' } }],
  })
})

test('an error is logged by its name and message', () => {
  const chart = createChart(machineOf({ on: { GO: { actions: log(() => new TypeError('boom'), 'it failed:') } } }))
  expect(resultOf(chart, 'GO').actions).toEqual([{ kind: 'log', text: 'it failed: TypeError: boom' }])
})

test('an action gets its own actor’s id, whichever actor was moved before', () => {
  const ids: string[] = []
  const entry = ({ self }: { readonly self: AnyActorRef }) => ids.push(self.id)
  const chart = createChart(machineOf({ id: 'm', entry }))
  const starts = ['a', 'b'].map((parentInvoke) =>
    chart.start(undefined, { children: listed([]), nextInvocation: 1, parentInvoke }),
  )
  for (const action of starts.flatMap(({ actions }) => actions)) if (action.kind === 'effect') action.run(() => {})
  expect(ids).toEqual(['a', 'b'])
})

test('no list of invokes has an iterator of its own, which would slow down V8 for every array of the process', () => {
  const { nodes } = new InertMachine(machineOf({ initial: 'a', states: { a: { invoke: [{ src: 'work' }] } } }))
  expect(nodes.map(({ invoke }) => Object.getOwnPropertySymbols(invoke))).toEqual([[], []])
})

// Machines that are made from tables of parts, or that break rules of the types.
function machineOf(config: object): AnyStateMachine {
  return createMachine(config as never).provide({ actors: { work: never } })
}

type Spawn = (src: unknown, options?: object) => unknown

interface System {
  readonly get: (id: string) => AnyActorRef
}

interface Scope {
  readonly context: { readonly [key: string]: unknown }
  readonly event: ChartEvent
}

function resultOf(chart: Chart, ...types: readonly string[]): TransitionResult {
  return types.reduce((result, type) => chart.transition(result.snapshot, { type }), chart.start(undefined))
}
