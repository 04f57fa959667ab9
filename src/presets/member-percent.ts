import type { TaskContext } from 'jobchart'

/**
 * Reports progress in percent. The number may be any finite number. It is limited to 0..100 and rounded down, so that
 * 100 means done. The percent of a job never falls, not even in a later attempt. A call that does not raise the percent
 * stores nothing, so it does not change the column `update` of the job's row. A number that is not finite, such as the
 * `NaN` of 0 / 0, is ignored with a line in the job's log.
 */
export type Percent = (percent: number) => void

/**
 * Makes the function that reports the percent of one attempt. It starts from the percent that earlier attempts
 * reported.
 */
export function percentOf({ progress, reported }: Pick<TaskContext, 'progress'> & Reported): Percent {
  // The highest percent so far. It is at least 0, so a negative number never raises it.
  let reached = reported?.completed ?? 0
  return (percent) => {
    if (!Number.isFinite(percent)) {
      // `progress` logs the invalid number and stores nothing.
      progress(percent)
      return
    }
    const whole = Math.floor(Math.min(100, percent))
    if (whole <= reached) return
    reached = whole
    progress({ completed: whole, total: 100 })
  }
}

/** Progress that earlier attempts reported. */
interface Reported {
  readonly reported?: { readonly completed: number }
}
