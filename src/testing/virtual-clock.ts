import { systemClock } from 'jobchart'
import { checkOptions, wholeNumber } from '../model/option-checks.ts'
import type { Clock } from '../port/clock.ts'

/** Where a virtual clock starts. */
export interface VirtualClockOptions {
  /** Milliseconds UTC. Default 2026-01-01T00:00:00Z. */
  readonly start?: number
  /** What `randomBytes` come from; the same seed gives the same bytes. Default 1. */
  readonly seed?: number
}

/** A clock that moves when it is told to. */
export interface VirtualClock extends Clock {
  /** Moves time on, and rings each timer on the way at its own time, with all that follows from it done before the next. */
  readonly advance: (ms: number) => Promise<void>
  /** Resolves when nothing happens any more until time moves. */
  readonly settle: () => Promise<void>
  /** Jumps, as a corrected wall clock does: no timer rings for it. */
  readonly jump: (ms: number) => void
  /** Timers that have not rung. */
  readonly pendingTimers: () => number
}

interface Timer {
  readonly at: number
  readonly run: () => void
}

/** Turns of the real loop without a new one asked for, after which nothing more is expected to happen. */
const QUIET_TURNS = 3

/** Real time between two looks at whether anything has happened. */
const LOOK_MS = 50
/** Looks in a row that saw nothing, after which who waits for others has waited long enough. */
const QUIET_LOOKS = 4

const START = 1_767_225_600_000

/** Makes a clock for tests: no test sleeps, and a run can be replayed from its seed. */
export function virtualClock(options: VirtualClockOptions = {}): VirtualClock {
  checkOptions('virtualClock', options, { start: wholeNumber(0), seed: wholeNumber(0) })
  const { start = START, seed = 1 } = options
  const loop = systemClock()
  const timers = new Timers()
  let elapsed = 0
  let offset = start
  let turns = 0
  let draw = seed
  /** Calls of `advance` and `settle` that are under way. */
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

/** Resolves when no turn was asked for in a few turns of the real loop. */
async function settled(loop: Clock, asked: () => number): Promise<void> {
  for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
    const before = asked()
    await new Promise<void>((resume) => loop.turn(resume))
    if (asked() !== before) quiet = 0
  }
}

/** What is to ring, at a time by `elapsed`. */
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

  /** The first that rings until then; it is no longer in the list. */
  take(until: number): Timer | undefined {
    const [first] = [...this.#timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)
    if (first !== undefined) this.#timers.delete(first)
    return first
  }
}

/** Calls back when the first of some timers does; the others are cancelled. */
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

/** Calls back when `seen` has given the same for a while of real time. */
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

// A counter mixed by multiplication and shifts: enough for tests, and the same on every machine.
function scramble(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x45d9f3b)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b)
  return (mixed ^ (mixed >>> 16)) & 0xff
}
