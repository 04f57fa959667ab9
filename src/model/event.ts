import type { AgentRef } from './agent.ts'
import type { JobError } from './error.ts'
import type { Job, Outcome, Trigger } from './job.ts'
import type { Pipeline, PipelineStatus } from './pipeline.ts'
import type { SkipReason } from './schedule.ts'
import type { Json } from './storable.ts'
import type { Progress } from './task.ts'
import { isoTime } from './time.ts'

/** Who caused an event. The engine sets `kind`. */
export interface Actor {
  readonly kind: 'user' | 'agent' | 'scheduler' | 'system'
  readonly id: string
}

/** The fields of each type of event. */
export interface EventDetails {
  /** The job was stored. `outcome` is present if the job ended at once. */
  readonly 'job.created': {
    readonly to: string
    readonly outcome?: Outcome
    readonly reason?: string
    readonly message?: string
    readonly error?: JobError
  }
  /**
   * The chart moved. `from` and `to` are public labels; they are equal if only the inner state changed. `outcome` is
   * present if the job has ended. `command` is present if a command moved the chart.
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
  /**
   * A waiting job was admitted: its tasks may run, and its timers count from now. `from` and `to` are public labels.
   */
  readonly 'job.admitted': { readonly from: string; readonly to: string }
  /** The job was deleted and is hidden from now on. */
  readonly 'job.deleted': Readonly<Record<never, never>>
  /** The job was moved to another version of its type. `from` and `to` are public labels. */
  readonly 'job.migrated': {
    readonly version: string
    readonly previous: string
    readonly from: string
    readonly to: string
  }
  /**
   * The job changed in a way that has no event of its own. Examples: a message was stored for a task; a timer fired,
   * and no transition took its event.
   */
  readonly 'job.updated': Readonly<Record<never, never>>
  /**
   * A task reported progress. Not part of the history. Sent at most once per 250 ms and job, and at the end of each
   * attempt with its last value.
   */
  readonly 'job.progress': { readonly progress: Progress }
  /** One follow-up of the job's end failed. The other follow-ups are not affected. */
  readonly 'job.followUpFailed': { readonly kind: string; readonly error: JobError }
  /** The chart ran an `emit` action. */
  readonly 'job.emitted': { readonly event: Json }
  /**
   * The task was claimed: by an agent, which is then in `agent`; or by an executor that reports later when the task
   * starts.
   */
  readonly 'task.claimed': { readonly task: string; readonly attempt: number; readonly agent?: AgentRef }
  readonly 'task.started': { readonly task: string; readonly attempt: number }
  /** The attempt failed. The task is retried at `availableAt` (ISO 8601) or later. */
  readonly 'task.retried': {
    readonly task: string
    readonly attempt: number
    readonly availableAt: string
    readonly error: JobError
  }
  /**
   * The attempt was lost: its process died or was ended; its engine was silent for longer than `deadAfter`; or the lease
   * of its agent ended.
   */
  readonly 'task.lost': { readonly task: string; readonly attempt: number; readonly reason: string }
  /** An agent, or an engine that stopped, gave back the attempt. The attempt is not counted. */
  readonly 'task.released': { readonly task: string }
  /** A task that the chart had left has stopped. */
  readonly 'task.stopped': { readonly task: string }
  /**
   * A task that the chart had left did not stop within its grace. Its token is no longer valid and it holds no slot any
   * more, but its code may still run.
   */
  readonly 'task.abandoned': { readonly task: string }
}

/** The fields of each type of event of a stored pipeline. */
export interface PipelineEventDetails {
  /** The pipeline was defined for the first time. */
  readonly 'pipeline.defined': Readonly<Record<never, never>>
  /** The pipeline was defined with other values. */
  readonly 'pipeline.changed': Readonly<Record<never, never>>
  readonly 'pipeline.paused': { readonly reason: string }
  readonly 'pipeline.resumed': Readonly<Record<never, never>>
  /** A pipeline whose status is not `ready` starts no runs. */
  readonly 'pipeline.statusChanged': { readonly from: PipelineStatus; readonly to: PipelineStatus }
  readonly 'pipeline.deleted': Readonly<Record<never, never>>
  /**
   * A run was due, and was not created. `dueAt` (ISO 8601) is the due time of the schedule, or the time of the end that
   * the pipeline depends on. `through`: the last of several due times in succession that are told together. `blocker` is
   * the job that holds the slot, or waits for it.
   */
  readonly 'run.skipped': {
    readonly reason: SkipReason
    readonly trigger: Trigger
    readonly dueAt: string
    readonly through?: string
    readonly blocker?: string
  }
}

/** The names of events of jobs, in the past tense. */
export type JobEventType = keyof EventDetails

/** The names of events of pipelines, in the past tense. */
export type PipelineEventType = keyof PipelineEventDetails

/** The names of all events. */
export type EventType = JobEventType | PipelineEventType

/** All names of events. */
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
  'pipeline.defined': 1,
  'pipeline.changed': 1,
  'pipeline.paused': 1,
  'pipeline.resumed': 1,
  'pipeline.statusChanged': 1,
  'pipeline.deleted': 1,
  'run.skipped': 1,
} satisfies { readonly [Type in EventType]: 1 })

/**
 * An event in a decision, before the storage numbers it. `by` is present only if it differs from the `by` of the whole
 * row.
 */
