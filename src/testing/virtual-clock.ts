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

const START = 1_767_225_600_000

/** Makes a clock for tests: no test sleeps, and a run can be replayed from its seed. */
export function virtualClock(options: VirtualClockOptions = {}): VirtualClock {
  checkOptions('virtualClock', options, { start: wholeNumber(0), seed: wholeNumber(0) })
  const { start = START, seed = 1 } = options
  const loop = systemClock()
  const timers = new Set<Timer>()
  let elapsed = 0
  let offset = start
  let turns = 0
  let draw = seed

  const settle = async () => {
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      const before = turns
      await new Promise<void>((resume) => loop.turn(resume))
      if (turns !== before) quiet = 0
    }
  }
  const next = (until: number) => [...timers].filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0]

  return {
    now: () => elapsed + offset,
    elapsed: () => elapsed,
    turn: (run) => {
      turns++
      loop.turn(run)
    },
    timer: (ms, run) => {
      const timer = { at: elapsed + ms, run }
      timers.add(timer)
      return () => {
        timers.delete(timer)
      }
    },
    randomBytes: (count) => Uint8Array.from({ length: count }, () => scramble(++draw)),
    jump: (ms) => {
      offset += ms
    },
    settle,
    pendingTimers: () => timers.size,
    advance: async (ms) => {
      const until = elapsed + ms
      await settle()
      for (let timer = next(until); timer !== undefined; timer = next(until)) {
        elapsed = timer.at
        timers.delete(timer)
        timer.run()
        await settle()
      }
      elapsed = until
      await settle()
    },
  }
}

// A counter mixed by multiplication and shifts: enough for tests, and the same on every machine.
function scramble(value: number): number {
  let mixed = Math.imul(value ^ (value >>> 16), 0x45d9f3b)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b)
  return (mixed ^ (mixed >>> 16)) & 0xff
}
