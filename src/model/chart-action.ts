import { JobchartError } from './error.ts'
import { type CapturedAction, ChildRef, type InertScope, PARENT } from './inert-scope.ts'
import { type Json, storableCopy } from './storable.ts'
import type { ChartEvent, Origin } from './transition.ts'

/** Whom a chart sends to: itself, the parent of its job, or a child by its entry. */
export type Address = 'self' | 'parent' | number

/** What a machine asked for, in the order of its actions. */
export type ChartAction =
  | StartAction
  | { readonly kind: 'leave'; readonly entry: number }
  | SendAction
  | { readonly kind: 'cancelTimer'; readonly id: string }
  | { readonly kind: 'emit'; readonly event: Json }
  | { readonly kind: 'log'; readonly text: string }
  | { readonly kind: 'effect'; readonly run: () => unknown }

/** A child starts: a task, a child job, or logic that moves with the job. */
export interface StartAction {
  readonly kind: 'start'
  readonly entry: number
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
export function readActions(scope: InertScope, { nextEntry }: Origin): readonly ChartAction[] {
  const { captured, created } = scope
  const entries = new Map<unknown, number>(created.map(({ ref }, index) => [ref, nextEntry + index]))
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
      return action.params instanceof ChildRef ? { kind: 'leave', entry: action.params.entry } : undefined
    case 'xstate.raise':
      return typeof params.delay === 'number' ? readSend(params, 'self') : undefined
    case 'xstate.sendTo': {
      const to = addressOf(params.to, reader)
      return to === undefined ? undefined : readSend(params, to)
    }
    case 'xstate.cancel':
      return { kind: 'cancelTimer', id: String(params.sendId) }
    case 'xstate.emit':
      return { kind: 'emit', event: storableCopy(params.event, 'emit', true) }
    case 'xstate.log':
      return { kind: 'log', text: logText(params.label, params.value) }
    default:
      return readEffect(action)
  }
}

function readStart({ actorRef }: Params, { scope, entries, stopped }: Reader): ChartAction | undefined {
  const created = scope.created.find(({ ref }) => ref === actorRef)
  const entry = entries.get(actorRef)
  // An unknown name is only a warning of XState's, and starts nothing.
  if (actorRef === undefined) return undefined
  if (created === undefined || entry === undefined) throw unsupported('spawn of logic that has no name')
  if (stopped.has(actorRef)) return undefined
  const { ref, input } = created
  if (typeof ref.src !== 'string') throw unsupported(`spawn of logic that has no name, as "${ref.id}",`)
  return {
    kind: 'start',
    entry,
    id: ref.id,
    src: ref.src,
    sync: ref._syncSnapshot === true,
    ...(input === undefined ? {} : { input: storableCopy(input, `input of "${ref.id}"`, true) }),
    ...(ref.systemId === undefined ? {} : { systemId: ref.systemId }),
  }
}

function addressOf(to: unknown, { scope, entries, stopped }: Reader): Address | undefined {
  if (to === scope.self) return 'self'
  if (to === PARENT) return 'parent'
  if (to instanceof ChildRef) return to.entry
  const entry = entries.get(to)
  if (entry !== undefined) return stopped.has(to) ? undefined : entry
  throw unsupported('sendTo an actor that is no child of the machine')
}

function readSend({ event, delay, id }: Params, to: Address): ChartAction {
  return {
    kind: 'send',
    to,
    // What a machine sends was typed as an event; XState itself refuses anything else.
    event: storableCopy(event, 'event', true) as unknown as ChartEvent,
    ...(typeof delay === 'number' ? { delayMs: wholeDelay(delay) } : {}),
    ...(typeof id === 'string' ? { id } : {}),
  }
}

// Whole milliseconds from 0; without end stays without end, and no number is no delay.
function wholeDelay(delay: number): number {
  return Number.isNaN(delay) ? 0 : Math.max(0, Math.ceil(delay))
}

function readEffect({ exec, info, params }: CapturedAction): ChartAction | undefined {
  return exec === undefined ? undefined : { kind: 'effect', run: () => exec(info, params) }
}

function logText(label: unknown, value: unknown): string {
  const text = typeof value === 'string' ? value : shown(value)
  return label === undefined ? text : `${shown(label)} ${text}`
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return '(a value that cannot be shown)'
  }
}

function unsupported(what: string): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `${what} cannot be run durably; invoke or spawn logic by its name`)
}
