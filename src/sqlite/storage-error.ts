import { JobchartError } from '../model/error.ts'

/**
 * Primary codes of SQLite that say that a statement of ours is wrong, not that the storage failed: ERROR, TOOBIG,
 * CONSTRAINT, MISMATCH, MISUSE, RANGE.
 */
const DEFECTS: ReadonlySet<number> = new Set([1, 18, 19, 20, 21, 25])
const BUSY = 5
const LOCKED = 6
const FULL = 13
const NOTADB = 26
/** An extended code. */
const IOERR_WRITE = 778

/** SQLite's primary code of an error; an extended one has it in its low byte. */
function codeOf(error: unknown): number | undefined {
  const { errcode } = error as { readonly errcode?: unknown }
  return typeof errcode === 'number' ? errcode & 0xff : undefined
}

/** Another connection holds a lock that is needed. */
export function isLocked(error: unknown): boolean {
  const code = codeOf(error)
  return code === BUSY || code === LOCKED
}

/** The file is no database at all. */
export function isNoDatabase(error: unknown): boolean {
  return codeOf(error) === NOTADB
}

/** A page could not be written: the disk has no room, a file may not grow so far, or the disk fails. */
export function isUnwritten(error: unknown): boolean {
  return codeOf(error) === FULL || (error as { readonly errcode?: unknown }).errcode === IOERR_WRITE
}

/**
 * The error of a call whose transaction is known to have failed: what fails in the file is `STORAGE_UNAVAILABLE`, and
 * any other error is given on as it is. The message is shown to people, so the file is named by its cause alone.
 */
export function storageError(file: string, cause: unknown): unknown {
  return isOfStorage(cause) ? unavailable(file, cause) : cause
}

/**
 * The error of a search. A query that SQLite cannot run was made from the filter and the scopes that were given, e.g. from
 * too many labels: that is `INVALID_INPUT`.
 */
export function searchError(file: string, cause: unknown): unknown {
  if (!DEFECTS.has(codeOf(cause) ?? 0)) return storageError(file, cause)
  return new JobchartError('INVALID_INPUT', `the storage cannot search for this: ${textOf(cause)}`, { cause })
}

function isOfStorage(error: unknown): boolean {
  const sqlite = codeOf(error)
  if (sqlite !== undefined) return !DEFECTS.has(sqlite)
  const { code, syscall } = error as NodeJS.ErrnoException
  // The driver says so of a database that was closed.
  return syscall !== undefined || code === 'ERR_INVALID_STATE'
}

/** The same for a file that cannot be opened: all that fails there is the file's. */
export function unavailable(file: string, cause: unknown): JobchartError {
  if (cause instanceof JobchartError) return cause
  const { code, syscall } = cause as NodeJS.ErrnoException
  // Node's messages name the path.
  return unusable(file, syscall === undefined ? textOf(cause) : `${syscall} failed with ${code}`, cause)
}

/** `STORAGE_UNAVAILABLE`, whose cause names the file. */
export function unusable(file: string, said: string, cause?: unknown): JobchartError {
  const named = new Error(`"${file}": ${said}`, cause === undefined ? undefined : { cause })
  return new JobchartError('STORAGE_UNAVAILABLE', `the storage cannot be used: ${said}`, { cause: named })
}

function textOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
