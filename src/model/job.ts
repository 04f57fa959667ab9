import type { Address } from './chart.ts'
import type { JobError } from './error.ts'
import type { Json } from './storable.ts'
import type { StampedProgress, Task } from './task-record.ts'

declare const jobTypeBrand: unique symbol

/** A job's id, which remembers at compile time what type of job it names. A plain string will do where no type is needed. */
export type JobId<Type = unknown> = string & { readonly [jobTypeBrand]?: Type }

/** How a job ended. */
export type Outcome = 'success' | 'failure' | 'cancelled'

/**
 * Where a job stands, in words that hold for every lifecycle. The first that fits: settled, waiting (not admitted yet: for
 * its time, or for its pipeline's slot), indeterminate, active.
 */
export type Phase = 'settled' | 'waiting' | 'indeterminate' | 'active'

/** What becomes of a run whose pipeline has another: it is refused, waits for its turn, or takes the other's place. */
export type Overlap = 'reject' | 'queue' | 'replace'

/** Why a job exists. */
export type Trigger = 'manual' | 'schedule' | 'dependency' | 'retry' | 'parent'

/** An event due at a time: an `after`, or a delayed `raise`. */
export interface Timer {
  /** XState's id for it; an older one of the same id gets another, which no `cancel` names. */
  readonly id: string
  /** Whom the event is for; absent: the job itself. */
  readonly to?: Address
  readonly event: { readonly type: string; readonly [key: string]: Json }
  /** Milliseconds UTC; of a job that waits, the delay that counts from its admission. */
  readonly dueAt: number
}

/** A child that has ended: enough for chart code to address it, and to look at it. */
export interface EndedChild extends Pick<Task, 'id' | 'src' | 'invocation'> {
  /** Absent of rows of older files. */
  readonly snapshot?: LastSnapshot
  /** The chart has left it, or stopped it, and only refers to it. */
  readonly left?: true
}

/** The last snapshot of a child that has ended or was stopped. */
export interface LastSnapshot {
  readonly status: 'done' | 'error' | 'stopped'
  readonly output?: Json
  readonly error?: Json
  /** Of a machine. */
  readonly value?: Json
  readonly context?: Json
}

/** One stored run of a job type: a row, moved by a pure function. All times are whole milliseconds UTC. */
export interface Job {
  readonly id: string
  readonly type: string
  readonly version: string
  readonly tenant: string
  readonly createdBy: string
  readonly trigger: Trigger
  /** Its runs share one slot. */
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  /** The job whose chart invoked this one. */
  readonly parentId?: string
  /** The id of that invoke. */
  readonly parentInvoke?: string
  /** XState's state value: where the chart stands. */
  readonly state: Json
  readonly context: Json
  /** For each history state's id, the ids of the states it remembers. */
  readonly historyValue?: { readonly [id: string]: readonly string[] }
  /** The context holds references to children. */
  readonly hasRefs?: boolean
  /** The public label of the present state. */
  readonly status: string
  readonly phase: Phase
  readonly outcome?: Outcome
  /** The present state is tagged `vacates`. */
  readonly vacates: boolean
  readonly input?: Json
  readonly output?: Json
  readonly error?: JobError
  readonly exitCode?: number
  readonly message?: string
  /** Written by reports, never by a transition. */
  readonly progress?: StampedProgress
  /** Higher goes first. */
  readonly priority: number
  /** It is not admitted before. */
  readonly startAt?: number
  /** From when on its tasks may run and its timers count; absent while it waits. */
  readonly admittedAt?: number
  /** How it came to wait for its pipeline's slot: one that replaces is itself replaced by a later one. */
  readonly overlap?: Overlap
  /** The job of which this is another try. */
  readonly retryOf?: string
  /** How many retries led to it; absent for a first try. */
  readonly retries?: number
  /**
   * With which id the keys of its steps begin, where it is not its own: of a retry that continues, the first try; of a child
   * job, that of the job at the top of its tree.
   */
  readonly stepOrigin?: string
  /** Of a child job: the invocations that lead to it from the top of its tree. */
  readonly stepPath?: string
  /** Hidden everywhere from then on; its row goes when nothing of it runs. */
  readonly deletedAt?: number
  readonly timers: readonly Timer[]
  readonly tasks: readonly Task[]
  /** Children that have ended, as long as the chart has not left them or refers to them. */
  readonly ended?: readonly EndedChild[]
  /**
   * For each state whose invokes were left, how often it was entered; under `''`, how many actors were spawned. Absent of
   * jobs that have settled.
   */
  readonly ordinals?: { readonly [stateId: string]: number }
  /** A child job whose tasks wait for the work of an earlier invocation of its invoke to stop. */
  readonly blocked?: true
  /** The counter behind tokens and entries: raised at each, never reset. */
  readonly counter: number
  readonly createdAt: number
  /** The first start of a task. */
  readonly startedAt?: number
  /** Set exactly when the phase is `settled`. */
  readonly endedAt?: number
  readonly updatedAt: number
  /** What a compare-and-set compares: 1 when inserted, raised by every write. */
  readonly revision: number
  /** How many events the job has; the newest one's `jobSequence`. */
  readonly eventCount: number
  readonly idempotencyKey?: string
  /** No other job of its tenant and type has it while this one has not ended. */
  readonly uniqueKey?: string
}

