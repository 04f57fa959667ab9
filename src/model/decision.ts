/**
 * What a change makes of a job, as data: the next record, what happened, what is to be done after the commit.
 *
 * Each function here is pure: the same job, event and moment give the same decision. None knows a clock, a store or a
 * promise. Whoever commits the decision decides whether it took place.
 */
import type { Effect } from './chart-action.ts'
import type { AnyJobType } from './definition.ts'
import type { Draft } from './draft.ts'
import { jobError } from './error.ts'
import type { EventDraft } from './event.ts'
import { Family, NO_RELATIVES, type Relatives } from './family.ts'
import type { Job, Overlap, Trigger } from './job.ts'
import type { PipelineChange } from './pipeline.ts'
import { doneEvent, errorEvent, newRecord, offered, settingsOf, snapshotEvent } from './record.ts'
import { backoffMs } from './retry.ts'
import { isToldToStop, stopError, stopping } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'
import { isoTime } from './time.ts'
import type { ChartEvent } from './transition.ts'

export { MissingJob, type Relatives } from './family.ts'

/** What a decision may know of the world: passed in, so that it can be replayed. */
export interface DecisionContext {
  /** Milliseconds UTC. */
  readonly at: number
  /** Uniform in [0, 1). */
  readonly random: number
  /** How often executors hear from the engine; a part of every grace. */
  readonly heartbeatMs: number
}

/** What was decided of one job. */
export interface JobDecision {
  readonly type: AnyJobType
  /** The job that it was made from; absent for a new one. */
  readonly before?: Job
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
  readonly effects: readonly Effect[]
}

/** What was decided of a job, and of its relatives in the same unit. */
export interface Decision extends JobDecision {
  /** False: the chart takes no such event here. */
  readonly handled: boolean
  /** False: there is nothing to write. */
  readonly changed: boolean
  readonly others: readonly JobDecision[]
  /** Pipelines that change in the same unit. */
  readonly pipelines?: readonly PipelineChange[]
}

/** How the code of an attempt ended. */
export type TaskEnd =
  | { readonly ok: true; readonly output?: Json }
  | {
      readonly ok: false
      readonly error: Json
      /** It would end so again: it is not retried. */
      readonly isFinal?: boolean
    }

/** What a new job starts from. Its input is parsed and storable. */
export interface NewJob {
  readonly id: string
  readonly tenant: string
  readonly createdBy: string
  readonly trigger: Trigger
  readonly input?: Json
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  readonly priority: number
  readonly idempotencyKey?: string
  readonly startAt?: number
  readonly retryOf?: string
  readonly retries?: number
  /** It is stored as waiting, for its time or for its turn. */
  readonly isWaiting?: boolean
  /** How it waits for its turn; absent: it does not. */
  readonly overlap?: Overlap
}

/** Attempts lost in a row, without a further step recorded, before the task is given up as poison (I20). */
const CRASHES_MAX = 3

/**
 * One more loss makes it poison. It should run alone of its kind: of several that died together, only one can be what
 * their process died of.
 */
export function isSuspect({ crashes }: Task): boolean {
  return crashes >= CRASHES_MAX - 1
}

/** A new job: its first state, tasks and timers, and the child jobs that it begins with. */
export function create(type: AnyJobType, seed: NewJob, moment: DecisionContext, relatives = NO_RELATIVES): Decision {
  const family = new Family(moment, relatives)
  const { isWaiting = false, ...fields } = seed
  const admitted = isWaiting ? {} : { admittedAt: moment.at }
  const draft = family.open(type, { ...newRecord(type, moment.at), ...admitted, ...fields })
  draft.begin()
  return family.decision(draft)
}

