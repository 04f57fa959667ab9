import type { Clock } from '../port/clock.ts'
import { isLocked } from './storage-error.ts'

/** How long to wait for another connection's write lock. Longer than any commit of ours takes. */
const WAIT_MS_MAX = 10_000
/**
 * The first pause is at most this long. Each further pause may be twice as long as the one before, up to
 * `PAUSE_MS_MAX`.
 */
const PAUSE_MS = 4
const PAUSE_MS_MAX = 16

/** Runs the writes of one connection one after the other, in the order of the calls. */
export class WriteQueue {
  readonly #clock: Clock
  #last: Promise<unknown> | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /**
   * Runs a write when its turn comes and the lock is free. An error always rejects the promise; it is never thrown
   * synchronously.
   */
  async run<Result>(write: () => Result): Promise<Result> {
    const before = this.#last
    const result = before === undefined ? whenUnlocked(this.#clock, write) : this.#after(before, write)
    const last = result.catch(() => undefined)
    this.#last = last
    try {
      return await result
    } finally {
      if (this.#last === last) this.#last = undefined
    }
  }

  async #after<Result>(before: Promise<unknown>, write: () => Result): Promise<Result> {
    await before
    return await whenUnlocked(this.#clock, write)
  }
}

/**
 * Runs a function. If it fails because another connection holds a lock, runs it again, for up to 10 s. The pauses use
 * the clock, because waiting inside the driver would block the event loop. They have random lengths: with equal pauses,
 * one of two waiting connections could win every time.
 */
export async function whenUnlocked<Result>(clock: Clock, run: () => Result): Promise<Result> {
  const start = clock.elapsed()
  for (let most = PAUSE_MS; ; most = Math.min(most * 2, PAUSE_MS_MAX)) {
    try {
      return run()
    } catch (error) {
      if (!isLocked(error) || clock.elapsed() - start >= WAIT_MS_MAX) throw error
      const random = (clock.randomBytes(1)[0] ?? 0) / 256
      await new Promise<void>((resume) => clock.timer(1 + Math.floor(random * most), resume))
    }
  }
}
