import type { Address, ChartAction, ChartEvent, Effect } from './chart.ts'
import { messageOf, unsupported } from './references.ts'
import { ActorRef, type Captured, type InertScope } from './xstate-internals.ts'

/**
 * The actions of a transition, as data.
 *
 * @param nextInvocation  the invocation number of the first child that the transition created.
 * @param hasEnded  true: the machine has ended, so no created child starts.
 */
export function readActions(scope: InertScope, nextInvocation: number, hasEnded: boolean): readonly ChartAction[] {
  const { captured, created } = scope
  if (captured.length === 0) return []
  const invocations = new Map<unknown, number>(created.map((ref, index) => [ref, nextInvocation + index]))
  // A child that is created and stopped in one transition never starts, whichever of the two actions comes first.
  const stopped = new Set(captured.flatMap((each) => (each.kind === 'stop' ? [each.ref] : [])))
  const isStopped = (ref: unknown) => stopped.has(ref) || (hasEnded && invocations.has(ref))
  const reader: Reader = { scope, invocations, isStopped }
  return captured.flatMap((each) => readAction(each, reader) ?? [])
}

interface Reader {
  readonly scope: InertScope
  readonly invocations: ReadonlyMap<unknown, number>
  readonly isStopped: (ref: unknown) => boolean
}

function readAction(asked: Captured, reader: Reader): ChartAction | undefined {
  switch (asked.kind) {
    case 'spawn':
      return readStart(asked, reader)
    case 'stop':
      return readStop(asked.ref, reader)
    case 'raise':
      return readSend(asked, 'self')
    case 'send': {
      const to = addressOf(asked.to(), reader)
      return to === undefined ? undefined : readSend(asked, to)
    }
    case 'cancel':
      return { kind: 'cancelTimer', id: String(asked.id) }
    case 'emit':
      return asked
    case 'log':
      return { kind: 'log', text: logText(asked.label, asked.value) }
    case 'warn':
      return { kind: 'log', text: asked.text, isWarning: true }
    case 'custom':
      return { kind: 'effect', run: effectOf(asked, reader.scope) }
  }
}

function readStart(
  { ref: asked, systemId, sync, isSpawned, input }: Captured & { kind: 'spawn' },
  { invocations, isStopped }: Reader,
): ChartAction | undefined {
  // The machine has no logic of this name. XState then only logs a warning, and starts nothing.
  if (asked === undefined) return undefined
  const invocation = invocations.get(asked)
  if (invocation === undefined) throw unsupported('spawn of logic that has no name')
  if (isStopped(asked)) return undefined
  const { id, src } = asked
  if (typeof src !== 'string') throw unsupported(`spawn of logic that has no name, as "${id}",`)
  return {
    kind: 'start',
    invocation,
    id,
    src,
    sync,
    ...(input === undefined ? {} : { input }),
    ...(systemId === undefined ? {} : { systemId }),
    ...(isSpawned ? { isSpawned } : {}),
  }
}

function readStop(ref: unknown, { scope: { turn } }: Reader): ChartAction | undefined {
  if (!(ref instanceof ActorRef)) return undefined
  const invocation = turn.invocationOf(ref.path)
  if (invocation === undefined) throw new Error(`cannot stop "${ref.id}": it is not a child of the machine`)
  return { kind: 'leave', invocation }
}

function addressOf(to: unknown, { scope: { turn }, isStopped }: Reader): Address | undefined {
  if (typeof to !== 'object' || to === null) throw unsupported('sendTo to a value that is not an actor')
  return isStopped(to) && !(to instanceof ActorRef) ? undefined : turn.addressOf(to)
}

function readSend({ event, delay, id }: Captured & { kind: 'raise' | 'send' }, to: Address): ChartAction {
  return {
    kind: 'send',
    to,
    // XState refuses to send a value that is not an event, so the cast is safe.
    event: event as unknown as ChartEvent,
    ...(typeof delay === 'number' ? { delayMs: wholeDelay(delay) } : {}),
    ...(typeof id === 'string' ? { id } : {}),
  }
}

// The delay as a whole number of milliseconds, at least 0. Infinity stays Infinity; NaN becomes 0.
function wholeDelay(delay: number): number {
  return Number.isNaN(delay) ? 0 : Math.max(0, Math.ceil(delay))
}

// Takes what the action needs from the scope now: when the action runs, the scope already serves other jobs.
function effectOf({ exec, info, params }: Captured & { kind: 'custom' }, scope: InertScope): Effect {
  const { turn, self, system } = scope.later()
  return (tell) => {
    turn.self = self
    // A sent event must be JSON, like every event that a chart sends.
    turn.send = (to, event) => tell(turn.addressOf(to), messageOf(event, 'event') as unknown as ChartEvent)
    return exec({ ...info, self, system }, params)
  }
}

function logText(label: unknown, value: unknown): string {
  const text = typeof value === 'string' ? value : shown(value)
  return label === undefined ? text : `${shown(label)} ${text}`
}

function shown(value: unknown): string {
  if (typeof value === 'string') return value
  try {
    // JSON would drop an error's name and message.
    if (value instanceof Error) return `${value.name}: ${value.message}`
    return JSON.stringify(value) ?? String(value)
  } catch {
    return '(a value that cannot be shown)'
  }
}
