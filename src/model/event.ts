import type { JobError } from './error.ts'
import type { Job, Outcome } from './job.ts'
import type { Json } from './storable.ts'
import type { Progress } from './task.ts'
import { isoTime } from './time.ts'

/** Who caused an event. `kind` is set by the engine. */
export interface Actor {
  readonly kind: 'user' | 'agent' | 'scheduler' | 'system'
  readonly id: string
}

/** The facts of each type of event. */
export interface EventDetails {
  /** The job is stored. `outcome` is set where it ended at once. */
  readonly 'job.created': {
    readonly to: string
    readonly outcome?: Outcome
    readonly reason?: string
    readonly message?: string
    readonly error?: JobError
  }
  /**
   * The chart moved. `from` and `to` are public labels; they are equal where only the inner state changed. `outcome` is set
   * where the job has ended, and `command` where it was a command that moved it.
   */
  readonly 'job.transitioned': {
    readonly from: string
    readonly to: string
    readonly command?: string
    readonly outcome?: Outcome
    readonly reason?: string
    readonly message?: string
    readonly error?: JobError
  }
  /** The job waited, and its tasks may run and its timers count from now on. `from` and `to` are public labels. */
  readonly 'job.admitted': { readonly from: string; readonly to: string }
  /** The job was deleted: nothing of it is shown any more. */
  readonly 'job.deleted': Readonly<Record<never, never>>
  /** The job was moved to another version of its type. `from` and `to` are public labels. */
  readonly 'job.migrated': {
    readonly version: string
    readonly previous: string
    readonly from: string
    readonly to: string
  }
  /** Something changed that nothing else tells of: a message waits for a task, a timer fired that the chart passed over. */
  readonly 'job.updated': Readonly<Record<never, never>>
  /** Not part of the history: at most one in 250 ms a job, and the last value of each attempt. */
  readonly 'job.progress': { readonly progress: Progress }
  /** Something that should have followed the job's end could not. What else followed is not touched by it. */
  readonly 'job.followUpFailed': { readonly kind: string; readonly error: JobError }
  /** The chart ran an `emit` action. */
  readonly 'job.emitted': { readonly event: Json }
  /** An executor that says itself when the work starts has taken it. */
  readonly 'task.claimed': { readonly task: string; readonly attempt: number }
  readonly 'task.started': { readonly task: string; readonly attempt: number }
  /** The attempt failed and will be made again, not before `availableAt` (ISO 8601). */
  readonly 'task.retried': {
    readonly task: string
    readonly attempt: number
    readonly availableAt: string
    readonly error: JobError
  }
  /** The attempt was lost: its process died or was ended, or its engine was silent for longer than `deadAfter`. */
  readonly 'task.lost': { readonly task: string; readonly attempt: number; readonly reason: string }
  /** The attempt was given back by an engine that stopped; it is not counted. */
  readonly 'task.released': { readonly task: string }
  /** Work that the chart had left has ended. */
  readonly 'task.stopped': { readonly task: string }
  /** Work that the chart had left did not end in its grace: its token is void, its slot is free, its code may still run. */
  readonly 'task.abandoned': { readonly task: string }
}

/** The name of an event: past tense. */
export type EventType = keyof EventDetails

/** Every type of event. */
export const EVENT_TYPES: readonly string[] = Object.keys({
  'job.created': 1,
  'job.transitioned': 1,
  'job.admitted': 1,
  'job.deleted': 1,
  'job.migrated': 1,
  'job.updated': 1,
  'job.progress': 1,
  'job.followUpFailed': 1,
  'job.emitted': 1,
  'task.claimed': 1,
  'task.started': 1,
  'task.retried': 1,
  'task.lost': 1,
  'task.released': 1,
  'task.stopped': 1,
  'task.abandoned': 1,
} satisfies { readonly [Type in EventType]: 1 })

/** What a decision says happened, before the store has numbered it. `by` stands where it was not who caused the rest. */
export type EventDraft = {
  [Type in EventType]: { readonly type: Type; readonly by?: Actor } & EventDetails[Type]
}[EventType]

/** The facts that every event carries: they never change after submit, so that rights can filter by them. */
export interface EventBase {
  /** Rises over the whole log. */
  readonly sequence: number
  /** 1, 2, 3 … within the job; absent for `job.progress`. */
  readonly jobSequence?: number
  readonly jobId: string
  readonly jobType: string
  readonly tenant: string
  readonly createdBy: string
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  /** ISO 8601. */
  readonly at: string
  readonly by: Actor
}

/** A fact about a job, published after its commit. */
export type JobEvent<Type extends EventType = EventType> = {
  [Name in Type]: EventBase & { readonly type: Name } & EventDetails[Name]
}[Type]

/**
 * The events of one job in one commit, as one row of the log. The store sets `sequence`, the number of the first.
 * `inputs` is what moved the chart, for the fold; no face reads it.
 */
export interface EventRow {
  readonly jobId: string
  readonly jobType: string
  readonly tenant: string
  readonly createdBy: string
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  /** Milliseconds UTC. */
  readonly at: number
  readonly by: Actor
  /** The first event's `jobSequence`; 0 for a row of progress, which has none. */
  readonly jobSequence: number
  /** At least one: a commit is found in the log by its numbers. */
  readonly events: readonly EventDraft[]
  readonly inputs: readonly Json[]
}

/** The row for what happened to `job`, whose `eventCount` already counts `events`. */
export function eventRow(job: Job, by: Actor, events: readonly EventDraft[], inputs: readonly Json[]): EventRow {
  return rowOf(job, job.updatedAt, by, job.eventCount - events.length + 1, events, inputs)
}

/** The row for a progress report: no `jobSequence`, not history. */
export function progressRow(job: Job, by: Actor, progress: Progress, at: number): EventRow {
  return rowOf(job, at, by, 0, [{ type: 'job.progress', progress }], [])
}

function rowOf(
  { id: jobId, type: jobType, tenant, createdBy, pipeline, labels }: Job,
  at: number,
  by: Actor,
  jobSequence: number,
  events: readonly EventDraft[],
  inputs: readonly Json[],
): EventRow {
  const row = { jobId, jobType, tenant, createdBy, labels, at, by, jobSequence, events, inputs }
  return pipeline === undefined ? row : { ...row, pipeline }
}

/** The events of a row as they are published, each with its own numbers. No listener can change what others hear. */
export function publicEvents(row: EventRow, sequence: number): readonly JobEvent[] {
  const { at, inputs, events, jobSequence, by, ...scope } = row
  const time = isoTime(at)
  return events.map((event, index) => {
    const numbers = { sequence: sequence + index, ...(jobSequence === 0 ? {} : { jobSequence: jobSequence + index }) }
    return frozen({ ...scope, ...numbers, at: time, by, ...event })
  })
}

// A copy, since parts of it stand in the job's record.
function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, each]) => [key, frozen(each)])
  return Object.freeze(Array.isArray(value) ? entries.map(([, each]) => each) : Object.fromEntries(entries)) as Value
}
