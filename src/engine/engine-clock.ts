import type { Clock } from '../port/clock.ts'

/** Smaller differences between the two times may come from rounding, and count as 0. */
const SKEW_MS_MIN = 100

/**
 * The two times of an engine.
 *
 * - `now` is the wall clock. Records are stamped with it, and `startAt` is compared with it. It may jump.
 * - `steady` runs at the pace of `elapsed`, independent of the wall clock. Timers, timeouts, backoff and leases use it.
 *   It starts at the wall clock's time, or later if an engine with a later clock has set the stored deadlines. Otherwise
 *   those deadlines could be far in the future, e.g. a day. It follows the latest of all engines on the storage. So an
 *   engine that starts with a wall clock far ahead makes deadlines that were set before due early, once.
 */
export class EngineClock implements Clock {
  readonly #clock: Clock
  /** What is added to the `elapsed` of the clock to get `steady`, in milliseconds. */
  #offset: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#offset = clock.now() - clock.elapsed()
  }

  /**
   * Moves `steady` forward to a time, unless it is already later. Called with the latest heartbeat in the storage, at the
   * start and at each heartbeat: by the clock of that heartbeat, deadlines are set and compared.
   */
  atLeast(time: number): void {
    this.#offset = Math.max(this.#offset, time - this.#clock.elapsed())
  }

  /** The time that deadlines are compared with, in whole milliseconds UTC. */
  readonly steady = (): number => Math.floor(this.#clock.elapsed() + this.#offset)

  /** How far `steady` is ahead of the wall clock, in milliseconds; negative: behind. */
  get skewMs(): number {
    const skew = this.steady() - this.now()
    return Math.abs(skew) < SKEW_MS_MIN ? 0 : skew
  }

  readonly now = (): number => this.#clock.now()
  readonly elapsed = (): number => this.#clock.elapsed()
  readonly turn = (run: () => void): void => this.#clock.turn(run)
  readonly timer = (ms: number, run: () => void): (() => void) => this.#clock.timer(ms, run)
  readonly patience = (ms: number, run: () => void): (() => void) =>
    (this.#clock.patience ?? this.#clock.timer)(ms, run)
  readonly randomBytes = (count: number): Uint8Array => this.#clock.randomBytes(count)
}
