import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../port/clock.ts'

/** So long nothing was written. */
const IDLE_MS = 2_000

/**
 * Brings the log (`-wal`) into the database and cuts it to nothing when nothing was written for a while: SQLite does so by
 * itself only while it writes, and leaves the file as large as it once was.
 */
export class IdleCheckpoint {
  readonly #db: DatabaseSync
  readonly #clock: Clock
  #cancel: (() => void) | undefined
  #hasWritten = false
  #isStopped = false

  constructor(db: DatabaseSync, clock: Clock) {
    this.#db = db
    this.#clock = clock
  }

  /** Something was written. */
  wrote(): void {
    this.#hasWritten = true
    if (this.#cancel === undefined && !this.#isStopped) this.#wait()
  }

  /** Nothing is to be done any more. */
  stop(): void {
    this.#isStopped = true
    this.#cancel?.()
  }

  #wait(): void {
    this.#hasWritten = false
    this.#cancel = this.#clock.timer(IDLE_MS, () => {
      this.#cancel = undefined
      if (this.#hasWritten) this.#wait()
      else this.#checkpoint()
    })
  }

  #checkpoint(): void {
    try {
      this.#db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    } catch {
      // Another connection reads or writes: the next one that is idle will do it.
    }
  }
}
