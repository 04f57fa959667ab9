import type { JobError } from '../model/error.ts'
import type { Job, JobId, Outcome, Overlap, Phase, Trigger } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import { type Json, jsonCopy } from '../model/storable.ts'
import { countsOf, type Progress, type Task } from '../model/task.ts'
import { isoTime } from '../model/time.ts'
import { type Grant, WHOLE } from './grant.ts'

/** A job as it is shown: no context, no tasks, and times as ISO 8601. */
export interface JobView<Type = unknown, Output = unknown> {
  readonly id: JobId<Type>
  readonly type: string
  readonly version: string
  readonly tenant: string
  readonly createdBy: string
  readonly trigger: Trigger
  readonly pipeline?: string
  /** The job whose chart invoked this one. */
  readonly parentId?: string
  /** The job of which this is another try. */
  readonly retryOf?: string
  /** How many retries led to it; absent for a first try. */
  readonly retries?: number
  readonly labels: { readonly [name: string]: string }
  /** The public label of where the chart stands. */
  readonly status: string
  readonly phase: Phase
  /** Set exactly when the phase is `settled`. */
  readonly outcome?: Outcome
  readonly input?: Json
  readonly output?: Output
  readonly error?: Omit<JobError, 'stack'>
  readonly exitCode?: number
  readonly message?: string
  readonly progress?: Progress
  readonly priority: number
  readonly createdAt: string
  /** It does not start before. */
  readonly startAt?: string
  /** When it began to count; absent while it waits for its time or its turn. */
  readonly admittedAt?: string
  /** The first start of a task. */
  readonly startedAt?: string
  readonly endedAt?: string
  /** When something that is shown last changed. */
  readonly updatedAt: string
  /** The chart's context, where the policy opens it. */
  readonly context?: Json
  /** The chart's tasks, where the policy opens them. */
  readonly tasks?: readonly TaskView[]
  /** The fields that were left out for who asks; absent where none were. */
  readonly redacted?: readonly string[]
}

/** A task as it is shown to whom the policy opens it. */
export type TaskView = Pick<Task, 'id' | 'src' | 'status' | 'attempt' | 'input' | 'inbox'> & {
  /** It is not claimed before; ISO 8601. */
  readonly availableAt: string
}

/** A pipeline as it is shown; times as ISO 8601. */
export interface PipelineView {
  readonly id: string
  readonly tenant: string
  /** Its owner: who defined it first. */
  readonly createdBy: string
  /** The type of its runs. */
  readonly type: string
  readonly input?: Json
  readonly overlap: Overlap
  readonly priority: number
  readonly labels: { readonly [name: string]: string }
  /** Why it takes no run now; absent: it takes runs. */
  readonly paused?: string
  readonly createdAt: string
  readonly updatedAt: string
  /** The fields that were left out for who asks; absent where none were. */
  readonly redacted?: readonly string[]
}

/** Shows a pipeline as a grant allows it. */
export function pipelineViewOf(pipeline: Pipeline, { hidden, redacted }: Grant = WHOLE): PipelineView {
  const { revision, input, createdAt, updatedAt, ...rest } = pipeline
  const view = {
    ...structuredClone(rest),
    ...(input === undefined ? {} : { input: jsonCopy(input) }),
    createdAt: isoTime(createdAt),
    updatedAt: isoTime(updatedAt),
  }
  leaveOut(view, hidden, redacted)
  return view
}

/** Shows a job as a grant allows it. A view is a copy: whoever changes it changes nothing. */
export function viewOf(job: Job, { hidden, open, redacted }: Grant = WHOLE): JobView {
  const view: { -readonly [Field in keyof JobView]?: JobView[Field] } = {
    id: job.id,
    type: job.type,
    version: job.version,
    tenant: job.tenant,
    createdBy: job.createdBy,
    trigger: job.trigger,
    labels: { ...job.labels },
    status: job.status,
    phase: job.phase,
    priority: job.priority,
    createdAt: isoTime(job.createdAt),
    updatedAt: isoTime(shownUpdate(job)),
  }
  if (job.pipeline !== undefined) view.pipeline = job.pipeline
  if (job.parentId !== undefined) view.parentId = job.parentId
  if (job.retryOf !== undefined) view.retryOf = job.retryOf
  if (job.retries !== undefined) view.retries = job.retries
  if (job.outcome !== undefined) view.outcome = job.outcome
  if (job.input !== undefined) view.input = jsonCopy(job.input)
  if (job.output !== undefined) view.output = jsonCopy(job.output)
  if (job.error !== undefined) view.error = shownError(job.error)
  if (job.exitCode !== undefined) view.exitCode = job.exitCode
  if (job.message !== undefined) view.message = job.message
  if (job.progress !== undefined) view.progress = countsOf(job.progress)
  if (job.startAt !== undefined) view.startAt = isoTime(job.startAt)
  if (job.admittedAt !== undefined) view.admittedAt = isoTime(job.admittedAt)
  if (job.startedAt !== undefined) view.startedAt = isoTime(job.startedAt)
  if (job.endedAt !== undefined) view.endedAt = isoTime(job.endedAt)
  if (open.has('context')) view.context = jsonCopy(job.context)
  if (open.has('tasks')) view.tasks = job.tasks.map(taskViewOf)
  leaveOut(view, hidden, redacted)
  // All that a view always has stands in it, but for what was redacted.
  return view as JobView
}

function taskViewOf({ id, src, status, attempt, input, inbox, availableAt }: Task): TaskView {
  const given = input === undefined ? {} : { input: jsonCopy(input) }
  return { id, src, status, attempt, ...given, inbox: structuredClone(inbox), availableAt: isoTime(availableAt) }
}

// Nothing that is shown changes after the end, though the end of what still ran is written later.
function shownUpdate({ endedAt, updatedAt, progress }: Job): number {
  return endedAt ?? Math.max(updatedAt, progress?.at ?? 0)
}

function leaveOut(view: { [field: string]: unknown }, hidden: ReadonlySet<string>, redacted: readonly string[]): void {
  for (const field of hidden) delete view[field]
  if (redacted.length > 0) view.redacted = [...redacted]
}

/** An error as it is shown: its stack names files of the server, and stays in the record. */
export function shownError(error: JobError): Omit<JobError, 'stack'> {
  const { stack, ...shown } = error
  return structuredClone(shown)
}
