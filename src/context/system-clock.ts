import { randomFillSync } from 'node:crypto'
import type { Clock } from '../port/clock.ts'

/** Random bytes are fetched in blocks of this size, because a call of the system for each id would be slow. */
const POOL_BYTES = 4_096
/** Node's longest timer, in milliseconds. Node fires a longer timer after 1 ms, so it is split. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** A clock that uses the machine's own time, event loop and source of random bytes. */
export function systemClock(): Clock {
  let pool = new Uint8Array(0)
  let taken = 0
  const randomBytes = (count: number): Uint8Array => {
    if (count > POOL_BYTES) return randomFillSync(new Uint8Array(count))
    if (taken + count > pool.length) {
      pool = randomFillSync(new Uint8Array(POOL_BYTES))
      taken = 0
    }
    taken += count
    return pool.subarray(taken - count, taken)
  }
  return {
    randomBytes,
    now: () => Date.now(),
    elapsed: () => performance.now(),
    turn: (run) => {
      setImmediate(run)
    },
    timer: (ms, run) => {
      let timer: NodeJS.Timeout
      const wait = (leftMs: number): void => {
        const isLast = leftMs <= TIMER_MS_MAX
        timer = isLast ? setTimeout(run, leftMs) : setTimeout(wait, TIMER_MS_MAX, leftMs - TIMER_MS_MAX)
      }
      wait(ms)
      return () => clearTimeout(timer)
    },
  }
}
