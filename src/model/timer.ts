import type { SendAction } from './chart.ts'
import type { OpenJob } from './job.ts'

const TIME_MAX = 8_640_000_000_000_000

/**
 * Stores a delayed event as a deadline, counted from `at`. An older timer with the same id stays and fires too, as in
 * XState; a `cancel` of this id then cancels only the newer timer.
 */
export function setTimer(job: OpenJob, { to, event, id }: SendAction, delayMs: number, at: number): void {
  if (delayMs === Number.POSITIVE_INFINITY) return
  const timer = {
    id: id ?? unnamed(job),
    event: event as { type: string },
    // The latest time that can be written as ISO 8601. Later times are replaced by it.
    dueAt: Math.min(at + delayMs, TIME_MAX),
    ...(to === 'self' ? {} : { to }),
  }
  const others = job.timers.map((other) => (other.id === timer.id ? { ...other, id: unnamed(job) } : other))
  job.timers = [...others, timer]
}

function unnamed(job: OpenJob): string {
  return `delayed.${++job.counter}`
}
