import { randomBytes } from 'node:crypto'
import type { Clock } from '../port/clock.ts'

/** The machine's own time, loop and source of chance. */
export function systemClock(): Clock {
  return {
    now: () => Date.now(),
    turn: (run) => {
      setImmediate(run)
    },
    timer: (ms, run) => {
      const timer = setTimeout(run, ms)
      return () => clearTimeout(timer)
    },
    randomBytes: (count) => randomBytes(count),
  }
}
