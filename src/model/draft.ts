import { type AnyJobType, type Description, describeMove } from './definition.ts'
import { jobError } from './error.ts'
import type { EventDraft } from './event.ts'
import type { Job, Outcome } from './job.ts'
import { backoffMs } from './retry.ts'
import type { Json } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'
import { isoTime } from './time.ts'
import type { ChartAction, ChartEvent, Meaning, Move } from './transition.ts'

/** What a decision may know of the world: passed in, so that it can be replayed. */
export interface Moment {
  /** Milliseconds UTC. */
  readonly at: number
  /** Uniform in [0, 1). */
  readonly random: number
  /** How often executors hear from the engine; a part of every grace. */
  readonly heartbeatMs: number
}

/** What was decided. */
export interface Decision {
  /** False: the chart takes no such event here. */
  readonly handled: boolean
  /** False: there is nothing to write. */
  readonly changed: boolean
  /** The next record; its revision is one above the one it was made from. */
  readonly job: Job
  readonly events: readonly EventDraft[]
  /** What moved the chart, for the fold over the log. */
  readonly inputs: readonly Json[]
  /** Lines for the job's log. */
  readonly logs: readonly string[]
  /** Entries of invokes that are over: their recorded steps go. */
  readonly over: readonly number[]
  /** The machine's own actions: run once after the commit, best effort. */
  readonly effects: readonly (() => void)[]
}

type Mutable<Record> = { -readonly [Key in keyof Record]: Record[Key] }

/** A job while a decision is made of it: what the chart asks for becomes tasks, timers and events of the record. */
export class Draft {
  readonly job: Mutable<Job>
  readonly events: EventDraft[] = []
  readonly #inputs: Json[] = []
  readonly #logs: string[] = []
  readonly #over: number[] = []
  readonly #effects: (() => void)[] = []
  #handled = true
  #changed = false
  #isNew: boolean

  constructor(job: Job) {
    this.job = { ...job }
    this.#isNew = job.revision === 0
  }

  decision(): Decision {
    if (this.#changed) {
      this.job.revision++
      this.job.eventCount += this.events.length
    }
    return {
      handled: this.#handled,
      changed: this.#changed,
      job: this.job,
      events: this.events,
      inputs: this.#inputs,
      logs: this.#logs,
      over: this.#over,
      effects: this.#effects,
    }
  }

  /** A record's times never fall, whatever the clock does. */
  time(moment: Moment): number {
    return Math.max(moment.at, this.job.updatedAt)
  }

  touch(moment: Moment): void {
    this.#changed = true
    this.job.updatedAt = this.time(moment)
  }

  task(entry: number): Task | undefined {
    return this.job.tasks.find((task) => task.entry === entry)
  }

  put(task: Task): void {
    this.job.tasks = this.job.tasks.map((each) => (each.entry === task.entry ? task : each))
  }

  remove(task: Task): void {
    this.job.tasks = this.job.tasks.filter((each) => each.entry !== task.entry)
    this.#over.push(task.entry)
  }

  send(type: AnyJobType, event: ChartEvent, moment: Moment): void {
    if (this.job.phase === 'settled') return
    const children = this.job.tasks.filter((task) => task.status !== 'stopping')
    const move = type.chart.move(this.job, event, children)
    if (!move.handled) this.#handled = false
    else this.apply(type, move, event, moment)
  }

  /** Sent only where the chart names it: an unchanged machine with a wildcard must not be moved by the executor. */
  sendNamed(type: AnyJobType, event: ChartEvent, moment: Moment): void {
    if (this.job.phase !== 'settled' && type.chart.names(this.job, event)) this.send(type, event, moment)
  }

  fail(type: AnyJobType, task: Task, error: Json, moment: Moment): void {
    const { retry } = settingsOf(type, task)
    const failures = task.attempt - task.losses
    if (failures > retry.limit) {
      this.remove(task)
      this.send(type, errorEvent(task.id, error), moment)
      return
    }
    const availableAt = this.time(moment) + backoffMs(retry, failures, moment.random)
    this.put(offered(task, { availableAt }))
    const { id, attempt } = task
    const at = isoTime(availableAt)
    this.events.push({ type: 'task.retried', task: id, attempt, availableAt: at, error: jobError(error) })
  }

  apply(type: AnyJobType, move: Move, event: ChartEvent, moment: Moment): void {
    const asks = move.actions.some(({ kind }) => kind !== 'effect')
    for (const action of move.actions) this.#act(type, action, moment)
    // Handled without effect on the record: answered, nothing written.
    if (!move.moved && !asks) return
    this.touch(moment)
    this.#inputs.push(event as unknown as Json)
    this.#stand(move)
    const from = this.job.status
    this.job.status = move.meaning.label
    if (move.end !== undefined) this.#settle(type, move, moment)
    const said = describeMove(type, this.job, event, this.#errorOf(move, event))
    this.#record(from, said)
  }

  #stand(move: Move): void {
    this.job.state = move.place.state
    this.job.context = move.place.context
    if (move.place.historyValue === undefined) delete this.job.historyValue
    else this.job.historyValue = move.place.historyValue
    this.job.vacates = move.meaning.tags.has('vacates')
    this.job.phase = move.meaning.tags.has('indeterminate') ? 'indeterminate' : 'active'
  }

