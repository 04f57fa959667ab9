/**
 * What a change makes of a job, as data: the next record, what happened, what is to be done after the commit.
 *
 * Each function here is pure: the same job, event and context give the same decision. None knows a clock, a store or a
 * promise. Whoever commits the decision decides whether it took place.
 */

import type { Address, ChartEvent } from './chart.ts'
import type { Decision, DecisionContext, JobTree } from './decision-data.ts'
import type { Draft } from './draft.ts'
import { jobError } from './error.ts'
import type { Job, Overlap, Trigger } from './job.ts'
import { TreeDecision } from './job-tree.ts'
import type { AnyJobType } from './job-type.ts'
import { crashesAfter, type Loss, lossError } from './loss.ts'
import { doneEvent, errorEvent, newRecord, offered, settingsOf, snapshotEvent } from './record.ts'
import { type Asked, remembered } from './remembered-decision.ts'
import { backoffMs } from './retry.ts'
import { isToldToStop, killed, stopError, stopping } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'
import { isoTime } from './time.ts'

export type { Decision, DecisionContext, JobDecision, JobTree, LookedAt, TreeJob } from './decision-data.ts'
export { isSuspect } from './loss.ts'

/** How the code of an attempt ended. */
export type TaskEnd =
  | { readonly ok: true; readonly output?: Json; readonly exitCode?: number }
  | {
      readonly ok: false
      readonly error: Json
      /** Of a program. */
      readonly exitCode?: number
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
  readonly uniqueKey?: string
  readonly startAt?: number
  readonly retryOf?: string
  readonly retries?: number
  /** It continues another job's steps, whose keys begin with this id. */
  readonly stepOrigin?: string
  /** It is stored as waiting, for its time or for its turn. */
  readonly isWaiting?: boolean
  /** How it waits for its turn; absent: it does not. */
  readonly overlap?: Overlap
}

/** A new job: its first state, tasks and timers, and the child jobs that it begins with. */
export function create(type: AnyJobType, seed: NewJob, context: DecisionContext, tree: JobTree = NO_TREE): Decision {
  const { isWaiting = false, ...fields } = seed
  const recordAt = (at: number): Job => ({
    ...newRecord(type, at),
    ...(isWaiting ? {} : { admittedAt: at }),
    ...fields,
  })
  return remembered({ type, what: 'create', context }, recordAt, (asked) => {
    const decision = new TreeDecision(asked.context, tree)
    const draft = decision.begin(type, recordAt(asked.context.at))
    return decided(decision, draft, () => draft.begin())
  })
}

/** The job after an event for its chart: a command. */
export function send(
  type: AnyJobType,
  job: Job,
  event: ChartEvent,
  context: DecisionContext,
  tree?: JobTree,
): Decision {
  return rememberedOf(job, { type, what: `send ${event.type}`, context, event }, (asked) =>
    decide(type, job, asked.context, tree, (draft) => draft.receiveCommand(asked.event ?? event)),
  )
}

/** The job after one of its machine's actions sent an event to `to`, after its commit. */
export function tell(
  type: AnyJobType,
  job: Job,
  to: Address,
  event: ChartEvent,
  context: DecisionContext,
  tree?: JobTree,
): Decision {
  return decide(type, job, context, tree, (draft) => draft.send({ kind: 'send', to, event }))
}

/** Who claims a task, and what its executor does. */
export interface Claimant {
  readonly holder: string
  /** The executor says itself when the work starts; else it starts with its claim. */
  readonly startsLater?: boolean
  /** The executor ends code that ignores its stop. */
  readonly kills?: boolean
}

/** The job with one of its available tasks claimed. The attempt is counted here (I20). */
export function claim(
  type: AnyJobType,
  job: Job,
  invocation: number,
  claimant: Claimant,
  context: DecisionContext,
  tree?: JobTree,
): Decision {
  const { holder, startsLater = false, kills = false } = claimant
  const index = job.tasks.findIndex((each) => each.invocation === invocation)
  return rememberedOf(job, { type, what: `claim ${index} ${startsLater} ${kills}`, context, holder }, (asked) =>
    decide(type, job, asked.context, tree, (draft) => {
      claimed(draft, job.tasks[index], { ...claimant, holder: asked.holder ?? holder })
    }),
  )
}

