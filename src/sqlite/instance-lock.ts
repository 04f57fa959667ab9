import { closeSync, existsSync, openSync, readdirSync, rmSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { openSqlite } from './driver.ts'
import { onToldToEnd } from './process-end.ts'

/** What an instance's lock says: its process lives, it has died, or it was told to end. */
export type LockState = 'held' | 'free' | 'ended'

/**
 * Shows that a process lives, by a lock that the kernel frees when it dies.
 *
 * Node has no flock. An exclusive transaction, held open on a small database of the instance's own, is the same thing:
 * SQLite locks the file by fcntl, and no process can keep such a lock past its end. Whoever gets the lock in turn
 * knows that the instance has gone. In that database stands, too, that the process was told to end.
 */
export class InstanceLock {
  readonly #db: DatabaseSync
  readonly #forgetEnd: () => void

  private constructor(db: DatabaseSync) {
    this.#db = db
    this.#forgetEnd = onToldToEnd(() => this.#markEnded())
  }

  // Nobody else writes there. Its lock is taken again: the process lives for a moment yet.
  #markEnded(): void {
    try {
      this.#db.exec('PRAGMA user_version = 1; COMMIT; BEGIN EXCLUSIVE')
    } catch {
      // Then its end counts as a crash.
    }
  }

  /** Takes the lock of a new instance. */
  static take(file: string, instance: string): InstanceLock {
    const path = lockFile(file, instance)
    // Nobody else knows its name yet: closing it takes nobody's lock away.
    closeSync(openSync(path, 'a', 0o600))
    const db = openSqlite(path)
    db.exec('BEGIN EXCLUSIVE')
    return new InstanceLock(db)
  }

  /** True while some process, this one included, holds the instance's lock. */
  static isHeld(file: string, instance: string): boolean {
    return InstanceLock.stateOf(file, instance) === 'held'
  }

  /** How the instance's lock stands. */
  static stateOf(file: string, instance: string): LockState {
    const db = openExisting(lockFile(file, instance))
    // The file is removed when the instance ends.
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

  /** Removes the file of an instance that is dead. */
  static remove(file: string, instance: string): void {
    for (const suffix of ['', '-journal']) rmSync(lockFile(file, instance) + suffix, { force: true })
  }

  /** All instances that have a file, living or dead. */
  static all(file: string): readonly string[] {
    const prefix = lockFile(basename(file), '')
    return readdirSync(dirname(file))
      .filter((name) => name.startsWith(prefix) && !name.endsWith('-journal'))
      .map((name) => name.slice(prefix.length))
  }

  /** The instances whose files were last changed before `at`, milliseconds UTC. */
  static leftSince(file: string, at: number): readonly string[] {
    return InstanceLock.all(file).filter((instance) => {
      const path = join(dirname(file), lockFile(basename(file), instance))
      return (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? at) < at
    })
  }

  /** Frees the lock. */
  release(): void {
    this.#forgetEnd()
    if (this.#db.isOpen) this.#db.close()
  }
}

/** Opens a database without creating it. Undefined if there is no such file. */
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
