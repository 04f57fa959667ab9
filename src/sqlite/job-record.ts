/**
 * A job's record as text.
 *
 * What queries look at stands in columns; the rest is one short list, its common parts by their place and its rare ones
 * by their name, with times as milliseconds since the job's creation. Of a job's tasks the first stands in this list,
 * and every further one, as every ended child, in a row of its own.
 */
import type { EndedChild, Job, Trigger } from '../model/job.ts'
import type { Json } from '../model/storable.ts'
import type { StampedProgress, Task, TaskStatus } from '../model/task-record.ts'
import type { Kind } from './kinds.ts'

/** Fields of a job that stand in columns, or in rows of their own. */
type ColumnField =
  | 'id'
  | 'tenant'
  | 'type'
  | 'version'
  | 'createdBy'
  | 'pipeline'
  | 'labels'
  | 'parentId'
  | 'status'
  | 'phase'
  | 'outcome'
  | 'input'
  | 'progress'
  | 'priority'
  | 'createdAt'
  | 'revision'
  | 'ended'

/** Fields of a job that stand in its list by their place. */
type PlacedField =
  | 'state'
  | 'context'
  | 'counter'
  | 'eventCount'
  | 'updatedAt'
  | 'admittedAt'
  | 'startedAt'
  | 'endedAt'
  | 'tasks'

type RareField = Exclude<keyof Job, ColumnField | PlacedField>
type Rare = { readonly [Field in RareField]?: Job[Field] | undefined }
/** Fields that are left out of the text where they say nothing. */
type Blank = 'trigger' | 'vacates' | 'timers'

/** Since the job's creation; null: absent. */
type SinceCreation = number | null

type JobList = readonly [
  state: Json,
  context: Json,
  counter: number,
  eventCount: number,
  updatedAt: number,
  admittedAt: SinceCreation,
  startedAt: SinceCreation,
  endedAt: SinceCreation,
  task: TaskList | 0,
  rare?: Rare,
]

/** Fields of a task that stand in columns. */
type TaskColumn = 'invocation' | 'holder' | 'limitKey' | 'child'
type PlacedTaskField = 'id' | 'src' | 'executor' | 'status' | 'token' | 'attempt' | 'claims' | 'availableAt'
type RareTaskField = Exclude<keyof Task, TaskColumn | PlacedTaskField>
type RareTask = { readonly [Field in RareTaskField]?: Task[Field] | undefined }

type TaskList = readonly [
  id: string,
  /** 0: the same as the id. */
  src: string | 0,
  executor: string,
  status: number,
  token: number,
  attempt: number,
  claims: number,
  availableAt: number,
  rare?: RareTask,
]

/** A snapshot is absent of children that ended before it was kept. */
type EndedList = readonly [id: string, src: string, snapshot?: EndedChild['snapshot'], left?: 1]

const STATUSES: readonly TaskStatus[] = ['available', 'claimed', 'stopping', 'lost', 'inline']
const NOTHING: readonly never[] = []

/** The text of a job's record, but for its columns. */
export function recordOf(job: Job): string {
  const [task] = job.tasks
  const list: unknown[] = [
    job.state,
    job.context,
    job.counter,
    job.eventCount,
    job.updatedAt - job.createdAt,
    since(job, job.admittedAt),
    since(job, job.startedAt),
    since(job, job.endedAt),
    task === undefined ? 0 : taskList(job, task),
  ]
  const rare = rareOf(job)
  if (rare !== undefined) list.push(rare)
  return JSON.stringify(list)
}

/** The text of a task beside the first, but for its columns. */
export function taskRecordOf(job: Job, task: Task): string {
  return JSON.stringify(taskList(job, task))
}

/** The text of an ended child. */
export function endedRecordOf({ id, src, snapshot, left }: EndedChild): string {
  return JSON.stringify([id, src, ...(snapshot === undefined ? [] : [snapshot, ...(left === true ? [1] : [])])])
}

function since({ createdAt }: Job, at: number | undefined): SinceCreation {
  return at === undefined ? null : at - createdAt
}

// One object of one shape, each field by its name: a copy of the record by its keys takes longer than the text of it.
function rareOf(job: Job): Rare | undefined {
  const rare = {
    trigger: job.trigger === 'manual' ? undefined : job.trigger,
    parentInvoke: job.parentInvoke,
    historyValue: job.historyValue,
    ordinals: job.ordinals,
    hasRefs: job.hasRefs,
    vacates: job.vacates ? true : undefined,
    output: job.output,
    error: job.error,
    exitCode: job.exitCode,
    message: job.message,
    startAt: job.startAt,
    overlap: job.overlap,
    retryOf: job.retryOf,
    retries: job.retries,
    uniqueKey: job.uniqueKey,
    stepOrigin: job.stepOrigin,
    stepPath: job.stepPath,
    deletedAt: job.deletedAt,
    timers: job.timers.length === 0 ? undefined : job.timers,
    blocked: job.blocked,
    // While the job is not deleted, its key stands in a column; a deleted job has given it free.
    idempotencyKey: job.deletedAt === undefined ? undefined : job.idempotencyKey,
  } satisfies { [Field in RareField]-?: Job[Field] | undefined }
  return saysSomething(rare) ? rare : undefined
}

