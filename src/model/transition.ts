/**
 * The only file that runs a machine.
 *
 * A job is no live actor. To move it, its stored place is made a snapshot again, XState computes the next snapshot,
 * and what the machine asked for on the way comes back as data:
 *
 * ```
 *  stored place ── restore ── machine.transition(snapshot, event, scope) ── next place + actions (data)
 * ```
 *
 * One inert actor scope serves all jobs of a machine: nothing starts, nothing is scheduled, no listener exists, and
 * the scope's executor only writes down what it is given. That is why a transition costs microseconds.
 *
 * A throw in a guard, an `assign`, an input or an output ends that job alone, as an error; it never escapes.
 */
import { type AnyMachineSnapshot, type AnyStateMachine, type AnyStateNode, createActor, type EventObject } from 'xstate'
import { JobchartError } from './error.ts'
import { assertStorable, type Json } from './storable.ts'

/** An event for a chart: plain JSON with a type. */
export interface ChartEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** Where a chart stands, as it is stored. */
export interface Place {
  readonly state: Json
  readonly context: Json
  readonly historyValue?: { readonly [id: string]: readonly string[] }
}

/** How a chart ended: by its final state, or by an error that nothing in it took. */
export type ChartEnd =
  | { readonly kind: 'done'; readonly output?: Json }
  | { readonly kind: 'error'; readonly error: unknown }

/** What a machine asked for, in the order of its actions. */
export type ChartAction =
  | { readonly kind: 'invoke'; readonly id: string; readonly src: string; readonly input?: Json }
  | { readonly kind: 'leave'; readonly id: string }
  | { readonly kind: 'timer'; readonly id: string | undefined; readonly event: ChartEvent; readonly delayMs: number }
  | { readonly kind: 'cancelTimer'; readonly id: string }
  | { readonly kind: 'emit'; readonly event: Json }
  | { readonly kind: 'log'; readonly text: string }
  | { readonly kind: 'effect'; readonly run: () => void }

/** What a place means to the outside. */
export interface Meaning {
  /** `meta.status` of the deepest active state that has one; else the keys of the active leaf states. */
  readonly label: string
  readonly tags: ReadonlySet<string>
}

/** The result of one event. */
export interface Move {
  /** False: the chart takes no such event here, and nothing changed. */
  readonly handled: boolean
  /** False: the chart stands exactly where it stood, though actions may have run. */
  readonly moved: boolean
  readonly place: Place
  readonly meaning: Meaning
  readonly end?: ChartEnd
  readonly actions: readonly ChartAction[]
}

/** A child that stands in the job's row: enough for a machine to stop it. */
export interface Child {
  readonly id: string
  readonly src: string
}

/** A machine, ready to move jobs. */
export interface Chart {
  /** The first move: entry actions, the first tasks and timers. */
  start(input: unknown): Move
  /** Moves from `place` by `event`; `children` are the invokes that stand in the job's row. */
  move(place: Place, event: ChartEvent, children: readonly Child[]): Move
  /** A transition enabled in `place` names exactly this event type, not a wildcard. */
  names(place: Place, event: ChartEvent): boolean
}

/** A cycle of `always` or `raise` ends as an error of its job after so many microsteps, unless the machine says otherwise. */
const MICROSTEPS_MAX = 10_000

/** Places whose snapshot and meaning are kept ready, for each machine. */
const PLACES_MAX = 1_000

type Snapshot = AnyMachineSnapshot
type CapturedAction = {
  readonly type: string
  readonly params: unknown
  readonly info: unknown
  readonly exec: ((info: unknown, params: unknown) => void) | undefined
}

/** Makes a machine ready to move jobs. The machine itself is not changed. */
export function createChart(source: AnyStateMachine): Chart {
  const machine = source.provide({})
  if (machine.options.maxIterations === Number.POSITIVE_INFINITY) machine.options.maxIterations = MICROSTEPS_MAX
  return new MachineChart(machine)
}

class MachineChart implements Chart {
  readonly #machine: AnyStateMachine
  readonly #scope: InertScope
  readonly #nodesById: ReadonlyMap<string, AnyStateNode>
  readonly #places = new Map<string, Snapshot>()
  readonly #meanings = new Map<string, Meaning>()

  constructor(machine: AnyStateMachine) {
    this.#machine = machine
    this.#scope = inertScope(machine.id)
    this.#nodesById = new Map(stateNodes(machine.root).map((node) => [node.id, node]))
  }

