import type { Clock } from '../port/clock.ts'
import { isLocked } from './storage-error.ts'

/** Waiting for another connection's write lock: longer than any commit of ours, short enough to be told. */
const WAIT_MS_MAX = 10_000
/** The first pause is up to this long, and each further one up to twice as long. */
const PAUSE_MS = 4
const PAUSE_MS_MAX = 16

/** Lets the writes of one connection take the write lock one after the other, in the order in which they came. */
export class WriteQueue {
  readonly #clock: Clock
  #last: Promise<unknown> | undefined

  constructor(clock: Clock) {
    this.#clock = clock
  }

  /** Runs a write when its turn comes and the lock is free. It throws nothing: what fails is the promise. */
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
 * Runs, and runs again for up to 10 s while another connection holds a lock that is needed. It waits by the clock, in short
 * pauses of random length: the driver would wait inside the call and stop the event loop, and pauses of one length would
 * let one of two waiting connections win each time.
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
