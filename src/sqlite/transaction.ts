import type { DatabaseSync } from 'node:sqlite'
import { JobchartError } from '../model/error.ts'
import { isUnwritten } from './storage-error.ts'

/** Runs in a transaction that takes the write lock first, so that it cannot fail half-way for another's commit. */
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

// Some errors roll back by themselves, and then ROLLBACK would throw.
function rollBack(db: DatabaseSync): void {
  if (db.isTransaction) db.exec('ROLLBACK')
}

function commit(db: DatabaseSync): void {
  try {
    db.exec('COMMIT')
  } catch (error) {
    const isOpen = db.isTransaction
    rollBack(db)
    // What makes the commit is the last page of the log.
    if (isOpen || isUnwritten(error)) throw error
    const said = error instanceof Error ? error.message : String(error)
    throw new JobchartError('OUTCOME_UNKNOWN', `the commit failed in its end: ${said}`, { cause: error })
  }
}

/** Reads one state of the file, in however many statements. */
export function snapshot<Result>(db: DatabaseSync, run: () => Result): Result {
  db.exec('BEGIN')
  try {
    return run()
  } finally {
    if (db.isTransaction) db.exec('COMMIT')
  }
}

/** Runs inside a transaction so that, where it throws, nothing of it is left. */
export function savepoint(db: DatabaseSync, run: () => void): void {
  db.exec('SAVEPOINT changeset')
  try {
    run()
  } catch (error) {
    // A serious error has already rolled the whole transaction back, and with it the savepoint.
    if (db.isTransaction) db.exec('ROLLBACK TO changeset; RELEASE changeset')
    throw error
  }
  db.exec('RELEASE changeset')
}
