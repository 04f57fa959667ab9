/** Machines made ready for transitions without actors. */
import { type AnyStateMachine, type AnyStateNode, and, createMachine } from 'xstate'
import { type AnyLogic, isLogic } from './logic.ts'
import type { Json } from './storable.ts'

/** A state node and all below it, in document order. */
export function stateNodes(node: AnyStateNode): readonly AnyStateNode[] {
  return [node, ...Object.values(node.states as { [key: string]: AnyStateNode }).flatMap(stateNodes)]
}

/** Logic that does nothing but report that an actor of it was created, with its input. */
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
 * The same machine with inert logic for all its actors: the real logic of a promise, a child machine or a callback is
 * never started by a transition, and not even asked for its initial state.
 */
export function withInertActors(source: AnyStateMachine, inert: object): AnyStateMachine {
  const implementations = source.implementations as { readonly actors: { readonly [src: string]: AnyLogic } }
  const actors = Object.fromEntries(Object.keys(implementations.actors).map((src) => [src, inert]))
  const config = durableState(source.config as StateConfig, inert)
  // Its own to change.
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

/** What executors tell a chart. It hears of them where it names them: an unchanged machine with a wildcard is not moved. */
export const EXECUTOR_EVENTS: ReadonlySet<string> = new Set([
  'task.claimed',
  'task.started',
  'task.lost',
  'task.released',
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
 * The machine whose first state is `state`, and which does nothing on the way there but start what that state asks for:
 * its invokes and its timers. Its input is the context.
 */
export function standingMachine(machine: AnyStateMachine, state: Json): AnyStateMachine {
  const config = standingState(machine.config as StateConfig, state)
  const context = ({ input }: { readonly input: unknown }) => input
  return createMachine({ ...config, context } as never, machine.implementations as never) as AnyStateMachine
}

// Invokes and `after` are all that is kept, and of `after` only the delays: what they lead to is not taken here.
function standingState(config: StateConfig, state: Json | undefined): object {
  const { id, type, invoke, after, states } = config
  const inside = typeof state === 'object' && state !== null ? (state as { readonly [key: string]: Json }) : {}
  const entered = typeof state === 'string' ? state : Object.keys(inside)[0]
  const inner = Object.entries(states ?? {}).map(([key, each]) => [key, standingState(each, inside[key])])
  const calls = [invoke ?? []].flat().map(({ onDone, onError, onSnapshot, ...call }) => ({
    ...call,
    // Whether it is there says whether snapshots are asked for.
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
