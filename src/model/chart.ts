/** What a chart is given and what it gives, as data. */
import type { Json } from './storable.ts'

/** An event for a chart: plain JSON with a type. */
export interface ChartEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** Where a chart stands, as it is stored. */
export interface ChartSnapshot {
  /** XState's state value. */
  readonly state: Json
  readonly context: Json
  readonly historyValue?: { readonly [id: string]: readonly string[] }
  /** The context holds references to children, which are made alive again before a transition. */
  readonly hasRefs?: boolean
}

/** How a chart ended: by its final state, or by an error that nothing in it took. */
export type ChartEnd =
  | { readonly kind: 'done'; readonly output?: Json }
  | { readonly kind: 'error'; readonly error: unknown }

/** What a state says to the outside. */
export interface StateInfo {
  /** `meta.status` of the deepest active state that has one; else the keys of the active leaf states. */
  readonly label: string
  readonly tags: ReadonlySet<string>
  /** `meta.accepts` of the active states: commands that the job has obeyed already. */
  readonly accepts: ReadonlySet<string>
}

/** The result of one event. */
export interface TransitionResult {
  /** False: the chart takes no such event here, and nothing changed. */
  readonly handled: boolean
  /** False: the chart stands exactly where it stood, though actions may have run. */
  readonly moved: boolean
  readonly snapshot: ChartSnapshot
  readonly info: StateInfo
  readonly end?: ChartEnd
  readonly actions: readonly ChartAction[]
  /** Children that were created: invocations are numbered from the one that was given. */
  readonly created: number
}

/**
 * The place of an actor in its job tree: the invocations that lead to it from the topmost job, whose own path is empty.
 * It stays the same for as long as the actor lives, and no other actor of the tree ever has it.
 */
export type ActorPath = readonly number[]

/** An actor as chart code of a machine in its tree sees it. */
export interface Actor {
  readonly id: string
  readonly src: string
  readonly systemId?: string
  /**
   * Its snapshot, as XState has it.
   *
   * @param refTo  gives the references that stand in it.
   */
  readonly look?: (refTo: RefTo) => unknown
}

/**
 * The reference to an actor of the tree, as the code that asks for it may keep and use it.
 *
 * @param path  undefined: it was stored before actors had paths, and is found by its id.
 */
export type RefTo = (path: ActorPath | undefined, id: string) => object

/** A child that stands in the job's row: enough for a machine to address it. */
export interface ChildActor extends Actor {
  readonly invocation: number
  /** Of a child job: the snapshot that it has told, as XState has it. */
  readonly liveOf?: (told: Json, refTo: RefTo) => unknown
}

/** The children of a job's chart that it has not left, looked up when they are needed: there may be thousands. */
export interface ChildActors {
  readonly byId: (id: string) => ChildActor | undefined
  /** Also one that the machine has left, as long as its context refers to it. */
  readonly byInvocation: (invocation: number) => ChildActor | undefined
  readonly bySystemId: (systemId: string) => ChildActor | undefined
  readonly all: () => readonly ChildActor[]
}

/** All actors of a job tree, looked up when they are needed. */
export interface TreeActors {
  /** Undefined: it was stopped, or is gone. */
  readonly at: (path: ActorPath) => Actor | undefined
  readonly bySystemId: (systemId: string) => ActorPath | undefined
  readonly systemIds: () => readonly string[]
}

/** Whose transition it is. */
export interface ChartScope {
  readonly children: ChildActors
  /** The number that the next created child gets. */
  readonly nextInvocation: number
  /** For a child job: the id of its invoke. `sendParent` throws without one. */
  readonly parentInvoke?: string
  /** The machine's own path. Default: that of a topmost job. */
  readonly path?: ActorPath
  /** Default: the machine knows its children only. */
  readonly actors?: TreeActors
}

/**
 * A machine, ready to move jobs. Its functions get copies: what they do to their context, an event or an input changes
 * nothing that is stored.
 */
export interface Chart {
  /** For the id of each invoke of the machine, the state that invokes it; of one that several states invoke, the id. */
  readonly invokes: ReadonlyMap<string, string>
  /** Some state has `meta.accepts`. */
  readonly hasAccepts: boolean
  /** The first transition: entry actions, the first tasks and timers. */
  start(input: unknown, scope?: ChartScope): TransitionResult
  /**
   * The transition from `snapshot` by `event`.
   *
   * @param isSent  another machine of the tree sent the event: the references and errors in it are made alive.
   */
  transition(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope, isSent?: boolean): TransitionResult
  /**
   * The same, but only where a transition that is enabled names exactly this event type, not a wildcard; else the event
   * is not handled.
   */
  transitionIfNamed(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope): TransitionResult
  /** Whether the chart takes the event, which its guards are given as it is. */
  canHandle(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope): boolean
  /**
   * What a job that stands in `snapshot`, wherever it came from, has running there: each invoke as a start, each `after`
   * as a delayed send to itself. Nothing is moved.
   *
   * @throws whatever the machine throws: the state is none of its own, or an input cannot be made of its context.
   */
  resumed(snapshot: ChartSnapshot, scope?: ChartScope): ResumedState
  /** What a state says. */
  info(snapshot: ChartSnapshot): StateInfo
  /** The snapshot as XState has it, for chart code that looks at it: with `matches` and `hasTag`. */
  liveSnapshot(standing: Standing, refTo: RefTo): unknown
}

/** A machine as another one looks at it. */
export interface Standing extends Pick<ChartSnapshot, 'state' | 'context'> {
  readonly status: 'active' | 'done' | 'error' | 'stopped'
  readonly output?: Json
  readonly error?: unknown
  readonly children: () => readonly { readonly id: string; readonly path: ActorPath }[]
}

/** A state as the machine sees it, and what runs there. */
export interface ResumedState {
  /** Its state completed: XState enters the first substate of what was not said. */
  readonly snapshot: ChartSnapshot
  readonly info: StateInfo
  readonly actions: readonly ChartAction[]
}

/** Whom a chart sends to: itself, the parent of its job, a child by its invocation, or any actor of its tree by its path. */
export type Address = 'self' | 'parent' | number | ActorPath

/** What a machine asked for, in the order of its actions. */
export type ChartAction =
  | StartAction
  | { readonly kind: 'leave'; readonly invocation: number }
  | SendAction
  | { readonly kind: 'cancelTimer'; readonly id: string }
  | { readonly kind: 'emit'; readonly event: Json }
  /** A warning is said once in a decision. */
  | { readonly kind: 'log'; readonly text: string; readonly isWarning?: true }
  | { readonly kind: 'effect'; readonly run: Effect }

/** An action of the machine's own. What it sends, also later, goes through `tell`. */
export type Effect = (tell: Tell) => unknown

/** Sends an event, which is JSON, for a chart. */
export type Tell = (to: Address, event: ChartEvent) => void

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
  /** Made by `spawn` in an assign: as a machine begins, XState starts such children before it sends anything. */
  readonly isSpawned?: true
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
