import type { Clock } from '../port/clock.ts'

/**
 * A clock whose time never falls: while the wall clock stands behind, it goes on at the pace of `elapsed`. Deadlines that
 * were set before the wall clock fell would else lie in a future that may be a day away.
 */
export function steadyClock(clock: Clock): Clock {
  let time = clock.now()
  let at = clock.elapsed()
  const now = () => {
    const elapsed = clock.elapsed()
    time = Math.max(clock.now(), time + (elapsed - at))
    at = elapsed
    return Math.floor(time)
  }
  return { ...clock, now }
}