  start(input: unknown): Move {
    const begin = () => this.#machine.getInitialSnapshot(this.#scope as never, input as never) as Snapshot
    return this.#run(undefined, begin, { state: {}, context: {} })
  }

  move(place: Place, event: ChartEvent, children: readonly Child[]): Move {
    const from = this.#restore(place, children)
    const step = () => this.#machine.transition(from, event as EventObject, this.#scope as never) as Snapshot
    return this.#run(from, step, place)
  }

  names(place: Place, event: ChartEvent): boolean {
    return namesExactly(this.#machine, this.#restore(place, []), event)
  }

  #run(from: Snapshot | undefined, compute: () => Snapshot, origin: Place): Move {
    const scope = this.#scope
    scope.self._snapshot = from
    scope.captured.length = 0
    try {
      const next = compute()
      const moved = next !== from
      const handled = moved || scope.captured.length > 0
      return { handled, moved, meaning: this.#meaning(next), ...outcome(next, readActions(next, scope)) }
    } catch (error) {
      // The machine threw before it had a next snapshot: the job stays where it was, and ends there.
      const meaning = from === undefined ? meaningOf([this.#machine.root]) : this.#meaning(from)
      return { handled: true, moved: true, place: origin, meaning, end: { kind: 'error', error }, actions: [] }
    }
  }

  #restore({ state, context, historyValue = {} }: Place, children: readonly Child[]): Snapshot {
    const history = Object.entries(historyValue).map(([id, ids]) => [
      id,
      ids.flatMap((known) => this.#nodesById.get(known) ?? []),
    ])
    return {
      ...this.#base(state),
      status: 'active',
      context,
      children: Object.fromEntries(children.map((child) => [child.id, childRef(child)])),
      historyValue: Object.fromEntries(history),
      // The spread of a machine snapshot, its children replaced by what an inert scope needs of them.
    } as unknown as Snapshot
  }

  #base(state: Json): Snapshot {
    const compute = () => this.#machine.resolveState({ value: state as never, context: {} }) as Snapshot
    return remembered(this.#places, JSON.stringify(state), compute)
  }

  #meaning(snapshot: Snapshot): Meaning {
    return remembered(this.#meanings, JSON.stringify(snapshot.value), () => meaningOf(snapshot._nodes))
  }
}

function remembered<Value>(known: Map<string, Value>, key: string, compute: () => Value): Value {
  const found = known.get(key)
  if (found !== undefined) return found
  if (known.size >= PLACES_MAX) known.clear()
  const value = compute()
  known.set(key, value)
  return value
}

/** A state node and all below it, in document order. */
export function stateNodes(node: AnyStateNode): readonly AnyStateNode[] {
  return [node, ...Object.values(node.states as { [key: string]: AnyStateNode }).flatMap(stateNodes)]
}

interface InertScope {
  readonly self: { _snapshot: unknown; readonly id: string }
  readonly captured: CapturedAction[]
}

// The self of all jobs of a machine: a real actor reference, since machines may hand it on, but one that is never started.
function inertScope(id: string): InertScope {
  const snapshot = { status: 'active', output: undefined, error: undefined } as const
  const still = {
    transition: () => snapshot,
    getInitialSnapshot: () => snapshot,
    getPersistedSnapshot: () => snapshot,
  }
  const self = createActor(still as never, { id } as never)
  const captured: CapturedAction[] = []
  const scope = {
    self,
    id,
    sessionId: self.sessionId,
    system: self.system,
    captured,
    logger: () => {},
    defer: () => {},
    emit: () => {},
    stopChild: () => {},
    actionExecutor: (action: CapturedAction) => captured.push(action),
  }
  return scope as unknown as InertScope
}

function childRef(child: Child): object {
  return { id: child.id, src: child.src, send: () => {}, getSnapshot: () => undefined }
}

function outcome(next: Snapshot, actions: readonly ChartAction[]): Pick<Move, 'place' | 'end' | 'actions'> {
  assertStorable(next.context, 'context', true)
  const history = Object.entries((next.historyValue ?? {}) as { [id: string]: readonly AnyStateNode[] })
  const place: Place = {
    state: next.value as Json,
    context: next.context as Json,
    ...(history.length === 0
      ? {}
      : { historyValue: Object.fromEntries(history.map(([id, nodes]) => [id, nodes.map((node) => node.id)])) }),
  }
  if (next.status === 'active') return { place, actions }
  if (next.status !== 'done') return { place, actions, end: { kind: 'error', error: next.error } }
  if (next.output !== undefined) assertStorable(next.output, 'output', true)
  return { place, actions, end: { kind: 'done', output: next.output as Json } }
}

function readActions(next: Snapshot, scope: InertScope): readonly ChartAction[] {
  const actions = scope.captured.flatMap((action) => readAction(action, scope) ?? [])
  const known = new Set(actions.flatMap((action) => (action.kind === 'invoke' ? [action.id] : [])))
  for (const [id, ref] of Object.entries(next.children)) {
    // A reference made in this move, not by an action: `spawn` inside an assign, whose work no row would hold.
    if (typeof ref === 'object' && ref !== null && 'sessionId' in ref && !known.has(id))
      throw unsupported(`spawn of "${id}" inside an assign`)
  }
  return actions
}

function readAction(action: CapturedAction, scope: InertScope): ChartAction | undefined {
  const params = (action.params ?? {}) as { readonly [key: string]: unknown }
  switch (action.type) {
    case 'xstate.spawnChild':
      return readInvoke(params)
    case 'xstate.stopChild':
      return typeof params.id === 'string' ? { kind: 'leave', id: params.id } : undefined
    case 'xstate.raise':
      return typeof params.delay === 'number' ? readTimer(params) : undefined
    case 'xstate.sendTo':
      if (params.to !== scope.self || typeof params.delay !== 'number') throw unsupported('sendTo another actor')
      return readTimer(params)
    case 'xstate.cancel':
      return { kind: 'cancelTimer', id: String(params.sendId) }
    case 'xstate.emit':
      assertStorable(params.event, 'emit', true)
      return { kind: 'emit', event: params.event as Json }
    case 'xstate.log':
      return { kind: 'log', text: logText(params.label, params.value) }
    default:
      return readEffect(action)
  }
}

function readInvoke(params: { readonly [key: string]: unknown }): ChartAction {
  const { src, input, actorRef } = params
  const id = (actorRef as { readonly id?: string } | undefined)?.id
  if (typeof src !== 'string' || id === undefined) throw unsupported('spawnChild of logic that has no name')
  if (input === undefined) return { kind: 'invoke', id, src }
  assertStorable(input, `input of "${id}"`, true)
  return { kind: 'invoke', id, src, input: input as Json }
}

function readTimer(params: { readonly [key: string]: unknown }): ChartAction {
  const { id, event, delay } = params
  assertStorable(event, 'delayed event', true)
  return { kind: 'timer', id: id as string | undefined, event: event as ChartEvent, delayMs: Number(delay) }
}

function readEffect({ exec, info, params }: CapturedAction): ChartAction | undefined {
  return exec === undefined ? undefined : { kind: 'effect', run: () => exec(info, params) }
}

function logText(label: unknown, value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
  return label === undefined ? text : `${String(label)} ${text}`
}

function unsupported(what: string): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `${what} cannot be run durably; invoke logic by name instead`)
}

function namesExactly(machine: AnyStateMachine, snapshot: Snapshot, event: ChartEvent): boolean {
  // Guards are user code, and most charts do not name the event at all.
  if (!snapshot._nodes.some((node: AnyStateNode) => node.transitions.has(event.type))) return false
  try {
    const selected = machine.getTransitionData(snapshot as never, event as never)
    return selected.length > 0 && selected.every((transition) => transition.eventType === event.type)
  } catch {
    // The guard throws: the move itself will end the job with that error.
    return true
  }
}

function meaningOf(nodes: readonly AnyStateNode[]): Meaning {
  const deepestFirst = [...nodes].sort((a, b) => b.path.length - a.path.length || a.order - b.order)
  const labelled = deepestFirst.find((node) => typeof node.meta?.status === 'string')
  const leaves = nodes.filter((node) => node.type === 'atomic' || node.type === 'final')
  const keys = [...leaves].sort((a, b) => a.order - b.order).map((node) => node.key)
  return {
    label: labelled === undefined ? keys.join(' + ') || nodes[0]?.key || '' : String(labelled.meta.status),
    tags: new Set(nodes.flatMap((node) => node.tags)),
  }
}
