/**
 * The actions of generated machines.
 *
 * Every run ends: each transition except the first one for an event from outside needs fuel, and a machine gets a fixed
 * amount for each such event. So a machine that starts again and again, two that answer each other, or a raise that
 * raises itself all stop.
 */
import {
  type ActorSystem,
  type AnyActorRef,
  assign,
  cancel,
  emit,
  enqueueActions,
  forwardTo,
  log,
  raise,
  sendParent,
  sendTo,
  spawnChild,
  stopChild,
} from 'xstate'
import type { ActionKind, ActionPlan, DelayPlan } from './plans.ts'

/** The context of each generated machine. */
export interface Context {
  readonly n: number
  readonly last: string
  readonly fuel: number
  readonly ref: AnyActorRef | null
}

/** An event from outside, from a machine, or from XState itself. */
export interface Event {
  readonly type: string
  readonly isOutside?: boolean
  readonly isLate?: boolean
  readonly value?: number
  readonly output?: unknown
  readonly error?: { readonly message?: string; readonly isOutside?: boolean }
  readonly snapshot?: Snapshot
}

interface Snapshot {
  readonly status: string
  readonly value?: unknown
  readonly context?: { readonly n?: number } | number
}

export interface Scope {
  readonly context: Context
  readonly event: Event
}

interface ActionScope extends Scope {
  readonly self: AnyActorRef
  readonly system: ActorSystem<never>
}

/** The place of an action. */
export interface Place {
  readonly isChild: boolean
  /** The children that the machine's states invoke, by their ids. */
  readonly invokes: readonly string[]
  /** The children that the action's own state invokes, which exist there for certain. */
  readonly ownInvokes: readonly string[]
  readonly systemIds: readonly string[]
  /** The names of the logic that is spawned. */
  readonly spawned: readonly string[]
  /** A delay that no other timer of the run has. */
  readonly delay: (plan: DelayPlan) => unknown
  readonly delays: readonly DelayPlan[]
}

/** Amount of fuel of one machine for one event from outside. */
const FUEL = 4

export const burn = assign((scope: unknown) => {
  const { context, event } = scope as Scope
  return { fuel: isFresh(event) ? FUEL : context.fuel - 1 } as never
})

export function isFuelled({ context, event }: Scope): boolean {
  return isFresh(event) || context.fuel > 0
}

/** Whether the event comes from outside or from a timer, so that the machines cannot cause it endlessly. */
function isFresh({ type, isOutside, isLate, output, error }: Event): boolean {
  const ended = (output ?? error ?? undefined) as { readonly isOutside?: boolean } | undefined
  return isOutside === true || isLate === true || ended?.isOutside === true || type.startsWith('xstate.after.')
}

/** Ids of the children that are spawned. */
export const KEPT = 'kept'
export const NAMED = 'named'

/** The initial context of a machine. */
export function firstContext({ input }: { readonly input?: { readonly n?: number } }): Context {
  return { n: input?.n ?? 0, last: '', fuel: FUEL, ref: null }
}

/** An event between machines; never marked as from outside. */
function message(type: string) {
  return (scope: unknown) => ({ type, value: (scope as Scope).context.n })
}

function lateMessage(type: string) {
  return (scope: unknown) => ({ type, value: (scope as Scope).context.n, isLate: true })
}

function told({ event }: Scope): string {
  const { output, error, snapshot } = event
  if (snapshot !== undefined) return `${snapshot.status} ${JSON.stringify([snapshot.value, countIn(snapshot)])}`
  return error === undefined ? `${event.type} ${JSON.stringify(output)}` : `error ${error.message}`
}

function countIn({ context }: Snapshot): unknown {
  return typeof context === 'object' && context !== null ? context.n : context
}

function childOf({ self }: ActionScope, id: string | undefined): AnyActorRef | undefined {
  if (isFirstMove(self)) return undefined
  return (self.getSnapshot() as { readonly children: { readonly [id: string]: AnyActorRef } }).children[id ?? '']
}

// A machine that is being made has no snapshot, and XState's development build throws if it is read.
function isFirstMove(self: AnyActorRef): boolean {
  try {
    return self.getSnapshot() === undefined
  } catch {
    return true
  }
}

type Make = (place: Place, pick: number, type: string) => unknown

const messageTypes = ['A', 'B', 'C', 'A.part'] as const

function chosen<Value>(list: readonly Value[], pick: number): Value | undefined {
  return list[pick % Math.max(1, list.length)]
}

/** The parts of XState's types that do not need the types of a machine. */
interface Enqueue {
  (action: unknown): void
  sendTo(ref: AnyActorRef, event: unknown, options?: object): void
  stopChild(ref: AnyActorRef): void
  raise(event: unknown, options: object): void
  assign(change: object): void
}

/** Actions that are chosen at run time. */
function enqueued(run: (enqueue: Enqueue, scope: ActionScope) => void): unknown {
  return enqueueActions((given) => run(given.enqueue as unknown as Enqueue, given as unknown as ActionScope))
}

function toEach(
  refOf: (scope: ActionScope) => AnyActorRef | null | undefined,
  type: string,
  options?: object,
): unknown {
  const event = options === undefined ? message(type) : lateMessage(type)
  return enqueued((enqueue, scope) => {
    const ref = refOf(scope)
    if (ref !== null && ref !== undefined) enqueue.sendTo(ref, event, options)
  })
}

