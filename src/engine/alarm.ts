import type { EngineClock } from './engine-clock.ts'

/** The longest timer of Node: 2^31 − 1 ms, almost 25 days. */
const TIMER_MS_MAX = 2_147_483_647

/** Rings once, at the earliest of its set times. Ringing clears all of them. */
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

  /** Rings when the wall clock will show `at`, assuming that it does not jump. An earlier set time rings first. */
  setByWall(at: number): void {
    this.set(this.#clock.steady() + (at - this.#clock.now()))
  }

  /** Rings at `at`, in steady time. An earlier set time rings first. */
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
