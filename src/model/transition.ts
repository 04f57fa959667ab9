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
 * the scope's executor only writes down what it is given. That is why a transition costs microseconds. A machine that
 * uses system ids gets a scope for each move, since an id can be registered once.
 *
 * A throw in a guard, an `assign`, an input or an output ends that job alone, as an error; it never escapes.
 */
import type { AnyMachineSnapshot, AnyStateMachine, AnyStateNode, EventObject } from 'xstate'
import { type ChartAction, readActions } from './chart-action.ts'
import { withError } from './error-event.ts'
import { standingMachine, stateNodes, withInertActors } from './inert-machine.ts'
import { ChildRef, type CreatedActor, InertScope, PARENT, type Self } from './inert-scope.ts'
import { KIN, persistRefs, reviveRefs } from './references.ts'
import { isRememberable, RememberedChart } from './remembered-chart.ts'
import { type Json, storableCopy } from './storable.ts'

export type { Address, ChartAction } from './chart-action.ts'

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
  /** The context holds references to children, which are made alive again before a move. */
  readonly hasRefs?: boolean
}

/** How a chart ended: by its final state, or by an error that nothing in it took. */
export type ChartEnd =
  | { readonly kind: 'done'; readonly output?: Json }
  | { readonly kind: 'error'; readonly error: unknown }

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
  /** Children that were created: entries are numbered from the one that was given. */
  readonly created: number
}

/** A child that stands in the job's row: enough for a machine to address it. */
export interface Child {
  readonly id: string
  readonly src: string
  readonly invocation: number
  readonly systemId?: string
  /** The state of a child that is transition logic. */
  readonly snapshot?: Json
  /** Where a child job stands, for a guard that asks. */
  readonly look?: () => unknown
}

/** Whose move it is. */
export interface Origin {
  /** Those that the chart has not left. */
  readonly children: readonly Child[]
  /** The number that the next created child gets. */
  readonly nextInvocation: number
  /** For a child job: the id of its invoke. `sendParent` throws without one. */
  readonly parentInvoke?: string
}

/** A machine, ready to move jobs. */
export interface Chart {
  /** The ids of the machine's invokes. */
  readonly invokes: ReadonlySet<string>
  /** The first move: entry actions, the first tasks and timers. */
  start(input: unknown, origin?: Origin): Move
  /** Moves from `place` by `event`. */
  move(place: Place, event: ChartEvent, origin?: Origin): Move
  /** A transition enabled in `place` names exactly this event type, not a wildcard. */
  names(place: Place, event: ChartEvent, origin?: Origin): boolean
  /**
   * What a job that stands in `place`, wherever it came from, has running there: each invoke as a start, each `after` as
   * a delayed send to itself. Nothing is moved.
   *
   * @throws whatever the machine throws: the place is none of its own, or an input cannot be made of its context.
   */
  standing(place: Place, origin?: Origin): Standing
  /** What a place means. */
  meaning(place: Place): Meaning
  /** The snapshot of a job that stands in `place`, for whoever looks at it: with `matches` and `hasTag`, without children. */
  look(place: Place): unknown
}

/** A place as the machine sees it, and what runs there. */
export interface Standing {
  /** Its state completed: XState enters the first substate of what was not said. */
  readonly place: Place
  readonly meaning: Meaning
  readonly actions: readonly ChartAction[]
}

/** A cycle of `always` or `raise` ends as an error of its job after so many microsteps, unless the machine says otherwise. */
const MICROSTEPS_MAX = 10_000

/** Places whose snapshot and meaning are kept ready, for each machine. */
const PLACES_MAX = 1_000

/** A new job has no children. */
const ALONE: Origin = { children: [], nextInvocation: 1 }

type Snapshot = AnyMachineSnapshot

/** Makes a machine ready to move jobs. The machine itself is not changed. */
export function createChart(source: AnyStateMachine): Chart {
  const chart = new MachineChart(source)
  return isRememberable(source) ? new RememberedChart(chart, source) : chart
}

class MachineChart implements Chart {
  readonly invokes: ReadonlySet<string>
  readonly #machine: AnyStateMachine
  readonly #nodesById: ReadonlyMap<string, AnyStateNode>
  readonly #places = new Map<string, Snapshot>()
  readonly #meanings = new Map<string, Meaning>()
  #scope: InertScope
  #usesSystemIds = false

