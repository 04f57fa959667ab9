import { chmodSync, existsSync } from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../port/clock.ts'
import { openSqlite } from './driver.ts'
import { realFile } from './file-identity.ts'
import { InstanceLock } from './instance-lock.ts'
import type { ListedInstance } from './instances.ts'
import { migrate } from './migration.ts'
import { checkDatabase, checkPages, checkUnopened } from './opening-checks.ts'
import type { SqliteOptions } from './options.ts'
import { unavailable } from './storage-error.ts'
import { whenUnlocked } from './write-queue.ts'

/**
 * A lock file is kept at least this long, in milliseconds, even if its instance is not listed: the instance may just be
 * opening.
 */
const LEFT_MS = 60_000
/** SQLite truncates the log file (`-wal`) to this size when it starts the log anew. */
const LOG_BYTES = 16 * 1_048_576

/**
 * Opens a file, or creates it, and migrates it to the current schema. Returns the database and the file's real path.
 *
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` it is not a file of jobchart, is damaged, or cannot be opened.
 */
export async function openDatabase(
  path: string,
  options: SqliteOptions,
  clock: Clock,
): Promise<{ readonly file: string; readonly db: DatabaseSync }> {
  let db: DatabaseSync | undefined
  try {
    const file = realFile(path)
    const opened = await whenUnlocked(clock, () => openFile(file))
    db = opened
    await whenUnlocked(clock, () => prepareDatabase(opened, file, options))
    await migrate(opened, file, clock)
    if (options.check === true) await whenUnlocked(clock, () => checkPages(opened, file))
    // If a table is missing, opening should fail here, before this instance creates its lock file.
    checkTables(opened)
    for (const suffix of ['', '-wal', '-shm']) if (existsSync(file + suffix)) chmodSync(file + suffix, 0o600)
    return { file, db: opened }
  } catch (error) {
    db?.close()
    throw unavailable(path, error)
  }
}

function openFile(file: string): DatabaseSync {
  checkUnopened(file)
  const isNew = !existsSync(file)
  const db = openSqlite(file, { timeout: 0 })
  // The mode is set before the first write, because SQLite gives the same mode to the files that it creates beside the
  // database.
  if (isNew) chmodSync(file, 0o600)
  return db
}

function prepareDatabase(db: DatabaseSync, file: string, { durability }: SqliteOptions): void {
  // The file is checked before the pragmas run, because they would change a file of another program.
  checkDatabase(db, file)
  const synchronous = durability === 'normal' ? 'NORMAL' : 'FULL'
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA temp_store = MEMORY`)
  db.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`)
}

function checkTables(db: DatabaseSync): void {
  db.prepare('SELECT 1 FROM jobs, tasks, names, kinds, job_labels, events, gone, logs, steps, items')
  db.prepare('SELECT 1 FROM pipelines, instances, charts, meta, paused_types')
}

/**
 * Removes the lock files of processes that died after they took the lock and before they were listed as instances.
 * Nothing else would find these files.
 */
export function removeLeftLocks(file: string, listed: readonly ListedInstance[], clock: Clock): void {
  const ids = new Set(listed.map(({ id }) => id))
  for (const instance of InstanceLock.leftSince(file, clock.now() - LEFT_MS)) {
    if (!ids.has(instance) && !InstanceLock.isHeld(file, instance)) InstanceLock.remove(file, instance)
  }
}
