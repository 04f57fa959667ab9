import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../port/clock.ts'

/** How long to wait after the last write, in milliseconds. */
const IDLE_MS = 2_000

/**
 * Moves SQLite's log (`-wal`) into the database, and truncates it, after a while without writes. SQLite itself moves
 * the log only during writes, and leaves the file at its largest size. The first wait starts when the database is
 * opened, so a log that a crash left behind is moved too.
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

  /** Call this at each write: the wait then starts again. */
  wrote(): void {
    this.#hasWritten = true
    if (this.#cancel === undefined && !this.#isStopped) this.#wait()
  }

  /** Stops for good. */
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
    // SQLite refuses the checkpoint while another connection reads or writes. It is then tried again later.
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
