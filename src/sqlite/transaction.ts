import type { DatabaseSync } from 'node:sqlite'
import { JobchartError } from '../model/error.ts'
import { isUnwritten } from './storage-error.ts'

/**
 * Runs a function in a transaction that takes the write lock at its start. So it cannot fail halfway because another
 * connection has committed.
 */
export function transaction<Result>(db: DatabaseSync, run: () => Result): Result {
  db.exec('BEGIN IMMEDIATE')
  let result: Result
  try {
    result = run()
  } catch (error) {
    rollBack(db)
    throw error
  }
  commit(db)
  return result
}

// After some errors SQLite has already rolled back, and ROLLBACK would throw.
function rollBack(db: DatabaseSync): void {
  if (db.isTransaction) db.exec('ROLLBACK')
}

function commit(db: DatabaseSync): void {
  try {
    db.exec('COMMIT')
  } catch (error) {
    const isOpen = db.isTransaction
    rollBack(db)
    // A commit takes effect with its last page in the log. If that page was not written, nothing was committed.
    if (isOpen || isUnwritten(error)) throw error
    const said = error instanceof Error ? error.message : String(error)
    throw new JobchartError('OUTCOME_UNKNOWN', `the commit failed while it was being completed: ${said}`, {
      cause: error,
    })
  }
}

/** Runs a function that reads, in one transaction, so that all its statements see the same state of the file. */
export function snapshot<Result>(db: DatabaseSync, run: () => Result): Result {
  db.exec('BEGIN')
  try {
    return run()
  } finally {
    if (db.isTransaction) db.exec('COMMIT')
  }
}

/** Runs a function within the current transaction. If it throws, only its own changes are undone. */
export function savepoint(db: DatabaseSync, run: () => void): void {
  db.exec('SAVEPOINT changeset')
  try {
    run()
  } catch (error) {
    // After a serious error SQLite has already rolled back the whole transaction.
    if (db.isTransaction) db.exec('ROLLBACK TO changeset; RELEASE changeset')
    throw error
  }
  db.exec('RELEASE changeset')
}
