import type { JobError } from '../model/error.ts'
import type { Job, JobId, Outcome, Phase, Trigger } from '../model/job.ts'
import type { Json } from '../model/storable.ts'
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

/** Shows a job, without the fields that are redacted. */
export function viewOf(job: Job, redacted: readonly string[] = []): JobView {
  const { id, type, version, tenant, createdBy, trigger, labels, status, phase, priority } = job
  const always = { id, type, version, tenant, createdBy, trigger, labels, status, phase, priority }
  const sometimes = {
    pipeline: job.pipeline,
    parentId: job.parentId,
    retryOf: job.retryOf,
    startAt: job.startAt === undefined ? undefined : isoTime(job.startAt),
    admittedAt: job.admittedAt === undefined ? undefined : isoTime(job.admittedAt),
    outcome: job.outcome,
    input: job.input,
    output: job.output,
    error: shownError(job.error),
    exitCode: job.exitCode,
    message: job.message,
    progress: job.progress,
    createdAt: isoTime(job.createdAt),
    startedAt: job.startedAt === undefined ? undefined : isoTime(job.startedAt),
    endedAt: job.endedAt === undefined ? undefined : isoTime(job.endedAt),
    updatedAt: isoTime(job.updatedAt),
  }
  const hidden = hiddenFields(redacted)
  const fields = Object.entries({ ...always, ...sometimes })
  const shown = fields.filter(([name, value]) => value !== undefined && !hidden.has(name))
  // A copy: whoever changes a view changes nothing.
  const view = structuredClone(Object.fromEntries(shown))
  return (hidden.size === 0 ? view : { ...view, redacted: [...hidden].sort() }) as unknown as JobView
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
function shownError(error: JobError | undefined): Omit<JobError, 'stack'> | undefined {
  if (error === undefined) return undefined
  const { stack, ...shown } = error
  return shown
}
