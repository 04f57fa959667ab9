import type { EngineClock } from './engine-clock.ts'

/** The longest timer of Node: 2^31 − 1 ms, almost 25 days. */
const TIMER_MS_MAX = 2_147_483_647

/**
 * Calls its listener ("rings") at the earliest time that was set. It then forgets all times, so the listener must set
 * later times again.
 */
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

  /**
   * Sets the alarm to a time of the wall clock, assuming that the wall clock does not jump. Ignored if an earlier time
   * is set.
   */
  setByWall(at: number): void {
    this.set(this.#clock.steady() + (at - this.#clock.now()))
  }

  /** Sets the alarm to a time of `EngineClock.steady`. Ignored if an earlier time is set. */
  set(at: number): void {
    if (at >= this.#at || this.#isStopped) return
    this.#cancel()
    this.#at = at
    // Node's timers have a maximum. For a later time, the alarm rings too early, and its listener sets it again.
    const ms = Math.min(Math.max(0, at - this.#clock.steady()), TIMER_MS_MAX)
    this.#cancel = this.#clock.timer(ms, () => {
      this.#at = Number.POSITIVE_INFINITY
      this.#ring()
    })
  }

  /** Cancels the alarm for good. */
  stop(): void {
    this.#isStopped = true
    this.#cancel()
  }
}
