import type { DatabaseSync } from 'node:sqlite'
import { JobchartError } from '../model/error.ts'
import type { Clock } from '../port/clock.ts'

/** Waiting for another process's write lock: longer than any commit of ours, short enough to be told. */
const LOCK_WAIT_MS_MAX = 10_000
/** node:sqlite waits inside the call, which stops the whole event loop; so it waits briefly and the rest is ours. */
export const DRIVER_WAIT_MS = 5

/** Runs in a transaction that takes the write lock first, so that it cannot fail half-way for another's commit. */
export function transaction<Result>(db: DatabaseSync, run: () => Result): Result {
  db.exec('BEGIN IMMEDIATE')
  let result: Result
  try {
    result = run()
  } catch (error) {
    // Some errors roll back by themselves, and then ROLLBACK would throw.
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
  try {
    db.exec('COMMIT')
  } catch (error) {
    const said = error instanceof Error ? error.message : String(error)
    if (!db.isTransaction)
      throw new JobchartError('OUTCOME_UNKNOWN', `the commit failed in its end: ${said}`, { cause: error })
    db.exec('ROLLBACK')
    throw error
  }
  return result
}

/** Reads one snapshot, in however many statements. */
export function readTransaction<Result>(db: DatabaseSync, run: () => Result): Result {
  db.exec('BEGIN')
  try {
    return run()
  } finally {
    if (db.isTransaction) db.exec('COMMIT')
  }
}

/** Runs again, for up to 10 s, while another process holds a lock that is needed. */
export async function whenUnlocked<Result>(clock: Clock, run: () => Result): Promise<Result> {
  const deadline = clock.now() + LOCK_WAIT_MS_MAX
  for (;;) {
    try {
      return run()
    } catch (error) {
      if (!isLocked(error) || clock.now() >= deadline) throw error
      const jitter = clock.randomBytes(1)[0] ?? 0
      await new Promise<void>((wake) => clock.timer(1 + (jitter % 16), wake))
    }
  }
}

// The primary code of an extended one stands in its low byte: SQLITE_BUSY is 5, SQLITE_LOCKED is 6.
function isLocked(error: unknown): boolean {
  const code = (error as { readonly errcode?: unknown }).errcode
  return typeof code === 'number' && ((code & 0xff) === 5 || (code & 0xff) === 6)
}

/** The error of a call whose transaction is known to have failed. */
export function unavailable(file: string, cause: unknown): JobchartError {
  if (cause instanceof JobchartError) return cause
  const said = cause instanceof Error ? cause.message : String(cause)
  return new JobchartError('STORAGE_UNAVAILABLE', `"${file}": ${said}`, { cause })
}

/** Runs inside a transaction so that, where it throws, nothing of it is left. */
export function savepoint(db: DatabaseSync, run: () => void): void {
  db.exec('SAVEPOINT unit')
  try {
    run()
  } catch (error) {
    // A serious error has already rolled the whole transaction back, and with it the savepoint.
    if (db.isTransaction) db.exec('ROLLBACK TO unit; RELEASE unit')
    throw error
  }
  db.exec('RELEASE unit')
}
