import type { TaskContext } from 'jobchart'

/**
 * Says how far the work is, in percent: any finite number, taken as a whole percent from 0 to 100 (rounded down, so that
 * 100 means all of it). It never falls, whatever is said and in whatever order, also not in a later attempt of the same job.
 * What does not raise it is not stored: the job's `update` tells of changes only. What is not finite, such as the `NaN` of
 * 0 / 0, is ignored, and a line of the job's log says so.
 */
export type Percent = (percent: number) => void

/** The percent of one attempt, which goes on from what earlier attempts of the job have reported. */
export function percentOf({ progress, reported }: Pick<TaskContext, 'progress'> & Reported): Percent {
  // What is below 0 does not rise above it.
  let reached = reported?.completed ?? 0
  return (percent) => {
    if (!Number.isFinite(percent)) {
      // It says so in the log, and stores nothing.
      progress(percent)
      return
    }
    const whole = Math.floor(Math.min(100, percent))
    if (whole <= reached) return
    reached = whole
    progress({ completed: whole, total: 100 })
  }
}

/** What was recorded before this attempt. */
interface Reported {
  readonly reported?: { readonly completed: number }
}
