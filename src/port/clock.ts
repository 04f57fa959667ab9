/**
 * The only source of time, event-loop turns and randomness.
 *
 * - C1 `now` is the wall clock, in whole milliseconds since 1970 UTC. It may jump back; times in a record never go
 *   back.
 * - C2 `elapsed` is in milliseconds since some fixed start. It never goes back and never jumps, even if `now` does.
 * - C3 `turn` calls back once, after everything that is already queued in the current turn of the event loop. Callbacks
 *   run in the order in which they were requested.
 * - C4 `timer` calls back once, not before `ms` have passed. The function that it returns cancels it.
 * - C5 A pending `timer` or `turn` keeps the process alive. The caller cancels it when it is no longer needed.
 * - C6 `randomBytes` come from a cryptographic source, or from a seed if a run must be repeatable.
 * - C7 `patience` works like `timer`. It is for code that waits for other code to finish, e.g. while the engine stops.
 *   On a clock that tests move by hand, it also calls back when nobody moves the clock and nothing else happens, so
 *   that a test does not hang. Default: `timer`.
 */
export interface Clock {
  readonly now: () => number
  readonly elapsed: () => number
  readonly turn: (run: () => void) => void
  readonly timer: (ms: number, run: () => void) => () => void
  readonly patience?: (ms: number, run: () => void) => () => void
  readonly randomBytes: (count: number) => Uint8Array
}
