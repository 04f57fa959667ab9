import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../port/clock.ts'

/** So long nothing was written. */
const IDLE_MS = 2_000

/**
 * Brings the log (`-wal`) into the database and cuts it to nothing when nothing was written for a while: SQLite does so by
 * itself only while it writes, and leaves the file as large as it once was. A log that a crash has left counts as written.
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
    this.#wait()
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
    // Where another connection reads or writes, it is busy, and tried again.
    if (!this.#isCut()) this.#wait()
  }

  #isCut(): boolean {
    try {
      return this.#db.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()?.busy === 0
    } catch {
      return false
    }
  }
}
