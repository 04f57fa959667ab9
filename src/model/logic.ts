import type { AnyStateMachine } from 'xstate'

/**
 * What an invoked or spawned XState logic becomes in a job.
 *
 * - `promise`: outside work that ends; a task, run by an executor.
 * - `callback`, `observable`, `events`: outside work that runs as long as its state is active. It sends the chart
 *   events of its own (`callback`), its newest value (`observable`), or each value as an event (`events`).
 * - `machine`: a child job with its own row.
 * - `pure`: transition logic. Its state is stored in its task and changes with the job.
 */
export type LogicKind = 'promise' | 'callback' | 'observable' | 'events' | 'machine' | 'pure'

/** Actor logic: the fields that all kinds of XState logic have in common. */
export interface AnyLogic {
  readonly config?: unknown
  readonly start?: unknown
  readonly transition: (snapshot: unknown, event: unknown, scope: unknown) => unknown
  readonly getInitialSnapshot: (scope: unknown, input: unknown) => unknown
  readonly getPersistedSnapshot: (snapshot: unknown) => unknown
  readonly restoreSnapshot?: (snapshot: unknown, scope: unknown) => unknown
}

/** The function given to XState's `fromPromise`. */
export type PromiseCreator = (scope: {
  readonly input: unknown
  readonly signal: AbortSignal
  readonly self: unknown
  readonly system: unknown
  readonly emit: (event: unknown) => void
}) => PromiseLike<unknown>

/** Promise logic. Its `config` is the function given to `fromPromise`. */
export interface PromiseLogic extends AnyLogic {
  readonly config: PromiseCreator
}

/** Whether a value is actor logic. */
export function isLogic(value: unknown): value is AnyLogic {
  if (typeof value !== 'object' || value === null) return false
  const { transition, getInitialSnapshot } = value as {
    readonly transition?: unknown
    readonly getInitialSnapshot?: unknown
  }
  return typeof transition === 'function' && typeof getInitialSnapshot === 'function'
}

/** Whether logic is a machine. */
export function isMachine(logic: AnyLogic): logic is AnyLogic & AnyStateMachine {
  return 'root' in logic && 'implementations' in logic
}

/** Whether logic is promise logic. */
export function isPromise(logic: AnyLogic): logic is PromiseLogic {
  return kindOf(logic) === 'promise'
}

/**
 * The kind of a logic. XState has no mark for it, so the kind is recognized by behaviour: only promise logic turns its
 * own event into output, only observables keep a subscription in their snapshot, and transition logic has nothing to
 * start.
 */
export function kindOf(logic: AnyLogic): LogicKind {
  if (isMachine(logic)) return 'machine'
  if (typeof logic.start !== 'function') return 'pure'
  if (moved(logic, 'xstate.promise.resolve')?.output === 1) return 'promise'
  const initial = probe(() => logic.getInitialSnapshot({}, undefined))
  if (initial === undefined || !('_subscription' in initial)) return 'callback'
  return moved(logic, 'xstate.observable.next')?.context === 1 ? 'observable' : 'events'
}

interface Probed {
  readonly output?: unknown
  readonly context?: unknown
}

function moved(logic: AnyLogic, type: string): Probed | undefined {
  return probe(() => logic.transition({ status: 'active' }, { type, data: 1 }, {}))
}

function probe(run: () => unknown): Probed | undefined {
  try {
    const result = run()
    return typeof result === 'object' && result !== null ? result : undefined
  } catch {
    return undefined
  }
}
