import type { SQLInputValue } from 'node:sqlite'
import { jobUnreadable } from '../model/error.ts'
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
  type JobSummary,
  type Phase,
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

/** Fields of a job that stand in columns of their own, where queries look at them or reports write them. */
type ColumnField =
  | 'id'
  | 'tenant'
  | 'type'
  | 'version'
  | 'createdBy'
  | 'pipeline'
  | 'parentId'
  | 'labels'
  | 'idempotencyKey'
  | 'priority'
  | 'createdAt'
  | 'status'
  | 'phase'
  | 'revision'
  | 'input'
  | 'progress'

/** The other fields of a job; without those that say nothing, which {@link jobOf} puts back. */
type Body = { readonly [Field in Exclude<keyof Job, ColumnField>]-?: Job[Field] | undefined }

type Blank = 'vacates' | 'timers' | 'tasks'
type Stored = Omit<Job, ColumnField | Blank> & Partial<Pick<Job, Blank>>

/** The columns that {@link jobOf} reads. */
export const JOB_COLUMNS =
  'id, tenant, type, version, created_by, pipeline, parent_id, labels, idempotency_key, priority, created_at, status, phase, revision, input, progress, body'

/** The columns that {@link headOf} reads: all stand before the input and the body, which may be large. */
export const HEAD_COLUMNS = 'id, tenant, type, version, created_by, pipeline, labels, status'

/** The columns of the log, in their order. */
export const EVENT_COLUMNS =
  'sequence, count, job_id, job_sequence, at, by_kind, by_id, tenant, created_by, type, pipeline, labels, unit, events, inputs'

/** What a job's row holds: its index columns, and as its body the rest of the record. */
export function columnsOf(job: Job): Columns {
  const [first, ...further] = claimableTasks(job)
  const [held, ...furtherKeys] = heldKeys(job)
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
    readyEntry: first?.invocation ?? null,
    revision: job.revision,
    body: bodyOf(job),
    further,
    heldKey: held?.key ?? null,
    furtherKeys,
  }
}

// One object of one shape, each field by its name: a copy of the record by its keys takes longer than the text of it.
function bodyOf(job: Job): string {
  return JSON.stringify({
    trigger: job.trigger,
    parentInvoke: job.parentInvoke,
    state: job.state,
    context: job.context,
    historyValue: job.historyValue,
    hasRefs: job.hasRefs,
    outcome: job.outcome,
    vacates: job.vacates ? true : undefined,
    output: job.output,
    error: job.error,
    exitCode: job.exitCode,
    message: job.message,
    startAt: job.startAt,
    admittedAt: job.admittedAt,
    overlap: job.overlap,
    retryOf: job.retryOf,
    retries: job.retries,
    deletedAt: job.deletedAt,
    timers: job.timers.length === 0 ? undefined : job.timers,
    tasks: job.tasks.length === 0 ? undefined : job.tasks,
    ended: job.ended,
    blocked: job.blocked,
    counter: job.counter,
    startedAt: job.startedAt,
    endedAt: job.endedAt,
    updatedAt: job.updatedAt,
    eventCount: job.eventCount,
  } satisfies Body)
}

/** The key of the route that a task of a job waits on. */
export function taskRoute(job: Job, task: Task): string {
  const route = routeKey({ type: job.type, version: job.version, executor: task.executor })
  return task.limitKey === undefined ? route : [route, task.src, task.limitKey].join(SEPARATOR)
}

/** What `read` makes of a part of a job. @throws {JobchartError} `JOB_UNREADABLE` it threw: the text is broken. */
export function decoded<Value>(jobId: string, read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    throw jobUnreadable(jobId, error)
  }
}

/** The jobs of rows, without those that are broken: at most `limit`, after the first `skip`. Rows are read as needed. */
export function readableJobs(rows: Iterable<Row>, limit = Number.POSITIVE_INFINITY, skip = 0): readonly Job[] {
  const jobs: Job[] = []
  for (const row of rows) {
    if (jobs.length === limit + skip) break
    const job = readableJob(row)
    if (job !== undefined) jobs.push(job)
  }
  return jobs.slice(skip)
}

/** The job of a row; undefined: it is broken. */
export function readableJob(row: Row): Job | undefined {
  try {
    return jobOf(row)
  } catch {
    return undefined
  }
}

/** A job as it was committed. @throws {Error} the row is broken. */
export function jobOf(row: Row): Job {
  const { pipeline, parent_id, labels, idempotency_key, input, progress } = row
  // Written by columnsOf in this file's schema, so its shape is known, and that of the columns too, unless it was damaged.
  const body = JSON.parse(String(row.body)) as Stored | null
  if (typeof body?.trigger !== 'string' || !Array.isArray(body.tasks ?? [])) throw new Error('the text is no job')
  return {
    vacates: false,
    timers: [],
    tasks: [],
    ...body,
    id: String(row.id),
    tenant: String(row.tenant),
    type: String(row.type),
    version: String(row.version),
    createdBy: String(row.created_by),
    labels: labelsIn(labels),
    priority: Number(row.priority),
    createdAt: Number(row.created_at),
    status: String(row.status),
    phase: row.phase as Phase,
    revision: Number(row.revision),
    ...(pipeline === null ? {} : { pipeline: String(pipeline) }),
    ...(parent_id === null ? {} : { parentId: String(parent_id) }),
    ...(idempotency_key === null ? {} : { idempotencyKey: String(idempotency_key) }),
    ...(input === null ? {} : { input: JSON.parse(String(input)) as Json }),
    ...(progress === null ? {} : { progress: JSON.parse(String(progress)) as Progress }),
  }
}

/** What a policy may know of the job of a row. @throws {Error} its labels are broken. */
export function headOf(row: Row): JobSummary {
  const { pipeline } = row
  return {
    id: String(row.id),
    tenant: String(row.tenant),
    type: String(row.type),
    version: String(row.version),
    createdBy: String(row.created_by),
    ...(pipeline === null ? {} : { pipeline: String(pipeline) }),
    labels: labelsIn(row.labels),
    status: String(row.status),
  }
}

/** The head of a row; undefined: it is broken. */
export function readableHead(row: Row): JobSummary | undefined {
  try {
    return headOf(row)
  } catch {
    return undefined
  }
}

/** Orders text as SQLite does: by code points. */
export function compareText(a: string, b: string): number {
  return a === b ? 0 : Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** A value as JSON text, or null where there is none. */
export function jsonOrNull(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value)
}

/** Labels as JSON text, or null for the many jobs that have none. */
export function labelsOrNull(labels: { readonly [name: string]: string }): string | null {
  return Object.keys(labels).length === 0 ? null : JSON.stringify(labels)
}

function labelsIn(text: unknown): { readonly [name: string]: string } {
  return text === null ? {} : (JSON.parse(String(text)) as { [name: string]: string })
}

/** The values of the rows of a job's labels, each in the order of its columns. */
export function labelValues(job: Job, n: number | bigint): readonly SQLInputValue[][] {
  const { tenant, parentId, createdAt, id, createdBy } = job
  const child = parentId === undefined ? 0 : 1
  return Object.entries(job.labels).map(([name, value]) => [tenant, name, value, child, createdAt, id, createdBy, n])
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
    labels: labelsIn(labels),
    events: JSON.parse(String(row.events)) as EventDraft[],
    inputs: inputs === null ? [] : (JSON.parse(String(inputs)) as Json[]),
  }
}