function claimed(draft: Draft, stored: Task | undefined, { holder, startsLater, kills }: Claimant): void {
  const task = stored && draft.task(stored.invocation)
  // A migration may have left it, or given it to another executor.
  if (task?.status !== 'available' || task.executor !== stored?.executor) return
  const counter = draft.job.counter + 1
  const attempt = task.attempt + 1
  draft.job.counter = counter
  const settings = settingsOf(draft.type, task)
  const claim = { status: 'claimed', token: counter, holder, attempt, claims: task.claims + 1 } as const
  draft.put({ ...task, ...claim, ...(kills === true ? { isKillable: true } : {}) })
  draft.touch()
  if (startsLater === true) draft.events.push({ type: 'task.claimed', task: task.id, attempt })
  else begun(draft, task.invocation, settings)
  draft.receiveNamed({ type: 'task.claimed', agent: holder })
  if (startsLater !== true) draft.receiveNamed({ type: 'task.started', at: draft.time() })
  const left = draft.task(task.invocation)
  if (left?.status !== 'stopping') return
  // The chart left it in the very changeset of its claim: no code has begun, and none will tell that it stopped.
  draft.gone(left)
  draft.events.push({ type: 'task.stopped', task: left.id })
}

/**
 * The job after the work under `token` began to run, or undefined: the token is no longer good.
 *
 * @param handle  by which its executor finds it.
 */
export function started(
  type: AnyJobType,
  job: Job,
  token: number,
  handle: Json | undefined,
  context: DecisionContext,
  tree?: JobTree,
): Decision | undefined {
  const task = claimedUnder(job, token)
  if (task?.status !== 'claimed') return undefined
  return decide(type, job, context, tree, (draft) => {
    draft.touch()
    begun(draft, task.invocation, settingsOf(draft.type, task), handle)
    draft.receiveNamed({ type: 'task.started', at: draft.time() })
  })
}

// The attempt's time counts from here.
function begun(draft: Draft, invocation: number, { timeoutMs }: TaskSettings, handle?: Json): void {
  const task = draft.task(invocation)
  if (task === undefined) return
  const deadline = timeoutMs === null ? {} : { deadlineAt: draft.steady() + timeoutMs }
  draft.put({ ...task, ...deadline, ...(handle === undefined ? {} : { handle }) })
  draft.job.startedAt ??= draft.time()
  draft.events.push({ type: 'task.started', task: task.id, attempt: task.attempt })
}

/** The job after the attempt under `token` ended, or undefined: the token is no longer good. */
export function end(
  type: AnyJobType,
  job: Job,
  token: number,
  result: TaskEnd,
  context: DecisionContext,
  tree?: JobTree,
): Decision | undefined {
  const task = claimedUnder(job, token)
  if (task === undefined || task.status === 'available') return undefined
  if (!result.ok || result.exitCode !== undefined) {
    return decide(type, job, context, tree, (draft) => endedUnder(draft, task, result, context))
  }
  const { output } = result
  const own = output === undefined ? {} : { output }
  return rememberedOf(job, { type, what: `end ${job.tasks.indexOf(task)}`, context, ...own }, (asked) =>
    decide(type, job, asked.context, tree, (draft) => {
      endedUnder(draft, task, asked.output === undefined ? { ok: true } : { ok: true, output: asked.output }, context)
    }),
  )
}

function endedUnder(draft: Draft, task: Task, result: TaskEnd, context: DecisionContext): void {
  draft.touch()
  if (task.status === 'stopping') {
    draft.gone(task)
    draft.events.push({ type: 'task.stopped', task: task.id })
  } else if (result.ok) {
    draft.remove(task)
    exited(draft, result)
    draft.receiveEnd(task, doneEvent(task.id, result.output))
  } else failed(draft, task, result, context)
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
  context: DecisionContext,
  tree?: JobTree,
): Decision | undefined {
  const task = claimedUnder(job, token)
  if (task?.status !== 'claimed' && task?.status !== 'lost') return undefined
  return decide(type, job, context, tree, (draft) => {
    if (said.kind === 'event') draft.receive(said.event)
    // A value is news only for a chart that asked for its snapshots.
    else if (task.sync === true) valueTold(draft, task, said.value)
  })
}

