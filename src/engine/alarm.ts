import type { EngineClock } from './engine-clock.ts'

/** The longest that a timer of Node's can run: 2^31 − 1 ms, not quite 25 days. */
const TIMER_MS_MAX = 2_147_483_647

/** Rings once at the earliest of the times that it was set to; ringing clears them all. */
export class Alarm {
  readonly #clock: EngineClock
  readonly #ring: () => void
  #at = Number.POSITIVE_INFINITY
  #cancel: () => void = () => {}
  #isStopped = false

  constructor(clock: EngineClock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Rings when the wall clock shows `at`, if it does not jump, unless it rings before. */
  setByWall(at: number): void {
    this.set(this.#clock.steady() + (at - this.#clock.now()))
  }

  /** Rings at `at`, by the steady time, unless it rings before. */
  set(at: number): void {
    if (at >= this.#at || this.#isStopped) return
    this.#cancel()
    this.#at = at
    // Longer than a timer can be: it rings early, and is set again by whoever looks then.
    const ms = Math.min(Math.max(0, at - this.#clock.steady()), TIMER_MS_MAX)
    this.#cancel = this.#clock.timer(ms, () => {
      this.#at = Number.POSITIVE_INFINITY
      this.#ring()
    })
  }

  /** Never rings again. */
  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }
}
