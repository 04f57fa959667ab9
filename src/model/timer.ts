import type { SendAction } from './chart.ts'
import type { OpenJob } from './job.ts'

const TIME_MAX = 8_640_000_000_000_000

/** Stores a delayed event as a deadline, counted from `at`; a timer of the same id is replaced. */
export function setTimer(job: OpenJob, { to, event, id }: SendAction, delayMs: number, at: number): void {
  if (delayMs === Number.POSITIVE_INFINITY) return
  const timer = {
    id: id ?? `delayed.${++job.counter}`,
    event: event as { type: string },
    // The last moment that a date can name: later, it could neither be shown nor counted in whole milliseconds.
    dueAt: Math.min(at + delayMs, TIME_MAX),
    ...(to === 'self' ? {} : { to }),
  }
  job.timers = [...job.timers.filter((other) => other.id !== timer.id), timer]
}