/** A job's record while it is written. */
export type OpenJob = { -readonly [Key in keyof Job]: Job[Key] }

/** What a policy may know of a job, and what names its type. */
export type JobSummary = Pick<
  Job,
  'id' | 'tenant' | 'type' | 'version' | 'createdBy' | 'pipeline' | 'labels' | 'status'
>

/** The time by which a waiting job is ordered: when it may start, or else since when it waits. */
export function dueAt({ startAt, createdAt }: Job): number {
  return startAt ?? createdAt
}

/** Its `startAt`, where it has one, has come. */
export function mayStart({ startAt }: Job, at: number): boolean {
  return startAt === undefined || startAt <= at
}

/** It was submitted and has not begun: admitted or waiting, it counts against its type's `limits.queued`. */
export function isQueued({ startedAt, phase, deletedAt, parentId }: Job): boolean {
  return startedAt === undefined && phase !== 'settled' && deletedAt === undefined && parentId === undefined
}

/** One attempt is all that ever ran of the job: its counter has given one invocation and one token. */
export function hadOneAttempt({ counter }: Job): boolean {
  return counter === 2
}

/** The job keeps its unique key from others: until it has ended. */
export function holdsUniqueKey({ uniqueKey, phase, deletedAt }: Job): boolean {
  return uniqueKey !== undefined && phase !== 'settled' && deletedAt === undefined
}

/** A held or stopping task means that code may be running. */
export function isBusy(job: Job): boolean {
  return job.tasks.some(({ status }) => status === 'claimed' || status === 'stopping')
}

/** The limit keys under which the job's code may be running, one for each such task. */
export function heldKeys(job: Job): readonly HeldKey[] {
  return job.tasks.flatMap(({ invocation, status, limitKey: key }) =>
    key !== undefined && (status === 'claimed' || status === 'stopping') ? [{ invocation, key }] : [],
  )
}

/** A task that counts under a limit key. */
export interface HeldKey {
  readonly invocation: number
  readonly key: string
}

/** The job occupies its pipeline: by where its chart stands, or because its code may still run. */
export function holdsSlot(job: Job): boolean {
  if (job.pipeline === undefined) return false
  const isOn = job.phase !== 'settled' && job.phase !== 'waiting' && job.deletedAt === undefined
  return (isOn && !job.vacates) || isBusy(job)
}

/** The next time at which something falls due without anyone asking: a timer, an attempt's deadline, the end of a grace. */
export function wakeAt(job: Job): number | undefined {
  if (job.phase === 'waiting') return undefined
  let first = Number.POSITIVE_INFINITY
  for (const { dueAt } of job.timers) first = Math.min(first, dueAt)
  for (const { stopBy = first, deadlineAt = first } of job.tasks) first = Math.min(first, stopBy, deadlineAt)
  return first === Number.POSITIVE_INFINITY ? undefined : first
}

/** The tasks that may be claimed at their `availableAt`: offered, and no earlier invocation of the same invoke still stopping. */
export function claimableTasks(job: Job): readonly Task[] {
  if (job.phase === 'waiting' || job.blocked === true) return NONE
  const available = job.tasks.filter(({ status }) => status === 'available')
  if (available.length === 0 || available.length === job.tasks.length) return available
  const blocked = new Set(job.tasks.filter(({ status }) => status === 'stopping').map(({ id }) => id))
  return blocked.size === 0 ? available : available.filter(({ id }) => !blocked.has(id))
}

const NONE: readonly never[] = []

/** The job is not admitted yet: it waits for its time, or for its pipeline's slot. */
export function isWaiting({ phase, deletedAt }: Job): boolean {
  return phase === 'waiting' && deletedAt === undefined
}

/** The job is part of a tree: another's chart invoked it, or its own chart invoked others. */
export function hasRelatives({ parentId, tasks }: Job): boolean {
  return parentId !== undefined || tasks.some(({ child }) => child !== undefined)
}
