import { randomFillSync } from 'node:crypto'
import type { Clock } from '../port/clock.ts'

/** Bytes fetched at once: a call for each id costs more than the rest of making it. */
const POOL_BYTES = 4_096

/** The machine's own time, loop and source of chance. */
export function systemClock(): Clock {
  let pool = new Uint8Array(0)
  const randomBytes = (count: number): Uint8Array => {
    if (count > POOL_BYTES) return randomFillSync(new Uint8Array(count))
    if (count > pool.length) pool = randomFillSync(new Uint8Array(POOL_BYTES))
    const taken = pool.subarray(0, count)
    pool = pool.subarray(count)
    return taken
  }
  return {
    randomBytes,
    now: () => Date.now(),
    elapsed: () => performance.now(),
    turn: (run) => {
      setImmediate(run)
    },
    timer: (ms, run) => {
      const timer = setTimeout(run, ms)
      return () => clearTimeout(timer)
    },
  }
}