/** The job after an event for its chart: a command. */
export function send(
  type: AnyJobType,
  job: Job,
  event: ChartEvent,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision {
  return decide(type, job, moment, relatives, (draft) => draft.receive(event))
}

/** The job with one of its offered tasks claimed and started by `holder`. The attempt is counted here (I20). */
export function claim(
  type: AnyJobType,
  job: Job,
  invocation: number,
  holder: string,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision {
  return decide(type, job, moment, relatives, (draft) => {
    const task = draft.task(invocation)
    // A migration may have left it, or given it to another executor.
    const asked = job.tasks.find((each) => each.invocation === invocation)
    if (task?.status !== 'available' || task.executor !== asked?.executor) return
    const counter = draft.job.counter + 1
    const attempt = task.attempt + 1
    draft.job.counter = counter
    const { timeoutMs } = settingsOf(draft.type, task)
    const deadline = timeoutMs === null ? {} : { deadlineAt: draft.time() + timeoutMs }
    draft.put({ ...task, ...deadline, status: 'claimed', token: counter, holder, attempt, claims: task.claims + 1 })
    draft.job.startedAt ??= draft.time()
    draft.touch()
    draft.events.push({ type: 'task.started', task: task.id, attempt })
    draft.receiveNamed({ type: 'task.claimed', agent: holder })
    draft.receiveNamed({ type: 'task.started' })
    const left = draft.task(invocation)
    if (left?.status !== 'stopping') return
    // The chart left it in the very unit of its claim: no code has begun, and none will tell that it stopped.
    draft.gone(left)
    draft.events.push({ type: 'task.stopped', task: left.id })
  })
}

/** The job after the attempt under `token` ended, or undefined: the token is no longer good. */
export function end(
  type: AnyJobType,
  job: Job,
  token: number,
  result: TaskEnd,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision | undefined {
  const task = claimedUnder(job, token)
  if (task === undefined || task.status === 'available') return undefined
  return decide(type, job, moment, relatives, (draft) => {
    draft.touch()
    if (task.status === 'stopping') {
      draft.gone(task)
      draft.events.push({ type: 'task.stopped', task: task.id })
    } else if (result.ok) {
      draft.remove(task)
      draft.receiveEnd(task, doneEvent(task.id, result.output))
    } else {
      failed(draft, task, result, moment)
    }
  })
}

/** What a task tells the chart while it runs: an event of its own, or, of an observable, its newest value. */
export type TaskReport =
  | { readonly kind: 'event'; readonly event: ChartEvent }
  | { readonly kind: 'value'; readonly value: Json }

/** The job after a running task sent something, or undefined: the token is no longer good. */
export function report(
  type: AnyJobType,
  job: Job,
  token: number,
  said: TaskReport,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision | undefined {
  const task = claimedUnder(job, token)
  if (task?.status !== 'claimed' && task?.status !== 'lost') return undefined
  const event = said.kind === 'event' ? said.event : valueEvent(task, said.value)
  return decide(type, job, moment, relatives, (draft) => {
    if (event !== undefined) draft.receive(event)
  })
}

/** Whether a task's code may send an event of this type to the chart. */
export function maySend(type: AnyJobType, { events, kind }: TaskSettings, eventType: string): boolean {
  if (events !== undefined) return events.includes(eventType)
  const isOurs = eventType.startsWith('task.') || eventType.startsWith('xstate.')
  // A callback or an observable is the machine's own, and says what it says.
  return !isOurs && (kind !== 'promise' || !Object.hasOwn(type.commands, eventType))
}

/** How an attempt was lost. */
export interface Loss {
  readonly invocation: number
  readonly reason: string
  /** Steps recorded under the invocation by now. */
  readonly steps: number
}

/** The job after the process of one of its tasks died. */
export function lose(
  type: AnyJobType,
  job: Job,
  { invocation, reason, steps }: Loss,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision {
  return decide(type, job, moment, relatives, (draft) => {
    const task = draft.task(invocation)
    if (task?.child !== undefined || (task?.status !== 'claimed' && task?.status !== 'stopping')) return
    draft.touch()
    if (task.status === 'stopping') {
      draft.gone(task)
      draft.events.push({ type: 'task.stopped', task: task.id })
      return
    }
    const settings = settingsOf(draft.type, task)
    // A callback or an observable sees every crash of its process as long as its state lasts, and would be a suspect that
    // never ends: none of its kind would run beside it.
    const crashes = settings.kind === 'promise' ? crashesAfter(task, steps) : 0
    const lost = offered(task, { crashes, steps, losses: task.losses + 1, availableAt: draft.time() })
    const { deadlineAt, stopBy } = task
    // Elsewhere it may still run, and no longer than it may.
    const bounds = { ...(deadlineAt === undefined ? {} : { deadlineAt }), ...(stopBy === undefined ? {} : { stopBy }) }
    draft.put(settings.recovery === 'await' ? { ...lost, ...bounds, status: 'lost' } : lost)
    draft.events.push({ type: 'task.lost', task: task.id, attempt: task.attempt, reason })
    draft.receiveNamed({ type: 'task.lost', reason })
    const left = draft.task(invocation)
    const error = left === undefined ? undefined : lossError(settings, left, reason)
    if (left === undefined || error === undefined) return
    draft.remove(left)
    draft.receiveEnd(left, errorEvent(left.id, error))
  })
}

/** The job with an attempt given back by an engine that stops: offered again, and not counted (I45). */
export function release(
  type: AnyJobType,
  job: Job,
  token: number,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision {
  return decide(type, job, moment, relatives, (draft) => {
    const task = claimedUnder(job, token)
    if (task?.status !== 'claimed') return
    draft.touch()
    draft.events.push({ type: 'task.released', task: task.id })
    if (isToldToStop(task)) {
      draft.remove(task)
      draft.receiveEnd(task, errorEvent(task.id, stopError(task, 'it was told to stop, and its engine stopped first')))
    } else draft.put(offered(task, { attempt: task.attempt - 1, availableAt: draft.time() }))
  })
}

/** The waiting job admitted: its tasks may run, and its timers count from now. */
export function admit(
  type: AnyJobType,
  job: Job,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision {
  return decide(type, job, moment, relatives, (draft) => draft.admit())
}

/** The job deleted, with its child jobs: nothing of it moves any more, and what still runs of it is stopped. */
export function remove(
  type: AnyJobType,
  job: Job,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision {
  return decide(type, job, moment, relatives, (draft) => draft.delete())
}

/** The job after whatever fell due by now: timers in the order of their times, then attempts past their deadline or grace. */
export function due(
  type: AnyJobType,
  job: Job,
  moment: DecisionContext,
  relatives: Relatives = NO_RELATIVES,
): Decision {
  return decide(type, job, moment, relatives, (draft) => {
    // A waiting job's timers are delays.
    if (draft.job.phase === 'waiting') return
    const ready = draft.job.timers.filter(({ dueAt }) => dueAt <= moment.at).sort((a, b) => a.dueAt - b.dueAt)
    // Each only while it still stands; one that is set meanwhile is a change of its own, or a cycle would never end.
    for (const timer of ready) if (draft.job.timers.includes(timer)) draft.fire(timer)
    for (const { invocation } of draft.job.tasks) giveUp(draft, draft.task(invocation), moment)
  })
}

function decide(
  type: AnyJobType,
  job: Job,
  moment: DecisionContext,
  relatives: Relatives,
  change: (draft: Draft) => void,
): Decision {
  const family = new Family(moment, relatives)
  const draft = family.open(type, job)
  change(draft)
  return family.decision(draft)
}

// A child job stands in the tasks under no token; its own rows say how it is.
function claimedUnder(job: Job, token: number): Task | undefined {
  return token > 0 ? job.tasks.find((task) => task.token === token && task.child === undefined) : undefined
}

function failed(draft: Draft, task: Task, { error, isFinal }: TaskEnd & { ok: false }, moment: DecisionContext): void {
  const losses = lossesOf(task)
  const availableAt = isFinal === true ? undefined : nextAttemptAt(draft, task, moment)
  if (availableAt === undefined) {
    draft.remove(task)
    draft.receiveEnd(task, errorEvent(task.id, error))
    return
  }
  draft.put(offered(task, { availableAt, losses, crashes: 0 }))
  noteRetry(draft, task, availableAt, error)
}

/** When a failed attempt is made again; undefined: it is not. */
function nextAttemptAt(draft: Draft, task: Task, { random }: DecisionContext): number | undefined {
  const { retry } = settingsOf(draft.type, task)
  const failures = task.attempt - lossesOf(task)
  if (failures > retry.limit || isToldToStop(task)) return undefined
  return draft.time() + backoffMs(retry, failures, random)
}

// An attempt that was awaited, and now has an end, was not lost after all.
function lossesOf({ status, losses }: Task): number {
  return status === 'lost' ? losses - 1 : losses
}

function noteRetry(draft: Draft, { id, attempt }: Task, availableAt: number, error: Json): void {
  const at = isoTime(availableAt)
  draft.events.push({ type: 'task.retried', task: id, attempt, availableAt: at, error: jobError(error) })
}

// Nothing is awaited of it any more: its time is over, or the grace in which it was to stop.
function giveUp(draft: Draft, task: Task | undefined, moment: DecisionContext): void {
  if (task?.stopBy !== undefined && task.stopBy <= moment.at) abandoned(draft, task)
  else if (task?.deadlineAt !== undefined && task.deadlineAt <= moment.at) timedOut(draft, task, moment)
}

function abandoned(draft: Draft, task: Task): void {
  draft.touch()
  draft.gone(task)
  draft.events.push({ type: 'task.abandoned', task: task.id })
  if (task.status === 'stopping') return
  draft.receiveEnd(task, errorEvent(task.id, stopError(task, 'it was told to stop, and did not in its grace')))
}

function timedOut(draft: Draft, task: Task, moment: DecisionContext): void {
  draft.touch()
  const { timeoutMs } = settingsOf(draft.type, task)
  const message = `attempt ${task.attempt} took longer than ${timeoutMs} ms`
  const error = { name: 'JobchartError', code: 'TIMEOUT', message }
  const again = nextAttemptAt(draft, task, moment)
  // What is lost has no code here that could run beside the next attempt.
  const isRunning = task.status === 'claimed'
  if (isRunning) {
    const stopped = stopping(draft.type, task, draft.graceFrom(), 'timeout')
    draft.put(again === undefined ? stopped : { ...stopped, again, crashes: 0 })
  } else if (again === undefined) draft.remove(task)
  else draft.put(offered(task, { availableAt: again, losses: lossesOf(task), crashes: 0 }))
  if (again === undefined) draft.receiveEnd(task, errorEvent(task.id, error))
  else noteRetry(draft, task, again, error)
}

// A value is news only for a chart that asked for its snapshots.
function valueEvent({ id, sync, input }: Task, value: Json): ChartEvent | undefined {
  return sync === true ? snapshotEvent(id, { status: 'active', context: value, input: input ?? null }) : undefined
}

// Work that gets further each time is not what takes its process down.
function crashesAfter(task: Task, steps: number): number {
  return steps > task.steps ? 1 : task.crashes + 1
}

function lossError({ recovery }: TaskSettings, task: Task, reason: string): Json | undefined {
  const { crashes } = task
  // One that was told to stop is never made again.
  if (recovery === 'fail' || (recovery === 'restart' && isToldToStop(task))) {
    return { name: 'JobchartError', code: 'TASK_LOST', message: `the process of the attempt was lost: ${reason}` }
  }
  if (recovery === 'await' || crashes < CRASHES_MAX) return undefined
  const message = `${crashes} attempts in a row were lost with their process; the last: ${reason}`
  return { name: 'JobchartError', code: 'POISON', message }
}