  constructor(source: AnyStateMachine) {
    const created = (actor: CreatedActor) => {
      // At once: a move that fails later has registered the id as well.
      this.#usesSystemIds ||= actor.ref.systemId !== undefined
      this.#scope.create(actor)
    }
    this.#machine = withInertActors(source, created)
    if (this.#machine.options.maxIterations === Number.POSITIVE_INFINITY) {
      this.#machine.options.maxIterations = MICROSTEPS_MAX
    }
    this.#scope = new InertScope(source.id)
    const nodes = stateNodes(this.#machine.root)
    this.#nodesById = new Map(nodes.map((node) => [node.id, node]))
    this.invokes = new Set(nodes.flatMap((node) => node.invoke.map(({ id }) => id)))
  }

  start(input: unknown, origin = ALONE): Move {
    const scope = this.#enter(origin, [])
    // A child may have been given its parent.
    const given = origin.parentInvoke === undefined ? input : reviveRefs(input, (id) => this.#kinOf(id) ?? goneRef(id))
    const begin = () => this.#machine.getInitialSnapshot(scope as never, given as never) as Snapshot
    return this.#run(undefined, begin, { state: {}, context: {} }, origin)
  }

  move(place: Place, event: ChartEvent, origin = ALONE): Move {
    let from: Snapshot
    try {
      from = this.#restore(place, origin)
    } catch (error) {
      // A state that the machine does not know: it was renamed without a new version.
      return ended(place, NOWHERE, error)
    }
    const taken = withError(event) as EventObject
    const step = () => this.#machine.transition(from, taken, this.#scope as never) as Snapshot
    const move = this.#run(from, step, place, origin)
    // One that leads to where the chart stands leaves no trace of itself: only the machine can tell that it was taken.
    return move.handled ? move : { ...move, handled: isTaken(this.#machine, from, taken) }
  }

  names(place: Place, event: ChartEvent, origin = ALONE): boolean {
    try {
      // Guards are user code, and most charts do not name the event at all.
      if (!this.#base(place.state)._nodes.some((node: AnyStateNode) => node.transitions.has(event.type))) return false
      return namesExactly(this.#machine, this.#restore(place, origin), event)
    } catch {
      // A guard threw, or the place cannot be restored: the move itself will end the job with that error.
      return true
    }
  }

  standing(place: Place, origin = ALONE): Standing {
    const { context } = this.#restore(place, origin)
    // Where it leads is not asked: the spread of a restored snapshot has no more of a snapshot than its data.
    const base = this.#base(place.state)
    if (base.status !== 'active') throw new Error(`${JSON.stringify(place.state)} is a final state`)
    const state = base.value as Json
    const machine = standingMachine(this.#machine, state)
    const scope = this.#enter(origin, [])
    scope.self._snapshot = undefined
    const standing = machine.getInitialSnapshot(scope as never, context as never) as Snapshot
    if (standing.status === 'error') throw standing.error
    return { place: { ...place, state }, meaning: this.#meaning(base), actions: readActions(scope, origin) }
  }

  meaning({ state }: Place): Meaning {
    return this.#meaning(this.#base(state))
  }

  look({ state, context }: Place): unknown {
    return { ...this.#base(state), status: 'active', context, children: {} }
  }

  #enter(origin: Origin, refs: readonly ChildRef[]): InertScope {
    this.#usesSystemIds ||= origin.children.some(({ systemId }) => systemId !== undefined)
    if (this.#usesSystemIds) this.#scope = new InertScope(this.#machine.id)
    const self: Self = origin.parentInvoke === undefined ? {} : { parentInvoke: origin.parentInvoke }
    this.#scope.enter(self, refs, origin.nextInvocation)
    return this.#scope
  }

  #run(from: Snapshot | undefined, compute: () => Snapshot, place: Place, origin: Origin): Move {
    const scope = this.#scope
    scope.self._snapshot = from
    try {
      const next = compute()
      const moved = next !== from
      const handled = moved || scope.captured.length > 0
      const actions = readActions(scope, origin)
      const rest = outcome(next, from, place, (ref) => this.#idOf(ref))
      return { handled, moved, meaning: this.#meaning(next), ...rest, actions, created: scope.created.length }
    } catch (error) {
      // The machine threw before it had a next snapshot: the job stays where it was, and ends there.
      return ended(place, from === undefined ? meaningOf([this.#machine.root]) : this.#meaning(from), error)
    }
  }

  #restore(place: Place, origin: Origin): Snapshot {
    const refs = origin.children.map((child) => new ChildRef(child))
    this.#enter(origin, refs)
    const children: { [id: string]: ChildRef } = Object.fromEntries(refs.map((ref) => [ref.id, ref]))
    // A machine may keep a reference to a child that it has stopped, and send to it in vain.
    const refOf = (id: string) =>
      this.#kinOf(id) ?? (Object.hasOwn(children, id) ? children[id] : undefined) ?? goneRef(id)
    const history = Object.entries(place.historyValue ?? {}).flatMap(([id, ids]) => {
      const nodes = ids.flatMap((known) => this.#nodesById.get(known) ?? [])
      // None of it is there any more: nothing is remembered, and a history that led to no state would be left without one.
      return nodes.length === 0 ? [] : [[id, nodes] as const]
    })
    return {
      ...this.#base(place.state),
      status: 'active',
      context: place.hasRefs === true ? reviveRefs(place.context, refOf) : place.context,
      children,
      historyValue: Object.fromEntries(history),
      // The spread of a machine snapshot, its children replaced by what an inert scope needs of them.
    } as unknown as Snapshot
  }

  #kinOf(id: string): object | undefined {
    if (id === KIN.self) return this.#scope.self
    return id === KIN.parent ? PARENT : undefined
  }

  #idOf(ref: { readonly id: string }): string {
    if (ref === this.#scope.self) return KIN.self
    return Object.is(ref, PARENT) ? KIN.parent : ref.id
  }

  #base(state: Json): Snapshot {
    const compute = () => {
      const base = this.#machine.resolveState({ value: state as never, context: {} }) as Snapshot
      // XState lists them by depth, and takes the eventless transitions of several regions in the order of this list.
      return { ...base, _nodes: [...base._nodes].sort((a, b) => a.order - b.order) } as Snapshot
    }
    return remembered(this.#places, JSON.stringify(state), compute)
  }

  #meaning(snapshot: Snapshot): Meaning {
    return remembered(this.#meanings, JSON.stringify(snapshot.value), () => meaningOf(snapshot._nodes))
  }
}

/** No child has this invocation: what is sent to it reaches nobody. */
const GONE = 0

function goneRef(id: string): ChildRef {
  return new ChildRef({ id, src: '', invocation: GONE })
}

const NOWHERE: Meaning = { label: '', tags: new Set() }

function ended(place: Place, meaning: Meaning, error: unknown): Move {
  return { handled: true, moved: true, place, meaning, end: { kind: 'error', error }, actions: [], created: 0 }
}

type IdOf = (ref: { readonly id: string }) => string

function outcome(next: Snapshot, from: Snapshot | undefined, place: Place, idOf: IdOf): Pick<Move, 'place' | 'end'> {
  const standing = placeOf(next, from, place, idOf)
  if (next.status === 'active') return { place: standing }
  if (next.status !== 'done') return { place: standing, end: { kind: 'error', error: next.error } }
  if (next.output === undefined) return { place: standing, end: { kind: 'done' } }
  const { value } = persistRefs(next.output, (ref) => ref.id)
  return { place: standing, end: { kind: 'done', output: storableCopy(value, 'output', true) } }
}

function placeOf(next: Snapshot, from: Snapshot | undefined, place: Place, idOf: IdOf): Place {
  const isSame = next.context === from?.context
  const persisted = isSame ? { value: place.context, hasRefs: place.hasRefs === true } : persistRefs(next.context, idOf)
  const { hasRefs } = persisted
  // Parts of it may be the sender's, the author's, or a task's, who may go on to change them.
  const context = isSame ? place.context : storableCopy(persisted.value, 'context', true)
  const history = Object.entries((next.historyValue ?? {}) as { [id: string]: readonly AnyStateNode[] })
  const historyValue = Object.fromEntries(history.map(([id, nodes]) => [id, nodes.map((node) => node.id)]))
  return {
    state: next.value as Json,
    context,
    ...(history.length === 0 ? {} : { historyValue }),
    ...(hasRefs ? { hasRefs } : {}),
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

function isTaken(machine: AnyStateMachine, snapshot: Snapshot, event: EventObject): boolean {
  const selected = machine.getTransitionData(snapshot as never, event as never)
  // One without a target forbids its event, so that no state above takes it.
  return selected.some(({ target }) => target !== undefined && target.length > 0)
}

function namesExactly(machine: AnyStateMachine, snapshot: Snapshot, event: ChartEvent): boolean {
  const selected = machine.getTransitionData(snapshot as never, event as never)
  return selected.some((transition) => transition.eventType === event.type)
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
