import type { Clock } from '../port/clock.ts'

/** A difference that rounding may make is none. */
const SKEW_MS_MIN = 100

/**
 * The two times of an engine.
 *
 * - `now` is the wall clock. Records are stamped with it, and a `startAt` has come when it says so. It may jump.
 * - `steady` goes on at the pace of `elapsed`, whatever the wall clock does. Timers, timeouts and backoff count by it. It
 *   starts with the wall clock, or later where deadlines are stored that were set by a later one: they would else lie in a
 *   future that may be a day away.
 */
export class EngineClock implements Clock {
  readonly #clock: Clock
  /** What `steady` is ahead of `elapsed`. */
  #offset: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#offset = clock.now() - clock.elapsed()
  }

  /** Sets `steady` to a time, if it stands behind it: the newest by which stored deadlines were set. */
  atLeast(time: number): void {
    this.#offset = Math.max(this.#offset, time - this.#clock.elapsed())
  }

  /** By which deadlines count; whole milliseconds UTC. */
  readonly steady = (): number => Math.floor(this.#clock.elapsed() + this.#offset)

  /** How far `steady` is ahead of the wall clock, in milliseconds; below 0, how far it is behind. */
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
