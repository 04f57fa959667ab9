import type { ChartEvent } from '../model/chart.ts'
import { create, type Decision } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { type JobError, jobError } from '../model/error.ts'
import type { Job, Timer } from '../model/job.ts'
import type { Json } from '../model/storable.ts'
import { parseTask, type Task } from '../model/task.ts'
import { type Seen, WatchedChart } from './explore-chart.ts'
import type { Examples } from './explore-examples.ts'
import { happeningsOf, isChild, NOW } from './explore-happenings.ts'

/**
 * A path as a linked list of its events, the last one first. Most paths are never read, so they are not copied into
 * lists.
 */
export interface Way {
  readonly event: ChartEvent
  readonly before?: Way
  readonly length: number
}

/** A job at one point of the walk, with its chart's state and context, its tasks and its timers. */
export interface Stop {
  readonly job: Job
  readonly tags: readonly string[]
  /** The error that ended the job. */
  readonly error?: JobError
  /** Whether the chart's own code threw the error. Otherwise a task reported it. */
  readonly isThrown: boolean
  /** A shortest path to this stop. It begins with `xstate.init`. */
  way: Way
  /** Whether an event that is possible here was not tried. */
  isOpen: boolean
  readonly next: Set<Stop>
  readonly cells: Cell[]
}

/** The result of one event at one stop. */
export interface Cell {
  readonly event: string
  readonly isCommand: boolean
  readonly isTaken: boolean
  /** Where the event leads. Absent: it is a command, and it did not move the chart. */
  readonly to?: Stop
  readonly way: Way
}

/** What to walk through, and how far. */
export interface WalkOptions {
  readonly type: AnyJobType
  readonly examples: Examples
  readonly limit: number
  readonly distinguish: (job: Job) => Json
}

/**
 * Walks through everything that can happen to a job, shortest paths first.
 *
 * Each step is a decision of the model, the same that an engine makes. So tasks, timers, mailboxes and transition logic
 * behave as in a real job. Child jobs are not walked: each one is a task that may end in any way.
 *
 * A silent step is an event that the chart does not hear, such as a claim, if the chart has no transition for claims.
 * Silent steps do not make the path longer. So all stops that are connected by silent steps are handled in the same
 * round.
 */
export class Walk {
  readonly stops = new Map<string, Stop>()
  readonly starts: Stop[] = []
  readonly watched: WatchedChart
  readonly #options: WalkOptions
  readonly #type: AnyJobType
  readonly #expanded = new Set<Stop>()
  #later: Stop[] = []
  #isComplete = true

