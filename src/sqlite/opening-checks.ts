import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { JobchartError } from '../model/error.ts'
import { openSqlite } from './driver.ts'
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.ts'
import { isNoDatabase, unusable } from './storage-error.ts'

/**
 * Checks a file before it is opened for use, because opening may change it or create files beside it.
 *
 * The file is read through SQLite, not through `fs`. If `fs` closed a handle of the file, the process would lose all
 * locks that SQLite holds on it. The `-wal` log is not read.
 *
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` for the same reasons as {@link checkDatabase}.
 */
export function checkUnopened(file: string): void {
  // An absent or empty file has nothing to check. A file with a rollback journal (`-journal`) may be inconsistent until
  // a connection opens it for writing, which plays the journal back; so it is not checked here.
  if (sizeOf(file) === 0 || sizeOf(`${file}-journal`) > 0) return
  const url = pathToFileURL(file)
  url.searchParams.set('immutable', '1')
  const db = openSqlite(url, { readOnly: true })
  try {
    checkDatabase(db, file)
  } catch (error) {
    // Any other error is ignored: without its log, an intact file may look damaged. If it really is damaged, opening it
    // with the log fails too.
    if (error instanceof JobchartError) throw error
  } finally {
    db.close()
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

/**
 * Checks, without changing it, that an open database is one of jobchart and not too new.
 *
 * @returns the version of its schema.
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` it is not a database, belongs to another program, or was written by a
 * newer jobchart.
 */
export function checkDatabase(db: DatabaseSync, file: string): number {
  const { owner, version } = headerOf(db, file)
  // A file without an application id and without tables is accepted: jobchart may have been killed while it created the
  // file.
  if (owner !== APPLICATION_ID && (owner !== 0 || version !== 0 || tablesOf(db) > 0)) throw notOurs(file)
  if (version <= SCHEMA_VERSION) return version
  const said = `the file has schema ${version}, and this jobchart knows ${SCHEMA_VERSION}: it was written by a newer one`
  throw unusable(file, said)
}

function headerOf(db: DatabaseSync, file: string) {
  try {
    return { owner: pragma(db, 'application_id'), version: pragma(db, 'user_version') }
  } catch (error) {
    throw isNoDatabase(error) ? notOurs(file) : error
  }
}

function tablesOf(db: DatabaseSync): number {
  return Number(db.prepare('SELECT count(*) AS tables FROM sqlite_schema').get()?.tables)
}

function notOurs(file: string): Error {
  return unusable(file, 'the file belongs to another program; choose another path')
}

/**
 * Checks every page of the file.
 *
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` a page is damaged.
 */
export function checkPages(db: DatabaseSync, file: string): void {
  const found = db.prepare('PRAGMA quick_check(1)').get()?.quick_check
  if (found === 'ok') return
  throw unusable(file, `the file is damaged: ${String(found)}. Restore it from a backup`)
}

// The type of `name` allows only two constants, so the SQL text is safe.
function pragma(db: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
}
