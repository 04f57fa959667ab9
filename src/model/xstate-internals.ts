/**
 * Everything that jobchart knows about the internals of XState.
 *
 * XState moves a machine by pure functions, but these need an actor scope: the machine's own actor, its actor system,
 * and an executor of actions. Here that scope is inert. Nothing starts, nothing is scheduled, there are no listeners.
 * What the machine asks for is recorded in order, with copies of the events it sends. One scope serves all jobs of a
 * machine; that is why a transition takes only microseconds.
 *
 * ```
 *  InertMachine ── machine.transition(snapshot, event, scope) ──▶ next snapshot
 *       │                                   │
 *       │ shares `children`                 └─ InertScope.captured: spawn, stop, send, cancel, emit, log, custom
 *       └ watches which transitions an event selects
 * ```
 *
 * - XState copies `snapshot.children` at each spawn and each stop, which takes quadratic time for many children. Here
 *   `children` is one object for the whole transition. The object shows no keys, so copying it is free. If XState adds
 *   an entry to a copy, the entry is merged into the object. The reference to a child is made when first asked for.
 * - XState calls `machine.getTransitionData` once to find the transitions that an event selects. We observe that call,
 *   because the next snapshot does not tell whether a transition without effect was taken, nor under which name.
 *
 * The suite in `test/fidelity` runs on the oldest and the newest XState of the peer range.
 */
import { type AnyStateMachine, type AnyStateNode, createActor } from 'xstate'
import type { Actor, ActorPath, Address, ChartEvent, ChartScope, ChildActor, ChildActors, RefTo } from './chart.ts'
import { inertLogic, standingMachine, stateNodes, withInertActors } from './inert-machine.ts'
import { isActorRef, isSamePath, messageOf, OWN_REFS, unsupported } from './references.ts'
import type { Json } from './storable.ts'

/**
 * The most microsteps per event. A cycle of `always` or `raise` beyond it ends its job with an error. A machine may set
 * its own bound.
 */
const MICROSTEPS_MAX = 10_000

/** XState's snapshot of a machine: the fields that are read or made here. */
export interface LiveSnapshot {
  readonly status: 'active' | 'done' | 'error' | 'stopped'
  readonly value: Json
  readonly context: unknown
  readonly output: unknown
  readonly error: unknown
  readonly children: Refs
  /** Absent if the machine threw at its start, in XState before 5.31. */
  readonly historyValue: { readonly [id: string]: readonly AnyStateNode[] } | undefined
  /** The active state nodes. */
  readonly _nodes: readonly AnyStateNode[]
}

/** A reference to an actor: XState's own, for an actor that the current transition created, or an {@link ActorRef}. */
export interface Ref {
  id: string
  readonly sessionId: string
  readonly src: unknown
  readonly systemId?: string | undefined
}

/** The active state nodes of a snapshot, in document order. */
export function nodesOf({ _nodes }: LiveSnapshot): readonly AnyStateNode[] {
  return [..._nodes].sort((a, b) => a.order - b.order)
}

/** Whether an active state has a transition for exactly this type of event. */
export function hasTransitionFor({ _nodes }: LiveSnapshot, type: string): boolean {
  return _nodes.some((node) => node.transitions.has(type))
}

interface Refs {
  readonly [id: string]: Ref
}

const ACTIVE = Object.freeze({ status: 'active', output: undefined, error: undefined })
const STOPPED = Object.freeze({ status: 'stopped', output: undefined, error: undefined })

/**
 * A reference to an actor of the tree whose state is stored in a row. Chart code may send to it, stop it if it is a
 * child, read its snapshot, and keep it. The actor is looked up on demand, because a context may hold thousands of
 * references.
 */
export class ActorRef implements Ref {
  readonly path: ActorPath
  readonly ref = this
  readonly #turn: Turn
  readonly #id: string | undefined
  #seen: unknown

  constructor(turn: Turn, path: ActorPath, id?: string) {
    this.path = path
    this.#turn = turn
    this.#id = id
  }

  get id(): string {
    return this.#id ?? this.#turn.actor(this.path)?.id ?? ''
  }