const makers: { readonly [Kind in ActionKind]: Make } = {
  add: () => assign((scope: unknown) => ({ n: ((scope as Scope).context.n + 1) % 8 }) as never),
  keep: () => assign((scope: unknown) => ({ last: (scope as Scope).event.type }) as never),
  take: () => assign((scope: unknown) => ({ last: told(scope as Scope) }) as never),
  emit: (_, pick) =>
    emit((scope: unknown) => ({
      type: `said.${pick % 2}`,
      n: (scope as Scope).context.n,
      last: (scope as Scope).context.last,
    })),
  log: () => log((scope: unknown) => (scope as Scope).event.type),
  effect: () => () => {},
  raise: (_, __, type) => raise(message(type) as never),
  // XState forgets a timer of the same id without stopping it, so it is cancelled before it is set again.
  arm: ({ delay, delays }, pick, type) => [
    cancel('armed'),
    raise(lateMessage(type) as never, { id: 'armed', delay: delay(chosen(delays, pick) as DelayPlan) as number }),
  ],
  // Only for an event from outside, because each time may set several more.
  armUnnamed: ({ delay, delays }, pick, type) => {
    const options = { delay: delay(chosen(delays, pick) as DelayPlan) }
    return enqueued((enqueue, { event }) => {
      if (event.isOutside === true) enqueue.raise(lateMessage(type), options)
    })
  },
  disarm: (_, pick) => cancel((['armed', 'toChild', 'toParent', 'toSelf'] as const)[pick % 4] as string),
  tell: ({ invokes }, pick, type) => toEach((scope) => childOf(scope, chosen([...invokes, NAMED], pick)), type),
  tellInvoke: ({ ownInvokes }, pick, type) => {
    const id = chosen(ownInvokes, pick)
    return id === undefined ? [] : sendTo(id, message(type) as never)
  },
  tellRef: (_, __, type) => toEach(({ context }) => context.ref, type),
  tellSystem: ({ systemIds }, pick, type) =>
    systemIds.length === 0 ? [] : toEach(({ system }) => system.get((chosen(systemIds, pick) ?? '') as never), type),
  tellLater: ({ invokes, delay, delays }, pick, type) => [
    cancel('toChild'),
    toEach((scope) => childOf(scope, chosen(invokes, pick)), type, {
      id: 'toChild',
      delay: delay(chosen(delays, pick) as DelayPlan),
    }),
  ],
  tellSelf: (_, __, type) => sendTo((scope: unknown) => (scope as ActionScope).self, message(type) as never),
  tellSelfLater: ({ delay, delays }, pick, type) => [
    cancel('toSelf'),
    sendTo((scope: unknown) => (scope as ActionScope).self, lateMessage(type) as never, {
      id: 'toSelf',
      delay: delay(chosen(delays, pick) as DelayPlan) as number,
    }),
  ],
  // Only for events from outside, because XState's own events hold values that no row can store.
  forward: ({ invokes }, pick) =>
    enqueued((enqueue, scope) => {
      const ref = childOf(scope, chosen(invokes, pick))
      if (ref !== undefined && scope.event.isOutside === true) enqueue(forwardTo(() => ref))
    }),
  answer: ({ isChild }, _, type) => (isChild ? sendParent(message(type) as never) : []),
  answerLater: ({ isChild, delay, delays }, pick, type) =>
    isChild
      ? [
          cancel('toParent'),
          sendParent(lateMessage(type) as never, {
            id: 'toParent',
            delay: delay(chosen(delays, pick) as DelayPlan) as number,
          }),
        ]
      : [],
  spawnRef: ({ spawned }) =>
    assign((scope: unknown) => {
      const { context, spawn } = scope as Scope & { spawn: (src: string, options: object) => AnyActorRef }
      const isFree = context.ref === null && spawned.includes(KEPT)
      return (isFree ? { ref: spawn(KEPT, { id: KEPT, input: { n: context.n } }) } : {}) as never
    }),
  // XState is too late to stop a child that was spawned in the same first transition of a machine.
  dropRef: () =>
    enqueued((enqueue, { context, self }) => {
      if (context.ref === null || isFirstMove(self)) return
      enqueue.stopChild(context.ref)
      enqueue.assign({ ref: null })
    }),
  // The reference stays, but its child is gone.
  stopRef: () =>
    enqueued((enqueue, { context, self }) => {
      if (context.ref !== null && !isFirstMove(self)) enqueue.stopChild(context.ref)
    }),
  // XState forgets a child of the same id without stopping it, so it is stopped before it is spawned again.
  spawnNamed: ({ spawned }, pick) =>
    spawned.includes(NAMED)
      ? [
          stopChild(NAMED),
          spawnChild(NAMED, {
            id: NAMED,
            syncSnapshot: pick % 3 === 0,
            input: (scope: unknown) => ({ n: (scope as Scope).context.n }),
          } as never),
        ]
      : [],
  stopNamed: () => stopChild(NAMED),
  many: (_, pick, type) =>
    enqueueActions(({ enqueue, check }) => {
      enqueue.assign({ n: ((scope: unknown) => ((scope as Scope).context.n + 3) % 8) as never })
      if (check('even' as never)) enqueue.emit({ type: 'said.many' } as never)
      else enqueue.raise({ type } as never)
      if (pick % 2 === 0) enqueue.assign({ last: 'many' } as never)
    }),
  throw: (_, pick) =>
    assign((scope: unknown) => {
      const { context, event } = scope as Scope
      if (event.isOutside === true && context.n === pick % 8) throw new RangeError(`thrown at ${context.n}`)
      return {}
    }),
}

/** The actions of a plan, in XState's own form. */
export function actionsOf(plans: readonly ActionPlan[], place: Place): readonly unknown[] {
  return plans.flatMap(({ kind, pick }) => makers[kind](place, pick, chosen(messageTypes, pick >> 1) as string))
}
