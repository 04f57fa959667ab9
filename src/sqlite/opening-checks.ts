import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { APPLICATION_ID, SCHEMA_VERSION } from './schema.ts'
import { unusable } from './storage-error.ts'

/**
 * Looks at an open database, and changes nothing.
 *
 * @returns its schema's version.
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` as {@link checkHeader}.
 */
export function checkDatabase(db: DatabaseSync, file: string): number {
  const version = pragma(db, 'user_version')
  checkOwner(file, pragma(db, 'application_id'), version, () => tablesOf(db))
  return version
}

/** Where SQLite's file format keeps what a file is: all in its first 100 bytes, numbers with their high byte first. */
const HEADER = { bytes: 100, magic: 'SQLite format 3\0', version: 60, owner: 68 } as const

/**
 * Looks at a file before SQLite opens it, since opening alone may change it, or put files beside it.
 *
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` it is no database, another program's, or was written by a newer jobchart.
 */
export function checkHeader(file: string): void {
  const size = statSync(file, { throwIfNoEntry: false })?.size ?? 0
  if (size === 0) return
  const header = new DataView(new ArrayBuffer(HEADER.bytes))
  const handle = openSync(file, 'r')
  try {
    const read = readSync(handle, header, 0, HEADER.bytes, 0)
    const magic = new TextDecoder('latin1').decode(header.buffer.slice(0, HEADER.magic.length))
    if (read < HEADER.bytes || magic !== HEADER.magic) throw notOurs(file)
  } finally {
    closeSync(handle)
  }
  checkOwner(file, header.getInt32(HEADER.owner), header.getInt32(HEADER.version), () => tablesInFile(file))
}

function checkOwner(file: string, owner: number, version: number, tables: () => number): void {
  // A file of ours whose first migration was killed is not marked yet, and empty.
  if (owner !== APPLICATION_ID && (owner !== 0 || version !== 0 || tables() > 0)) throw notOurs(file)
  if (version <= SCHEMA_VERSION) return
  const said = `the file has schema ${version}, and this jobchart knows ${SCHEMA_VERSION}: it was written by a newer one`
  throw unusable(file, said)
}

// Unmarked, so it is either nobody's and empty, or another program's. Where a log or a journal stands beside it, a
// process was killed in the middle of something, and only who opens the file to write can bring it in order: then it is
// the migration that looks.
function tablesInFile(file: string): number {
  if (hasPending(`${file}-wal`) || hasPending(`${file}-journal`)) return 0
  const db = new DatabaseSync(file, { readOnly: true })
  try {
    return tablesOf(db)
  } finally {
    db.close()
  }
}

// A journal that is over may be left empty, or with its beginning zeroed.
function hasPending(file: string): boolean {
  if (!existsSync(file)) return false
  const first = new Uint8Array(1)
  const handle = openSync(file, 'r')
  try {
    return readSync(handle, first, 0, 1, 0) === 1 && first[0] !== 0
  } finally {
    closeSync(handle)
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
function pragma(db: DatabaseSync, name: 'user_version' | 'application_id' | 'data_version'): number {
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name])
}
