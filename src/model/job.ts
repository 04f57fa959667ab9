import type { Assignment, JobAgent } from './agent.ts'
import type { ItemsToRetry } from './batch-piece.ts'
import type { Address } from './chart.ts'
import type { JobError } from './error.ts'
import type { Json } from './storable.ts'
import { isRunning, type StampedProgress, type Task } from './task-record.ts'

declare const jobTypeBrand: unique symbol

/** The id of a job, with its job type at compile time. A plain string is accepted where the type is not needed. */
export type JobId<Type = unknown> = string & { readonly [jobTypeBrand]?: Type }

/** How a job ended. */
export type Outcome = 'success' | 'failure' | 'cancelled'

/**
 * How far a job is, in terms that fit every lifecycle. The phase is the first of these that applies:
 *
 * - `settled`: it has ended.
 * - `waiting`: it is not admitted yet. It waits for its start time or its pipeline's slot.
 * - `indeterminate`: its current state has the tag `indeterminate`.
 * - `active`: none of these.
 */
export type Phase = 'settled' | 'waiting' | 'indeterminate' | 'active'

/**
 * What happens to a new run while another run holds the pipeline's slot: it is refused, waits, or replaces the other.
 */
export type Overlap = 'reject' | 'queue' | 'replace'

/** Why a job exists. */
export type Trigger = 'manual' | 'schedule' | 'dependency' | 'retry' | 'parent'

/** An event that is due at a time: an `after`, or a delayed `raise`. */
export interface Timer {
  /**
   * The id from XState. If a newer timer takes the same id, the older one gets a new id, which `cancel` does not find.
   */
  readonly id: string
  /** The receiver of the event. Absent: the job itself. */
  readonly to?: Address
  readonly event: { readonly type: string; readonly [key: string]: Json }
  /** Milliseconds UTC. For a waiting job: the delay in milliseconds, which counts from its admission. */
  readonly dueAt: number
}

/** A child that has ended. Chart code may still address it and read its snapshot. */
export interface EndedChild extends Pick<Task, 'id' | 'src' | 'invocation'> {
  /** Absent in rows that older versions of jobchart have written. */
  readonly snapshot?: LastSnapshot
  /** True: the chart has left or stopped it, but the context still refers to it. */
  readonly left?: true
}

/** The last snapshot of a child that has ended or was stopped, for chart code that still refers to the child. */
export interface LastSnapshot {
  readonly status: 'done' | 'error' | 'stopped'
  readonly output?: Json
  readonly error?: Json
  /** Only for a machine: its state value. */
  readonly value?: Json
  readonly context?: Json
}

/** One invocation of a batch. `invoke`: its address, as for recorded steps. `total`: the length of its list. */
export interface BatchRun {
  readonly invoke: string
  readonly ordinal: number
  readonly invocation: number
  readonly total?: number
}

/** Which items of a retried job run again. */
export interface BatchAgain {
  readonly items: ItemsToRetry
  /** The batches of the retried job. Any other batch runs all its items. */
  readonly runs: readonly AgainRun[]
  /** How many jobs have the items of these batches: the retried job, and those that it retries itself. */
  readonly jobs: number
}

/**
 * A batch of a retried job. `completed` and `failed`: how many of its items have this status, with those of the jobs
 * that the retried job itself retries. So the total of an array is known from the start.
 */
export interface AgainRun extends Pick<BatchRun, 'invoke' | 'ordinal'> {
  readonly completed: number
  readonly failed: number
}

