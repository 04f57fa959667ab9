/**
 * Computes the transitions of jobs.
 *
 * A job is not a live actor. For a transition, its stored snapshot is restored, XState computes the next snapshot, and
 * the machine's actions come back as data:
 *
 * ```
 *  stored snapshot ── restore ── machine.transition(snapshot, event, scope) ── next snapshot + actions (data)
 * ```
 *
 * If a guard, an `assign`, an input or an output throws, that job ends with the error. The error affects no other job.
 */
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import type {
  Chart,
  ChartEvent,
  ChartScope,
  ChartSnapshot,
  RefTo,
  ResumedState,
  Standing,
  StateInfo,
  TransitionResult,
} from './chart.ts'
import { readActions } from './chart-action.ts'
import { withError } from './error-event.ts'
import { revivedCopy, storedCopy } from './references.ts'
import { type Json, jsonCopy } from './storable.ts'
import { ALONE, hasTransitionFor, InertMachine, type LiveSnapshot, nodesOf } from './xstate-internals.ts'

/** The most states per machine whose snapshot and info are cached. */
const STATES_MAX = 1_000

/** Prepares a machine for the transitions of its jobs. The machine itself is not changed. */
export function createChart(source: AnyStateMachine): Chart {
  return new MachineChart(source)
}

class MachineChart implements Chart {
  readonly invokes: ReadonlyMap<string, string>
  readonly hasAccepts: boolean
  readonly #machine: InertMachine
  readonly #nodesById: ReadonlyMap<string, AnyStateNode>
  readonly #bases = new Map<string, LiveSnapshot>()
  readonly #infos = new Map<string, StateInfo>()

  constructor(source: AnyStateMachine) {
    this.#machine = new InertMachine(source)
    this.#nodesById = new Map(this.#machine.nodes.map((node) => [node.id, node]))
    this.invokes = this.#machine.invokes
    this.hasAccepts = this.#machine.nodes.some((node) => acceptsOf(node).length > 0)
  }

