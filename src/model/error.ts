/**
 * What went wrong, in a form that code can test. Codes never change their meaning; messages may.
 *
 * - `JOB_NOT_FOUND` the job is absent, or hidden from who asks: the same answer.
 * - `PIPELINE_NOT_FOUND` the same of a pipeline.
 * - `JOB_UNREADABLE` the job's stored record, or a part of it, is broken. It is left as it is, and nothing moves it; the other
 *   jobs go on. Only the engine's own session is told; to a person, whose right to see it cannot be checked, it is
 *   `JOB_NOT_FOUND`.
 * - `FORBIDDEN` the job can be seen, but not changed in this way.
 * - `INVALID_STATE` the chart takes no such event in its present state.
 * - `ALREADY_SETTLED` the job has ended; nothing moves it any more.
 * - `ALREADY_RUNNING` another job holds the pipeline's slot.
 * - `QUEUE_FULL` as many jobs of the type as may wait to begin do; nothing was stored, and later there is room again.
 * - `STALE_CLAIM` the report carries a token that is no longer good.
 * - `INVALID_INPUT` a value does not fit its schema; `issues` names the paths.
 * - `INVALID_DEFINITION` a job type or an option cannot work; the message says what to change.
 * - `NOT_STORABLE` a value would not come back equal from JSON; `path` says where.
 * - `PAYLOAD_TOO_LARGE` a value is over its limit.
 * - `OUTCOME_UNKNOWN` the write may have landed; repeating it with the same idempotency key is safe.
 * - `STORAGE_UNAVAILABLE` nothing was written; the cause says why.
 * - `UNKNOWN_TYPE` this engine does not know the job's type or version.
 * - `ENGINE_STOPPED` the engine was stopped; start it again, or use another. Also why a running task's signal was aborted.
 * - `TASK_STOPPED` why a task's signal was aborted: the chart left its invoke, or told it to stop. Also the end of a task
 *   that was told to stop before it had begun, or that did not stop in its grace.
 * - `TIMEOUT` the attempt took longer than its task's `timeout`.
 * - `STEP_NOT_AWAITED` a task's code returned while a step of it still ran.
 * - `TASK_LOST`, `POISON` ends of a task that its own code did not report.
 */
export type ErrorCode =
  | 'JOB_NOT_FOUND'
  | 'PIPELINE_NOT_FOUND'
  | 'JOB_UNREADABLE'
  | 'FORBIDDEN'
  | 'INVALID_STATE'
  | 'ALREADY_SETTLED'
  | 'ALREADY_RUNNING'
  | 'QUEUE_FULL'
  | 'STALE_CLAIM'
  | 'INVALID_INPUT'
  | 'INVALID_DEFINITION'
  | 'NOT_STORABLE'
  | 'PAYLOAD_TOO_LARGE'
  | 'OUTCOME_UNKNOWN'
  | 'STORAGE_UNAVAILABLE'
  | 'UNKNOWN_TYPE'
  | 'ENGINE_STOPPED'
  | 'TASK_STOPPED'
  | 'TIMEOUT'
  | 'STEP_NOT_AWAITED'
  | 'TASK_LOST'
  | 'POISON'

/** One place where a value does not fit. `path` is a list of keys from the value's root. */
export interface Issue {
  readonly message: string
  readonly path: readonly (string | number)[]
}

const NON_RETRYABLE = 'NonRetryableError'

/** What a {@link JobchartError} may carry beside its code and message. */
export interface ErrorDetail {
  readonly issues?: readonly Issue[]
  readonly jobId?: string
  readonly path?: string
  readonly cause?: unknown
}

/** The error class of all that jobchart refuses: test `error.code`, never the message. */
export class JobchartError extends Error {
  override readonly name = 'JobchartError'
  readonly code: ErrorCode
  readonly issues: readonly Issue[] | undefined
  readonly jobId: string | undefined
  readonly path: string | undefined

  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message, detail.cause === undefined ? undefined : { cause: detail.cause })
    this.code = code
    this.issues = detail.issues
    this.jobId = detail.jobId
    this.path = detail.path
  }
}