  get src(): string {
    return this.#turn.actor(this.path)?.src ?? ''
  }

  get systemId(): string | undefined {
    return this.#turn.actor(this.path)?.systemId
  }

  get sessionId(): string {
    return `path:${this.path.join('.')}`
  }

  send(event: unknown): void {
    this.#turn.send(this, event)
  }

  /** The actor's snapshot. If the actor is no longer in the tree, the snapshot only says that it was stopped. */
  getSnapshot(): unknown {
    // Cached, so that repeated calls return the same object.
    this.#seen ??= this.#turn.look(this.path) ?? STOPPED
    return this.#seen
  }
}

/**
 * The actors of the tree that chart code can use in one transition, and in the actions that run after it. Events sent
 * during the transition are captured with its other actions; events sent by an action that runs later go through
 * `tell`.
 */
export class Turn {
  #path: ActorPath | undefined
  /** The machine's own actor. References to the machine itself are this object. */
  self: object
  send: (to: object, event: unknown) => void
  readonly scope: ChartScope
  #refs: Map<string, ActorRef> | undefined

  constructor(scope: ChartScope, self: object, send: (to: object, event: unknown) => void) {
    this.scope = scope
    this.self = self
    this.send = send
  }

  /** The machine's own path. */
  get path(): ActorPath {
    this.#path ??= this.scope.path?.() ?? (this.scope.parentInvoke === undefined ? [] : [0])
    return this.#path
  }

  /** The path of a child. */
  childPath(invocation: number): ActorPath {
    return [...this.path, invocation]
  }

  /** The invocation of the actor at a path, if the actor is a child of the machine. */
  invocationOf(path: ActorPath): number | undefined {
    return path.length > 0 && isSamePath(path.slice(0, -1), this.path) ? path.at(-1) : undefined
  }

  /** The actor at a path. */
  actor(path: ActorPath): Actor | undefined {
    const invocation = this.invocationOf(path)
    const { children, actors } = this.scope
    return invocation === undefined ? actors?.at(path) : children.byInvocation(invocation)
  }

  /** The snapshot of an actor. `undefined`: it is no longer in the tree. */
  look(path: ActorPath): unknown {
    const actor = this.actor(path)
    return actor === undefined ? undefined : actor.look === undefined ? ACTIVE : actor.look(this.refTo)
  }

  get parent(): ActorRef | undefined {
    return this.scope.parentInvoke === undefined ? undefined : this.#ref(this.path.slice(0, -1))
  }

  /** See {@link RefTo}. Returns the same object during the whole transition. */
  readonly refTo: RefTo = (path, id) => {
    if (path === undefined) return this.#named(id)
    return isSamePath(path, this.path) ? this.self : this.#ref(path, id)
  }

