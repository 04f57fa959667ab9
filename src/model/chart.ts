/** The types of what goes into a chart and comes out of it, as data. */
import type { Json } from './storable.ts'

/** An event for a chart: plain JSON with a type. */
export interface ChartEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** The position of a chart, as it is stored: state, context and history. */
export interface ChartSnapshot {
  /** XState's state value, e.g. `'running'` or `{ shipping: 'packed' }`. */
  readonly state: Json
  readonly context: Json
  readonly historyValue?: { readonly [id: string]: readonly string[] }
  /**
   * True: the context holds values that are not plain data, such as actor references. They are restored before a
   * transition.
   */
  readonly hasRefs?: boolean
}

/** How a chart ended: in a final state, or with an error that no state handled. */
export type ChartEnd =
  | { readonly kind: 'done'; readonly output?: Json }
  | { readonly kind: 'error'; readonly error: unknown }

/** The tags and the `meta` of the active states. */
export interface StateInfo {
  /**
   * The public label: `meta.status` of the deepest active state that has one. Default: the keys of the active leaf
   * states.
   */
  readonly label: string
  readonly tags: ReadonlySet<string>
  /**
   * The commands that the active states list in `meta.accepts`. They are accepted without a transition, because the job
   * already did what they ask for.
   */
  readonly accepts: ReadonlySet<string>
}

/** What one event did to a chart. */
export interface TransitionResult {
  /** False: the chart does not take this event in its current state, and nothing changed. */
  readonly handled: boolean
  /** False: the snapshot is unchanged, though actions may have run. */
  readonly moved: boolean
  readonly snapshot: ChartSnapshot
  readonly info: StateInfo
  readonly end?: ChartEnd
  readonly actions: readonly ChartAction[]
  /** How many children were created. Their invocations count up from `nextInvocation`. */
  readonly created: number
}

/**
 * The address of an actor in its job tree: the invocations on the way from the top job to it. The path of the top job
 * is `[]`. A path never changes, and no other actor of the tree ever gets the same one.
 */
export type ActorPath = readonly number[]

/** An actor of a job tree, as the chart code of another machine in the tree sees it. */
export interface Actor {
  readonly id: string
  readonly src: string
  readonly systemId?: string
  /**
   * Returns the actor's XState snapshot.
   *
   * @param refTo  makes the actor references in the snapshot.
   */
  readonly look?: (refTo: RefTo) => unknown
}

/**
 * Makes a reference to an actor of the tree, which chart code may keep and use.
 *
 * @param path  undefined for a reference that an older version stored without a path. The actor is then found by id.
 */
export type RefTo = (path: ActorPath | undefined, id: string) => object

/** An actor that is a child of the machine. */
export interface ChildActor extends Actor {
  readonly invocation: number
  /** Only for child jobs: turns the snapshot that the child sent to its parent into an XState snapshot. */
  readonly liveOf?: (told: Json, refTo: RefTo) => unknown
}

/** The children of a job that its chart has not left. Looked up on demand, because there may be thousands. */
export interface ChildActors {
  readonly byId: (id: string) => ChildActor | undefined
  /** Also finds a child that the machine has left, as long as the machine's context refers to it. */
  readonly byInvocation: (invocation: number) => ChildActor | undefined
  readonly bySystemId: (systemId: string) => ChildActor | undefined
  readonly all: () => readonly ChildActor[]
}

/** All actors of a job tree, looked up on demand. */
export interface TreeActors {
  /** Finds an actor by its path. `undefined`: the actor was stopped, or the row of its job is missing. */
  readonly at: (path: ActorPath) => Actor | undefined
  readonly bySystemId: (systemId: string) => ActorPath | undefined
  readonly systemIds: () => readonly string[]
}

/**
 * What a transition can see besides its machine: the path of its job, the job's children and the other actors of its
 * tree.
 */
export interface ChartScope {
  readonly children: ChildActors
  /** The number that the next created child gets. */
  readonly nextInvocation: number
  /** For a child job: the id of the invoke in the parent's chart. If absent, `sendParent` throws. */
  readonly parentInvoke?: string
  /** Looks up the machine's own path. Default: `[]`, the top job. */
  readonly path?: () => ActorPath
  /** The other actors of the tree. Default: the machine sees only its children. */
  readonly actors?: TreeActors
}