/**
 * For a task's code to throw: the attempt fails, and is not made again, whatever `retry` says. It is known by its `name`
 * too, so that one of another copy of the package, or of a class of your own with this name, does the same.
 *
 * ```ts
 * if (response.status === 404) throw new NonRetryableError('there is no such order')
 * ```
 */
export class NonRetryableError extends Error {
  override readonly name: string = NON_RETRYABLE
}

/** Whether another attempt would end by the same error: its code says so, or a value of it cannot be stored. */
export function isFinalError(thrown: unknown): boolean {
  if (thrown instanceof NonRetryableError) return true
  if (typeof thrown !== 'object' || thrown === null) return false
  const code = thrown instanceof JobchartError ? thrown.code : undefined
  return code === 'NOT_STORABLE' || code === 'PAYLOAD_TOO_LARGE' || read(thrown, 'name') === NON_RETRYABLE
}

/** The answer for a job that is absent and for one that is hidden: equal but for the id that was asked. */
export function jobNotFound(id: string): JobchartError {
  return new JobchartError(
    'JOB_NOT_FOUND',
    `no job "${textOf(id)}" here. It may have been deleted, or it is not yours to see.`,
    {
      // Whatever was asked for may be no text, and the error is to be logged.
      jobId: textOf(id),
    },
  )
}

/** The answer for a pipeline that is absent and for one that is hidden. */
export function pipelineNotFound(id: string): JobchartError {
  return new JobchartError(
    'PIPELINE_NOT_FOUND',
    `no pipeline "${textOf(id)}" here. It may have gone, or it is not yours to see.`,
  )
}

/** The answer for a job whose record is broken. */
export function jobUnreadable(id: string, cause: unknown): JobchartError {
  const message = `the stored record of job "${id}" is broken; restore it from a backup of the storage`
  return new JobchartError('JOB_UNREADABLE', message, { jobId: id, cause })
}

/** Whether an error says so of a job. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof JobchartError && error.code === 'JOB_UNREADABLE'
}

/** How a job's record carries an error. `stack` is for administrators; it is cut to 4,000 characters. */
export interface JobError {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
}

const STACK_CHARACTERS_MAX = 4_000
const MESSAGE_CHARACTERS_MAX = 2_000

/**
 * Whatever was thrown, as plain data that can be stored: an `Error` by its name, message, code and stack; a string as
 * its own message; anything else by its `message` where it has one. It never throws, whatever it is given.
 */
export function jobError(thrown: unknown): JobError {
  if (typeof thrown !== 'object' || thrown === null) {
    return { name: 'Error', message: clean(textOf(thrown), MESSAGE_CHARACTERS_MAX) }
  }
  const [name, message, code, stack] = ['name', 'message', 'code', 'stack'].map((key) => read(thrown, key))
  return {
    name: typeof name === 'string' && name !== '' ? clean(name, 200) : 'Error',
    message: clean(typeof message === 'string' ? message : describeObject(thrown), MESSAGE_CHARACTERS_MAX),
    ...(typeof code === 'string' || typeof code === 'number' ? { code: clean(String(code), 200) } : {}),
    ...(typeof stack === 'string' ? { stack: clean(stack, STACK_CHARACTERS_MAX) } : {}),
  }
}

// A getter, or a trap of a proxy, is code of whoever threw.
function read(thrown: object, key: string): unknown {
  try {
    return (thrown as { readonly [key: string]: unknown })[key]
  } catch {
    return undefined
  }
}

function textOf(thrown: unknown): string {
  try {
    return String(thrown)
  } catch {
    return 'something that cannot be shown was thrown'
  }
}

function describeObject(thrown: object): string {
  try {
    return JSON.stringify(thrown) ?? 'an object without a message was thrown'
  } catch {
    return 'an object that cannot be shown was thrown'
  }
}

// Lone surrogates would make the record itself unstorable, so that a failure could not be recorded.
function clean(text: string, charactersMax: number): string {
  return text.slice(0, charactersMax).toWellFormed()
}
