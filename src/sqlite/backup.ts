import { chmodSync, closeSync, openSync, rmSync } from 'node:fs'
import { resolve } from 'node:path'
import { JobchartError } from '../model/error.ts'
import { loadDriver, openSqlite } from './driver.ts'
import { unavailable } from './storage-error.ts'

/**
 * How many pages one step copies: all, so that the whole copy is made in one read transaction, in a thread of its own.
 */
const PAGES = 2 ** 31 - 1

/**
 * Copies a database to a new file, as it is at one moment (S43).
 *
 * The copy is made over a connection of its own, by one step. With several steps, SQLite would begin anew at each write
 * of another connection, and would never end under load. Writers do not wait meanwhile, but the log (`-wal`) grows.
 *
 * @throws {JobchartError} `INVALID_INPUT` the new file exists; `STORAGE_UNAVAILABLE` it cannot be written.
 */
export async function backUp(file: string, target: string): Promise<void> {
  const path = resolve(target)
  refuseOwn(file, path)
  reserve(path)
  let isDone = false
  try {
    const source = openSqlite(file, { readOnly: true })
    try {
      await loadDriver().backup(source, path, { rate: PAGES })
      isDone = true
    } finally {
      source.close()
    }
    chmodSync(path, 0o600)
  } catch (error) {
    throw unavailable(path, error)
  } finally {
    if (!isDone) rmSync(path, { force: true })
  }
}

// SQLite would take such a file for a part of the database: it would no longer open it only for reading.
function refuseOwn(file: string, path: string): void {
  if (!['-journal', '-wal', '-shm'].some((suffix) => path === `${file}${suffix}`)) return
  throw refused('a backup is written to a new file, and SQLite has files of this name of its own')
}

// Creates the target as an empty file, which SQLite takes for a new database. So the copy is readable by its owner
// alone, and replaces no other file.
function reserve(path: string): void {
  try {
    closeSync(openSync(path, 'wx', 0o600))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw unavailable(path, error)
    throw refused('a backup is written to a new file, and a file of this name exists')
  }
}

function refused(message: string): JobchartError {
  return new JobchartError('INVALID_INPUT', message, { issues: [{ message, path: ['file'] }] })
}
