/**
 * Decides how a job changes. A decision is data: the next record, the events, and what to do after the commit.
 *
 * Each function is pure: the same job, event and context give the same decision. No function uses a clock, a storage or
 * a promise. A decision takes effect only when it is committed.
 */

import type { AgentRef, Assignment } from './agent.ts'
import { attemptEnded, endLate, type TaskEnd } from './attempt-end.ts'
import type { BatchCounts } from './batch-piece.ts'
import type { Address, ChartEvent } from './chart.ts'
import type { Decision, DecisionContext, JobTree } from './decision-data.ts'
import type { Draft } from './draft.ts'
import type { BatchAgain, Job, Overlap, Trigger } from './job.ts'
import { TreeDecision } from './job-tree.ts'
import type { AnyJobType } from './job-type.ts'
import { attemptLost, type Loss } from './loss.ts'
import { doneEvent, errorEvent, madeAvailable, newRecord, settingsOf, snapshotEvent } from './record.ts'
import { type Asked, remembered } from './remembered-decision.ts'
import { isToldToStop, stopError } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'

export type {
  Decision,
  DecisionContext,
  JobDecision,
  JobTree,
  LookedAt,
  PipelineDecision,
  TreeJob,
} from './decision-data.ts'
export { isSuspect } from './loss.ts'

/** The first values of a new job. The input is already parsed and storable. */
export interface NewJob {
  readonly id: string
  readonly tenant: string
  readonly createdBy: string
  readonly assignee?: string
  readonly assignment?: Assignment
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
  /** For a retry: which items of the retried job's batches run again. Absent: all. */
  readonly again?: BatchAgain
  /** The id with which the step keys of the new job begin. Present if the job continues the steps of another job. */
  readonly stepOrigin?: string
  /** True: the job is stored as waiting, for its start time or for its pipeline's slot. */
  readonly isWaiting?: boolean
  /** How the job waits for its pipeline's slot. Absent: it does not wait for a slot. */
  readonly overlap?: Overlap
}

/** Creates a job: its first state, tasks, timers and child jobs. */
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

/** Sends a command to the job's chart. */
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

/**
 * Delivers an event to the actor `to`. The event comes from a custom action of the job's machine. Such an action runs
 * after the commit of its own decision, so its events need a decision of their own.
 */
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

/** The engine instance or agent that claims a task, and what its executor can do. */
export interface Claimant {
  /** The id of the instance; of an agent, see `holderOf`. */
  readonly holder: string
  /** Present if an agent claims the task. */
  readonly agent?: AgentRef
  /** True: the executor reports when the task starts. Otherwise the task starts with its claim. */
  readonly startsLater?: boolean
  /** True: the executor can end code that ignores a stop. */
  readonly kills?: boolean
}

/** Claims one of the job's available tasks. The attempt is counted now, so it counts even if the process crashes. */
export function claim(
  type: AnyJobType,
  job: Job,
  invocation: number,
  claimant: Claimant,
  context: DecisionContext,
  tree?: JobTree,
): Decision {
  const { holder, agent, startsLater = false, kills = false } = claimant
  const index = job.tasks.findIndex((each) => each.invocation === invocation)
  // Not remembered, because each agent gives another decision.
  if (agent !== undefined) {
    return decide(type, job, context, tree, (draft) => claimed(draft, job.tasks[index], claimant))
  }
  return rememberedOf(job, { type, what: `claim ${index} ${startsLater} ${kills}`, context, holder }, (asked) =>
    decide(type, job, asked.context, tree, (draft) => {
      claimed(draft, job.tasks[index], { ...claimant, holder: asked.holder ?? holder })
    }),
  )
}

