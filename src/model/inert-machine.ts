/** Makes copies of machines whose transitions start no actors. */
import { type AnyStateMachine, type AnyStateNode, and, createMachine } from 'xstate'
import { type AnyLogic, isLogic } from './logic.ts'
import type { Json } from './storable.ts'

/** A state node and all below it, in document order. */
export function stateNodes(node: AnyStateNode): readonly AnyStateNode[] {
  return [node, ...Object.values(node.states as { [key: string]: AnyStateNode }).flatMap(stateNodes)]
}

/** Actor logic that does nothing except report each created actor and its input. */
export function inertLogic(created: (ref: unknown, input: unknown) => void): object {
  const still = Object.freeze({ status: 'active', output: undefined, error: undefined })
  return {
    transition: () => still,
    getInitialSnapshot: (scope: { readonly self: unknown }, input: unknown) => {
      created(scope.self, input)
      return still
    },
    getPersistedSnapshot: () => still,
  }
}

/**
 * A copy of the machine with inert logic for all actors. A transition then never starts a real promise, child machine
 * or callback, nor computes its initial state.
 */
export function withInertActors(source: AnyStateMachine, inert: object): AnyStateMachine {
  const implementations = source.implementations as { readonly actors: { readonly [src: string]: AnyLogic } }
  const actors = Object.fromEntries(Object.keys(implementations.actors).map((src) => [src, inert]))
  const config = durableState(source.config as StateConfig, inert)
  // A copy, because the named actions are replaced in it later.
  const actions = { ...source.implementations.actions }
  return createMachine(config as never, { ...source.implementations, actions, actors } as never) as AnyStateMachine
}

interface InvokeConfig {
  readonly src: unknown
  readonly onDone?: unknown
  readonly onError?: unknown
  readonly onSnapshot?: unknown
}

type TransitionConfig = string | { readonly target?: unknown; readonly guard?: unknown } | undefined

interface StateConfig {
  readonly id?: string
  readonly type?: string
  readonly initial?: unknown
  readonly after?: { readonly [delay: string]: unknown }
  readonly invoke?: InvokeConfig | readonly InvokeConfig[]
  readonly on?: { readonly [descriptor: string]: TransitionConfig | readonly TransitionConfig[] }
  readonly states?: { readonly [key: string]: StateConfig }
  readonly [other: string]: unknown
}

function durableState(config: StateConfig, inert: object): object {
  const { invoke, on, states } = config
  const invokes = [invoke ?? []].flat().map((each) => (isLogic(each.src) ? { ...each, src: inert } : each))
  const inner = Object.entries(states ?? {}).map(([key, state]) => [key, durableState(state, inert)])
  return {
    ...config,
    ...(invoke === undefined ? {} : { invoke: invokes }),
    ...(on === undefined ? {} : { on: withDeafWildcards(on) }),
    ...(states === undefined ? {} : { states: Object.fromEntries(inner) }),
  }
}

/**
 * The events that tell a chart about the execution of its tasks. Only a transition that names such an event takes it,
 * so ordinary machines with a wildcard are not moved.
 */
export const EXECUTOR_EVENTS: ReadonlySet<string> = new Set([
  'task.claimed',
  'task.started',
  'task.lost',
  'task.released',
  'task.progress',
])

const isForWildcards = ({ event }: { readonly event: { readonly type: string } }) => !EXECUTOR_EVENTS.has(event.type)

function withDeafWildcards(on: NonNullable<StateConfig['on']>): object {
  const deaf = (each: TransitionConfig) => {
    const config = typeof each === 'string' ? { target: each } : (each ?? {})
    return {
      ...config,
      guard: config.guard === undefined ? isForWildcards : and([isForWildcards, config.guard as never]),
    }
  }
  const entries = Object.entries(on).map(([descriptor, taken]) => {
    const isWild = descriptor === '*' || descriptor === 'task.*'
    return [descriptor, isWild ? [taken].flat().map(deaf) : taken]
  })
  return Object.fromEntries(entries)
}

/**
 * A machine that begins in `state` and only starts the invokes and timers of that state; no other actions run. Its
 * input is the context.
 */
export function standingMachine(machine: AnyStateMachine, state: Json): AnyStateMachine {
  const config = standingState(machine.config as StateConfig, state)
  const context = ({ input }: { readonly input: unknown }) => input
  return createMachine({ ...config, context } as never, machine.implementations as never) as AnyStateMachine
}

// Keeps the invokes, and of `after` only the delays. The targets of `after` are not needed, because the machine takes
// no transition.
function standingState(config: StateConfig, state: Json | undefined): object {
  const { id, type, invoke, after, states } = config
  const inside = typeof state === 'object' && state !== null ? (state as { readonly [key: string]: Json }) : {}
  const entered = typeof state === 'string' ? state : Object.keys(inside)[0]
  const inner = Object.entries(states ?? {}).map(([key, each]) => [key, standingState(each, inside[key])])
  const calls = [invoke ?? []].flat().map(({ onDone, onError, onSnapshot, ...call }) => ({
    ...call,
    // XState asks an invoke for snapshots if its `onSnapshot` is present, so an empty one is kept.
    ...(onSnapshot === undefined ? {} : { onSnapshot: {} }),
  }))
  return {
    ...(id === undefined ? {} : { id }),
    ...(type === undefined ? {} : { type }),
    ...(type === 'parallel' || states === undefined ? {} : { initial: entered ?? config.initial }),
    invoke: calls,
    after: Object.fromEntries(Object.keys(after ?? {}).map((delay) => [delay, {}])),
    ...(states === undefined ? {} : { states: Object.fromEntries(inner) }),
  }
}