/**
 * A machine, ready to run transitions. The machine's own functions get copies of the context, the event and the input,
 * so they cannot change stored values.
 */
export interface Chart {
  /**
   * For each invoke id: the id of the state that invokes it, or the invoke id itself if several states use it.
   */
  readonly invokes: ReadonlyMap<string, string>
  /** True if some state has `meta.accepts`. */
  readonly hasAccepts: boolean
  /** The first transition: entry actions, first tasks and timers. */
  start(input: unknown, scope?: ChartScope): TransitionResult
  /**
   * The transition from `snapshot` by `event`.
   *
   * @param isSent  another machine of the tree sent the event, so references and errors in it are restored to objects.
   */
  transition(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope, isSent?: boolean): TransitionResult
  /**
   * Like `transition`, but only if an enabled transition names exactly this event type. If only a wildcard (`*`)
   * matches, the event is not handled.
   */
  transitionIfNamed(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope): TransitionResult
  /** Whether the chart takes the event. Guards get the given event itself, not a copy. */
  canHandle(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope): boolean
  /** Whether a transition of some state, active or not, names exactly this event type. */
  isNamed(eventType: string): boolean
  /**
   * Lists what runs in the state of `snapshot`: a start for each invoke, a delayed send for each `after`. No transition
   * is taken. The snapshot may come from an earlier version of the machine.
   *
   * @throws any error of the machine: for example, the state does not exist, or an invoke's input function fails on this context.
   */
  resumed(snapshot: ChartSnapshot, scope?: ChartScope): ResumedState
  /** The label, tags and accepted commands of the state. */
  info(snapshot: ChartSnapshot): StateInfo
  /** The XState snapshot for chart code, with `matches` and `hasTag`. */
  liveSnapshot(standing: Standing, refTo: RefTo): unknown
}

/**
 * The stored data of a machine. {@link Chart.liveSnapshot} makes from it the XState snapshot that the code of another
 * machine reads.
 */
export interface Standing extends Pick<ChartSnapshot, 'state' | 'context'> {
  readonly status: 'active' | 'done' | 'error' | 'stopped'
  readonly output?: Json
  readonly error?: unknown
  readonly children: () => readonly { readonly id: string; readonly path: ActorPath }[]
}

/** A restored state, and what runs in it. */
export interface ResumedState {
  /**
   * The given snapshot with a complete state value. If the given value left out a region of a parallel state, XState
   * has filled in the region's initial substate.
   */
  readonly snapshot: ChartSnapshot
  readonly info: StateInfo
  readonly actions: readonly ChartAction[]
}

/**
 * The receiver of an event.
 *
 * - `'self'`: the chart itself.
 * - `'parent'`: the parent of its job.
 * - A number: the child with this invocation.
 * - A path: any actor of the tree.
 */
export type Address = 'self' | 'parent' | number | ActorPath

/** An action that a machine asked for in a transition. */
export type ChartAction =
  | StartAction
  | { readonly kind: 'leave'; readonly invocation: number }
  | SendAction
  | { readonly kind: 'cancelTimer'; readonly id: string }
  | { readonly kind: 'emit'; readonly event: Json }
  /** With `isWarning`, the decision logs the same text only once. */
  | { readonly kind: 'log'; readonly text: string; readonly isWarning?: true }
  | { readonly kind: 'effect'; readonly run: Effect }

/**
 * Runs a custom action of the machine, after the commit. The action sends events with `tell`, during its call or later.
 */
export type Effect = (tell: Tell) => unknown

/** Sends an event, which must be JSON, on behalf of a chart. */
export type Tell = (to: Address, event: ChartEvent) => void

/** Starts a child: a task, a child job, or transition logic. */
export interface StartAction {
  readonly kind: 'start'
  readonly invocation: number
  readonly id: string
  readonly src: string
  readonly input?: Json
  readonly systemId?: string
  /** True: the chart wants an event for each snapshot of the child (`onSnapshot` or `syncSnapshot`). */
  readonly sync: boolean
  /**
   * True: created by `spawn` in an assign. When a machine starts, XState starts these children before it sends any
   * event.
   */
  readonly isSpawned?: true
}

/** Sends an event at once, or later by a timer. */
export interface SendAction {
  readonly kind: 'send'
  readonly to: Address
  readonly event: ChartEvent
  readonly delayMs?: number
  /** The name of the timer, for `cancel`. */
  readonly id?: string
}
