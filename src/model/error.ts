import { defined } from './defined.ts'

/**
 * The reasons of a {@link JobchartError}. Test the code, not the message: codes never change their meaning, messages
 * may.
 *
 * - `JOB_NOT_FOUND` the job does not exist, or is hidden from the caller. Both get the same answer.
 * - `PIPELINE_NOT_FOUND` the pipeline does not exist, or is hidden from the caller.
 * - `JOB_UNREADABLE` the stored record of the job, or a part of it, is broken. The job stays as it is and no longer
 *   moves; other jobs go on. Only the engine's own session gets this code. Other callers get `JOB_NOT_FOUND`, because
 *   their right to see the job cannot be checked.
 * - `FORBIDDEN` the caller may see the job, but may not do this.
 * - `INVALID_STATE` the chart does not take this event in its current state.
 * - `ALREADY_SETTLED` the job has ended and cannot change any more.
 * - `ALREADY_RUNNING` another job holds the pipeline's slot.
 * - `QUEUE_FULL` the tenant has as many queued jobs of the type as its `limits.queued` allows. Nothing was stored; try
 *   again later.
 * - `STALE_CLAIM` the report comes from an attempt that no longer holds its task: its token is not valid any more.
 * - `INVALID_INPUT` a value does not fit its schema; `issues` lists the paths.
 * - `INVALID_DEFINITION` a job type or an option is invalid; the message says what to change.
 * - `NOT_STORABLE` a value is not plain JSON, so it cannot be stored; `path` says where.
 * - `PAYLOAD_TOO_LARGE` a value is over its size limit.
 * - `OUTCOME_UNKNOWN` the write may or may not have been stored. Repeating it with the same idempotency key is safe.
 * - `STORAGE_UNAVAILABLE` nothing was written; `cause` says why.
 * - `UNKNOWN_TYPE` this engine does not know the job's type or version.
 * - `ENGINE_STOPPED` the engine was stopped; start it again, or use another. Also the reason when the signal of a
 *   running task is aborted by the stop.
 * - `TASK_STOPPED` the reason when a task's signal is aborted because the chart left its invoke or told it to stop.
 *   Also the error of a task that was told to stop before it had begun, or that did not stop within its grace.
 * - `TIMEOUT` the attempt took longer than its task's `timeout`.
 * - `STEP_NOT_AWAITED` a task's code returned while one of its steps still ran.
 * - `TASK_LOST` the task's attempt was lost: its process ended or its engine fell silent.
 * - `POISON` several attempts of the task in a row crashed their process, so it is not tried again.
 */
export type ErrorCode =
  | 'JOB_NOT_FOUND'
  | 'PIPELINE_NOT_FOUND'
  | 'AGENT_NOT_FOUND'
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

/** One place where a value does not fit. `path`: the keys from the value's root to that place. */
export interface Issue {
  readonly message: string
  readonly path: readonly (string | number)[]
}

const NON_RETRYABLE = 'NonRetryableError'

/** Optional details of a {@link JobchartError}. */
export interface ErrorDetail {
  readonly issues?: readonly Issue[]
  readonly jobId?: string
  readonly path?: string
  readonly cause?: unknown
}

/** The error class of every refusal by jobchart. Test `error.code`, not the message. */
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

  /** What `JSON.stringify` writes, e.g. in the answer of a server: without the stack and the cause. */
  toJSON(): Pick<JobchartError, 'name' | 'code' | 'message'> & ErrorDetail {
    const { name, code, message, issues, jobId, path } = this
    return { name, code, message, ...defined({ issues, jobId, path }) }
  }
}

/**
 * Throw this in a task's code to fail the task without another attempt, even if `retry` allows one. It is recognized by its
 * `name`, so another copy of the package, or your own class with this name, works too.
 *
 * ```ts
 * if (response.status === 404) throw new NonRetryableError('there is no such order')
 * ```
 */
export class NonRetryableError extends Error {
  override readonly name: string = NON_RETRYABLE
}

/**
 * Whether a thrown error fails its task without a retry. This holds for a `NonRetryableError`, and for the error that a
 * value cannot be stored.
 */
