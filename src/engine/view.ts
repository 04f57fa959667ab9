import type { JobError } from '../model/error.ts'
import type { Job, JobId, Outcome, Overlap, Phase, Trigger } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import { type Json, jsonCopy } from '../model/storable.ts'
import type { Progress } from '../model/task.ts'
import { isoTime } from '../model/time.ts'

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
  readonly updatedAt: string
  /** The fields that were left out for who asks; absent where none were. */
  readonly redacted?: readonly string[]
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

/** Shows a pipeline, without the fields that are redacted. */
export function pipelineViewOf(pipeline: Pipeline, redacted: readonly string[] = []): PipelineView {
  const { revision, input, createdAt, updatedAt, ...rest } = pipeline
  const view = {
    ...structuredClone(rest),
    ...(input === undefined ? {} : { input: jsonCopy(input) }),
    createdAt: isoTime(createdAt),
    updatedAt: isoTime(updatedAt),
  }
  if (redacted.length > 0) redact(view, redacted)
  return view
}

/** Shows a job, without the fields that are redacted. A view is a copy: whoever changes it changes nothing. */
export function viewOf(job: Job, redacted: readonly string[] = []): JobView {
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
    updatedAt: isoTime(job.updatedAt),
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
  if (job.progress !== undefined) view.progress = { ...job.progress }
  if (job.startAt !== undefined) view.startAt = isoTime(job.startAt)
  if (job.admittedAt !== undefined) view.admittedAt = isoTime(job.admittedAt)
  if (job.startedAt !== undefined) view.startedAt = isoTime(job.startedAt)
  if (job.endedAt !== undefined) view.endedAt = isoTime(job.endedAt)
  if (redacted.length > 0) redact(view, redacted)
  // All that a view always has stands in it, but for what was redacted.
  return view as JobView
}

function redact(view: { [field: string]: unknown }, redacted: readonly string[]): void {
  const hidden = hiddenFields(redacted)
  for (const field of hidden) delete view[field]
  view.redacted = [...hidden].sort()
}

// What the input says, these may repeat.
const DERIVED_FROM_INPUT = ['input', 'output', 'error', 'message']

/** Whether lines, messages and reasons are private too, since they may repeat what is. */
export function hidesText(redacted: readonly string[]): boolean {
  return redacted.includes('input')
}

function hiddenFields(redacted: readonly string[]): ReadonlySet<string> {
  return new Set(redacted.includes('input') ? [...redacted, ...DERIVED_FROM_INPUT] : redacted)
}

// A stack names files of the server; it stays in the record.
function shownError(error: JobError): Omit<JobError, 'stack'> {
  const { stack, ...shown } = error
  return structuredClone(shown)
}
