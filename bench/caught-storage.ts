import { DatabaseSync } from 'node:sqlite'
import type { Storage } from 'jobchart'

/** jobchart's own SQLite connection, intercepted when it opens, so that the benchmark can verify what it does. */
export interface CaughtStorage {
  readonly storage: Storage
  /** Reads `PRAGMA synchronous` on the connection that writes. */
  readonly synchronous: () => unknown
  /** Number of committed transactions that wrote something. At FULL each waits for the disk once. */
  readonly commits: () => number
}

/** Intercepts the connection that `inner` opens to a file. */
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

function countCommits(connection: DatabaseSync, count: () => void): void {
  const exec = connection.exec.bind(connection)
  const changes = connection.prepare('SELECT total_changes() AS total')
  let seen = changes.get()?.total
  connection.exec = (sql) => {
    exec(sql)
    if (sql !== 'COMMIT') return
    const { total } = changes.get() ?? {}
    if (total !== seen) count()
    seen = total
  }
}
