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

/** A child that stands in the job's row: enough for a machine to address it. */
export interface ChildActor {
  readonly id: string
  readonly src: string
  readonly invocation: number
  readonly systemId?: string
  /** The state of a child that is transition logic. */
  readonly snapshot?: Json
  /** Where a child job stands, for chart code that asks. */
  readonly look?: () => unknown
}

/** The children of a job's chart that it has not left, looked up when they are needed: there may be thousands. */
export interface ChildActors {
  readonly byId: (id: string) => ChildActor | undefined
  readonly bySystemId: (systemId: string) => ChildActor | undefined
  readonly all: () => readonly ChildActor[]
}

/** Whose transition it is. */
export interface ChartScope {
  readonly children: ChildActors
  /** The number that the next created child gets. */
  readonly nextInvocation: number
  /** For a child job: the id of its invoke. `sendParent` throws without one. */
  readonly parentInvoke?: string
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
  /** The transition from `snapshot` by `event`. */
  transition(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope): TransitionResult
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
  /** The snapshot as XState has it, for chart code that looks at it: with `matches` and `hasTag`, without children. */
  liveSnapshot(snapshot: ChartSnapshot): unknown
}

/** A state as the machine sees it, and what runs there. */
export interface ResumedState {
  /** Its state completed: XState enters the first substate of what was not said. */
  readonly snapshot: ChartSnapshot
  readonly info: StateInfo
  readonly actions: readonly ChartAction[]
}

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