  constructor(options: WalkOptions) {
    const { type } = options
    this.#options = options
    this.watched = new WatchedChart(type)
    this.#type = withChildrenAsTasks(type, this.watched)
    this.#begin()
    while (this.#later.length > 0) this.#lookAt(this.#later.splice(0))
  }

  /** Whether every stop was handled. `false`: the limit stopped the walk. */
  get isComplete(): boolean {
    return this.#isComplete
  }

  #begin(): void {
    for (const input of this.#options.examples.inputs) {
      const init = { type: 'xstate.init', ...(input === undefined ? {} : { input }) }
      const seed = { id: 'explored', tenant: 'default', createdBy: 'explorer', trigger: 'manual', priority: 0 } as const
      this.watched.takeSeen()
      const decision = create(this.#type, { ...seed, labels: {}, ...(input === undefined ? {} : { input }) }, NOW)
      const stop = this.#reach(decision, [], { event: init, length: 1 })
      this.starts.push(stop)
      this.#later.push(stop)
    }
  }

  #lookAt(nearby: Stop[]): void {
    for (const stop of nearby) {
      if (this.#expanded.has(stop) || stop.job.phase === 'settled') continue
      if (this.#expanded.size >= this.#options.limit) {
        stop.isOpen = true
        this.#isComplete = false
        continue
      }
      this.#expanded.add(stop)
      // Stops that are reached by silent steps have the same path length, so they are handled in this round.
      nearby.push(...this.#expand(stop))
    }
  }

  /** Tries everything that can happen at the stop. Returns the stops that are reached by silent steps. */
  #expand(stop: Stop): readonly Stop[] {
    const silent: Stop[] = []
    for (const { says, command, decide } of happeningsOf(this.#type, stop.job, this.#options.examples)) {
      this.watched.takeSeen()
      const decision = decide()
      if (decision === undefined) continue
      const heard = heardOf(decision, says)
      const way = heard.reduce<Way>((before, event) => ({ event, before, length: before.length + 1 }), stop.way)
      const to = this.#reach(decision, stop.job.timers, way, stop)
      stop.next.add(to)
      if (heard.length === 0) silent.push(to)
      else this.#later.push(to)
      if (heard.length === 0 && command === undefined) continue
      const event = heard.length === 0 ? String(command) : heard.map(({ type }) => type).join(', ')
      const moved = heard.length === 0 ? {} : { to }
      stop.cells.push({ event, isCommand: command !== undefined, isTaken: decision.handled, way, ...moved })
    }
    // After the loop: `examples` notices that the output of a task has no example only when the walk asks for it.
    stop.isOpen = this.#options.examples.isOpen(stop.job)
    return silent
  }

  #reach(decision: Decision, timersBefore: readonly Timer[], way: Way, from?: Stop): Stop {
    const seen = this.watched.takeSeen()
    const job = this.#plain(decision.job, timersBefore)
    const ended = endOf(job, seen)
    const key = keyOf(job, ended.isThrown, this.#options.distinguish)
    const known = this.stops.get(key)
    if (known !== undefined) {
      // Silent steps may show a shorter path to a stop that is already known.
      if (way.length < known.way.length && !this.#expanded.has(known)) known.way = way
      return known
    }
    const tags = seen === undefined ? (from?.tags ?? []) : [...seen.result.info.tags].sort()
    const stop: Stop = { job, tags, ...ended, way, isOpen: false, next: new Set(), cells: [] }
    this.stops.set(key, stop)
    return stop
  }

  /**
   * The job in the form in which the walk compares jobs: without tasks that the chart has left (`stopping`), with all
   * children claimed, and with new timers sorted by their due times.
   */
  #plain(job: Job, timersBefore: readonly Timer[]): Job {
    const tasks = job.tasks.filter(({ status }) => status !== 'stopping').map((task) => plainTask(this.#type, task))
    const known = job.timers.filter((timer) => timersBefore.includes(timer))
    const set = job.timers.filter((timer) => !timersBefore.includes(timer)).sort((a, b) => a.dueAt - b.dueAt)
    return { ...job, tasks, timers: [...known, ...set] }
  }
}

/**
 * The events from which the chart learned of a happening: those whose type is in the happening's `says`. If there are
 * none, e.g. because a timer of transition logic fired, the first event that moved the chart. Empty: the chart was not
 * told.
 */
function heardOf({ inputs }: Decision, says: readonly string[]): readonly ChartEvent[] {
  // `inputs` are the events that moved the chart. They are stored unchanged, so the cast is safe.
  const events = inputs as unknown as readonly ChartEvent[]
  const heard = events.filter(({ type }) => says.includes(type))
  return heard.length > 0 ? heard : events.slice(0, 1)
}

function withChildrenAsTasks(type: AnyJobType, chart: WatchedChart): AnyJobType {
  const never = () => Promise.reject(new Error('a child is never run here'))
  const child = { ...parseTask({}, never), kind: 'machine' as const }
  const children = [...type.children.keys()].map((src) => [src, child] as const)
  // The copy has no `describe`, because the text that it makes would hide the error of the job.
  return { ...type, describe: undefined, chart, children: new Map(), tasks: new Map([...type.tasks, ...children]) }
}

// Removes attempt counts and undelivered messages. The chart cannot see them, so two stops must not differ by them.
function plainTask(type: AnyJobType, task: Task): Task {
  const counts = { attempt: 0, claims: 0, crashes: 0, losses: 0, steps: 0, inbox: [] }
  const isOffered = task.status === 'available' && isChild(type, task)
  return { ...task, ...counts, ...(isOffered ? { status: 'claimed', token: task.invocation } : {}) }
}

function endOf({ phase, outcome, error }: Job, seen: Seen | undefined): Pick<Stop, 'isThrown' | 'error'> {
  const end = seen?.result.end
  if (phase !== 'settled' || outcome !== 'failure' || end?.kind === 'done') return { isThrown: false }
  const thrown = end === undefined ? error : jobError(end.error)
  // If a task reports an error and no transition takes it, the job ends with this error. Then the chart's own code did
  // not throw it.
  const isReported =
    seen?.event.type.startsWith('xstate.error.actor.') === true &&
    JSON.stringify(seen.event.error) === JSON.stringify(end?.error)
  return { isThrown: !isReported, ...(thrown === undefined ? {} : { error: thrown }) }
}

function keyOf(job: Job, isThrown: boolean, distinguish: (job: Job) => Json): string {
  const { phase, status, state, historyValue } = job
  if (phase === 'settled') return JSON.stringify([phase, status, state, isThrown, job.error?.message])
  const names = new Map(job.tasks.map(({ invocation, id }) => [invocation, id]))
  const tasks = job.tasks.map(({ id, src, status: at, snapshot }) => [id, src, at, snapshot ?? null])
  const timers = job.timers.map(({ id, to, event, dueAt }) => [
    // A timer that the chart gave no id has one made from the job's counter, which says nothing about the state.
    id.startsWith('delayed.') ? '' : id,
    typeof to === 'number' ? (names.get(to) ?? '') : (to ?? ''),
    event,
    dueAt,
  ])
  return JSON.stringify([state, distinguish(job), historyValue ?? null, tasks, timers])
}
