import { expect, test } from 'vitest'
import { type AnyStateMachine, assign, createMachine, emit, enqueueActions, fromPromise, raise } from 'xstate'
import type { Chart, ChartSnapshot, TransitionResult } from '../../src/model/chart.ts'
import type { Json } from '../../src/model/storable.ts'
import { createChart } from '../../src/model/transition.ts'

const never = fromPromise(async () => {
  await new Promise(() => {})
})

test('a flat chart starts in its initial state and moves by an event', () => {
  const chart = createChart(createMachine({ initial: 'off', states: { off: { on: { TOGGLE: 'on' } }, on: {} } }))
  const start = chart.start(undefined)
  expect(start).toMatchObject({ handled: true, moved: true, snapshot: { state: 'off', context: {} }, actions: [] })
  const next = chart.transition(start.snapshot, { type: 'TOGGLE' })
  expect(next).toMatchObject({ handled: true, moved: true, snapshot: { state: 'on' }, info: { label: 'on' } })
  expect(next.end).toBeUndefined()
})

test('an event that no state takes changes nothing, and is reported as not taken', () => {
  const chart = createChart(createMachine({ initial: 'off', states: { off: { on: { TOGGLE: 'on' } }, on: {} } }))
  const { snapshot } = chart.start(undefined)
  expect(chart.transition(snapshot, { type: 'OTHER' })).toMatchObject({
    handled: false,
    moved: false,
    snapshot,
    actions: [],
  })
})

test('a guard that returns false leaves the event unhandled', () => {
  const chart = createChart(
    createMachine({
      context: { n: 0 },
      on: { GO: { guard: ({ event }) => event.ok === true, target: '.b' } },
      initial: 'a',
      states: { a: {}, b: {} },
    }),
  )
  const { snapshot } = chart.start(undefined)
  expect(chart.transition(snapshot, { type: 'GO', ok: false }).handled).toBe(false)
  expect(chart.transition(snapshot, { type: 'GO', ok: true }).snapshot.state).toBe('b')
})

// Like XState's own `snapshot.can`: a person may pause a job that is paused.
test('an event that leads to the current state is handled, and moves nothing', () => {
  const chart = createChart(createMachine({ initial: 'paused', states: { paused: { on: { PAUSE: 'paused' } } } }))
  const { snapshot } = chart.start(undefined)
  expect(chart.transition(snapshot, { type: 'PAUSE' })).toMatchObject({
    handled: true,
    moved: false,
    snapshot,
    actions: [],
  })
})

test('an event that a state forbids is not handled', () => {
  const chart = createChart(createMachine({ initial: 'a', on: { GO: '.b' }, states: { a: { on: { GO: {} } }, b: {} } }))
  expect(resultOf(chart, 'GO')).toMatchObject({ handled: false, snapshot: { state: 'a' } })
})

test('I12 a state that the machine does not know ends the job there', () => {
  const chart = createChart(createMachine({ initial: 'a', states: { a: {} } }))
  const snapshot = { state: 'renamed', context: { n: 1 } }
  expect(chart.transition(snapshot, { type: 'GO' })).toMatchObject({
    handled: true,
    moved: true,
    snapshot,
    end: { kind: 'error' },
  })
  expect(chart.transitionIfNamed(snapshot, { type: 'GO' })).toMatchObject({ handled: true, end: { kind: 'error' } })
})

test('an action without effect on the chart is handled, and moves nothing', () => {
  const chart = createChart(createMachine({ on: { PING: { actions: () => {} } } }))
  const { snapshot } = chart.start(undefined)
  const result = chart.transition(snapshot, { type: 'PING' })
  expect(result).toMatchObject({ handled: true, moved: false, snapshot, actions: [{ kind: 'effect' }] })
})

test('the input reaches the context, and a throw of the context’s own function ends the job at its start', () => {
  const machine = machineOf({ context: ({ input: { n } }: { input: { n: number } }) => ({ n }) })
  expect(createChart(machine).start({ n: 3 }).snapshot.context).toEqual({ n: 3 })
  expect(createChart(machine).start(undefined)).toMatchObject({
    handled: true,
    moved: true,
    end: { kind: 'error', error: expect.any(TypeError) },
    snapshot: { state: {}, context: {} },
    actions: [],
  })
})

