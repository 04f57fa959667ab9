import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { assign, createMachine, fromPromise } from 'xstate'
import { defaultLifecycle } from '../../src/model/default-lifecycle.ts'
import { isRememberable } from '../../src/model/remembered-chart.ts'
import { type Chart, createChart, type Origin } from '../../src/model/transition.ts'

const work = fromPromise(async () => {})

const nested = {
  initial: 'idle',
  states: {
    idle: { on: { GO: 'busy', STAY: 'idle', NOT: {} } },
    busy: {
      type: 'parallel',
      invoke: { id: 'w', src: 'work', onDone: 'over', onError: 'failed' },
      on: { BACK: { target: 'busy', reenter: true }, LATER: 'later', REST: 'idle' },
      states: {
        a: { initial: 'one', states: { one: { on: { NEXT: 'two' } }, two: { on: { BACK: 'one' } } } },
        b: { initial: 'one', states: { one: { on: { NEXT: 'two' } }, two: { invoke: { id: 'x', src: 'work' } } } },
      },
    },
    later: { after: { 100: 'over' }, on: { BACK: 'busy' } },
    over: { type: 'final', tags: ['success'] },
    failed: { always: 'over' },
  },
} as const

/** The two charts of one machine: an empty list of actions is enough for it to be asked at each move. */
function both(config: object, actors: object): { readonly remembered: Chart; readonly asked: Chart } {
  const machine = createMachine(config as never).provide({ actors } as never)
  const same = createMachine({ ...config, entry: [] } as never).provide({ actors } as never)
  expect([isRememberable(machine), isRememberable(same)]).toEqual([true, false])
  return { remembered: createChart(machine), asked: createChart(same) }
}

const charts = {
  'a chart with regions and invokes': both({ id: 'nested', ...nested }, { work }),
  'the default lifecycle': both(defaultLifecycle.config, defaultLifecycle.implementations.actors),
}

const often = ['GO', 'BACK', 'NEXT', 'LATER', 'REST', 'task.started', 'task.lost', 'xstate.done.actor.execute']
const seldom = ['STAY', 'NOT', 'UNKNOWN', 'cancel', 'xstate.done.actor.w', 'xstate.error.actor.w']
const ends = ['xstate.done.actor.x', 'xstate.error.actor.execute', 'xstate.after.100.nested.later']
const event = fc.record(
  {
    type: fc.oneof({ arbitrary: fc.constantFrom(...often), weight: 3 }, fc.constantFrom(...seldom, ...ends)),
    output: fc.oneof(fc.jsonValue(), fc.constant(Number.NaN)),
    error: fc.constant('no'),
  },
  { requiredKeys: ['type'] },
)

describe.each(Object.entries(charts))('%s', (_, { remembered, asked }) => {
  test('moves as its machine does, however often', () => {
    fc.assert(
      fc.property(fc.array(event, { maxLength: 30, size: 'max' }), (events) => {
        let move = asked.start(undefined)
        expect(remembered.start(undefined)).toEqual(move)
        let origin: Origin = { children: [], nextInvocation: 1 }
        for (const each of events) {
          origin = nextOrigin(origin, move)
          const { place } = move
          expect(remembered.names(place, each, origin)).toBe(asked.names(place, each, origin))
          move = asked.move(place, each, origin)
          expect(remembered.move(place, each, origin)).toEqual(move)
          if (move.end !== undefined) return
        }
      }),
    )
  })
})

function nextOrigin({ children, nextInvocation }: Origin, { actions, created }: ReturnType<Chart['move']>): Origin {
  const left = new Set(actions.flatMap((each) => (each.kind === 'leave' ? [each.invocation] : [])))
  const begun = actions.flatMap((each) => (each.kind === 'start' ? [each] : []))
  return {
    children: [...children.filter(({ invocation }) => !left.has(invocation)), ...begun],
    nextInvocation: nextInvocation + created,
  }
}

test('what is handed on is nobody else’s: to change it changes no later move', () => {
  const { remembered } = charts['a chart with regions and invokes']
  const { place } = remembered.start(undefined)
  const spoil = remembered.move(place, { type: 'GO' })
  Object.assign(spoil.place.state as object, { busy: 'spoilt' })
  Object.assign(spoil.actions[0] as object, { kind: 'spoilt' })
  expect(remembered.move(place, { type: 'GO' })).toMatchObject({
    place: { state: { busy: { a: 'one', b: 'one' } } },
    actions: [{ kind: 'start', id: 'w' }],
  })
})

test('a machine with code of its own is asked at each move', () => {
  const pure = { initial: 'a', states: { a: { on: { GO: 'b' } }, b: {} } } as const
  expect(isRememberable(createMachine(pure))).toBe(true)
  const withCode = [
    { ...pure, context: () => ({}) },
    { ...pure, context: { n: 1 } },
    { ...pure, output: () => 1 },
    { ...pure, on: { GO: { guard: () => true, target: '.a' } } },
    { ...pure, on: { GO: { actions: assign({}) } } },
    { ...pure, exit: () => {} },
    { ...pure, initial: { target: 'a', actions: () => {} } },
    { ...pure, invoke: { src: 'work', input: () => 1 } },
    { ...pure, invoke: { src: 'work', systemId: 'w' } },
    { ...pure, states: { ...pure.states, b: { always: { guard: () => true, target: 'a' } } } },
    { ...pure, states: { ...pure.states, h: { type: 'history' } } },
  ]
  for (const config of withCode)
    expect(isRememberable(createMachine(config as never)), JSON.stringify(config)).toBe(false)
})