/** One stored run of a job type: a row, changed by a pure function. All times are whole milliseconds UTC. */
export interface Job {
  readonly id: string
  readonly type: string
  readonly version: string
  readonly tenant: string
  readonly createdBy: string
  /** The person who is to act on the job. Never changes. */
  readonly assignee?: string
  readonly trigger: Trigger
  /** Which agents may run the tasks of the job. Absent: any that are able. Never changes. */
  readonly assignment?: Assignment
  /** The agent that last claimed a task of the job. */
  readonly agent?: JobAgent
  /**
   * The invocations of batches, by the invoke and its ordinal. A retry of the job finds their items by it. Absent: the
   * job has had no batch.
   */
  readonly batches?: readonly BatchRun[]
  /** For a retry of a job with a batch: which of that job's items run again. Absent: all. Never changes. */
  readonly again?: BatchAgain
  /** Runs of the same pipeline share one slot. */
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  /** For a child job: the job whose chart invoked it. */
  readonly parentId?: string
  /** For a child job: the id of the invoke in the parent's chart. */
  readonly parentInvoke?: string
  /** XState's state value, e.g. `'running'` or `{ shipping: 'packed' }`. */
  readonly state: Json
  readonly context: Json
  /** For each history state's id: the ids of the states that it remembers. */
  readonly historyValue?: { readonly [id: string]: readonly string[] }
  /**
   * True: the context holds values that are not plain data, such as actor references. They are restored before each
   * transition.
   */
  readonly hasRefs?: boolean
  /** The public label of the current state. */
  readonly status: string
  readonly phase: Phase
  readonly outcome?: Outcome
  /**
   * Whether the current state has the tag `vacates`. Then the job holds its pipeline's slot only while code of its
   * tasks may run.
   */
  readonly vacates: boolean
  readonly input?: Json
  readonly output?: Json
  readonly error?: JobError
  readonly exitCode?: number
  readonly message?: string
  /** Written by the reports of tasks. A transition changes it only where a batch begins or is ended. */
  readonly progress?: StampedProgress
  /** Jobs with a higher number run first. */
  readonly priority: number
  /** The job is not admitted before this time. */
  readonly startAt?: number
  /** When the job was admitted: its tasks may run and its timers count from then. Absent while the job waits. */
  readonly admittedAt?: number
  /** How the job waits for its pipeline's slot. A waiting `replace` job is itself replaced by a later one. */
  readonly overlap?: Overlap
  /** The job that this one retries. */
  readonly retryOf?: string
  /** How many retries led to this job. Absent for a first try. */
  readonly retries?: number
  /**
   * The id with which the job's step keys begin, if it is not the job's own id. For a retry that continues another job:
   * the id of the first try. For a child job: the id with which the step keys of its top job begin.
   */
  readonly stepOrigin?: string
  /**
   * For a child job: the part of its step keys that leads from the top job to it, e.g. `import/1/` for the first
   * invocation of the invoke `import`.
   */
  readonly stepPath?: string
  /** The job is hidden from this time on. Its row is removed when none of its tasks runs. */
  readonly deletedAt?: number
  readonly timers: readonly Timer[]
  readonly tasks: readonly Task[]
  /** Children that have ended, as long as the chart is in their invoke or refers to them. */
  readonly ended?: readonly EndedChild[]
  /**
   * For each state whose invokes were left: how often it was entered. Under `''`: how many actors were spawned. Absent
   * once the job has settled.
   */
  readonly ordinals?: { readonly [stateId: string]: number }
  /** True: the tasks of this child job wait until an earlier invocation of the same invoke has stopped. */
  readonly blocked?: true
  /** The last number that was given to an invocation, a claim or a timer without an id. Never reset. */
  readonly counter: number
  readonly createdAt: number
  /** When a task of the job first started. */
  readonly startedAt?: number
  /** Present exactly when the phase is `settled`. */
  readonly endedAt?: number
  readonly updatedAt: number
  /** Compared by compare-and-set: 1 at insert, raised by every write. */
  readonly revision: number
  /** How many events the job has: the `jobSequence` of the newest. */
  readonly eventCount: number
  readonly idempotencyKey?: string
  /** Unique among the jobs of its tenant and type that have not ended. */
  readonly uniqueKey?: string
  /** The names of the notification rules that have notified. Absent: none. */
  readonly notified?: readonly string[]
}

/** A job's record with fields that can be written, while a decision makes it. */
export type OpenJob = { -readonly [Key in keyof Job]: Job[Key] }