/** Whether a task's code may send an event of this type to the chart. */
export function maySend(type: AnyJobType, { events, kind }: TaskSettings, eventType: string): boolean {
  if (events !== undefined) return events.includes(eventType)
  const isOurs = eventType.startsWith('task.') || eventType.startsWith('xstate.')
  // A callback or an observable is the machine's own, and says what it says.
  return !isOurs && (kind !== 'promise' || !Object.hasOwn(type.commands, eventType))
}

/** The job after one of its tasks was lost: its process died, was ended, or is silent for too long. */
export function lose(
  type: AnyJobType,
  job: Job,
  { invocation, reason, isCrash = true, steps }: Loss,
  context: DecisionContext,
  tree?: JobTree,
): Decision {
  return decide(type, job, context, tree, (draft) => {
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
    const counted = isCrash ? { crashes, steps } : {}
    const lost = offered(task, { ...counted, losses: task.losses + 1, availableAt: draft.steady() })
    const { deadlineAt, stopBy } = task
    // Elsewhere it may still run, and no longer than it may.
    const bounds = { ...(deadlineAt === undefined ? {} : { deadlineAt }), ...(stopBy === undefined ? {} : { stopBy }) }
    draft.put(settings.recovery === 'await' ? { ...lost, ...bounds, status: 'lost' } : lost)
    draft.events.push({ type: 'task.lost', task: task.id, attempt: task.attempt, reason })
    draft.receiveNamed({ type: 'task.lost', reason })
    const left = draft.task(invocation)
    const error = left === undefined ? undefined : lossError(settings, left, { reason, isCrash })
    if (left === undefined || error === undefined) return
    draft.remove(left)
    draft.receiveEnd(left, errorEvent(left.id, error))
  })
}

/** Why an attempt is given back. */
const RELEASE_REASON = 'its engine stopped'

/** The job with an attempt given back by an engine that stops: offered again, and not counted (I45). */
export function release(type: AnyJobType, job: Job, token: number, context: DecisionContext, tree?: JobTree): Decision {
  return decide(type, job, context, tree, (draft) => {
    const task = claimedUnder(job, token)
    if (task?.status !== 'claimed') return
    draft.touch()
    draft.events.push({ type: 'task.released', task: task.id })
    if (isToldToStop(task)) {
      draft.remove(task)
      draft.receiveEnd(task, errorEvent(task.id, stopError(task, 'it was told to stop, and its engine stopped first')))
      return
    }
    draft.put(offered(task, { attempt: task.attempt - 1, availableAt: draft.steady() }))
    draft.receiveNamed({ type: 'task.released', reason: RELEASE_REASON })
  })
}

/** The waiting job admitted: its tasks may run, and its timers count from now. */
export function admit(type: AnyJobType, job: Job, context: DecisionContext, tree?: JobTree): Decision {
  return decide(type, job, context, tree, (draft) => draft.admit())
}

/** The job deleted, with its child jobs: nothing of it moves any more, and what still runs of it is stopped. */
export function remove(type: AnyJobType, job: Job, context: DecisionContext, tree?: JobTree): Decision {
  return decide(type, job, context, tree, (draft) => draft.delete())
}

/** The job after whatever fell due by now: timers in the order of their times, then attempts past their deadline or grace. */
export function due(type: AnyJobType, job: Job, context: DecisionContext, tree?: JobTree): Decision {
  return decide(type, job, context, tree, (draft) => {
    // A waiting job's timers are delays.
    if (draft.job.phase === 'waiting') return
    const ready = draft.job.timers.filter(({ dueAt }) => dueAt <= draft.steady()).sort((a, b) => a.dueAt - b.dueAt)
    // Each only while it still stands; one that is set meanwhile is a change of its own, or a cycle would never end.
    for (const { event } of ready) {
      // One of its id may have been set meanwhile, and has given it another.
      const standing = draft.job.timers.find((timer) => timer.event === event)
      if (standing !== undefined) draft.fire(standing)
    }
    for (const { invocation } of draft.tasks.list) giveUp(draft, draft.task(invocation), context)
  })
}

function rememberedOf(job: Job, asked: Asked, general: (asked: Asked) => Decision): Decision {
  return remembered(asked, () => job, general)
}

function decide(
  type: AnyJobType,
  job: Job,
  context: DecisionContext,
  tree: JobTree | undefined,
  change: (draft: Draft) => void,
): Decision {
  const decision = new TreeDecision(context, tree ?? alone(job))
  const draft = decision.open(type, job)
  return decided(decision, draft, () => change(draft))
}

