import type { DatabaseSync, DatabaseSyncOptions } from 'node:sqlite'
import { JobchartError } from '../model/error.ts'

/**
 * Opens a database by Node's own driver.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` this Node is too old.
 */
export function openSqlite(path: string | URL, options: DatabaseSyncOptions = {}): DatabaseSync {
  return new (loadDriver().DatabaseSync)(path, options)
}

/**
 * Node's own driver. It is not imported: where there is none, an import fails before anything could say why.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` this Node is too old.
 */
export function loadDriver(): typeof import('node:sqlite') {
  const driver = (process as Partial<Pick<typeof process, 'getBuiltinModule'>>).getBuiltinModule?.('node:sqlite')
  // Node 22.5 has an earlier one.
  if (driver !== undefined && 'setReturnArrays' in driver.StatementSync.prototype) return driver
  const found = `this is Node ${process.versions.node}`
  throw new JobchartError('INVALID_DEFINITION', `sqliteStorage needs the SQLite of Node 22.18 or newer; ${found}`)
}
