import type { SendAction } from './chart-action.ts'
import type { OpenJob } from './move-record.ts'

/** Stores a delayed event as a deadline, counted from `at`; a timer of the same id is replaced. */
export function setTimer(job: OpenJob, { to, event, id }: SendAction, delayMs: number, at: number): void {
  if (delayMs === Number.POSITIVE_INFINITY) return
  const timer = {
    id: id ?? `delayed.${++job.counter}`,
    event: event as { type: string },
    dueAt: at + delayMs,
    ...(to === 'self' ? {} : { to }),
  }
  job.timers = [...job.timers.filter((other) => other.id !== timer.id), timer]
}