  start(input: unknown, scope = ALONE): TransitionResult {
    this.#machine.scope.enter(scope)
    // The input of a child job came from its parent's machine, so references in it are restored.
    const given = this.#own(input as Json, scope.parentInvoke !== undefined)
    const before = { state: {}, context: {} }
    try {
      return this.#result(undefined, this.#machine.initial(given), before, scope, true)
    } catch (error) {
      return ended(before, infoOf([this.#machine.root]), error)
    }
  }

  transition(snapshot: ChartSnapshot, event: ChartEvent, scope = ALONE, isSent = false): TransitionResult {
    return this.#take(snapshot, event, scope, false, isSent ? this.#sent : ownEvent)
  }

  transitionIfNamed(snapshot: ChartSnapshot, event: ChartEvent, scope = ALONE): TransitionResult {
    return this.#take(snapshot, event, scope, true, ownEvent)
  }

  canHandle(snapshot: ChartSnapshot, event: ChartEvent, scope = ALONE): boolean {
    return this.#take(snapshot, event, scope, false, asItIs).handled
  }

  isNamed(eventType: string): boolean {
    return this.#machine.nodes.some(({ transitions }) => transitions.has(eventType))
  }

  resumed(snapshot: ChartSnapshot, scope = ALONE): ResumedState {
    const { context } = this.#restore(snapshot, scope)
    // The base snapshot has no context. Its status, state value and nodes suffice here.
    const base = this.#base(snapshot.state)
    if (base.status !== 'active') throw new Error(`${JSON.stringify(snapshot.state)} is a final state`)
    const state = base.value
    const inert = this.#machine.scope
    inert.enter(scope)
    const initial = this.#machine.standing(state, context)
    if (initial.status === 'error') throw initial.error
    const actions = readActions(inert, scope.nextInvocation, false)
    return { snapshot: { ...snapshot, state }, info: this.#info(base), actions }
  }

  info({ state }: ChartSnapshot): StateInfo {
    return this.#info(this.#base(state))
  }

  liveSnapshot({ state, context, status, output, error, children }: Standing, refTo: RefTo): unknown {
    const live = {
      status,
      value: jsonCopy(state),
      context: revivedCopy(context, refTo),
      ...(output === undefined ? {} : { output: revivedCopy(output, refTo) }),
      ...(error === undefined ? {} : { error }),
    }
    const { toJSON, ...base } = this.#base(state) as LiveSnapshot & { readonly toJSON?: unknown }
    // Not enumerable, so that a copy has only plain data: chart code may keep the copy in its context.
    for (const [key, value] of Object.entries(base)) {
      if (!Object.hasOwn(live, key)) Object.defineProperty(live, key, { value, configurable: true })
    }
    // Computed on demand: most code never reads the children, and there may be thousands.
    const refs = () => Object.fromEntries(children().map(({ id, path }) => [id, refTo(path, id)]))
    return Object.defineProperty(live, 'children', { get: refs })
  }

  #take(
    snapshot: ChartSnapshot,
    event: ChartEvent,
    scope: ChartScope,
    isNamed: boolean,
    own: (event: ChartEvent, scope: ChartScope) => ChartEvent,
  ): TransitionResult {
    let from: LiveSnapshot
    try {
      // Checked first, because most charts name no event about execution. Then no snapshot is restored and no guard
      // runs.
      if (isNamed && !this.#mayName(snapshot, event)) return this.#unhandled(snapshot)
      from = this.#restore(snapshot, scope)
    } catch (error) {
      // The machine does not know this state. The state was probably renamed without a new version.
      return ended(snapshot, NOWHERE, error)
    }
    try {
      const taken = this.#machine.take(from, own(event, scope), isNamed)
      if (taken === undefined) return this.#unhandled(snapshot)
      return this.#result(from, taken.next, snapshot, scope, taken.isTaken)
    } catch (error) {
      // The machine threw before it had a next snapshot: the job ends in its old state.
      return ended(snapshot, this.#info(from), error)
    }
  }

  // The event as the machine's code gets it: with live references, errors and child snapshots in place of the stored
  // ones. It is a copy, because that code may change it, and the caller stores the original.
  readonly #sent = (event: ChartEvent, { children }: ChartScope): ChartEvent => {
    const { refTo } = this.#machine.scope.turn
    const child = event.type.startsWith(SNAPSHOT) ? children.byId(event.type.slice(SNAPSHOT.length)) : undefined
    if (child?.liveOf !== undefined) return { ...event, snapshot: child.liveOf(event.snapshot as Json, refTo) }
    return withError(revivedCopy(event as unknown as Json, refTo) as ChartEvent)
  }

  #mayName({ state }: ChartSnapshot, { type }: ChartEvent): boolean {
    return hasTransitionFor(this.#base(state), type)
  }

  #unhandled(snapshot: ChartSnapshot): TransitionResult {
    return { handled: false, moved: false, snapshot, info: this.info(snapshot), actions: [], created: 0 }
  }

  #result(
    from: LiveSnapshot | undefined,
    next: LiveSnapshot,
    before: ChartSnapshot,
    scope: ChartScope,
    isTaken: boolean,
  ): TransitionResult {
    const inert = this.#machine.scope
    const moved = next !== from
    const handled = moved || isTaken || inert.captured.length > 0
    const actions = readActions(inert, scope.nextInvocation, next.status !== 'active')
    const rest = this.#outcome(next, from, before)
    return { handled, moved, info: this.#info(next), ...rest, actions, created: inert.created.length }
  }

  #outcome(
    next: LiveSnapshot,
    from: LiveSnapshot | undefined,
    before: ChartSnapshot,
  ): Pick<TransitionResult, 'snapshot' | 'end'> {
    const snapshot = this.#stored(next, from, before)
    if (next.status === 'active') return { snapshot }
    if (next.status !== 'done') return { snapshot, end: { kind: 'error', error: next.error } }
    if (next.output === undefined) return { snapshot, end: { kind: 'done' } }
    const { value: output } = storedCopy(next.output, 'output')
    return { snapshot, end: { kind: 'done', output } }
  }

  #stored(next: LiveSnapshot, from: LiveSnapshot | undefined, before: ChartSnapshot): ChartSnapshot {
    const history = Object.entries(next.historyValue ?? {})
    const historyValue = Object.fromEntries(history.map(([id, nodes]) => [id, nodes.map((node) => node.id)]))
    return {
      state: next.value,
      ...(next.context === from?.context ? contextOf(before) : this.#storedContext(next.context)),
      ...(history.length === 0 ? {} : { historyValue }),
    }
  }

  #storedContext(context: unknown): Pick<ChartSnapshot, 'context' | 'hasRefs'> {
    const { value, hasRefs } = storedCopy(context, 'context')
    return { context: value, ...(hasRefs ? { hasRefs } : {}) }
  }

  #restore(snapshot: ChartSnapshot, scope: ChartScope): LiveSnapshot {
    const inert = this.#machine.scope
    inert.enter(scope)
    const from = {
      ...this.#base(snapshot.state),
      status: 'active',
      context: this.#own(snapshot.context, snapshot.hasRefs === true),
      children: inert.children,
      historyValue: snapshot.historyValue === undefined ? {} : this.#history(snapshot.historyValue),
    } as const
    inert.show(from)
    return from
  }

