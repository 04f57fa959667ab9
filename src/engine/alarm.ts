import type { Clock } from '../port/clock.ts'

/** Rings once at the earliest of the times that it was set to; ringing clears them all. */
export class Alarm {
  readonly #clock: Clock
  readonly #ring: () => void
  #at = Number.POSITIVE_INFINITY
  #cancel: () => void = () => {}
  #isStopped = false

  constructor(clock: Clock, ring: () => void) {
    this.#clock = clock
    this.#ring = ring
  }

  /** Rings at `at` (milliseconds UTC) unless it rings before. */
  set(at: number): void {
    if (at >= this.#at || this.#isStopped) return
    this.#cancel()
    this.#at = at
    this.#cancel = this.#clock.timer(Math.max(0, at - this.#clock.now()), () => {
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