  #settle(type: AnyJobType, move: Move, moment: Moment): void {
    this.job.phase = 'settled'
    this.job.timers = []
    for (const task of this.job.tasks) this.#leave(type, task, moment)
    this.job.endedAt = this.time(moment)
    if (move.end?.kind === 'done') {
      this.job.outcome = outcomeOf(move.meaning)
      if (move.end.output !== undefined) this.job.output = move.end.output
    } else {
      this.job.outcome = 'failure'
      this.job.status = type.endLabels.error
    }
  }

  #errorOf(move: Move, event: ChartEvent): unknown {
    if (move.end?.kind === 'error') return move.end.error
    const failed = this.job.outcome === 'failure' && event.type.startsWith('xstate.error.')
    return failed ? event.error : undefined
  }

  #record(from: string, { message, error, exitCode, reason }: Description): void {
    if (message !== undefined) this.job.message = message
    if (exitCode !== undefined) this.job.exitCode = exitCode
    if (error !== undefined) this.job.error = jobError(error)
    const facts = {
      to: this.job.status,
      ...(reason === undefined ? {} : { reason }),
      ...(message === undefined ? {} : { message }),
    }
    if (this.#isNew) {
      // First, also where entry actions emitted something on the way.
      this.events.unshift({ type: 'job.created', ...facts })
      this.#isNew = false
    } else {
      const failure = error === undefined ? {} : { error: jobError(error) }
      this.events.push({ type: 'job.transitioned', from, ...facts, ...failure })
    }
  }

  #act(type: AnyJobType, action: ChartAction, moment: Moment): void {
    switch (action.kind) {
      case 'invoke':
        this.#offer(type, action, moment)
        return
      case 'leave': {
        const task = this.job.tasks.find(({ id, status }) => id === action.id && status !== 'stopping')
        if (task !== undefined) this.#leave(type, task, moment)
        return
      }
      case 'timer':
        this.#schedule(action, moment)
        return
      case 'cancelTimer':
        this.job.timers = this.job.timers.filter(({ id }) => id !== action.id)
        return
      case 'emit':
        this.events.push({ type: 'job.emitted', event: action.event })
        return
      case 'log':
        this.#logs.push(action.text)
        return
      case 'effect':
        this.#effects.push(action.run)
    }
  }

  #offer(type: AnyJobType, action: Extract<ChartAction, { kind: 'invoke' }>, moment: Moment): void {
    const entry = ++this.job.counter
    const { id, src, input } = action
    const task: Task = {
      id,
      entry,
      src,
      executor: type.tasks.get(src)?.executor ?? 'default',
      ...(input === undefined ? {} : { input }),
      status: 'offered',
      token: 0,
      availableAt: this.time(moment),
      attempt: 0,
      claims: 0,
      crashes: 0,
      losses: 0,
      steps: 0,
      inbox: [],
    }
    this.job.tasks = [...this.job.tasks, task]
  }

  #leave(type: AnyJobType, task: Task, moment: Moment): void {
    if (task.status === 'stopping') return
    if (task.status === 'offered') {
      this.remove(task)
      return
    }
    const { killGraceMs } = settingsOf(type, task)
    const stopBy = killGraceMs === null ? {} : { stopBy: this.time(moment) + moment.heartbeatMs + killGraceMs }
    this.put({ ...task, status: 'stopping', ...stopBy })
  }

  #schedule(action: Extract<ChartAction, { kind: 'timer' }>, moment: Moment): void {
    const id = action.id ?? `delayed.${++this.job.counter}`
    const timer = { id, event: action.event as { type: string }, dueAt: this.time(moment) + action.delayMs }
    this.job.timers = [...this.job.timers.filter((other) => other.id !== id), timer]
  }
}

function outcomeOf({ tags }: Meaning): Outcome {
  if (tags.has('failure')) return 'failure'
  return tags.has('cancelled') ? 'cancelled' : 'success'
}

/** XState's event for an actor that failed. */
export function errorEvent(id: string, error: Json): ChartEvent {
  return { type: `xstate.error.actor.${id}`, error, actorId: id }
}

/** How a stored task is to be run. */
export function settingsOf(type: AnyJobType, task: Task): TaskSettings {
  const settings = type.tasks.get(task.src)
  if (settings === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
  return settings
}

/** A task that is offered again: it has no holder and no grace; its token stays, so that no later one repeats it. */
export function offered(task: Task, change: Partial<Task>): Task {
  const { holder, stopBy, ...rest } = task
  return { ...rest, ...change, status: 'offered' }
}
