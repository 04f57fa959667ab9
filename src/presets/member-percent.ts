import type { TaskContext } from 'jobchart'

/**
 * Reports progress in percent: any finite number, cut to 0..100 and rounded down, so that 100 means done. The percent
 * of a job never falls, not even in a later attempt. A call that does not raise the percent stores nothing, and so does
 * not change the job's `update`. A number that is not finite, such as the `NaN` of 0 / 0, is ignored with a line in the
 * job's log.
 */
export type Percent = (percent: number) => void

/** Percent of one attempt. It starts from the percent that earlier attempts reported. */
export function percentOf({ progress, reported }: Pick<TaskContext, 'progress'> & Reported): Percent {
  // A negative number never raises the percent.
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
