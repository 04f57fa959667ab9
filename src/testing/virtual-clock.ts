import { systemClock } from 'jobchart'
import { checkOptions, wholeNumber } from '../model/option-checks.ts'
import type { Clock } from '../port/clock.ts'

/** Options of {@link virtualClock}. */
export interface VirtualClockOptions {
  /** Start time in milliseconds UTC. Default 2026-01-01T00:00:00Z. */
  readonly start?: number
  /** Seed of `randomBytes`. The same seed gives the same bytes. Default 1. */
  readonly seed?: number
}

/** A clock for tests. Time passes only when the test advances it. */
export interface VirtualClock extends Clock {
  /**
   * Advances time by `ms` milliseconds. Each timer on the way fires at its own time, and everything that follows from
   * it is done before the next one fires.
   */
  readonly advance: (ms: number) => Promise<void>
  /** Waits until nothing more happens without more time. */
  readonly settle: () => Promise<void>
  /** Changes the time of day by `ms` milliseconds, as when somebody corrects the wall clock. No timer fires. */
  readonly jump: (ms: number) => void
  /** How many timers are set and have not fired. */
  readonly pendingTimers: () => number
}

interface Timer {
  readonly at: number
  readonly run: () => void
}

/**
 * `settle` ends after at most this many quiet turns of the real event loop in a row. A turn is quiet if nobody asked
 * the clock for another turn during it.
 */
const QUIET_TURNS = 3

/** Real milliseconds between two checks for activity. */
const LOOK_MS = 50
/** After this many checks in a row without activity, the wait is over. */
const QUIET_LOOKS = 4

const START = 1_767_225_600_000

/** Makes a clock for tests. With it, no test has to sleep, and a run can be repeated from its seed. */
export function virtualClock(options: VirtualClockOptions = {}): VirtualClock {
  checkOptions('virtualClock', options, { start: wholeNumber(0), seed: wholeNumber(0) })
  const { start = START, seed = 1 } = options
  const loop = systemClock()
  const timers = new Timers()
  let elapsed = 0
  let offset = start
  let turns = 0
  let draw = seed
  /** How many calls of `advance` and `settle` are running. */
  let moving = 0

  const moved = async (run: () => Promise<void>) => {
    moving++
    try {
      await run()
    } finally {
      moving--
    }
  }
  const timer = (ms: number, run: () => void) => timers.add(elapsed + ms, run)
  const settle = () => settled(loop, () => turns)

  return {
    now: () => elapsed + offset,
    elapsed: () => elapsed,
    turn: (run) => {
      turns++
      loop.turn(run)
    },
    timer,
    patience: (ms, run) =>
      firstOf(run, [
        (over) => timer(ms, over),
        (over) => whenStill(loop, () => (moving > 0 ? Symbol('moving') : turns), over),
      ]),
    randomBytes: (count) => Uint8Array.from({ length: count }, () => scramble(++draw)),
    jump: (ms) => {
      offset += ms
    },
    settle: () => moved(settle),
    pendingTimers: () => timers.size,
    advance: (ms) =>
      moved(async () => {
        const until = elapsed + ms
        await settle()
        for (let timer = timers.take(until); timer !== undefined; timer = timers.take(until)) {
          elapsed = timer.at
          timer.run()
          await settle()
        }
        elapsed = until
        await settle()
      }),
  }
}

/** Waits until `asked` has returned the same number over several turns of the real event loop in a row. */
async function settled(loop: Clock, asked: () => number): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    const before = asked()
    await new Promise<void>((resume) => loop.turn(resume))
    if (asked() !== before) quiet = 0
  }
}

/** The timers that have not fired. Their times are compared with `elapsed`. */
class Timers {
  readonly #timers = new Set<Timer>()

  get size(): number {
    return this.#timers.size
  }

  add(at: number, run: () => void): () => void {
    const timer = { at, run }
    this.#timers.add(timer)
    return () => {
      this.#timers.delete(timer)
    }
  }

  /** Removes and returns the first timer that is due by `until`. */
  take(until: number): Timer | undefined {
    const [first] = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)
    if (first !== undefined) this.#timers.delete(first)
    return first
  }
}

/**
 * Starts several timers. When the first one fires, calls `run` and cancels the others. Returns a function that cancels
 * all.
 */
function firstOf(run: () => void, timers: readonly ((over: () => void) => () => void)[]): () => void {
  const cancel = () => {
    for (const each of cancels) each()
  }
  const over = () => {
    cancel()
    run()
  }
  const cancels = timers.map((timer) => timer(over))
  return cancel
}

/**
 * Calls `run` once `seen` has returned the same value for a while of real time. Returns a function that cancels this.
 */
function whenStill({ timer }: Clock, seen: () => unknown, run: () => void): () => void {
  let before = seen()
  let quiet = 0
  const look = () => {
    const now = seen()
    quiet = now === before ? quiet + 1 : 0
    before = now
    if (quiet < QUIET_LOOKS) cancel = timer(LOOK_MS, look)
    else run()
  }
  let cancel = timer(LOOK_MS, look)
  return () => cancel()
}

// Makes a byte from a counter by multiplication and shifts: random enough for tests, and the same on every machine.
function scramble(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x45d9f3b)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b)
  return (mixed ^ (mixed >>> 16)) & 0xff
}
