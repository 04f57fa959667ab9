/** Hand-written machines for the law: cases that a restart could separate, and cases that the law has found. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import {
  type AnyActorRef,
  assign,
  cancel,
  createMachine,
  emit,
  fromPromise,
  fromTransition,
  raise,
  sendParent,
  sendTo,
  stopChild,
} from 'xstate'
import * as decision from '../../../src/model/decision.ts'
import * as definition from '../../../src/model/definition.ts'
import { Walk } from './law.ts'
import type { PromiseCreator } from './machines.ts'

// XState's development build warns about events for an ended actor.
beforeEach(() => {
  vi.spyOn(console, 'warn').mockImplementation(() => {})
})
afterEach(() => {
  vi.restoreAllMocks()
})

type Actors = { readonly [name: string]: unknown }

/** A machine on both sides. They are compared after every event, and each row is read from JSON before it. */
function walkOf(config: object, actorsOf: (work: unknown) => Actors = () => ({})): Walk {
  const make = (creator: PromiseCreator) => {
    const work = fromPromise(creator)
    return createMachine(config as never, { actors: { work, ...actorsOf(work) } } as never) as never
  }
  return new Walk({ ...decision, ...definition }, make)
}

const said = (text: string) => emit({ type: 'said', text } as never)
const heard = assign({
  heard: (scope: unknown) => [...scopeOf(scope).context.heard, scopeOf(scope).event.type],
} as never)
const hears = (...types: readonly string[]) => Object.fromEntries(types.map((type) => [type, { actions: heard }]))
const quiet = { context: { heard: [] } }

function scopeOf(scope: unknown) {
  return scope as {
    readonly context: { readonly heard: readonly string[]; readonly ref: AnyActorRef }
    readonly event: { readonly type: string }
  }
}

test('I8 case: timers that were set before a restart are cancelled after it', () => {
  const walk = walkOf({
    ...quiet,
    initial: 'armed',
    entry: raise({ type: 'LATE' }, { id: 'late', delay: 500 }),
    on: { ...hears('LATE'), DISARM: { actions: cancel('late') } },
    states: { armed: { after: { 1000: 'over' }, on: { GO: 'safe' } }, safe: {}, over: {} },
  })
  walk.pass(400)
  expect(walk.view().timers).toHaveLength(2)
  walk.send({ type: 'DISARM' })
  walk.send({ type: 'GO' })
  walk.pass(5_000)
  expect(walk.view()).toMatchObject({ value: 'safe', context: { heard: [] }, timers: [] })
})

test('I8 case: children are kept over a restart, and their own work with them', async () => {
  const child = createMachine({
    initial: 'one',
    context: {},
    states: {
      one: { invoke: { id: 'first', src: 'work', onDone: 'two' } },
      two: { after: { 300: 'three' } },
      three: { invoke: { id: 'last', src: 'work', onDone: 'end' } },
      end: { type: 'final' },
    },
    output: ({ event }: { readonly event: unknown }) => ({ of: (event as { readonly type: string }).type }),
  } as never)
  const walk = walkOf(
    {
      ...quiet,
      initial: 'with',
      states: {
        with: { invoke: { id: 'kid', src: 'child', onDone: { target: 'after', actions: heard } } },
        after: {},
      },
    },
    (work) => ({ child: child.provide({ actors: { work } } as never) }),
  )
  walk.work('claim', '/kid/first')
  walk.work('lose', '/kid/first')
  await walk.end('/kid/first', true, 1)
  walk.pass(300)
  walk.work('claim', '/kid/last')
  await walk.end('/kid/last', true, 2)
  expect(walk.view()).toMatchObject({ value: 'after', context: { heard: ['xstate.done.actor.kid'] }, children: {} })
})

test('I8 case: delayed sends follow a first one: to a child, to its parent, to itself', () => {
  const child = createMachine({
    ...quiet,
    on: { PING: { actions: [heard, sendParent({ type: 'PONG' }, { delay: 20 })] } },
  } as never)
  const walk = walkOf(
    {
      ...quiet,
      invoke: { id: 'kid', src: 'child' },
      on: {
        GO: { actions: sendTo('kid', { type: 'PING' }, { delay: 10 }) },
        PONG: { actions: [heard, raise({ type: 'LAST' }, { delay: 30 })] },
        LAST: { actions: heard },
      },
    },
    () => ({ child }),
  )
  walk.send({ type: 'GO' })
  walk.pass(59)
  expect(walk.view().context).toEqual({ heard: ['PONG'] })
  walk.pass(1)
  expect(walk.view()).toMatchObject({ context: { heard: ['PONG', 'LAST'] }, timers: [] })
})

