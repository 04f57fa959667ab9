import { JobchartError } from './error.ts'
import { type CapturedAction, ChildRef, type InertScope, PARENT } from './inert-scope.ts'
import { KIN, persistRefs } from './references.ts'
import { type Json, storableCopy } from './storable.ts'
import type { ChartEvent, Origin } from './transition.ts'

/** Whom a chart sends to: itself, the parent of its job, or a child by its invocation. */
export type Address = 'self' | 'parent' | number

/** What a machine asked for, in the order of its actions. */
export type ChartAction =
  | StartAction
  | { readonly kind: 'leave'; readonly invocation: number }
  | SendAction
  | { readonly kind: 'cancelTimer'; readonly id: string }
  | { readonly kind: 'emit'; readonly event: Json }
  | { readonly kind: 'log'; readonly text: string }
  | { readonly kind: 'effect'; readonly run: Effect }

/** An action of the machine's own: `send` is what it has as `self.send`. */
export type Effect = (send: (event: ChartEvent) => void) => unknown

/** A child starts: a task, a child job, or logic that moves with the job. */
export interface StartAction {
  readonly kind: 'start'
  readonly invocation: number
  readonly id: string
  readonly src: string
  readonly input?: Json
  readonly systemId?: string
  /** The chart wants an event for each of the child's snapshots. */
  readonly sync: boolean
}

/** An event for someone, at once or as a timer. */
export interface SendAction {
  readonly kind: 'send'
  readonly to: Address
  readonly event: ChartEvent
  readonly delayMs?: number
  /** Names the timer, for `cancel`. */
  readonly id?: string
}

/** What was captured in a move, as data. */
export function readActions(scope: InertScope, { nextInvocation }: Origin): readonly ChartAction[] {
  const { captured, created } = scope
  const entries = new Map<unknown, number>(created.map(({ ref }, index) => [ref, nextInvocation + index]))
  // A child that is stopped in the move that created it never starts, whatever the order.
  const stopped = new Set(captured.filter(({ type }) => type === 'xstate.stopChild').map(({ params }) => params))
  const reader: Reader = { scope, entries, stopped }
  return captured.flatMap((action) => readAction(action, reader) ?? [])
}

interface Reader {
  readonly scope: InertScope
  readonly entries: ReadonlyMap<unknown, number>
  readonly stopped: ReadonlySet<unknown>
}

type Params = { readonly [key: string]: unknown }

function readAction(action: CapturedAction, reader: Reader): ChartAction | undefined {
  const params = (action.params ?? {}) as Params
  switch (action.type) {
    case 'xstate.spawnChild':
      return readStart(params, reader)
    case 'xstate.stopChild':
      return action.params instanceof ChildRef ? { kind: 'leave', invocation: action.params.invocation } : undefined
    case 'xstate.raise':
      return typeof params.delay === 'number' ? readSend(params, 'self', reader) : undefined
    case 'xstate.sendTo': {
      const to = addressOf(params.to, reader)
      return to === undefined ? undefined : readSend(params, to, reader)
    }
    case 'xstate.cancel':
      return { kind: 'cancelTimer', id: String(params.sendId) }
    case 'xstate.emit':
      return { kind: 'emit', event: stored(params.event, 'emit', reader) }
    case 'xstate.log':
      return { kind: 'log', text: logText(params.label, params.value) }
    default:
      return readEffect(action, reader)
  }
}

function readStart({ actorRef }: Params, reader: Reader): ChartAction | undefined {
  const { scope, entries, stopped } = reader
  const created = scope.created.find(({ ref }) => ref === actorRef)
  const invocation = entries.get(actorRef)
  // An unknown name is only a warning of XState's, and starts nothing.
  if (actorRef === undefined) return undefined
  if (created === undefined || invocation === undefined) throw unsupported('spawn of logic that has no name')
  if (stopped.has(actorRef)) return undefined
  const { ref, input } = created
  if (typeof ref.src !== 'string') throw unsupported(`spawn of logic that has no name, as "${ref.id}",`)
  return {
    kind: 'start',
    invocation,
    id: ref.id,
    src: ref.src,
    sync: ref._syncSnapshot === true,
    ...(input === undefined ? {} : { input: stored(input, `input of "${ref.id}"`, reader) }),
    ...(ref.systemId === undefined ? {} : { systemId: ref.systemId }),
  }
}

function addressOf(to: unknown, { scope, entries, stopped }: Reader): Address | undefined {
  if (to === scope.self) return 'self'
  if (to === PARENT) return 'parent'
  if (to instanceof ChildRef) return to.invocation
  const invocation = entries.get(to)
  if (invocation !== undefined) return stopped.has(to) ? undefined : invocation
  throw unsupported('sendTo an actor that is no child of the machine')
}

function readSend({ event, delay, id }: Params, to: Address, reader: Reader): ChartAction {
  return {
    kind: 'send',
    to,
    // What a machine sends was typed as an event; XState itself refuses anything else.
    event: stored(event, 'event', reader) as unknown as ChartEvent,
    ...(typeof delay === 'number' ? { delayMs: wholeDelay(delay) } : {}),
    ...(typeof id === 'string' ? { id } : {}),
  }
}

// Whole milliseconds from 0; without end stays without end, and no number is no delay.
function wholeDelay(delay: number): number {
  return Number.isNaN(delay) ? 0 : Math.max(0, Math.ceil(delay))
}

// Whoever gets it knows one other of its actors: the machine that hands it on, which is the parent of a child.
function stored(value: unknown, name: string, { scope }: Reader): Json {
  const kept = persistRefs(value, (ref) => {
    if (ref === scope.self) return KIN.parent
    throw unsupported(`the reference to "${ref.id}" in the ${name}`)
  })
  return storableCopy(kept.value, name, true)
}

// The scope serves other jobs by the time that the action runs.
function readEffect({ exec, info, params }: CapturedAction, { scope }: Reader): ChartAction | undefined {
  if (exec === undefined) return undefined
  const { _snapshot: snapshot, id } = scope.self
  const run: Effect = (send) => {
    const own = { id: { value: id }, send: { value: send }, getSnapshot: { value: () => snapshot } }
    const self = Object.create(scope.self, own) as unknown
    return exec({ ...(info as object), self }, params)
  }
  return { kind: 'effect', run }
}

function logText(label: unknown, value: unknown): string {
  const text = typeof value === 'string' ? value : shown(value)
  return label === undefined ? text : `${shown(label)} ${text}`
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    // As JSON it would lose the two that say most.
    if (value instanceof Error) return `${value.name}: ${value.message}`
    return JSON.stringify(value) ?? String(value)
  } catch {
    return '(a value that cannot be shown)'
  }
}

function unsupported(what: string): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `${what} cannot be run durably; invoke or spawn logic by its name`)
}