export type EventDraft =
  | { [Type in JobEventType]: { readonly type: Type; readonly by?: Actor } & EventDetails[Type] }[JobEventType]
  | PipelineEventDraft

/** As {@link EventDraft}, for an event of a pipeline. */
export type PipelineEventDraft = {
  [Type in PipelineEventType]: { readonly type: Type; readonly by?: Actor } & PipelineEventDetails[Type]
}[PipelineEventType]

/**
 * The fields of every event. Those that describe the job never change after its submit, so policies can filter events
 * by them.
 */
export interface EventBase {
  /** The number of the event in the log of all jobs. Later events have higher numbers. */
  readonly sequence: number
  /** The number of the event within its job: 1, 2, 3 … Absent for `job.progress`. */
  readonly jobSequence?: number
  readonly jobId: string
  readonly jobType: string
  readonly tenant: string
  readonly createdBy: string
  /** The person who is to act on the job. */
  readonly assignee?: string
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  /** When it happened, as ISO 8601. */
  readonly at: string
  readonly by: Actor
}

/** A fact about a job, published after its commit. */
export type JobEvent<Type extends JobEventType = JobEventType> = {
  [Name in Type]: EventBase & { readonly type: Name } & EventDetails[Name]
}[Type]

/** A fact about a stored pipeline, published after its commit. `jobType` is the job type of the pipeline's runs. */
export type PipelineEvent<Type extends PipelineEventType = PipelineEventType> = {
  [Name in Type]: Omit<EventBase, 'jobId' | 'jobSequence' | 'pipeline'> & {
    readonly type: Name
    readonly pipeline: string
    readonly jobId?: undefined
    readonly jobSequence?: undefined
  } & PipelineEventDetails[Name]
}[Type]

/** An event of a given type: of a job, or of a pipeline. */
export type EventOf<Type extends EventType = EventType> =
  | JobEvent<Extract<Type, JobEventType>>
  | PipelineEvent<Extract<Type, PipelineEventType>>

/**
 * The events of one job, or of one pipeline, in one commit: one row of the log. The storage sets `sequence`, the number
 * of the first event. `inputs` are the events that moved the chart. They allow a replay of the log, and are never shown.
 */
export interface EventRow {
  /** `''`: the events are those of the pipeline. */
  readonly jobId: string
  /** For a pipeline: the job type of the pipeline's runs. */
  readonly jobType: string
  readonly tenant: string
  readonly createdBy: string
  readonly assignee?: string
  readonly pipeline?: string
  readonly labels: { readonly [name: string]: string }
  /** When the events happened, in milliseconds UTC. */
  readonly at: number
  readonly by: Actor
  /** The `jobSequence` of the first event; 0 for rows of progress and of pipelines, which have none. */
  readonly jobSequence: number
  /** Never empty: a row without events would take no number in the log, so the next row would get the same number. */
  readonly events: readonly EventDraft[]
  readonly inputs: readonly Json[]
}

/** The row of events of a pipeline. */
export function pipelineRow(
  { tenant, id: pipeline, type: jobType, createdBy, labels }: Pipeline,
  by: Actor,
  events: readonly PipelineEventDraft[],
  at: number,
): EventRow {
  return { jobId: '', jobType, tenant, createdBy, pipeline, labels, at, by, jobSequence: 0, events, inputs: [] }
}

/** The row of events of a job. The job's `eventCount` already includes these events. */
export function eventRow(job: Job, by: Actor, events: readonly EventDraft[], inputs: readonly Json[]): EventRow {
  return rowOf(job, job.updatedAt, by, job.eventCount - events.length + 1, events, inputs)
}

/** The row of a progress report. It has no `jobSequence` and is not part of the history. */
export function progressRow(job: Job, by: Actor, progress: Progress, at: number): EventRow {
  return rowOf(job, at, by, 0, [{ type: 'job.progress', progress }], [])
}

function rowOf(
  { id: jobId, type: jobType, tenant, createdBy, assignee, pipeline, labels }: Job,
  at: number,
  by: Actor,
  jobSequence: number,
  events: readonly EventDraft[],
  inputs: readonly Json[],
): EventRow {
  const row = { jobId, jobType, tenant, createdBy, labels, at, by, jobSequence, events, inputs }
  if (assignee === undefined) return pipeline === undefined ? row : { ...row, pipeline }
  return { ...row, assignee, ...(pipeline === undefined ? {} : { pipeline }) }
}

/**
 * The events of a row as they are published, each with its numbers. They are frozen, because all listeners receive the
 * same objects.
 */
export function publicEvents(row: EventRow, sequence: number): readonly EventOf[] {
  const { at, inputs, events, jobSequence, by, jobId, ...about } = row
  const scope = jobId === '' ? about : { jobId, ...about }
  const time = isoTime(at)
  return events.map((event, index) => {
    const numbers = { sequence: sequence + index, ...(jobSequence === 0 ? {} : { jobSequence: jobSequence + index }) }
    // A row of a job has events of jobs, and a row of a pipeline those of pipelines, so the cast is safe.
    return frozen({ ...scope, ...numbers, at: time, by, ...event }) as EventOf
  })
}

// A copy, because parts of the value are also in the job's record.
function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([key, each]) => [key, frozen(each)])
  return Object.freeze(Array.isArray(value) ? entries.map(([, each]) => each) : Object.fromEntries(entries)) as Value
}
