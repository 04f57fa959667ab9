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

/** The events that lead somewhere, by the last of them: most are never read, and a copy for each would be long. */
export interface Way {
  readonly event: ChartEvent
  readonly before?: Way
  readonly length: number
}

/** A job as the walk met it: where its chart stands, with its context, its tasks and its timers. */
export interface Stop {
  readonly job: Job
  readonly tags: readonly string[]
  /** The error that ended it. */
  readonly error?: JobError
  /** The error was thrown by the chart's own code, not reported by a task. */
  readonly isThrown: boolean
  /** The events on the shortest way, the first one `xstate.init`. */
  way: Way
  /** Something can happen here that was not tried. */
  isOpen: boolean
  readonly next: Set<Stop>
  readonly cells: Cell[]
}

/** What came of one event at one stop. */
export interface Cell {
  readonly event: string
  readonly isCommand: boolean
  readonly isTaken: boolean
  /** Where the chart went; absent: it did not move. */
  readonly to?: Stop
  readonly way: Way
}

/** What is walked, and how far. */
export interface WalkOptions {
  readonly type: AnyJobType
  readonly examples: Examples
  readonly limit: number
  readonly distinguish: (job: Job) => Json
}

/**
 * Walks through all that can come of a job, the shortest ways first.
 *
 * Each step is a decision of the model, the same that an engine commits, so tasks, timers, mailboxes and logic that
 * moves with the job are what they are. Only child jobs are not walked: they stand as tasks, and end as they may.
 *
 * What the chart does not hear of, such as a claim that it does not name, takes a step and adds nothing to the way; so
 * the stops of one length are looked at together with those that are silently reached from them.
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

  /** All that was met was looked at. */
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
      // Those that were silently reached are as near, and are looked at in the same round.
      nearby.push(...this.#expand(stop))
    }
  }

  /** The stops that are reached without a word to the chart. */
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
    // Asked last: what a task could not be tried with is known when it was tried.
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
      // Silent steps may lead by a shorter way to what was already met.
      if (way.length < known.way.length && !this.#expanded.has(known)) known.way = way
      return known
    }
    const tags = seen === undefined ? (from?.tags ?? []) : [...seen.result.info.tags].sort()
    const stop: Stop = { job, tags, ...ended, way, isOpen: false, next: new Set(), cells: [] }
    this.stops.set(key, stop)
    return stop
  }

  /** Work that was left is gone at once, children are at work, and new timers stand in the order in which they fire. */
  #plain(job: Job, timersBefore: readonly Timer[]): Job {
    const tasks = job.tasks.filter(({ status }) => status !== 'stopping').map((task) => plainTask(this.#type, task))
    const known = job.timers.filter((timer) => timersBefore.includes(timer))
    const set = job.timers.filter((timer) => !timersBefore.includes(timer)).sort((a, b) => a.dueAt - b.dueAt)
    return { ...job, tasks, timers: [...known, ...set] }
  }
}

/** What a chart heard of a happening itself; a timer for logic that moves with the job is heard of by what that says. */
function heardOf({ inputs }: Decision, says: readonly string[]): readonly ChartEvent[] {
  // What moved a chart is stored as the events that they were.
  const events = inputs as unknown as readonly ChartEvent[]
  const heard = events.filter(({ type }) => says.includes(type))
  return heard.length > 0 ? heard : events.slice(0, 1)
}

function withChildrenAsTasks(type: AnyJobType, chart: WatchedChart): AnyJobType {
  const never = () => Promise.reject(new Error('a child is never run here'))
  const child = { ...parseTask({}, never), kind: 'machine' as const }
  const children = [...type.children.keys()].map((src) => [src, child] as const)
  // What a description says of an error would hide the error.
  return { ...type, describe: undefined, chart, children: new Map(), tasks: new Map([...type.tasks, ...children]) }
}

// Counts of attempts, and what was sent to the code, are nothing that the chart can tell apart.
function plainTask(type: AnyJobType, task: Task): Task {
  const counts = { attempt: 0, claims: 0, crashes: 0, losses: 0, steps: 0, inbox: [] }
  const isOffered = task.status === 'available' && isChild(type, task)
  return { ...task, ...counts, ...(isOffered ? { status: 'claimed', token: task.invocation } : {}) }
}

function endOf({ phase, outcome, error }: Job, seen: Seen | undefined): Pick<Stop, 'isThrown' | 'error'> {
  const end = seen?.result.end
  if (phase !== 'settled' || outcome !== 'failure' || end?.kind === 'done') return { isThrown: false }
  const thrown = end === undefined ? error : jobError(end.error)
  // An error of a task that no state takes ends the job, and is no fault of the chart's code.
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
    // One without an id is numbered by the job's counter, which tells nothing.
    id.startsWith('delayed.') ? '' : id,
    typeof to === 'number' ? (names.get(to) ?? '') : (to ?? ''),
    event,
    dueAt,
  ])
  return JSON.stringify([state, distinguish(job), historyValue ?? null, tasks, timers])
}
