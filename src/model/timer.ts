import type { SendAction } from './chart.ts'
import type { OpenJob } from './job.ts'

const TIME_MAX = 8_640_000_000_000_000

/**
 * Stores a delayed event as a deadline, counted from `at`. One that has the same id stays: as in XState it fires too, and a
 * `cancel` of the id means the newer one.
 */
export function setTimer(job: OpenJob, { to, event, id }: SendAction, delayMs: number, at: number): void {
  if (delayMs === Number.POSITIVE_INFINITY) return
  const timer = {
    id: id ?? unnamed(job),
    event: event as { type: string },
    // The last moment that a date can name: later, it could neither be shown nor counted in whole milliseconds.
    dueAt: Math.min(at + delayMs, TIME_MAX),
    ...(to === 'self' ? {} : { to }),
  }
  const others = job.timers.map((other) => (other.id === timer.id ? { ...other, id: unnamed(job) } : other))
  job.timers = [...others, timer]
}

function unnamed(job: OpenJob): string {
  return `delayed.${++job.counter}`
}
