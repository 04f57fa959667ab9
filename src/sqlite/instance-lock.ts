import { closeSync, existsSync, openSync, readdirSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { openSqlite } from './driver.ts'
import { onToldToEnd } from './process-end.ts'

/**
 * The state of an instance's lock.
 *
 * - `held`: its process lives.
 * - `free`: its process died, or there is no lock file.
 * - `ended`: a signal ended its process, which is not a crash.
 */
export type LockState = 'held' | 'free' | 'ended'

/**
 * Shows that a process lives, by a lock that the kernel releases when the process dies.
 *
 * Node has no `flock`. An exclusive transaction that stays open on a small database of the instance does the same:
 * SQLite locks the file by `fcntl`, and no process can keep such a lock after its end. An engine that gets the lock of
 * another instance knows that the process of that instance has ended. The small database also records that a signal
 * ended the process.
 */
export class InstanceLock {
  readonly #db: DatabaseSync
  readonly #forgetEnd: () => void

  private constructor(db: DatabaseSync) {
    this.#db = db
    this.#forgetEnd = onToldToEnd(() => this.#markEnded())
  }

  // Only this process writes to this database. COMMIT releases the lock, so it is taken again: the process lives a
  // moment longer.
  #markEnded(): void {
    try {
      this.#db.exec('PRAGMA user_version = 1; COMMIT; BEGIN EXCLUSIVE')
    } catch {
      // Ignored: its end then counts as a crash.
    }
  }

  /** Takes the lock of a new instance. */
  static take(file: string, instance: string): InstanceLock {
    const path = lockFile(file, instance)
    // Closing a file releases all locks that the process has on it, but this file is new, so there are none.
    closeSync(openSync(path, 'a', 0o600))
    const db = openSqlite(path)
    db.exec('BEGIN EXCLUSIVE')
    return new InstanceLock(db)
  }

  /** Whether a process, maybe this one, holds the instance's lock. */
  static isHeld(file: string, instance: string): boolean {
    return InstanceLock.stateOf(file, instance) === 'held'
  }

  /** The state of the instance's lock. */
  static stateOf(file: string, instance: string): LockState {
    const db = openExisting(lockFile(file, instance))
    // An instance removes its file when it ends.
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

  /** Removes the lock file of a dead instance. */
  static remove(file: string, instance: string): void {
    for (const suffix of ['', '-journal']) rmSync(lockFile(file, instance) + suffix, { force: true })
  }

  /** All instances with a lock file, living or dead. */
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

/** Opens a database if its file exists; `undefined`: it does not. */
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