export function isFinalError(thrown: unknown): boolean {
  if (typeof thrown !== 'object' || thrown === null) return false
  if (isA(NonRetryableError, thrown)) return true
  const code = isA(JobchartError, thrown) ? thrown.code : undefined
  return code === 'NOT_STORABLE' || code === 'PAYLOAD_TOO_LARGE' || thrownField(thrown, 'name') === NON_RETRYABLE
}

// `instanceof` reads the prototype, which throws for some proxies.
function isA<Made>(made: abstract new (...given: never[]) => Made, thrown: unknown): thrown is Made {
  try {
    return thrown instanceof made
  } catch {
    return false
  }
}

/**
 * The error for a job that does not exist, and for one that is hidden from the caller. Apart from the requested id both
 * are the same, so a caller cannot find out which jobs exist.
 */
export function jobNotFound(id: string): JobchartError {
  return new JobchartError(
    'JOB_NOT_FOUND',
    `no job "${clean(id, 200)}" here. It may have been deleted, or you may not see it.`,
    { jobId: clean(id, 200) },
  )
}

/** The error for a pipeline that does not exist, and for one that is hidden from the caller. */
export function pipelineNotFound(id: string): JobchartError {
  return new JobchartError(
    'PIPELINE_NOT_FOUND',
    `no pipeline "${clean(id, 200)}" here. It may have been deleted, or you may not see it.`,
  )
}

/** The error for an agent that does not exist. */
export function agentNotFound(id: string): JobchartError {
  return new JobchartError('AGENT_NOT_FOUND', `no agent "${clean(id, 200)}" here. It may have been revoked.`)
}

/** The error for a report of an attempt that no longer holds its task. */
export function notHeld(jobId: string): JobchartError {
  return new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task', { jobId })
}

/** The error for a job whose record is broken. */
export function jobUnreadable(id: string, cause: unknown): JobchartError {
  const message = `the stored record of job "${id}" is broken; restore it from a backup of the storage`
  return new JobchartError('JOB_UNREADABLE', message, { jobId: id, cause })
}

/** Whether an error is a typed one with one of these codes. */
export function hasCode(error: unknown, ...codes: readonly JobchartError['code'][]): error is JobchartError {
  return error instanceof JobchartError && codes.includes(error.code)
}

/** Whether an error has the code `JOB_UNREADABLE`. */
export function isUnreadable(error: unknown): boolean {
  return hasCode(error, 'JOB_UNREADABLE')
}

/** An error in a job's record. `stack` is meant for administrators, and cut to 4,000 characters. */
export interface JobError {
  readonly name: string
  readonly message: string
  readonly code?: string
  readonly stack?: string
}

const STACK_CHARACTERS_MAX = 4_000
const MESSAGE_CHARACTERS_MAX = 2_000

/**
 * Converts any thrown value into storable data: an `Error` into its name, message, code and stack; a string into its
 * message; other values into their `message`, if they have one. Never throws.
 */
export function jobError(thrown: unknown): JobError {
  if (typeof thrown !== 'object' || thrown === null) {
    return { name: 'Error', message: clean(textOf(thrown), MESSAGE_CHARACTERS_MAX) }
  }
  const [name, message, code, stack] = ['name', 'message', 'code', 'stack'].map((key) => thrownField(thrown, key))
  return {
    name: typeof name === 'string' && name !== '' ? clean(name, 200) : 'Error',
    message: clean(typeof message === 'string' ? message : describeObject(thrown), MESSAGE_CHARACTERS_MAX),
    ...(typeof code === 'string' || typeof code === 'number' ? { code: clean(String(code), 200) } : {}),
    ...(typeof stack === 'string' ? { stack: clean(stack, STACK_CHARACTERS_MAX) } : {}),
  }
}

/**
 * A field of a thrown object. `undefined` if the object has no such field, or if reading it throws: a getter is user
 * code.
 */
export function thrownField(thrown: object, key: string): unknown {
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

// Cuts the text and replaces lone surrogates. No storage can keep them, so without this the error could not be
// recorded.
function clean(text: string, charactersMax: number): string {
  return text.slice(0, charactersMax).toWellFormed()
}
