/**
 * The only source of time, of turns of the event loop and of chance.
 *
 * - C1 `now` is in whole milliseconds since 1970 UTC: the wall clock. It may jump; no record's times fall for that.
 * - C2 `elapsed` is in milliseconds from some start. It never falls and never jumps, whatever `now` does.
 * - C3 `turn` calls back once, after all that the present turn of the loop has queued; in the order of the calls.
 * - C4 `timer` calls back once, not before `ms` have passed; the function it returns cancels it.
 * - C5 A pending `timer` or `turn` keeps the process alive: whoever asked cancels what is not needed any more.
 * - C6 `randomBytes` come from a cryptographic source, or from a seed where a run must be replayed.
 * - C7 `patience` is as `timer`, for who waits for others to come to an end. Where time is moved by hand, it also calls back
 *   when nobody moves it and nothing happens. Absent: `timer`.
 */
export interface Clock {
  readonly now: () => number
  readonly elapsed: () => number
  readonly turn: (run: () => void) => void
  readonly timer: (ms: number, run: () => void) => () => void
  readonly patience?: (ms: number, run: () => void) => () => void
  readonly randomBytes: (count: number) => Uint8Array
}
