import type { DatabaseSync, DatabaseSyncOptions } from 'node:sqlite'
import { JobchartError } from '../model/error.ts'

/**
 * Opens a database with Node's built-in driver.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the version of Node is too old.
 */
export function openSqlite(path: string | URL, options: DatabaseSyncOptions = {}): DatabaseSync {
  return new (loadDriver().DatabaseSync)(path, options)
}

/**
 * Loads Node's built-in driver at run time. A static import would fail without a clear error on a version of Node that
 * has no driver.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the version of Node is too old.
 */
export function loadDriver(): typeof import('node:sqlite') {
  const driver = (process as Partial<Pick<typeof process, 'getBuiltinModule'>>).getBuiltinModule?.('node:sqlite')
  // Node 22.5 has an earlier driver without `setReturnArrays`, so it is refused too.
  if (driver !== undefined && 'setReturnArrays' in driver.StatementSync.prototype) return driver
  const found = `this is Node ${process.versions.node}`
  throw new JobchartError('INVALID_DEFINITION', `sqliteStorage needs the SQLite of Node 22.18 or newer; ${found}`)
}