/** The facts of a job that a policy sees, and the fields that identify its type. */
export type JobSummary = Pick<
  Job,
  'id' | 'tenant' | 'type' | 'version' | 'createdBy' | 'assignee' | 'pipeline' | 'labels' | 'status'
>

/** The time by which waiting jobs are ordered: when the job may start, or else when it was created. */
export function dueAt({ startAt, createdAt }: Job): number {
  return startAt ?? createdAt
}

/** Whether the job's `startAt` has come, or it has none. */
export function mayStart({ startAt }: Job, at: number): boolean {
  return startAt === undefined || startAt <= at
}

/**
 * Whether the job counts against its type's `limits.queued`: it is not a child job, has neither ended nor been deleted,
 * and no task of it has started.
 */
export function isQueued({ startedAt, phase, deletedAt, parentId }: Job): boolean {
  return startedAt === undefined && phase !== 'settled' && deletedAt === undefined && parentId === undefined
}

/** Whether the job had exactly one invocation and one claim. Each of them raises the counter by 1. */
export function hadOneAttempt({ counter }: Job): boolean {
  return counter === 2
}

/** Whether the job still reserves its unique key: until it ends or is deleted. */
export function holdsUniqueKey({ uniqueKey, phase, deletedAt }: Job): boolean {
  return uniqueKey !== undefined && phase !== 'settled' && deletedAt === undefined
}

/** Whether code of the job may be running: some task is claimed or stopping. */
export function isBusy(job: Job): boolean {
  return job.tasks.some(isRunning)
}

/** The limit keys of the tasks whose code may be running, one entry for each such task. */
export function heldKeys(job: Job): readonly HeldKey[] {
  return job.tasks.flatMap((task) => {
    const { invocation, limitKey: key } = task
    return key !== undefined && isRunning(task) ? [{ invocation, key }] : []
  })
}

/** A task that counts under a limit key. */
export interface HeldKey {
  readonly invocation: number
  readonly key: string
}

/**
 * Whether the job holds its pipeline's slot: it is admitted and its current state needs the slot (it has no tag
 * `vacates`), or code of its tasks may still run.
 */
export function holdsSlot(job: Job): boolean {
  if (job.pipeline === undefined) return false
  const isOn = job.phase !== 'settled' && job.phase !== 'waiting' && job.deletedAt === undefined
  return (isOn && !job.vacates) || isBusy(job)
}

/** The next time at which something of the job falls due: a timer, an attempt's deadline, or the end of a grace. */
export function wakeAt(job: Job): number | undefined {
  if (job.phase === 'waiting') return undefined
  let first = Number.POSITIVE_INFINITY
  for (const { dueAt } of job.timers) first = Math.min(first, dueAt)
  for (const { stopBy = first, deadlineAt = first } of job.tasks) first = Math.min(first, stopBy, deadlineAt)
  return first === Number.POSITIVE_INFINITY ? undefined : first
}

/**
 * The tasks that may be claimed at their `availableAt`: available, and no earlier invocation of the same invoke is
 * stopping.
 */
export function claimableTasks(job: Job): readonly Task[] {
  if (job.phase === 'waiting' || job.blocked === true) return NONE
  const available = job.tasks.filter(({ status }) => status === 'available')
  if (available.length === 0 || available.length === job.tasks.length) return available
  const blocked = new Set(job.tasks.filter(({ status }) => status === 'stopping').map(({ id }) => id))
  return blocked.size === 0 ? available : available.filter(({ id }) => !blocked.has(id))
}

const NONE: readonly never[] = []

/** Whether the job is not admitted yet: it waits for its start time, or for its pipeline's slot. */
export function isWaiting({ phase, deletedAt }: Job): boolean {
  return phase === 'waiting' && deletedAt === undefined
}

/** Whether the job is part of a tree: it has a parent, or child jobs. */
export function hasRelatives({ parentId, tasks }: Job): boolean {
  return parentId !== undefined || tasks.some(({ child }) => child !== undefined)
}
