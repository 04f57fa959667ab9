import type { SQLInputValue } from 'node:sqlite'
import type { Actor, EventDraft, EventRow } from '../model/event.ts'
import {
  claimableTasks,
  dueAt,
  type HeldKey,
  heldKeys,
  holdsSlot,
  isBusy,
  isQueued,
  type Job,
  wakeAt,
} from '../model/job.ts'
import type { Json } from '../model/storable.ts'
import type { Progress, Task } from '../model/task.ts'
import type { Route, StoredEvents } from '../port/storage.ts'

/** A row as the driver gives it. */
export type Row = { readonly [column: string]: unknown }

/** The columns of a job that a write may change. */
export interface Columns {
  readonly status: string
  readonly phase: string
  readonly holdsSlot: number
  readonly busy: number
  readonly queued: number
  readonly wakeAt: number | null
  /** Of a waiting job, the time by which it is ordered. */
  readonly waitsSince: number | null
  readonly deleted: number
  readonly route: string | null
  readonly readyAt: number | null
  readonly readyEntry: number | null
  readonly revision: number
  readonly body: string
  /** Tasks offered beside the one that stands in the row. */
  readonly further: readonly Task[]
  readonly heldKey: string | null
  /** Limit keys that tasks count under, beside the one that stands in the row. */
  readonly furtherKeys: readonly HeldKey[]
}

/** A control character, which a name may not contain, parts the fields: no two routes make one key. */
export const SEPARATOR = '\u001f'
/** Sorts after all that begins with a separator. */
export const AFTER_SEPARATOR = '\u0020'

/** The key under which the ready tasks of a route are found. */
export function routeKey({ type, version, executor }: Route): string {
  return [type, version, executor].join(SEPARATOR)
}

/** What a job's row holds: its index columns, and the record itself without what reports write. */
export function columnsOf(job: Job): Columns {
  const [first, ...further] = claimableTasks(job)
  const [held, ...furtherKeys] = heldKeys(job)
  const { input, progress, ...body } = job
  return {
    status: job.status,
    phase: job.phase,
    holdsSlot: holdsSlot(job) ? 1 : 0,
    busy: isBusy(job) ? 1 : 0,
    queued: isQueued(job) ? 1 : 0,
    wakeAt: wakeAt(job) ?? null,
    waitsSince: job.phase === 'waiting' && job.deletedAt === undefined ? dueAt(job) : null,
    deleted: job.deletedAt === undefined ? 0 : 1,
    route: first === undefined ? null : taskRoute(job, first),
    readyAt: first?.availableAt ?? null,
    readyEntry: first?.entry ?? null,
    revision: job.revision,
    body: JSON.stringify(body),
    further,
    heldKey: held?.key ?? null,
    furtherKeys,
  }
}

/** The key of the route that a task of a job waits on. */
export function taskRoute(job: Job, task: Task): string {
  const route = routeKey({ type: job.type, version: job.version, executor: task.executor })
  return task.limitKey === undefined ? route : [route, task.src, task.limitKey].join(SEPARATOR)
}

/** A job as it was committed. */
export function jobOf(row: Row): Job {
  // Written by columnsOf in this file's schema, so its shape is known.
  const body = JSON.parse(String(row.body)) as Job
  return {
    ...body,
    ...(row.input === null ? {} : { input: JSON.parse(String(row.input)) as Json }),
    ...(row.progress === null ? {} : { progress: JSON.parse(String(row.progress)) as Progress }),
  }
}

/** A value as JSON text, or null where there is none. */
export function jsonOrNull(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}

/** Labels as JSON text, or null for the many jobs that have none. */
export function labelsOrNull(labels: { readonly [name: string]: string }): string | null {
  return Object.keys(labels).length === 0 ? null : JSON.stringify(labels)
}

/** The values of an event row in the order of its columns. */
export function eventValues(row: EventRow, sequence: number, unit: string): SQLInputValue[] {
  return [
    sequence,
    row.events.length,
    row.jobId,
    row.jobSequence,
    row.at,
    row.by.kind,
    row.by.id,
    row.tenant,
    row.createdBy,
    row.jobType,
    row.pipeline ?? null,
    labelsOrNull(row.labels),
    unit,
    JSON.stringify(row.events),
    row.inputs.length === 0 ? null : JSON.stringify(row.inputs),
  ]
}

/** A row of the log as it was committed. */
export function eventsOf(row: Row): StoredEvents {
  const { pipeline, labels, inputs } = row
  return {
    sequence: Number(row.sequence),
    unit: String(row.unit),
    jobId: String(row.job_id),
    jobSequence: Number(row.job_sequence),
    at: Number(row.at),
    by: { kind: row.by_kind as Actor['kind'], id: String(row.by_id) },
    tenant: String(row.tenant),
    createdBy: String(row.created_by),
    jobType: String(row.type),
    ...(pipeline === null ? {} : { pipeline: String(pipeline) }),
    labels: labels === null ? {} : (JSON.parse(String(labels)) as { [name: string]: string }),
    events: JSON.parse(String(row.events)) as EventDraft[],
    inputs: inputs === null ? [] : (JSON.parse(String(inputs)) as Json[]),
  }
}
