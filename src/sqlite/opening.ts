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

/** A lock file without a listed instance is kept this long, because its instance may just be opening. */
const LEFT_MS = 60_000
/** The log file is truncated to this size when SQLite restarts it. */
const LOG_BYTES = 16 * 1_048_576

/**
 * Opens a file, or creates it, with the current schema. Returns it with its real path.
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
    // If a table is missing, opening fails here, before the lock file of this instance is created.
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
  // Before the first write, because SQLite gives the files that it creates beside the database the same mode.
  if (isNew) chmodSync(file, 0o600)
  return db
}

function prepareDatabase(db: DatabaseSync, file: string, { durability }: SqliteOptions): void {
  // Checked before the pragmas, which would change a file of another program.
  checkDatabase(db, file)
  const synchronous = durability === 'normal' ? 'NORMAL' : 'FULL'
  db.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = ${synchronous}; PRAGMA temp_store = MEMORY`)
  db.exec(`PRAGMA journal_size_limit = ${LOG_BYTES}`)
}

function checkTables(db: DatabaseSync): void {
  db.prepare('SELECT 1 FROM jobs, tasks, names, kinds, job_labels, events, gone, logs, steps, items')
  db.prepare('SELECT 1 FROM pipelines, instances, charts, meta')
}

/**
 * Removes lock files of processes that died after they took the lock and before they were listed as instances. Nothing
 * else finds these files.
 */
export function removeLeftLocks(file: string, listed: readonly ListedInstance[], clock: Clock): void {
  const ids = new Set(listed.map(({ id }) => id))
  for (const instance of InstanceLock.leftSince(file, clock.now() - LEFT_MS)) {
    if (!ids.has(instance) && !InstanceLock.isHeld(file, instance)) InstanceLock.remove(file, instance)
  }
}