function claimed(draft: Draft, stored: Task | undefined, { holder, agent, startsLater, kills }: Claimant): void {
  const task = stored && draft.task(stored.invocation)
  // A migration of the job may have removed the task, or moved it to another executor or queue.
  if (task?.status !== 'available' || task.executor !== stored?.executor || task.queue !== stored.queue) return
  const counter = draft.job.counter + 1
  const attempt = task.attempt + 1
  draft.job.counter = counter
  const settings = settingsOf(draft.type, task)
  const claim = { status: 'claimed', token: counter, holder, attempt, claims: task.claims + 1 } as const
  draft.put({ ...task, ...claim, ...(kills === true ? { isKillable: true } : {}) })
  if (agent !== undefined) draft.job.agent = agent
  draft.touch()
  const by = agent === undefined ? {} : { agent }
  if (startsLater === true) draft.events.push({ type: 'task.claimed', task: task.id, attempt, ...by })
  else begun(draft, task.invocation, settings)
  draft.receiveNamed({ type: 'task.claimed', agent: agent ?? { id: holder } })
  if (startsLater !== true) draft.receiveNamed({ type: 'task.started', at: draft.time() })
  const left = draft.task(task.invocation)
  if (left?.status !== 'stopping') return
  // The chart left the task in reaction to the claim. No code has started yet, so none will report that it has stopped.
  draft.gone(left)
  draft.events.push({ type: 'task.stopped', task: left.id })
}

/**
 * Records that the task with this token has started, once. `undefined`: the token is no longer valid.
 *
 * @param handle  a value by which the executor finds the running code later.
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
    if (task.handle !== undefined) return
    draft.touch()
    begun(draft, task.invocation, settingsOf(draft.type, task), handle)
    draft.receiveNamed({ type: 'task.started', at: draft.time() })
  })
}

// Records the start of an attempt. Its `timeout` counts from here.
function begun(draft: Draft, invocation: number, { timeoutMs }: TaskSettings, handle?: Json): void {
  const task = draft.task(invocation)
  if (task === undefined) return
  const deadline = timeoutMs === null ? {} : { deadlineAt: draft.steady() + timeoutMs }
  draft.put({ ...task, ...deadline, ...(handle === undefined ? {} : { handle }) })
  draft.job.startedAt ??= draft.time()
  draft.events.push({ type: 'task.started', task: task.id, attempt: task.attempt })
}

/**
 * Ends the attempt that has this token. `undefined`: the token is no longer valid.
 *
 * `handled` of the decision is false if the chart does not take the result in its current state. The result of a task
 * for agents counts as handled if no state of the chart takes it: then the chart does not want it, and the task just
 * ends.
 */
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
    const decision = decide(type, job, context, tree, (draft) => attemptEnded(draft, task, result, context))
    return ended(task, decision)
  }
  const { output } = result
  const own = output === undefined ? {} : { output }
  const decision = rememberedOf(job, { type, what: `end ${job.tasks.indexOf(task)}`, context, ...own }, (asked) =>
    decide(type, job, asked.context, tree, (draft) => {
      attemptEnded(draft, task, asked.output === undefined ? { ok: true } : { ok: true, output: asked.output }, context)
    }),
  )
  return ended(task, decision)
}

// Only agents learn whether the chart took their result, so only their tasks need the right answer.
function ended(task: Task, decision: Decision): Decision {
  const { type, handled } = decision
  if (handled || task.queue === undefined || type.chart.isNamed(doneEvent(task.id, undefined).type)) return decision
  return { ...decision, handled: true }
}

/** A report of a running task to the chart: an event, or the newest value of an observable. */
export type TaskReport =
  | { readonly kind: 'event'; readonly event: ChartEvent }
  | { readonly kind: 'value'; readonly value: Json }

/** The counts of a batch. The chart gets them only if it names `task.progress`. */
export interface CountsReport {
  readonly kind: 'counts'
  readonly counts: BatchCounts
}

/** Applies a report of a running task. `undefined`: the token is no longer valid. */
export function report(
  type: AnyJobType,
  job: Job,
  token: number,
  said: TaskReport | CountsReport,
  context: DecisionContext,
  tree?: JobTree,
): Decision | undefined {
  const task = claimedUnder(job, token)
  if (task?.status !== 'claimed' && task?.status !== 'lost') return undefined
  return decide(type, job, context, tree, (draft) => {
    if (said.kind === 'event') draft.receive(said.event)
    else if (said.kind === 'counts') draft.receiveNamed({ type: 'task.progress', counts: said.counts })
    // A new value matters only to a chart that asked for snapshots.
    else if (task.sync === true) valueTold(draft, task, said.value)
  })
}