  #history(stored: NonNullable<ChartSnapshot['historyValue']>): LiveSnapshot['historyValue'] {
    const known = Object.entries(stored).flatMap(([id, ids]) => {
      const nodes = ids.flatMap((each) => this.#nodesById.get(each) ?? [])
      // If none of these nodes exists any more, the history is dropped: an empty history would lead to no state.
      return nodes.length === 0 ? [] : [[id, nodes] as const]
    })
    return Object.fromEntries(known)
  }

  #own(value: Json, hasRefs: boolean): unknown {
    return hasRefs ? revivedCopy(value, this.#machine.scope.turn.refTo) : jsonCopy(value)
  }

  #base(state: Json): LiveSnapshot {
    return remembered(this.#bases, state, () => this.#machine.base(state))
  }

  #info(snapshot: LiveSnapshot): StateInfo {
    return remembered(this.#infos, snapshot.value, () => infoOf(nodesOf(snapshot)))
  }
}

// Copies the event, because the machine's code may change its copy, and the caller stores the original.
function ownEvent(event: ChartEvent): ChartEvent {
  return withError(jsonCopy(event as unknown as Json) as unknown as ChartEvent)
}

// Returns the event itself. A copy is not needed, because the event is only tested and nothing of it is kept.
function asItIs(event: ChartEvent): ChartEvent {
  return event
}

/** The beginning of the type of XState's snapshot events. The id of the actor follows it. */
const SNAPSHOT = 'xstate.snapshot.'

const NOWHERE: StateInfo = { label: '', tags: new Set(), accepts: new Set() }

function ended(snapshot: ChartSnapshot, info: StateInfo, error: unknown): TransitionResult {
  return { handled: true, moved: true, snapshot, info, end: { kind: 'error', error }, actions: [], created: 0 }
}

function contextOf({ context, hasRefs }: ChartSnapshot): Pick<ChartSnapshot, 'context' | 'hasRefs'> {
  return hasRefs === true ? { context, hasRefs } : { context }
}

function remembered<Value>(known: Map<string, Value>, state: Json, compute: () => Value): Value {
  // The `=` marks the name of a state. So the key differs from the JSON text of an object, which never begins with `=`.
  const key = typeof state === 'string' ? `=${state}` : JSON.stringify(state)
  const found = known.get(key)
  if (found !== undefined) return found
  if (known.size >= STATES_MAX) known.clear()
  const value = compute()
  known.set(key, value)
  return value
}

function infoOf(nodes: readonly AnyStateNode[]): StateInfo {
  const deepestFirst = [...nodes].sort((a, b) => b.path.length - a.path.length || a.order - b.order)
  const labelled = deepestFirst.find((node) => typeof node.meta?.status === 'string')
  const leaves = nodes.filter((node) => node.type === 'atomic' || node.type === 'final')
  const keys = [...leaves].sort((a, b) => a.order - b.order).map((node) => node.key)
  const label = labelled === undefined ? keys.join(' + ') || nodes[0]?.key || '' : String(labelled.meta.status)
  // The name of a state may contain half a surrogate pair. No storage can keep that, so it is replaced in the label.
  return {
    label: label.toWellFormed(),
    tags: new Set(nodes.flatMap((node) => node.tags)),
    accepts: new Set(nodes.flatMap(acceptsOf)),
  }
}

/** The `meta.accepts` of a state: commands that need no transition there. */
function acceptsOf({ meta }: AnyStateNode): readonly string[] {
  const accepts: unknown = meta?.accepts
  return Array.isArray(accepts) ? accepts.map(String) : []
}