// Whatever is thrown on the way ends the job: a claimed task that no decision could end would stay for ever.
function decided(decision: TreeDecision, draft: Draft, change: () => void): Decision {
  try {
    change()
  } catch (error) {
    draft.fail(error)
  }
  return decision.decision(draft)
}

/** For a job that has no other jobs around it, and begins none. */
const NO_TREE: JobTree = {
  get: () => undefined,
  newId: () => {
    throw new Error('a decision that begins child jobs needs a job tree')
  },
}

function alone({ id, parentId, tasks }: Job): JobTree {
  if (parentId === undefined && !tasks.some(({ child }) => child !== undefined)) return NO_TREE
  throw new Error(`job "${id}" has a parent or child jobs: its decisions need the job tree`)
}

// A child job stands in the tasks under no token; its own rows say how it is.
function claimedUnder(job: Job, token: number): Task | undefined {
  return token > 0 ? job.tasks.find((task) => task.token === token && task.child === undefined) : undefined
}

function exited({ job }: Draft, { exitCode }: TaskEnd): void {
  if (exitCode !== undefined) job.exitCode = exitCode
}

function failed(draft: Draft, task: Task, result: TaskEnd & { ok: false }, context: DecisionContext): void {
  const { error, isFinal } = result
  const losses = lossesOf(task)
  const availableAt = isFinal === true ? undefined : nextAttemptAt(draft, task, context)
  if (availableAt === undefined) {
    draft.remove(task)
    exited(draft, result)
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
  return draft.steady() + backoffMs(retry, failures, random)
}

// An attempt that was awaited, and now has an end, was not lost after all.
function lossesOf({ status, losses }: Task): number {
  return status === 'lost' ? losses - 1 : losses
}

function noteRetry(draft: Draft, { id, attempt }: Task, availableAt: number, error: Json): void {
  const at = isoTime(draft.time() + (availableAt - draft.steady()))
  draft.events.push({ type: 'task.retried', task: id, attempt, availableAt: at, error: jobError(error) })
}

// Nothing is awaited of it any more: its time is over, or the grace in which it was to stop.
function giveUp(draft: Draft, task: Task | undefined, context: DecisionContext): void {
  if (task?.stopBy !== undefined && task.stopBy <= draft.steady()) abandoned(draft, task)
  else if (task?.deadlineAt !== undefined && task.deadlineAt <= draft.steady()) timedOut(draft, task, context)
}

function abandoned(draft: Draft, task: Task): void {
  draft.touch()
  if (task.isKillable === true && task.status !== 'lost') {
    draft.put(killed(task))
    return
  }
  draft.gone(task)
  draft.events.push({ type: 'task.abandoned', task: task.id })
  if (task.status === 'stopping') return
  draft.receiveEnd(task, errorEvent(task.id, stopError(task, 'it was told to stop, and did not in its grace')))
}

function timedOut(draft: Draft, task: Task, context: DecisionContext): void {
  draft.touch()
  const { timeoutMs } = settingsOf(draft.type, task)
  const message = `attempt ${task.attempt} took longer than ${timeoutMs} ms`
  const error = { name: 'JobchartError', code: 'TIMEOUT', message }
  const again = nextAttemptAt(draft, task, context)
  // What is lost has no code here that could run beside the next attempt.
  const isRunning = task.status === 'claimed'
  if (isRunning) {
    const stopped = stopping(draft.type, task, draft.graceFrom(task), 'timeout')
    draft.put(again === undefined ? stopped : { ...stopped, again, crashes: 0 })
  } else if (again === undefined) draft.remove(task)
  else draft.put(offered(task, { availableAt: again, losses: lossesOf(task), crashes: 0 }))
  if (again === undefined) draft.receiveEnd(task, errorEvent(task.id, error))
  else noteRetry(draft, task, again, error)
}

// A reference to the observable goes on to show its newest value.
function valueTold(draft: Draft, { invocation }: Task, context: Json): void {
  const task = draft.task(invocation)
  if (task === undefined) return
  draft.touch()
  draft.put({ ...task, snapshot: { context } })
  draft.receive(snapshotEvent(task.id, { status: 'active', context, input: task.input ?? null }))
}