test('I8 case: a send to an ended child goes nowhere while its state is not left', async () => {
  const walk = walkOf({
    ...quiet,
    invoke: { id: 'w', src: 'work' },
    on: { GO: { actions: [sendTo('w', { type: 'PING' }), heard] } },
  })
  await walk.end('/w', true, 1)
  walk.send({ type: 'GO' })
  expect(walk.view()).toMatchObject({ status: 'active', context: { heard: ['GO'] } })
})

test('I8 case: a send by the reference to a stopped child goes nowhere', () => {
  const walk = walkOf({
    context: ({ spawn }: { readonly spawn: (src: string, options: object) => unknown }) => ({
      heard: [],
      ref: spawn('work', { id: 'kept' }),
    }),
    on: {
      STOP: { actions: stopChild('kept') },
      GO: { actions: [sendTo((scope: unknown) => scopeOf(scope).context.ref, { type: 'PING' }), heard] },
    },
  })
  walk.send({ type: 'GO' })
  walk.send({ type: 'STOP' })
  walk.send({ type: 'GO' })
  expect(walk.view().context).toEqual({ heard: ['GO', 'GO'], ref: { ref: 'kept' } })
})

test('I8 case: a child that ends at its start takes none of the messages sent to it before', () => {
  const child = createMachine({ initial: 'end', states: { end: { type: 'final' } } })
  const walk = walkOf(
    {
      ...quiet,
      initial: 'idle',
      states: {
        idle: { on: { GO: 'with' } },
        with: {
          entry: sendTo('kid', { type: 'PING' }),
          invoke: { id: 'kid', src: 'child', onDone: { actions: heard } },
        },
      },
    },
    () => ({ child }),
  )
  walk.send({ type: 'GO' })
  expect(walk.view()).toMatchObject({ value: 'with', context: { heard: ['xstate.done.actor.kid'] } })
})

test('I8 case: messages sent to a child before it starts come first in its mailbox', () => {
  const child = createMachine({
    ...quiet,
    entry: sendTo(({ self }) => self, { type: 'OWN' }),
    on: hears('OWN', 'PING'),
  } as never)
  const walk = walkOf(
    {
      ...quiet,
      initial: 'idle',
      states: {
        idle: { on: { GO: 'with' } },
        with: { entry: sendTo('kid', { type: 'PING' }), invoke: { id: 'kid', src: 'child' } },
      },
    },
    () => ({ child }),
  )
  walk.send({ type: 'GO' })
  expect(walk.view().children).toMatchObject({ kid: { machine: { context: { heard: ['PING', 'OWN'] } } } })
})

test('I8 case: a child whose message makes its parent leave it finishes its own transition', () => {
  const child = createMachine({
    after: { 10: { actions: [sendParent({ type: 'LEAVE' }), said('still here'), sendParent({ type: 'AFTER' })] } },
  } as never)
  const walk = walkOf(
    {
      ...quiet,
      initial: 'with',
      on: hears('AFTER'),
      states: { with: { invoke: { id: 'kid', src: 'child' }, on: { LEAVE: 'without' } }, without: {} },
    },
    () => ({ child }),
  )
  walk.pass(10)
  expect(walk.view()).toMatchObject({
    value: 'without',
    context: { heard: ['AFTER'] },
    emitted: { '/kid': ['[{"type":"said","text":"still here"}]'] },
    children: {},
  })
})

test('I8 case: a new machine starts its children before all other actions of its first transition', () => {
  const child = createMachine({ context: {}, entry: sendParent({ type: 'PONG' }) } as never)
  const walk = walkOf(
    {
      ...quiet,
      entry: sendTo(({ self }: { readonly self: AnyActorRef }) => self, { type: 'OWN' }),
      invoke: { id: 'kid', src: 'child' },
      on: hears('OWN', 'PONG'),
    },
    () => ({ child }),
  )
  expect(walk.view().context).toEqual({ heard: ['PONG', 'OWN'] })
})

test('I8 case: a first transition that throws has emitted nothing', () => {
  const broken = () => {
    throw new Error('broken')
  }
  const walk = walkOf({ ...quiet, entry: [said('here'), assign(broken as never)] })
  expect(walk.view()).toMatchObject({ status: 'error', error: 'broken', emitted: {} })
})

