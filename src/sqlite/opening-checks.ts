import { statSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { JobchartError } from '../model/error.ts'
import { openSqlite } from './driver.ts'
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.ts'
import { isNoDatabase, unusable } from './storage-error.ts'

/**
 * Looks at a file before it is opened for use, since opening alone may change it, or put files beside it.
 *
 * It is read by SQLite, which knows what else of the process has the file open: a system takes away all locks that a
 * process has on a file when any other handle of it is closed. What lies in a log beside the file is not looked at.
 *
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` as {@link checkDatabase}.
 */
export function checkUnopened(file: string): void {
  // A journal is played back by who opens the file to write. Until then the file may say anything.
  if (sizeOf(file) === 0 || sizeOf(`${file}-journal`) > 0) return
  const url = pathToFileURL(file)
  url.searchParams.set('immutable', '1')
  const db = openSqlite(url, { readOnly: true })
  try {
    checkDatabase(db, file)
  } catch (error) {
    // Without its log the file may be damaged, and whole with it: opening it in full will tell.
    if (error instanceof JobchartError) throw error
  } finally {
    db.close()
  }
}

function sizeOf(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.size ?? 0
}

/**
 * Looks at an open database, and changes nothing.
 *
 * @returns its schema's version.
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` it is no database, another program's, or was written by a newer jobchart.
 */
export function checkDatabase(db: DatabaseSync, file: string): number {
  const { owner, version } = headerOf(db, file)
  // A file of ours whose first migration was killed is not marked yet, and empty.
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
  return unusable(file, "the file is not jobchart's; choose another path")
}

/** @throws {JobchartError} `STORAGE_UNAVAILABLE` some page of the file is damaged. */
export function checkPages(db: DatabaseSync, file: string): void {
  const found = db.prepare('PRAGMA quick_check(1)').get()?.quick_check
  if (found === 'ok') return
  throw unusable(file, `the file is damaged: ${String(found)}. Restore it from a backup`)
}

// Its name is one of ours.
function pragma(db: DatabaseSync, name: 'user_version' | 'application_id'): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
}