  #named(id: string): object {
    if (id === OWN_REFS.self) return this.self
    const parent = id === OWN_REFS.parent ? this.parent : undefined
    return parent ?? this.child(id) ?? this.#ref(this.childPath(GONE), id)
  }

  /** The reference to a child, by its id. */
  child(id: string): ActorRef | undefined {
    const child = this.scope.children.byId(id)
    return child === undefined ? undefined : this.#ref(this.childPath(child.invocation), id)
  }

  #ref(path: ActorPath, id?: string): ActorRef {
    this.#refs ??= new Map()
    const key = path.join('.')
    const known = this.#refs.get(key)
    if (known !== undefined) return known
    const ref = new ActorRef(this, path, id)
    this.#refs.set(key, ref)
    return ref
  }

  /** The references to all children, by their ids. */
  children(): Refs {
    const { children } = this.scope
    return Object.fromEntries(
      children.all().map(({ id, invocation }) => [id, this.#ref(this.childPath(invocation), id)]),
    )
  }

  /** The reference to the actor with a system id. */
  ofSystemId(systemId: string): ActorRef | undefined {
    const { children, actors } = this.scope
    const child = children.bySystemId(systemId)
    const path = child === undefined ? actors?.bySystemId(systemId) : this.childPath(child.invocation)
    return path === undefined ? undefined : this.#ref(path, child?.id)
  }

  /** All system ids in the tree. */
  systemIds(): readonly string[] {
    const { children, actors } = this.scope
    return actors?.systemIds() ?? children.all().flatMap(({ systemId }) => systemId ?? [])
  }

  /** The address of a reference. @throws {JobchartError} `INVALID_DEFINITION` the actor is not in the tree. */
  addressOf(to: object): Address {
    const path = isActorRef(to) ? to.path : undefined
    if (path === undefined) throw unsupported('sendTo an actor that does not belong to the job')
    if (isSamePath(path, this.path)) return 'self'
    if (this.path.length > 0 && isSamePath(path, this.path.slice(0, -1))) return 'parent'
    return this.invocationOf(path) ?? path
  }
}

/** The invocation in references to children that are gone. No child has it, so events sent to it are dropped. */
const GONE = 0

/** An action that a machine asked for. The events in it are copies. */
export type Captured =
  /** `ref` is undefined if the machine has no logic of this name. */
  | {
      readonly kind: 'spawn'
      readonly ref: Ref | undefined
      readonly systemId: string | undefined
      readonly sync: boolean
      /** Created by `spawn` in an assign. */
      readonly isSpawned: boolean
      readonly input?: Json
    }
  | { readonly kind: 'stop'; readonly ref: unknown }
  | { readonly kind: 'raise'; readonly event: Json; readonly delay: number; readonly id: unknown }
  | {
      readonly kind: 'send'
      /** A function, because an actor that the same state starts is known only after the transition. */
      readonly to: () => unknown
      readonly event: Json
      readonly delay: unknown
      readonly id: unknown
    }
  | { readonly kind: 'cancel'; readonly id: unknown }
  | { readonly kind: 'emit'; readonly event: Json }
  | { readonly kind: 'log'; readonly label: unknown; readonly value: unknown }
  | { readonly kind: 'warn'; readonly text: string }
  | { readonly kind: 'custom'; readonly exec: Exec; readonly info: object; readonly params: unknown }

type Exec = (info: unknown, params: unknown) => unknown

/** An action as XState gives it to its executor. Types of built-in actions begin with `xstate.`. */
interface Action {
  readonly type: string
  readonly params: { [name: string]: unknown } | undefined
  readonly info: object
  readonly exec: Exec | undefined
}

interface System {
  get: (systemId: string) => Ref | undefined
  getAll: () => Refs
  _set: (systemId: string, ref: Ref) => void
  _unregister: (ref: Ref) => void
  _sendInspectionEvent: (event: { readonly type: string }) => void
}

/** XState's own actor of the machine: the fields that its transitions read. */
interface Self {
  id: string
  readonly _parent: unknown
  readonly _snapshot: unknown
}

/** Stands for spawned logic without a name, which is refused: it could not be found again after a crash. */
const NAMELESS: Ref = Object.freeze({ id: 'inline logic', sessionId: '', src: undefined })

/** The scope of a new job: no children and no parent. */
export const ALONE: ChartScope = { children: listed([]), nextInvocation: 1 }

/**
 * Finds children in a list. The list should be short, because each search goes through it. If several children have the
 * same id, the last one counts.
 */
export function listed(list: readonly ChildActor[]): ChildActors {
  return {
    byId: (id) => list.findLast((child) => child.id === id),
    byInvocation: (invocation) => list.find((child) => child.invocation === invocation),
    bySystemId: (systemId) => list.findLast((child) => child.systemId === systemId),
    all: () => list,
  }
}

/**
 * The actor scope that XState needs for a transition. It records the actions that the machine asks for and runs none of
 * them. It is used for one transition after the other.
 */
export class InertScope {
  readonly id: string
  readonly sessionId: string
  readonly self: Self
  readonly system: System
  /** The actions of the current transition. */
  captured: Captured[] = []
  /** The actors that the current transition created. */
  created: Ref[] = []
  /** `snapshot.children` of the current transition: it returns each child, but lists no keys. */
  readonly children: Refs
  /** The actors that the machine's code can use now. */
  turn: Turn
  readonly #machineId: string
  readonly #inputs = new Map<Ref, unknown>()
  /** Children that the current transition has started or stopped. */
  readonly #changed = new Map<string, Ref | undefined>()
  readonly #systemIds = new Map<string, Ref | undefined>()
  // Before XState 5.21, actors do not know their own system id.
  readonly #systemIdOf = new Map<Ref, string>()
  #before: LiveSnapshot | undefined
  #shown: LiveSnapshot | undefined
  #unstarted: Ref | undefined
  readonly #microstepsMax: number
  #microsteps = 0

  constructor(machineId: string, microstepsMax = Number.POSITIVE_INFINITY) {
    this.#microstepsMax = microstepsMax
    const logic = { transition: () => ACTIVE, getInitialSnapshot: () => ACTIVE, getPersistedSnapshot: () => ACTIVE }
    // A real actor, because machines may pass it on; but it is never started.
    const self = createActor(logic as never, { id: machineId } as never)
    this.#machineId = machineId
    this.id = machineId
    this.sessionId = self.sessionId
    Object.defineProperties(self, {
      _snapshot: { get: () => this.snapshot, set: () => {} },
      _parent: { get: () => this.turn.parent },
      path: { get: () => this.turn.path },
      send: { value: (event: unknown) => this.turn.send(self, event) },
    })
    this.self = self as unknown as Self
    this.turn = this.#turnOf(ALONE)
    this.system = self.system as unknown as System
    this.#takeOver(this.system)
    const shared = { get: (_: object, id: string | symbol) => (typeof id === 'string' ? this.child(id) : undefined) }
    this.children = new Proxy({}, shared)
  }

  // Lets XState's system find actors by the system ids of the tree and of the current transition.
  #takeOver(system: System): void {
    const known = (systemId: string): Ref | undefined =>
      this.#systemIds.has(systemId) ? this.#systemIds.get(systemId) : this.turn.ofSystemId(systemId)
    system.get = known
    system.getAll = () => {
      const ids = new Set([...this.turn.systemIds(), ...this.#systemIds.keys()])
      return Object.fromEntries([...ids].flatMap((id) => [[id, known(id)] as const].filter(isKnown)))
    }
    system._set = (systemId, ref) => {
      const existing = known(systemId)
      if (existing !== undefined && existing !== ref) {
        throw new Error(`Actor with system ID '${systemId}' already exists.`)
      }
      this.#systemIds.set(systemId, ref)
      this.#systemIdOf.set(ref, systemId)
    }
    // XState reports each microstep here.
    system._sendInspectionEvent = ({ type }) => {
      if (type !== '@xstate.microstep' || ++this.#microsteps <= this.#microstepsMax) return
      throw new Error(`Infinite loop detected: one event led to more than ${this.#microstepsMax} microsteps`)
    }
    system._unregister = (ref) => {
      const systemId = this.#systemIdOf.get(ref) ?? ref.systemId
      if (systemId !== undefined && known(systemId) === ref) this.#systemIds.set(systemId, undefined)
    }
  }

  #turnOf(scope: ChartScope): Turn {
    const { captured } = this
    return new Turn(scope, this.self, (to, event) => {
      captured.push({ kind: 'send', to: () => to, event: eventOf(event), delay: undefined, id: undefined })
    })
  }

  /**
   * Resets this object for the next transition.
   *
   * @param scope  what that transition can see of its job and of the job's tree.
   */
  enter(scope: ChartScope): void {
    this.captured = []
    this.created = []
    this.turn = this.#turnOf(scope)
    this.#inputs.clear()
    this.#changed.clear()
    this.#systemIds.clear()
    this.#systemIdOf.clear()
    this.#before = undefined
    this.#shown = undefined
    this.#unstarted = undefined
    this.#microsteps = 0
    this.self.id = scope.parentInvoke ?? this.#machineId
  }

  /** Sets the snapshot that `self.getSnapshot()` returns from now on. It includes all children. */
  show(before: LiveSnapshot | undefined): void {
    this.#before = before
    this.#shown = undefined
  }

  /** The value of `self.getSnapshot()`. It includes children that the current transition has stopped. */
  get snapshot(): unknown {
    if (this.#before === undefined) return undefined
    this.#shown ??= { ...this.#before, children: this.turn.children() }
    return this.#shown
  }

  /**
   * The objects for a custom action, made when the transition is computed. The action runs later, when this scope
   * already serves other jobs.
   */
  later(): { readonly turn: Turn; readonly self: object; readonly system: object } {
    const [before, { turn }] = [this.#before, this]
    const own = {
      id: { value: this.self.id },
      path: { get: () => turn.path },
      _parent: { get: () => turn.parent },
      send: { value: (event: unknown) => turn.send(self, event) },
      getSnapshot: { value: () => before && { ...before, children: turn.children() } },
    }
    const self = Object.create(this.self, own) as object
    const get = (systemId: string) => turn.ofSystemId(systemId)
    return { turn, self, system: Object.create(this.system, { get: { value: get } }) as object }
  }

  /** The reference to a child, by its id. It is the same object during the whole transition. */
  child(id: string): Ref | undefined {
    return this.#changed.has(id) ? this.#changed.get(id) : this.turn.child(id)
  }

  /**
   * Records a child that the machine has just created. A child without an id gets an id that would be the same in a
   * replay.
   */
  create(ref: Ref, input: unknown): void {
    const { turn } = this
    const invocation = turn.scope.nextInvocation + this.created.length
    if (ref.id === ref.sessionId) ref.id = `${String(ref.src)}:${invocation}`
    // XState's own actor for the child is never started. Events sent to it are captured, and its state is looked up
    // when an action reads it.
    Object.defineProperties(ref, {
      path: { get: () => turn.childPath(invocation) },
      send: { value: (event: unknown) => turn.send(ref, event) },
      getSnapshot: { value: () => turn.look(turn.childPath(invocation)) ?? ACTIVE },
    })
    this.created.push(ref)
    this.#inputs.set(ref, input)
    this.#unstarted = ref
  }

  readonly logger = (): void => {}
  readonly emit = (): void => {}
  readonly stopChild = (): void => {}

  /** XState calls this for `spawn` in an assign, to start the actor that it has just created. */
  readonly defer = (): void => {
    this.spawn(this.#unstarted ?? NAMELESS, true)
  }

  /** Records that an actor starts. */
  spawn(ref: Ref | undefined, isSpawned = false): void {
    this.#unstarted = undefined
    const input = ref === undefined ? undefined : this.#inputs.get(ref)
    const own = input === undefined ? {} : { input: messageOf(input, `input of "${ref?.id}"`) }
    const sync = (ref as { readonly _syncSnapshot?: unknown } | undefined)?._syncSnapshot === true
    const systemId = ref === undefined ? undefined : this.#systemIdOf.get(ref)
    this.captured.push({ kind: 'spawn', ref, systemId, sync, isSpawned, ...own })
  }

  /** Records that an actor stops. From then on its system id is free, even within the transition. */
  stop(ref: unknown): void {
    this.captured.push({ kind: 'stop', ref })
    if (ref !== undefined) this.system._unregister(ref as Ref)
  }

  // Not readonly: XState replaces the executor during a microstep and restores it.
  actionExecutor = (action: Action): void => {
    const { type, params = {}, info, exec } = action
    switch (type) {
      case 'xstate.spawnChild':
        this.spawn(params.actorRef as Ref | undefined)
        return
      case 'xstate.stopChild':
        this.stop(action.params)
        return
      case 'xstate.raise':
        // A raise without a delay is handled within the transition.
        if (typeof params.delay === 'number') this.captured.push({ kind: 'raise', ...this.#sent(params, params.delay) })
        return
      case 'xstate.sendTo':
        this.captured.push({ kind: 'send', to: () => params.to, ...this.#sent(params, params.delay) })
        return
      case 'xstate.cancel':
        this.captured.push({ kind: 'cancel', id: params.sendId })
        return
      case 'xstate.emit':
        this.captured.push({ kind: 'emit', event: messageOf(params.event, 'emit') })
        return
      case 'xstate.log':
        this.captured.push({ kind: 'log', label: params.label, value: params.value })
        return
      default:
        if (exec !== undefined) this.captured.push({ kind: 'custom', exec, info, params: action.params })
    }
  }

  #sent<Delay>({ event, id }: { [name: string]: unknown }, delay: Delay) {
    // Copied at once, because the machine may change the event after sending it.
    return { event: messageOf(event, 'event'), delay, id }
  }

  /** Logs that `sendTo` found no actor: XState then sends to the machine itself. */
  warnOfNobody({ event }: { readonly event: { readonly type: string } }): void {
    const text = `warning: sendTo found no actor for "${event.type}", which went to the machine itself`
    this.captured.push({ kind: 'warn', text })
  }

  /**
   * Runs the resolver of a built-in action with the shared object of children. If the resolver returns a copy with
   * other children, they are merged into the shared object.
   */
  resolved(snapshot: LiveSnapshot, isStop: boolean, resolve: (snapshot: LiveSnapshot) => Resolved): Resolved {
    const [next, params, actions] = resolve(this.shared(snapshot))
    const more = actions?.map(sharing)
    if (next.children === this.children) return [next, params, more]
    if (isStop) this.#changed.set((params as Ref).id, undefined)
    return [this.shared(next), params, more]
  }

  /** The snapshot with the shared children in place of its own. */
  shared(snapshot: LiveSnapshot): LiveSnapshot {
    if (snapshot.children === this.children) return snapshot
    for (const ref of Object.values(snapshot.children)) this.#changed.set(ref.id, ref)
    return { ...snapshot, children: this.children }
  }

  /** Adds a new child, so that the machine finds it by its id. */
  adopt(ref: Ref): void {
    this.#changed.set(ref.id, ref)
  }

  /** Hides a stopped child, so that the machine no longer finds it by its id. */
  forget(id: string): void {
    this.#changed.set(id, undefined)
  }
}

function eventOf(event: unknown): Json {
  if (typeof event === 'object' && event !== null) return messageOf(event, 'event')
  throw new Error(`only an object with a type can be sent as an event; found ${typeof event}`)
}

function isKnown<Key>(entry: readonly [Key, Ref | undefined]): entry is readonly [Key, Ref] {
  return entry[1] !== undefined
}

/**
 * The result of a resolver: the next snapshot, the parameters with which the action is executed, and further actions
 * that the action asks for.
 */
type Resolved = readonly [LiveSnapshot, unknown, readonly unknown[] | undefined]

type Resolve = (scope: InertScope, snapshot: LiveSnapshot, ...rest: readonly unknown[]) => Resolved

/** A built-in action of XState: a function that has its settings and its resolver as properties. */
interface Builtin {
  readonly type: string
  readonly resolve: Resolve
}

const COPY_CHILDREN: ReadonlySet<string> = new Set([
  'xstate.spawnChild',
  'xstate.stopChild',
  'xstate.assign',
  'xstate.enqueueActions',
])

/**
 * Wraps a built-in action that copies `snapshot.children`, so that it uses the shared object of children. Returns other
 * actions unchanged.
 */
function sharing(action: unknown): unknown {
  if (typeof action !== 'function' || !('resolve' in action)) return action
  const { type, resolve } = action as unknown as Builtin
  if (type === 'xstate.sendTo' && 'to' in action && typeof action.to === 'function') return warning(action, resolve)
  if (!COPY_CHILDREN.has(type)) return action
  const shared: Resolve = (scope, snapshot, ...rest) =>
    scope.resolved(snapshot, type === 'xstate.stopChild', (own) => resolve(scope, own, ...rest))
  return builtin({ ...action, resolve: shared })
}

/** Wraps a `sendTo` action, so that it logs a warning if it finds no actor. */
function warning(action: object, resolve: Resolve): unknown {
  const warned: Resolve = (scope, snapshot, args, params, settings, ...rest) => {
    let isMissing = false
    const { to } = settings as { readonly to: (...given: unknown[]) => unknown }
    const found = (...given: unknown[]) => {
      const target = to(...given)
      isMissing = target === undefined || target === null
      return target
    }
    const resolved = resolve(scope, snapshot, args, params, { ...(settings as object), to: found }, ...rest)
    if (isMissing) scope.warnOfNobody(resolved[1] as { readonly event: { readonly type: string } })
    return resolved
  }
  return builtin({ ...action, resolve: warned })
}

function builtin(settings: object): unknown {
  return Object.assign(() => {}, settings)
}

interface InvokeDefinition {
  readonly id: string
  readonly src: string
  readonly systemId?: string
  readonly input?: unknown
  readonly onSnapshot?: unknown
}

/** Starts all invokes of a state by one action. */
function startAll(invokes: readonly InvokeDefinition[], inert: object): unknown {
  const resolve: Resolve = (scope, before, args) => {
    const snapshot = scope.shared(before)
    const { event } = args as { readonly event: unknown }
    for (const { id, src, systemId, input, onSnapshot } of invokes) {
      const given = typeof input === 'function' ? input({ context: snapshot.context, event, self: scope.self }) : input
      const options = { id, src, systemId, input: given, parent: scope.self, syncSnapshot: Boolean(onSnapshot) }
      const ref = createActor(inert as never, options as never) as unknown as Ref
      scope.adopt(ref)
      scope.spawn(ref)
    }
    return [snapshot, undefined, undefined]
  }
  return builtin({ type: 'jobchart.startAll', resolve })
}

/** Stops all invokes of a state by one action. */
function stopAll(invokes: readonly InvokeDefinition[]): unknown {
  const resolve: Resolve = (scope, before) => {
    const snapshot = scope.shared(before)
    for (const { id } of invokes) {
      scope.stop(scope.child(id))
      scope.forget(id)
    }
    return [snapshot, undefined, undefined]
  }
  return builtin({ type: 'jobchart.stopAll', resolve })
}

/**
 * Makes a state node start and stop all its invokes by one action each. XState iterates over `node.invoke` to start
 * each one after the entry actions, and maps over it to stop each one and to list their ids.
 */
function batchInvokes(node: AnyStateNode, inert: object): void {
  const invokes = node.invoke as unknown as readonly InvokeDefinition[]
  if (invokes.length === 0) return
  const map = (change: (each: InvokeDefinition) => unknown): readonly unknown[] => {
    const changed = invokes.map(change)
    const isStopping = (changed[0] as { readonly type?: unknown } | undefined)?.type === 'xstate.stopChild'
    return isStopping ? [stopAll(invokes)] : changed
  }
  // An empty array, because XState should find none to start. An array with an iterator of its own would do the same,
  // but V8 would then iterate slowly over every array in the process.
  Object.defineProperty(node, 'invoke', { value: Object.defineProperty([], 'map', { value: map }) })
  node.entry.push(startAll(invokes, inert) as never)
}

function shareChildren(machine: AnyStateMachine, inert: object): void {
  const named = machine.implementations.actions as { [name: string]: unknown }
  for (const [name, action] of Object.entries(named)) named[name] = sharing(action)
  for (const node of stateNodes(machine.root)) {
    const transitions = [...node.transitions.values(), node.always ?? []].flat()
    const initial = node.type === 'compound' ? [node.initial] : []
    for (const transition of [...transitions, ...initial] as { actions: readonly unknown[] }[]) {
      transition.actions = transition.actions.map(sharing)
    }
    node.entry = node.entry.map(sharing) as never
    node.exit = node.exit.map(sharing) as never
    batchInvokes(node, inert)
  }
}

function invokesOf(nodes: readonly AnyStateNode[]): ReadonlyMap<string, string> {
  const states = new Map<string, string>()
  for (const node of nodes) {
    for (const { id } of node.invoke) states.set(id, states.has(id) ? id : node.id)
  }
  return states
}

/** The transitions that a machine selected for the current event. */
interface Selection {
  readonly event: ChartEvent
  /** True: only transitions that name the event count. */
  readonly isNamed: boolean
  isTaken: boolean
}

/** Thrown out of XState's transition if no transition names the event. So the machine does not move. */
const NOT_NAMED = new Error('no transition names the event')

/** Our own bound on microsteps, for XState before 5.31. Infinite for later versions, which have their own bound. */
function ownBoundOf(source: AnyStateMachine): number {
  if ((source.options as unknown) !== undefined) return Number.POSITIVE_INFINITY
  const { options } = source.config as { readonly options?: { readonly maxIterations?: number } }
  return options?.maxIterations ?? MICROSTEPS_MAX
}

/** The result of an event that the machine has taken, or that it does not handle. */
export interface Taken {
  readonly next: LiveSnapshot
  /**
   * True: a transition with a target was selected. If the transition leads back to the same state, only this field
   * shows it.
   */
  readonly isTaken: boolean
}

/**
 * Computes a machine's next snapshots without starting any actor. Works on a copy: the given machine is not changed.
 */
export class InertMachine {
  readonly root: AnyStateNode
  readonly nodes: readonly AnyStateNode[]
  /** For each invoke id: the state that invokes it. See {@link Chart.invokes}. */
  readonly invokes: ReadonlyMap<string, string>
  readonly scope: InertScope
  readonly #machine: AnyStateMachine
  #selection: Selection | undefined

  constructor(source: AnyStateMachine) {
    this.scope = new InertScope(source.id, ownBoundOf(source))
    const inert = inertLogic((ref, input) => this.scope.create(ref as Ref, input))
    this.#machine = withInertActors(source, inert)
    const options = this.#machine.options as AnyStateMachine['options'] | undefined
    if (options?.maxIterations === Number.POSITIVE_INFINITY) options.maxIterations = MICROSTEPS_MAX
    this.root = this.#machine.root
    this.nodes = stateNodes(this.root)
    this.invokes = invokesOf(this.nodes)
    shareChildren(this.#machine, inert)
    this.#watchSelection()
  }

  /** The first snapshot of a machine. */
  initial(input: unknown): LiveSnapshot {
    return this.#machine.getInitialSnapshot(this.scope as never, input as never) as unknown as LiveSnapshot
  }

  /**
   * The snapshot after an event. `undefined`: with `isNamed`, no transition names the event, so the machine does not
   * move.
   */
  take(from: LiveSnapshot, event: ChartEvent, isNamed: boolean): Taken | undefined {
    const selection: Selection = { event, isNamed, isTaken: false }
    this.#selection = selection
    try {
      const next = this.#machine.transition(from as never, event as never, this.scope as never)
      return { next: next as unknown as LiveSnapshot, isTaken: selection.isTaken }
    } catch (error) {
      if (error === NOT_NAMED) return undefined
      throw error
    } finally {
      this.#selection = undefined
    }
  }

  /** The snapshot of a state, without context and children. @throws {Error} the machine has no such state. */
  base(state: Json): LiveSnapshot {
    const base = this.#machine.resolveState({ value: state as never, context: {} }) as unknown as LiveSnapshot
    // XState sorts restored nodes by depth. Here they are sorted by document order, because XState takes eventless
    // transitions of several regions in the order of this list.
    return { ...base, _nodes: [...base._nodes].sort((a, b) => a.order - b.order) }
  }

  /**
   * The first snapshot of a machine that begins in the given state, and starts the invokes and timers of that state.
   */
  standing(state: Json, context: unknown): LiveSnapshot {
    const machine = standingMachine(this.#machine, state)
    return machine.getInitialSnapshot(this.scope as never, context as never) as unknown as LiveSnapshot
  }

  #watchSelection(): void {
    const machine = this.#machine
    const select = machine.getTransitionData.bind(machine)
    machine.getTransitionData = (snapshot, event) => {
      const selected = select(snapshot, event)
      const selection = this.#selection
      if (selection !== undefined && selection.event === event) {
        if (selection.isNamed && !selected.some(({ eventType }) => eventType === event.type)) throw NOT_NAMED
        // A transition without a target only blocks its event, so that no parent state takes it.
        selection.isTaken = selected.some(({ target }) => target !== undefined && target.length > 0)
      }
      return selected
    }
  }
}