function taskList(job: Job, task: Task): unknown[] {
  const list: unknown[] = [
    task.id,
    task.src === task.id ? 0 : task.src,
    task.executor,
    STATUSES.indexOf(task.status),
    task.token,
    task.attempt,
    task.claims,
    task.availableAt - job.createdAt,
  ]
  const rare = rareTask(task)
  if (rare !== undefined) list.push(rare)
  return list
}

function rareTask(task: Task): RareTask | undefined {
  const rare = {
    function: task.function,
    version: task.version,
    input: task.input,
    deadlineAt: task.deadlineAt,
    stopBy: task.stopBy,
    again: task.again,
    isKillable: task.isKillable,
    handle: task.handle,
    ordinal: task.ordinal === 1 ? undefined : task.ordinal,
    crashes: task.crashes || undefined,
    losses: task.losses || undefined,
    steps: task.steps || undefined,
    inbox: task.inbox.length === 0 ? undefined : task.inbox,
    sync: task.sync,
    systemId: task.systemId,
    snapshot: task.snapshot,
  } satisfies { [Field in RareTaskField]-?: Task[Field] | undefined }
  return saysSomething(rare) ? rare : undefined
}

function saysSomething(rare: { readonly [name: string]: unknown }): boolean {
  for (const name in rare) if (rare[name] !== undefined) return true
  return false
}

/** What stands of a job in columns, as it is read. */
export interface JobColumns {
  readonly id: string
  readonly tenant: string
  readonly createdBy: string
  readonly version: string
  readonly kind: Kind
  readonly revision: number
  readonly priority: number
  readonly createdAt: number
  readonly pipeline: string | undefined
  readonly parentId: string | undefined
  readonly labels: { readonly [name: string]: string }
  readonly idempotencyKey: string | undefined
  readonly input: string | null
  readonly progress: string | null
  /** Of the first task. */
  readonly task: TaskColumns | undefined
}

/** What stands of a task in columns, as it is read. */
export interface TaskColumns {
  readonly invocation: number
  readonly holder: string | undefined
  readonly limitKey: string | undefined
  readonly child: string | undefined
}

type Open<Value> = { -readonly [Key in keyof Value]: Value[Key] }

/**
 * A job without its further tasks and ended children, from its columns and its text.
 *
 * @throws {Error} the text is no record.
 */
export function jobOf(columns: JobColumns, text: string): Open<Job> {
  const list = JSON.parse(text) as JobList | null
  if (!Array.isArray(list) || list.length < 9) throw new Error('the text is no job')
  // Written by recordOf in this file's schema, so its shape is known, unless it was damaged.
  const [state, context, counter, eventCount, updatedAt, admittedAt, startedAt, endedAt, task, rare] = list as JobList
  const { id, tenant, createdBy, version, kind, revision, priority, createdAt, labels } = columns
  const job: Open<Job> = {
    id,
    type: kind.type,
    version,
    tenant,
    createdBy,
    trigger: 'manual' satisfies Trigger,
    labels,
    state,
    context,
    status: kind.status,
    phase: kind.phase,
    vacates: false,
    priority,
    timers: NOTHING,
    tasks: NOTHING,
    counter,
    createdAt,
    updatedAt: createdAt + updatedAt,
    revision,
    eventCount,
  } satisfies Pick<Job, Blank> & Partial<Job>
  if (columns.pipeline !== undefined) job.pipeline = columns.pipeline
  if (columns.parentId !== undefined) job.parentId = columns.parentId
  if (columns.idempotencyKey !== undefined) job.idempotencyKey = columns.idempotencyKey
  if (kind.outcome !== undefined) job.outcome = kind.outcome
  if (columns.input !== null) job.input = JSON.parse(columns.input) as Json
  if (columns.progress !== null) job.progress = JSON.parse(columns.progress) as StampedProgress
  if (admittedAt !== null) job.admittedAt = createdAt + admittedAt
  if (startedAt !== null) job.startedAt = createdAt + startedAt
  if (endedAt !== null) job.endedAt = createdAt + endedAt
  if (columns.task !== undefined && task !== 0) job.tasks = [taskOf(columns.task, createdAt, task)]
  if (rare !== undefined) Object.assign(job, rare)
  return job
}

/** A task beside the first, from its columns and its text. @throws {Error} the text is no record. */
export function furtherTaskOf(columns: TaskColumns, createdAt: number, text: string): Task {
  return taskOf(columns, createdAt, JSON.parse(text) as TaskList)
}

/** An ended child. @throws {Error} the text is no record. */
export function endedOf(invocation: number, text: string): EndedChild {
  const [id, src, snapshot, left] = JSON.parse(text) as EndedList
  return { id, src, invocation, ...(snapshot === undefined ? {} : { snapshot }), ...(left === 1 ? { left: true } : {}) }
}

function taskOf({ invocation, holder, limitKey, child }: TaskColumns, createdAt: number, list: TaskList): Task {
  const [id, src, executor, status, token, attempt, claims, availableAt, rare] = list
  const task: Open<Task> = {
    id,
    invocation,
    ordinal: 1,
    src: src === 0 ? id : src,
    executor,
    status: STATUSES[status] ?? 'lost',
    token,
    availableAt: createdAt + availableAt,
    attempt,
    claims,
    crashes: 0,
    losses: 0,
    steps: 0,
    inbox: NOTHING,
  }
  if (holder !== undefined) task.holder = holder
  if (limitKey !== undefined) task.limitKey = limitKey
  if (child !== undefined) task.child = child
  if (rare !== undefined) Object.assign(task, rare)
  return task
}