test('assign computes the next context, and leaves the stored one unchanged', () => {
  const chart = createChart(
    createMachine({
      context: { n: 1, list: [1] },
      on: { ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
    }),
  )
  const snapshot: ChartSnapshot = frozen({ state: {}, context: { n: 1, list: [1] } })
  const next = chart.transition(snapshot, { type: 'ADD' })
  expect(next).toMatchObject({ moved: true, snapshot: { context: { n: 2, list: [1] } } })
  expect(snapshot.context).toEqual({ n: 1, list: [1] })
})

test('a nested chart keeps its whole path, and an outer transition is taken if no inner one is', () => {
  const chart = createChart(
    createMachine({
      initial: 'work',
      states: {
        work: {
          initial: 'load',
          on: { STOP: 'end' },
          states: { load: { on: { NEXT: 'save' } }, save: { initial: 'one', states: { one: {} } } },
        },
        end: {},
      },
    }),
  )
  const saved = resultOf(chart, 'NEXT')
  expect(saved.snapshot.state).toEqual({ work: { save: 'one' } })
  expect(chart.transition(saved.snapshot, { type: 'STOP' }).snapshot.state).toBe('end')
})

test('parallel regions move by themselves, and together by one event', () => {
  const region = { initial: 'off', states: { off: { on: { BOTH: 'on' } }, on: {} } }
  const chart = createChart(
    createMachine({
      type: 'parallel',
      states: { a: region, b: { ...region, states: { off: { on: { BOTH: 'on', ONE: 'on' } }, on: {} } } },
    }),
  )
  const one = resultOf(chart, 'ONE')
  expect(one.snapshot.state).toEqual({ a: 'off', b: 'on' })
  expect(chart.transition(one.snapshot, { type: 'BOTH' }).snapshot.state).toEqual({ a: 'on', b: 'on' })
})

test('always is taken in the same transition, with the context that the event made', () => {
  const chart = createChart(
    createMachine({
      context: { n: 0 },
      initial: 'counting',
      states: {
        counting: {
          always: { guard: ({ context }) => context.n >= 2, target: 'full' },
          on: { ADD: { actions: assign({ n: ({ context }) => context.n + 1 }) } },
        },
        full: {},
      },
    }),
  )
  const one = resultOf(chart, 'ADD')
  expect(one.snapshot.state).toBe('counting')
  expect(chart.transition(one.snapshot, { type: 'ADD' }).snapshot.state).toBe('full')
})

test('a raised event is taken in the same transition', () => {
  const chart = createChart(
    createMachine({
      initial: 'a',
      states: { a: { on: { GO: { target: 'b', actions: raise({ type: 'ON' }) } } }, b: { on: { ON: 'c' } }, c: {} },
    }),
  )
  const result = resultOf(chart, 'GO')
  expect(result).toMatchObject({ snapshot: { state: 'c' }, actions: [] })
})

const player = (history: 'shallow' | 'deep'): AnyStateMachine =>
  createMachine({
    id: 'player',
    initial: 'on',
    states: {
      on: {
        initial: 'first',
        on: { POWER: 'off' },
        states: {
          first: { on: { NEXT: 'second' } },
          second: { initial: 'slow', states: { slow: { on: { FAST: 'fast' } }, fast: {} } },
          back: { type: 'history', history },
        },
      },
      off: { on: { POWER: 'on.back' } },
    },
  })

test.each([
  ['shallow', { on: { second: 'slow' } }],
  ['deep', { on: { second: 'fast' } }],
] as const)('I13 a %s history is stored as ids, and is where the chart comes back to', (kind, expected) => {
  const chart = createChart(player(kind))
  const off = resultOf(chart, 'NEXT', 'FAST', 'POWER')
  expect(off.snapshot.state).toBe('off')
  const stored: ChartSnapshot = JSON.parse(JSON.stringify(off.snapshot))
  expect(Object.keys(stored.historyValue ?? {})).toEqual(['player.on.back'])
  expect(createChart(player(kind)).transition(stored, { type: 'POWER' }).snapshot.state).toEqual(expected)
})

test('a history that remembers only removed states leads to its default target', () => {
  const chart = createChart(player('shallow'))
  const snapshot = { state: 'off', context: {}, historyValue: { 'player.on.back': ['player.on.gone'] } }
  expect(chart.transition(snapshot, { type: 'POWER' })).toMatchObject({
    moved: true,
    snapshot: { state: { on: 'first' } },
  })
})

test('a final state ends with the machine’s output', () => {
  const chart = createChart(
    createMachine({
      context: { n: 5 },
      initial: 'a',
      states: { a: { on: { END: 'z' } }, z: { type: 'final' } },
      output: ({ context }) => ({ n: context.n }),
    }),
  )
  expect(resultOf(chart, 'END')).toMatchObject({ snapshot: { state: 'z' }, end: { kind: 'done', output: { n: 5 } } })
})

test('a final state without an output ends with none', () => {
  const chart = createChart(createMachine({ initial: 'a', states: { a: { on: { END: 'z' } }, z: { type: 'final' } } }))
  expect(resultOf(chart, 'END').end).toEqual({ kind: 'done', output: undefined })
})

const thrower = (): never => {
  throw new RangeError('mine')
}

test.each([
  ['a guard', { on: { GO: { guard: thrower, target: '.b' } } }],
  ['an assign', { on: { GO: { target: '.b', actions: assign(thrower) } } }],
  ['an assign of one field', { on: { GO: { target: '.b', actions: assign({ n: thrower }) } } }],
  ['the input of an invoke', { on: { GO: '.c' } }],
  ['the guard of an always', { on: { GO: '.d' } }],
  ['the output', { on: { GO: '.z' }, output: thrower }],
  ['an emitted event', { on: { GO: { actions: emit(thrower) } } }],
  ['a delay', { on: { GO: { actions: raise({ type: 'X' }, { delay: thrower }) } } }],
  ['actions that are enqueued', { on: { GO: { actions: enqueueActions(thrower) } } }],
])('a throw in %s ends the job where it stands; it does not escape', (_, config) => {
  const machine = machineOf({
    initial: 'a',
    context: { n: 1 },
    states: {
      a: {},
      b: {},
      c: { invoke: { src: 'work', input: thrower } },
      d: { always: { guard: thrower, target: 'a' } },
      z: { type: 'final' },
    },
    ...config,
  })
  const chart = createChart(machine)
  const { snapshot } = chart.start(undefined)
  const result = chart.transition(snapshot, { type: 'GO' })
  expect(result).toMatchObject({ handled: true, moved: true, snapshot, actions: [], end: { kind: 'error' } })
  expect(String((result.end as { readonly error: unknown }).error)).toContain('mine')
})

test('a throw in an entry action’s assign ends the job at its start', () => {
  expect(createChart(createMachine({ entry: assign(thrower) })).start(undefined)).toMatchObject({
    end: { kind: 'error', error: expect.any(RangeError) },
    snapshot: { state: {}, context: {} },
  })
})

test('actions before a throw are not carried out', () => {
  const chart = createChart(createMachine({ on: { GO: { actions: [emit({ type: 'HEARD' }), assign(thrower)] } } }))
  expect(resultOf(chart, 'GO').actions).toEqual([])
  // It leaves nothing behind for the next job of the machine.
  expect(chart.start(undefined).actions).toEqual([])
})

test('an error event that no state takes ends the job with that error', () => {
  const chart = createChart(createMachine({ initial: 'a', states: { a: {} } }))
  const { snapshot } = chart.start(undefined)
  const error = { name: 'Error', message: 'broken' }
  const result = chart.transition(snapshot, { type: 'xstate.error.actor.work', error, actorId: 'work' })
  expect(result).toMatchObject({ handled: true, moved: true, end: { kind: 'error', error } })
})

test('I48 a context that JSON would not give back ends the job, and the path says why', () => {
  const machine = createMachine({
    context: { deep: { when: 0 as unknown } },
    on: { GO: { actions: assign({ deep: () => ({ when: new Date(0) }) }) } },
  })
  expect(resultOf(createChart(machine), 'GO')).toMatchObject({
    snapshot: { context: { deep: { when: 0 } } },
    end: { kind: 'error', error: { code: 'NOT_STORABLE', path: 'context.deep.when' } },
  })
})

test.each([
  ['context', { context: { a: 1n } }, 'context.a'],
  ['output', { initial: 'z', states: { z: { type: 'final' } }, output: () => ({ at: Number.NaN }) }, 'output.at'],
  ['input of an invoke', { invoke: { id: 'w', src: 'work', input: () => [new Map()] } }, 'input of "w".0'],
  ['emitted event', { entry: emit({ type: 'X', at: Number.NaN }) }, 'emit.at'],
  ['delayed event', { entry: raise({ type: 'X', at: () => 1 } as never, { delay: 5 }) }, 'event.at'],
])('I48 an unstorable %s ends the job with its path', (_, config, path) => {
  const machine = machineOf(config)
  expect(createChart(machine).start(undefined).end).toMatchObject({
    kind: 'error',
    error: { code: 'NOT_STORABLE', path },
  })
})

test('a context may hold undefined, which counts as absent', () => {
  const chart = createChart(createMachine({ context: { a: undefined } }))
  expect(chart.start(undefined).end).toBeUndefined()
})

test.each([
  ['always', { initial: 'a', states: { a: { always: 'b' }, b: { always: 'a' } } }],
  ['raise', { entry: raise({ type: 'GO' }), on: { GO: { actions: raise({ type: 'GO' }) } } }],
])('an endless %s ends as an error of its job', (_, config) => {
  const { end } = createChart(machineOf(config)).start(undefined)
  expect(end).toMatchObject({ kind: 'error', error: { message: expect.stringContaining('Infinite loop') } })
})

test('a machine keeps its own bound of microsteps', () => {
  const states = Object.fromEntries(
    Array.from({ length: 20 }, (_, n) => [`s${n}`, n === 19 ? {} : { always: `s${n + 1}` }]),
  )
  const bounded = (maxIterations?: number) =>
    createChart(
      machineOf({ initial: 's0', states, ...(maxIterations === undefined ? {} : { options: { maxIterations } }) }),
    )
  expect(bounded(10).start(undefined).end?.kind).toBe('error')
  expect(bounded().start(undefined).snapshot.state).toBe('s19')
})

test('becoming a chart does not change the machine itself', () => {
  const machine = createMachine({ initial: 'a', states: { a: {} } })
  const before = JSON.stringify([machine.config, machine.options])
  createChart(machine)
  expect(JSON.stringify([machine.config, machine.options])).toBe(before)
})

const named = createChart(
  createMachine({
    type: 'parallel',
    states: {
      left: {
        initial: 'a',
        states: {
          a: { on: { exact: { actions: () => {} }, GO: 'b' } },
          b: { on: { '*': 'a' } },
          c: { on: { 'task.*': 'a' } },
          d: { on: { exact: { guard: ({ event }) => event.ok === true, target: 'a' } } },
          e: { on: { exact: { guard: () => thrower(), target: 'a' } } },
          f: { on: { '*': 'a' }, initial: 'g', states: { g: { on: { exact: 'h' } }, h: {} } },
        },
      },
      right: {
        initial: 'quiet',
        states: { quiet: {}, loud: { on: { '*': 'quiet' } }, same: { on: { exact: 'quiet' } } },
      },
    },
  }),
)

test.each([
  ['exactly named', { left: 'a', right: 'quiet' }, { type: 'exact' }, true],
  ['not named', { left: 'a', right: 'quiet' }, { type: 'other' }, false],
  ['named in another state', { left: 'b', right: 'quiet' }, { type: 'GO' }, false],
  ['met by a wildcard', { left: 'b', right: 'quiet' }, { type: 'exact' }, false],
  ['met by a partial descriptor', { left: 'c', right: 'quiet' }, { type: 'task.started' }, false],
  ['of the descriptor’s own text', { left: 'c', right: 'quiet' }, { type: 'task.*' }, true],
  ['let through by a guard', { left: 'd', right: 'quiet' }, { type: 'exact', ok: true }, true],
  ['held back by a guard', { left: 'd', right: 'quiet' }, { type: 'exact' }, false],
  ['held by a guard that throws', { left: 'e', right: 'quiet' }, { type: 'exact' }, true],
  ['named within a state that has a wildcard', { left: { f: 'g' }, right: 'quiet' }, { type: 'exact' }, true],
  ['named in two regions', { left: 'a', right: 'same' }, { type: 'exact' }, true],
  ['named in one region and met by a wildcard in another', { left: 'a', right: 'loud' }, { type: 'exact' }, true],
] as const)(
  'transitionIfNamed takes an event only if a transition names it; here it is %s',
  (_, state, event, expected) => {
    expect(named.transitionIfNamed({ state, context: {} }, event).handled).toBe(expected)
  },
)

test('an executor’s event moves the region that names it, and no wildcard beside, above or below', () => {
  const chart = createChart(
    createMachine({
      type: 'parallel',
      on: { '*': '.left.wrong' },
      states: {
        left: { initial: 'a', states: { a: { on: { 'task.started': 'b' } }, b: {}, wrong: {} } },
        right: { initial: 'a', states: { a: { on: { '*': 'wrong', 'task.*': 'wrong' } }, wrong: {} } },
        below: {
          initial: 'a',
          on: { 'task.started': '.b' },
          states: { a: { on: { '*': undefined, 'task.*': { actions: () => {} } } }, b: {} },
        },
      },
    }),
  )
  const event = { type: 'task.started' }
  const { snapshot } = chart.start(undefined)
  const { snapshot: next } = chart.transitionIfNamed(snapshot, event)
  expect(next.state).toEqual({ left: 'b', right: 'a', below: 'b' })
  expect(chart.transitionIfNamed(next, { type: 'task.lost' })).toMatchObject({ handled: false, snapshot: next })
  expect(chart.transition(snapshot, { type: 'other' }).snapshot.state).toMatchObject({ right: 'wrong' })
})

test.each([
  ['the leaf state’s key', { initial: 'a', states: { a: { initial: 'b', states: { b: {} } } } }, 'b'],
  [
    'the keys of all leaf states',
    { type: 'parallel', states: { x: {}, y: { initial: 'z', states: { z: {} } } } },
    'x + z',
  ],
  ['the machine’s id where it has no states', { id: 'alone' }, 'alone'],
  ['the status that its meta gives', { initial: 'a', states: { a: { meta: { status: 'busy' } } } }, 'busy'],
  [
    'the status of a state around it',
    { initial: 'a', states: { a: { meta: { status: 'busy' }, initial: 'b', states: { b: {} } } } },
    'busy',
  ],
  [
    'the status of the deepest state that has one',
    {
      initial: 'a',
      meta: { status: 'x' },
      states: { a: { meta: { status: 'y' }, initial: 'b', states: { b: { meta: { status: 'z' } } } } },
    },
    'z',
  ],
  ['its key where the status is no text', { initial: 'a', states: { a: { meta: { status: 5 } } } }, 'a'],
])('the label of a state is %s', (_, config, label) => {
  const chart = createChart(machineOf(config))
  const start = chart.start(undefined)
  expect(start.info.label).toBe(label)
  // A restored snapshot gives the same.
  expect(createChart(machineOf(config)).transition(start.snapshot, { type: 'OTHER' }).info).toEqual(start.info)
})

test('the tags of a snapshot are those of all its active states', () => {
  const chart = createChart(
    createMachine({
      tags: ['root'],
      initial: 'a',
      states: { a: { tags: ['x', 'vacates'], initial: 'b', states: { b: { tags: ['y'] } } } },
    }),
  )
  expect([...chart.start(undefined).info.tags].sort()).toEqual(['root', 'vacates', 'x', 'y'])
})

test('changing the machine’s own objects later changes no job’s state', () => {
  const shared = { list: [1] }
  const chart = createChart(machineOf({ context: { shared: null }, on: { GO: { actions: assign({ shared }) } } }))
  const { snapshot } = resultOf(chart, 'GO')
  shared.list.push(2)
  expect(snapshot.context).toEqual({ shared: { list: [1] } })
})

test('transitions of one job leave no trace in another job of the machine', () => {
  const chart = createChart(
    createMachine({
      context: { n: 0 },
      initial: 'a',
      states: {
        a: { on: { GO: { target: 'b', actions: assign({ n: ({ context }) => context.n + 1 }) } } },
        b: { type: 'final' },
      },
    }),
  )
  const one: ChartSnapshot = { state: 'a', context: { n: 10 } }
  const other: ChartSnapshot = { state: 'a', context: { n: 20 } }
  expect(chart.transition(one, { type: 'GO' }).snapshot.context).toEqual({ n: 11 })
  expect(chart.transition(other, { type: 'OTHER' })).toMatchObject({ handled: false, snapshot: other })
  expect(chart.transition(other, { type: 'GO' }).snapshot.context).toEqual({ n: 21 })
})

// Machines that are made from tables of parts, or that break rules of the types.
function machineOf(config: object): AnyStateMachine {
  return createMachine(config as never).provide({ actors: { work: never } })
}

function resultOf(chart: Chart, ...types: readonly string[]): TransitionResult {
  return types.reduce((result, type) => chart.transition(result.snapshot, { type }), chart.start(undefined))
}

function frozen<Value extends ChartSnapshot>(snapshot: Value): Value {
  freeze(snapshot as unknown as Json)
  return snapshot
}

function freeze(value: Json): void {
  if (typeof value !== 'object' || value === null) return
  Object.freeze(value)
  for (const each of Object.values(value)) freeze(each)
}

test('a transition that fails after it registered a system id harms no other job of its machine', () => {
  const machine = createMachine({
    initial: 'a',
    context: ({ input }) => ({ given: input }),
    states: { a: { invoke: { src: 'work', systemId: 'one', input: ({ context }) => context.given } } },
  }).provide({ actors: { work: fromPromise(async () => {}) } })
  const chart = createChart(machine)
  const bad = { toJSON: () => 1 }
  expect(chart.start(bad).end).toMatchObject({ kind: 'error', error: { code: 'NOT_STORABLE' } })
  expect(chart.start(1)).toMatchObject({ created: 1, actions: [{ kind: 'start', systemId: 'one' }] })
})