test('I8 case: a promise with snapshots requested reports its snapshot again when it gets an event', () => {
  const walk = walkOf({
    ...quiet,
    invoke: { id: 'w', src: 'work', onSnapshot: { actions: heard } },
    on: { GO: { actions: sendTo('w', { type: 'PING' }) } },
  })
  walk.send({ type: 'GO' })
  expect(walk.view().context).toEqual({ heard: ['xstate.snapshot.w', 'xstate.snapshot.w'] })
})

const ready = {
  context: { isReady: false },
  on: { READY: { actions: assign({ isReady: true } as never) } },
}
const once = (text: string) => ({
  always: { guard: (scope: unknown) => readyOf(scope), target: 'end', actions: said(text) },
})

function readyOf(scope: unknown): boolean {
  return (scope as { readonly context: { readonly isReady: boolean } }).context.isReady
}

test('I8 case: eventless transitions of several regions are taken in document order, not by their depth', () => {
  const deep = { initial: 'b', states: { b: once('deep'), end: {} } }
  const walk = walkOf({
    ...ready,
    type: 'parallel',
    states: {
      first: { initial: 'a', states: { a: deep } },
      second: { initial: 'a', states: { a: once('flat'), end: {} } },
    },
  })
  walk.send({ type: 'READY' })
  expect(walk.view().emitted).toEqual({ '': ['[{"type":"said","text":"deep"},{"type":"said","text":"flat"}]'] })
})

// XState takes them in the order in which the states were entered, but loses that order when it persists.
test('I8 case: a run is not followed beyond eventless transitions in the order of their entry', () => {
  const region = (text: string) => ({ initial: 'a', states: { a: { on: { [text]: 'b' } }, b: once(text), end: {} } })
  const walk = walkOf({ ...ready, type: 'parallel', states: { first: region('ONE'), second: region('TWO') } })
  walk.send({ type: 'TWO' })
  walk.send({ type: 'ONE' })
  expect(() => walk.send({ type: 'READY' })).toThrow('in the order of their entry')
})

test('I8 case: a child finds a sibling by its system id', () => {
  const child = createMachine({
    on: { GO: { actions: sendTo(({ system }) => system.get('known'), { type: 'PING' }) } },
  } as never)
  const sibling = createMachine({ ...quiet, on: hears('PING') } as never)
  const walk = walkOf(
    {
      ...quiet,
      invoke: [
        { id: 'kid', src: 'child' },
        { id: 'other', src: 'sibling', systemId: 'known' },
      ],
      on: { GO: { actions: sendTo('kid', { type: 'GO' }) } },
    },
    () => ({ child, sibling }),
  )
  walk.send({ type: 'GO' })
})

test('I8 case: a run is not followed beyond a late event of a left child for which the transition throws', () => {
  const counting = fromTransition((count: number) => count + 1, 0)
  const walk = walkOf(
    {
      initial: 'both',
      states: {
        both: {
          type: 'parallel',
          states: {
            one: {
              initial: 'counts',
              on: { GO: '.waits' },
              states: {
                counts: { invoke: { id: 'n', src: 'counting', onSnapshot: {} } },
                waits: { on: { 'xstate.snapshot.*': '#away' } },
              },
            },
            two: {
              invoke: { id: 'w', src: 'work' },
              initial: 'quiet',
              on: { GO: '.tells' },
              states: { quiet: {}, tells: { on: { 'xstate.snapshot.*': { actions: sendTo('w', { type: 'PING' }) } } } },
            },
          },
        },
        away: { id: 'away' },
      },
    },
    () => ({ counting }),
  )
  expect(() => walk.send({ type: 'GO' })).toThrow('an event of a child that was left')
})

test('I8 case: a run is not followed beyond a child whose message makes its parent throw, and which goes on', () => {
  const child = createMachine({
    ...quiet,
    after: { 1000: { actions: [sendParent({ type: 'PING' }), said('after')] } },
  } as never)
  const broken = () => {
    throw new Error('broken')
  }
  const walk = walkOf(
    { ...quiet, invoke: { id: 'kid', src: 'child' }, on: { PING: { actions: assign(broken as never) } } },
    () => ({ child }),
  )
  expect(() => walk.pass(1_000)).toThrow('although its parent threw')
})
