import { closeSync, existsSync, openSync, readdirSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { openSqlite } from './driver.ts'
import { onToldToEnd } from './process-end.ts'

/**
 * The state of an instance's lock.
 *
 * - `held`: the instance's process lives.
 * - `free`: the process has died, or there is no lock file.
 * - `ended`: the process was ended by a signal, which is not a crash.
 */
export type LockState = 'held' | 'free' | 'ended'

/**
 * A lock that shows that an instance's process lives. The kernel releases it when the process dies.
 *
 * Node has no `flock`. So each instance has a small database of its own, and keeps an exclusive transaction open on it.
 * SQLite locks that file by `fcntl`, and the kernel releases such a lock at the end of the process. If an engine gets
 * the lock of another instance, it knows that the process of that instance has ended. The small database also records
 * whether a signal ended the process.
 */
export class InstanceLock {
  readonly #db: DatabaseSync
  readonly #forgetEnd: () => void

  private constructor(db: DatabaseSync) {
    this.#db = db
    this.#forgetEnd = onToldToEnd(() => this.#markEnded())
  }

  // Records that a signal is about to end this process. Only this process writes to this database. COMMIT releases the
  // lock, so it is taken again, because the process lives a moment longer.
  #markEnded(): void {
    try {
      this.#db.exec('PRAGMA user_version = 1; COMMIT; BEGIN EXCLUSIVE')
    } catch {
      // The mark could not be written. The end of this process then counts as a crash.
    }
  }

  /** Takes the lock of a new instance. */
  static take(file: string, instance: string): InstanceLock {
    const path = lockFile(file, instance)
    // Creates the file with a safe mode. Closing a file releases all locks that this process has on it, but the file is
    // new, so there are none.
    closeSync(openSync(path, 'a', 0o600))
    const db = openSqlite(path)
    db.exec('BEGIN EXCLUSIVE')
    return new InstanceLock(db)
  }

  /** Whether a process, possibly this one, holds the instance's lock. */
  static isHeld(file: string, instance: string): boolean {
    return InstanceLock.stateOf(file, instance) === 'held'
  }

  /** Finds out the state of the instance's lock by trying to take the lock. */
  static stateOf(file: string, instance: string): LockState {
    const db = openExisting(lockFile(file, instance))
    // No file: an instance that ends in order removes it.
    if (db === undefined) return 'free'
    try {
      db.exec('BEGIN EXCLUSIVE')
      const isEnded = db.prepare('PRAGMA user_version').get()?.user_version === 1
      db.exec('ROLLBACK')
      return isEnded ? 'ended' : 'free'
    } catch {
      return 'held'
    } finally {
      db.close()
    }
  }

  /** Removes the lock file of an instance that has ended. */
  static remove(file: string, instance: string): void {
    for (const suffix of ['', '-journal']) rmSync(lockFile(file, instance) + suffix, { force: true })
  }

  /** The ids of all instances with a lock file, whether their processes live or not. */
  static all(file: string): readonly string[] {
    const prefix = lockFile(basename(file), '')
    return readdirSync(dirname(file))
      .filter((name) => name.startsWith(prefix) && !name.endsWith('-journal'))
      .map((name) => name.slice(prefix.length))
  }

  /** The instances whose lock files were last changed before `at`, in milliseconds UTC. */
  static leftSince(file: string, at: number): readonly string[] {
    return InstanceLock.all(file).filter((instance) => {
      const path = join(dirname(file), lockFile(basename(file), instance))
      return (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? at) < at
    })
  }

  /** Releases the lock. */
  release(): void {
    this.#forgetEnd()
    if (this.#db.isOpen) this.#db.close()
  }
}

/** Opens a database. Returns `undefined` if its file does not exist. */
function openExisting(path: string): DatabaseSync | undefined {
  const url = pathToFileURL(path)
  url.searchParams.set('mode', 'rw')
  try {
    return openSqlite(url)
  } catch (error) {
    if (existsSync(path)) throw error
    return undefined
  }
}

function lockFile(file: string, instance: string): string {
  return `${file}-instance-${instance}`
}
