import { DatabaseSync } from 'node:sqlite'
import type { Storage } from 'jobchart'

/** A storage of jobchart whose SQLite connection the benchmark can look at, to verify what it does. */
export interface CaughtStorage {
  readonly storage: Storage
  /** Reads `PRAGMA synchronous` on the connection that writes. */
  readonly synchronous: () => unknown
  /**
   * How many transactions that took the write lock were committed. At FULL, each one that wrote waits for the disk once.
   */
  readonly commits: () => number
}

/** Wraps `inner` so that the connection is caught when it is opened. `file` is the path of the database. */
export function caughtStorage(file: string, inner: Storage): CaughtStorage {
  let connection: DatabaseSync | undefined
  let commits = 0
  const open: Storage['open'] = async (host) => {
    const { prepare } = DatabaseSync.prototype
    DatabaseSync.prototype.prepare = function (this: DatabaseSync, sql: string) {
      if (this.location() === file) connection = this
      return prepare.call(this, sql)
    }
    try {
      return await inner.open(host)
    } finally {
      DatabaseSync.prototype.prepare = prepare
      if (connection !== undefined) countCommits(connection, () => commits++)
    }
  }
  const synchronous = () => connection?.prepare('PRAGMA synchronous').get()?.synchronous
  return { storage: { open }, synchronous, commits: () => commits }
}

// Adds nothing that takes time to the path that is measured. A transaction that only reads begins without IMMEDIATE.
function countCommits(connection: DatabaseSync, count: () => void): void {
  const exec = connection.exec.bind(connection)
  let isWriting = false
  connection.exec = (sql) => {
    exec(sql)
    if (sql === 'BEGIN IMMEDIATE') isWriting = true
    else if (sql === 'COMMIT' && isWriting) {
      isWriting = false
      count()
    } else if (sql === 'ROLLBACK') isWriting = false
  }
}
