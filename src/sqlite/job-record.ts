/**
 * Encodes a job's record as text.
 *
 * Fields that queries use are columns. The rest is one short JSON list: first the common fields, each at a fixed
 * position, then one object with the rare fields. Times are stored as milliseconds since the job's creation. The job's
 * first task is part of this list. Each other task, and each ended child, has a row of its own.
 */
import type { EndedChild, Job, Trigger } from '../model/job.ts'
import type { Json } from '../model/storable.ts'
import type { StampedProgress, Task, TaskStatus } from '../model/task-record.ts'
import type { Kind } from './kinds.ts'

/** Fields of a job that are columns, or have rows of their own. */
type ColumnField =
  | 'id'
  | 'tenant'
  | 'type'
  | 'version'
  | 'createdBy'
  | 'assignee'
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

/** Fields of a job that have a fixed position in the JSON list of the record, {@link JobList}. */
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
/** Fields that are left out of the text if they have their usual value, e.g. no timers. */
type Blank = 'trigger' | 'vacates' | 'timers'

/** Milliseconds since the job's creation; null: absent. */
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

/** Fields of a task that are columns. */
type TaskColumn = 'invocation' | 'holder' | 'limitKey' | 'child'
type PlacedTaskField = 'id' | 'src' | 'executor' | 'status' | 'token' | 'attempt' | 'claims' | 'availableAt'
type RareTaskField = Exclude<keyof Task, TaskColumn | PlacedTaskField>
type RareTask = { readonly [Field in RareTaskField]?: Task[Field] | undefined }

type TaskList = readonly [
  id: string,
  /** 0 means: the same as the id. */
  src: string | 0,
  executor: string,
  status: number,
  token: number,
  attempt: number,
  claims: number,
  availableAt: number,
  rare?: RareTask,
]

/** An ended child. It has no snapshot if it ended under an older version of jobchart. */
type EndedList = readonly [id: string, src: string, snapshot?: EndedChild['snapshot'], left?: 1]

const STATUSES: readonly TaskStatus[] = ['available', 'claimed', 'stopping', 'lost', 'inline']
const NOTHING: readonly never[] = []

/** Encodes the part of a job's record that is not in columns. */
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

/** Encodes the part of a task that is not in columns, for a task other than the first. */
export function taskRecordOf(job: Job, task: Task): string {
  return JSON.stringify(taskList(job, task))
}

/** Encodes an ended child. */
export function endedRecordOf({ id, src, snapshot, left }: EndedChild): string {
  return JSON.stringify([id, src, ...(snapshot === undefined ? [] : [snapshot, ...(left === true ? [1] : [])])])
}

function since({ createdAt }: Job, at: number | undefined): SinceCreation {
  return at === undefined ? null : at - createdAt
}

// The literal lists every rare field, because copying the record key by key would take longer than encoding it.
function rareOf(job: Job): Rare | undefined {
  const rare = {
    trigger: job.trigger === 'manual' ? undefined : job.trigger,
    assignment: job.assignment,
    agent: job.agent,
    batches: job.batches,
    again: job.again,
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
    notified: job.notified,
    stepOrigin: job.stepOrigin,
    stepPath: job.stepPath,
    deletedAt: job.deletedAt,
    timers: job.timers.length === 0 ? undefined : job.timers,
    blocked: job.blocked,
    // Normally the idempotency key is only in its column. A deleted job has freed its key, so the column is null, and
    // the record keeps the key here.
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
    queue: task.queue,
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

/** The columns of a job's row, decoded. */
export interface JobColumns {
  readonly id: string
  readonly tenant: string
  readonly createdBy: string
  readonly assignee: string | undefined
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
  /** The columns of the job's first task. `undefined`: the job has no tasks. */
  readonly task: TaskColumns | undefined
}

/** The columns of a task, decoded. */
export interface TaskColumns {
  readonly invocation: number
  readonly holder: string | undefined
  readonly limitKey: string | undefined
  readonly child: string | undefined
}

type Open<Value> = { -readonly [Key in keyof Value]: Value[Key] }

/**
 * Decodes a job from its columns and its text. Tasks after the first and ended children are in other rows, so they are
 * not included.
 *
 * @throws {Error} the text is broken.
 */
export function jobOf(columns: JobColumns, text: string): Open<Job> {
  const list = JSON.parse(text) as JobList | null
  if (!Array.isArray(list) || list.length < 9) throw new Error('the text is not a job')
  // The text was written by `recordOf`, so its shape is known unless the file is damaged.
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
  if (columns.assignee !== undefined) job.assignee = columns.assignee
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

/** Decodes a task other than the first. @throws {Error} the text is broken. */
export function furtherTaskOf(columns: TaskColumns, createdAt: number, text: string): Task {
  return taskOf(columns, createdAt, JSON.parse(text) as TaskList)
}

/** Decodes an ended child. @throws {Error} the text is broken. */
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
