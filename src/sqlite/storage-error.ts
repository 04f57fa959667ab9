import { JobchartError } from '../model/error.ts'

/**
 * SQLite's primary error codes for a wrong statement of ours, not a failure of the storage: ERROR, TOOBIG, CONSTRAINT,
 * MISMATCH, MISUSE, RANGE.
 */
const DEFECTS: ReadonlySet<number> = new Set([1, 18, 19, 20, 21, 25])
const BUSY = 5
const LOCKED = 6
const FULL = 13
const NOTADB = 26
/** An extended error code. */
const IOERR_WRITE = 778

/** The primary SQLite code of an error: the low byte of an extended code. */
function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { readonly errcode?: unknown }
  return typeof errcode === 'number' ? errcode & 0xff : undefined
}

/** Another connection holds a lock that is needed. */
export function isLocked(error: unknown): boolean {
  const code = codeOf(error)
  return code === BUSY || code === LOCKED
}

/** The file is not a database. */
export function isNoDatabase(error: unknown): boolean {
  return codeOf(error) === NOTADB
}

/** A page could not be written: the disk is full, the file may not grow further, or the disk fails. */
export function isUnwritten(error: unknown): boolean {
  return codeOf(error) === FULL || (error as { readonly errcode?: unknown }).errcode === IOERR_WRITE
}

/**
 * The error of a call whose transaction certainly failed. Failures of the file become `STORAGE_UNAVAILABLE`; other
 * errors are returned unchanged. The message is shown to people, so only `cause` names the file.
 */
export function storageError(file: string, cause: unknown): unknown {
  return isOfStorage(cause) ? unavailable(file, cause) : cause
}

/**
 * The error of a search. If SQLite cannot run the query, that comes from the given filter or scopes, e.g. too many
 * labels, so it becomes `INVALID_INPUT`.
 */
export function searchError(file: string, cause: unknown): unknown {
  if (!DEFECTS.has(codeOf(cause) ?? 0)) return storageError(file, cause)
  return new JobchartError('INVALID_INPUT', `the storage cannot search for this: ${textOf(cause)}`, { cause })
}

function isOfStorage(error: unknown): boolean {
  const sqlite = codeOf(error)
  if (sqlite !== undefined) return !DEFECTS.has(sqlite)
  const { code, syscall } = error as NodeJS.ErrnoException
  // The driver's code for a closed database.
  return syscall !== undefined || code === 'ERR_INVALID_STATE'
}

/** The error of a file that cannot be opened. Every error is then a failure of the file. */
export function unavailable(file: string, cause: unknown): JobchartError {
  if (cause instanceof JobchartError) return cause
  const { code, syscall } = cause as NodeJS.ErrnoException
  // Node's messages contain the path, so they are not shown.
  return unusable(file, syscall === undefined ? textOf(cause) : `${syscall} failed with ${code}`, cause)
}

/** An error `STORAGE_UNAVAILABLE`, whose `cause` names the file. */
export function unusable(file: string, said: string, cause?: unknown): JobchartError {
  const named = new Error(`"${file}": ${said}`, cause === undefined ? undefined : { cause })
  return new JobchartError('STORAGE_UNAVAILABLE', `the storage cannot be used: ${said}`, { cause: named })
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
