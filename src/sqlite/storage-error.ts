import { JobchartError } from '../model/error.ts'

/**
 * SQLite's primary error codes for a mistake in our own statement, not a failure of the storage: ERROR, TOOBIG,
 * CONSTRAINT, MISMATCH, MISUSE, RANGE.
 */
const DEFECTS: ReadonlySet<number> = new Set([1, 18, 19, 20, 21, 25])
const BUSY = 5
const LOCKED = 6
const FULL = 13
const NOTADB = 26
/** This is an extended error code: IOERR (10) is its low byte. */
const IOERR_WRITE = 778

/** The primary SQLite code of an error, which is the low byte of its extended code. */
function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { readonly errcode?: unknown }
  return typeof errcode === 'number' ? errcode & 0xff : undefined
}

/** Whether the call failed because another connection holds a lock that it needs. */
export function isLocked(error: unknown): boolean {
  const code = codeOf(error)
  return code === BUSY || code === LOCKED
}

/** Whether the call failed because the file is not a database. */
export function isNoDatabase(error: unknown): boolean {
  return codeOf(error) === NOTADB
}

/** Whether a page could not be written: the disk is full, the file may not grow further, or the disk fails. */
export function isUnwritten(error: unknown): boolean {
  return codeOf(error) === FULL || (error as { readonly errcode?: unknown }).errcode === IOERR_WRITE
}

/**
 * The error to throw for a call whose transaction certainly failed. A failure of the file becomes
 * `STORAGE_UNAVAILABLE`; any other error is returned unchanged. The message is shown to users, so only `cause` names
 * the file.
 */
export function storageError(file: string, cause: unknown): unknown {
  return isOfStorage(cause) ? unavailable(file, cause) : cause
}

/**
 * The error to throw for a failed search. If SQLite cannot run the query, the caller's filter or scopes are the reason,
 * e.g. too many labels. So the error becomes `INVALID_INPUT`.
 */
export function searchError(file: string, cause: unknown): unknown {
  if (!DEFECTS.has(codeOf(cause) ?? 0)) return storageError(file, cause)
  return new JobchartError('INVALID_INPUT', `the storage cannot search for this: ${textOf(cause)}`, { cause })
}

function isOfStorage(error: unknown): boolean {
  const sqlite = codeOf(error)
  if (sqlite !== undefined) return !DEFECTS.has(sqlite)
  const { code, syscall } = error as NodeJS.ErrnoException
  // The driver throws this code if the database is closed.
  return syscall !== undefined || code === 'ERR_INVALID_STATE'
}

/** The error to throw if a file cannot be opened. Here every error counts as a failure of the file. */
export function unavailable(file: string, cause: unknown): JobchartError {
  if (cause instanceof JobchartError) return cause
  const { code, syscall } = cause as NodeJS.ErrnoException
  // Node's own messages contain the path, so they are replaced.
  return unusable(file, syscall === undefined ? textOf(cause) : `${syscall} failed with ${code}`, cause)
}

/** Makes a `STORAGE_UNAVAILABLE` error. Only its `cause` names the file. */
export function unusable(file: string, said: string, cause?: unknown): JobchartError {
  const named = new Error(`"${file}": ${said}`, cause === undefined ? undefined : { cause })
  return new JobchartError('STORAGE_UNAVAILABLE', `the storage cannot be used: ${said}`, { cause: named })
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
