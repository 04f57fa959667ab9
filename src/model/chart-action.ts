import type { Address, ChartAction, ChartEvent, Effect } from './chart.ts'
import { unsupported } from './references.ts'
import { ActorRef, type Captured, type InertScope, PARENT } from './xstate-internals.ts'

/**
 * What a machine asked for in a transition, as data.
 *
 * @param nextInvocation  numbers the first child that was created.
 * @param hasEnded  none of the children that were created starts: the machine has ended.
 */
export function readActions(scope: InertScope, nextInvocation: number, hasEnded: boolean): readonly ChartAction[] {
  const { captured, created } = scope
  if (captured.length === 0) return []
  const invocations = new Map<unknown, number>(created.map((ref, index) => [ref, nextInvocation + index]))
  // A child that is stopped in the transition that created it never starts, whatever the order.
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
      return asked.ref instanceof ActorRef ? { kind: 'leave', invocation: asked.ref.invocation } : undefined
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
    case 'custom':
      return { kind: 'effect', run: effectOf(asked, reader.scope) }
  }
}

function readStart(
  { ref: asked, systemId, sync, input }: Captured & { kind: 'spawn' },
  { invocations, isStopped }: Reader,
): ChartAction | undefined {
  // An unknown name is only a warning of XState's, and starts nothing.
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
  }
}

function addressOf(to: unknown, { scope, invocations, isStopped }: Reader): Address | undefined {
  if (to === scope.self) return 'self'
  if (to === PARENT) return 'parent'
  if (to instanceof ActorRef) return to.invocation
  const invocation = invocations.get(to)
  if (invocation !== undefined) return isStopped(to) ? undefined : invocation
  throw unsupported('sendTo an actor that is no child of the machine')
}

function readSend({ event, delay, id }: Captured & { kind: 'raise' | 'send' }, to: Address): ChartAction {
  return {
    kind: 'send',
    to,
    // What a machine sends was typed as an event; XState itself refuses anything else.
    event: event as unknown as ChartEvent,
    ...(typeof delay === 'number' ? { delayMs: wholeDelay(delay) } : {}),
    ...(typeof id === 'string' ? { id } : {}),
  }
}

// Whole milliseconds from 0; without end stays without end, and no number is no delay.
function wholeDelay(delay: number): number {
  return Number.isNaN(delay) ? 0 : Math.max(0, Math.ceil(delay))
}

// The scope serves other jobs by the time that the action runs.
function effectOf({ exec, info, params }: Captured & { kind: 'custom' }, scope: InertScope): Effect {
  const { id } = scope.self
  const { snapshot, system } = scope.later()
  return (send) => {
    const own = { id: { value: id }, send: { value: send }, getSnapshot: { value: snapshot } }
    const self = Object.create(scope.self, own) as unknown
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
    // As JSON it would lose the two that say most.
    if (value instanceof Error) return `${value.name}: ${value.message}`
    return JSON.stringify(value) ?? String(value)
  } catch {
    return '(a value that cannot be shown)'
  }
}
