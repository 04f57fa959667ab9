import type { Clock } from '../port/clock.ts'

/**
 * A clock whose time never falls: while the wall clock stands behind, it goes on at the pace of `elapsed`. Deadlines that
 * were set before the wall clock fell would else lie in a future that may be a day away.
 */
export class SteadyClock implements Clock {
  readonly #clock: Clock
  #time: number
  #at: number

  constructor(clock: Clock) {
    this.#clock = clock
    this.#time = clock.now()
    this.#at = clock.elapsed()
  }

  /** Goes on from this time, if the wall clock stands behind it: the newest that is written down. */
  atLeast(time: number): void {
    this.#time = Math.max(this.now(), time)
  }

  readonly now = (): number => {
    const elapsed = this.#clock.elapsed()
    this.#time = Math.max(this.#clock.now(), this.#time + (elapsed - this.#at))
    this.#at = elapsed
    return Math.floor(this.#time)
  }

  readonly elapsed = (): number => this.#clock.elapsed()
  readonly turn = (run: () => void): void => this.#clock.turn(run)
  readonly timer = (ms: number, run: () => void): (() => void) => this.#clock.timer(ms, run)
  readonly randomBytes = (count: number): Uint8Array => this.#clock.randomBytes(count)
}