/** Records that an attempt was lost: its process died or was ended, or its engine was silent for too long. */
export function lose(type: AnyJobType, job: Job, loss: Loss, context: DecisionContext, tree?: JobTree): Decision {
  return decide(type, job, context, tree, (draft) => attemptLost(draft, loss))
}

/**
 * Gives back an attempt: the task is available again, and the attempt is not counted. If the engine gives it back because
 * it stops, the task keeps its place among the ready tasks: otherwise each stop would send what ran behind all that
 * waits. If an agent gives it back, it goes behind the others, which it must not hold up.
 *
 * @param reason  why the agent gives it back, as the chart is told. Absent: the engine stops.
 */
export function release(
  type: AnyJobType,
  job: Job,
  token: number,
  context: DecisionContext,
  tree?: JobTree,
  reason?: string,
): Decision {
  const why = reason ?? 'its engine stopped'
  return decide(type, job, context, tree, (draft) => {
    const task = claimedUnder(job, token)
    if (task?.status !== 'claimed') return
    draft.touch()
    draft.events.push({ type: 'task.released', task: task.id })
    if (isToldToStop(task)) {
      draft.remove(task)
      draft.receiveEnd(task, errorEvent(task.id, stopError(task, `it was told to stop, and ${why} first`)))
      return
    }
    const availableAt = reason === undefined ? task.availableAt : draft.steady()
    draft.put(madeAvailable(task, { attempt: task.attempt - 1, availableAt }))
    if (!draft.endIfDrained(task.invocation)) draft.receiveNamed({ type: 'task.released', reason: why })
  })
}

/** Admits a waiting job: its tasks may run, and its timers count from now. */
export function admit(type: AnyJobType, job: Job, context: DecisionContext, tree?: JobTree): Decision {
  return decide(type, job, context, tree, (draft) => draft.admit())
}

/** Deletes a job and its child jobs. They no longer move, and their running tasks are stopped. */
export function remove(type: AnyJobType, job: Job, context: DecisionContext, tree?: JobTree): Decision {
  return decide(type, job, context, tree, (draft) => draft.delete())
}

/**
 * Applies everything that is due by now: timers in the order of their times, then attempts past their deadline or
 * grace.
 */
export function due(type: AnyJobType, job: Job, context: DecisionContext, tree?: JobTree): Decision {
  return decide(type, job, context, tree, (draft) => {
    // A waiting job's timers hold delays, not times.
    if (draft.job.phase === 'waiting') return
    const ready = draft.job.timers.filter(({ dueAt }) => dueAt <= draft.steady()).sort((a, b) => a.dueAt - b.dueAt)
    // Fires only timers that were due at the start. A timer that is set meanwhile belongs to a later decision.
    // Otherwise timers that set each other would never end.
    for (const { event } of ready) {
      // Found by its event and not by its id: if a new timer has taken the same id meanwhile, this one has got another
      // id.
      const standing = draft.job.timers.find((timer) => timer.event === event)
      if (standing !== undefined) draft.fire(standing)
    }
    for (const { invocation } of draft.tasks.list) endLate(draft, draft.task(invocation), context)
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

// Any error thrown here ends the job. Otherwise every decision on the job could throw again, and a claimed task would
// stay claimed for ever.
function decided(decision: TreeDecision, draft: Draft, change: () => void): Decision {
  try {
    change()
  } catch (error) {
    draft.fail(error)
  }
  return decision.decision(draft)
}

/** The tree of a job without parent or child jobs. */
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

// The task with this token. Tasks of child jobs are skipped: nobody reports on them by token, because the child's own
// row tells its state.
function claimedUnder(job: Job, token: number): Task | undefined {
  return token > 0 ? job.tasks.find((task) => task.token === token && task.child === undefined) : undefined
}

// Stores the newest value of an observable. So references to the observable show the value, even after it was stopped.
function valueTold(draft: Draft, { invocation }: Task, context: Json): void {
  const task = draft.task(invocation)
  if (task === undefined) return
  draft.touch()
  draft.put({ ...task, snapshot: { context } })
  draft.receive(snapshotEvent(task.id, { status: 'active', context, input: task.input ?? null }))
}
