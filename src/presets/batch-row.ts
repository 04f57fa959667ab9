import type { JobView } from 'jobchart'

/** The status of a batch job. */
export type BatchJobStatus = 'Started' | 'Finalizing' | 'Completed' | 'Error' | 'Cancelling' | 'Cancelled'

/** A batch job as a row of its project. Times are ISO 8601. */
export interface BatchJobRow {
  readonly id: string
  /** The id of its project. Null: the job was started without one. */
  readonly project: string | null
  readonly status: BatchJobStatus | null
  readonly progress: {
    /** How many items have ended: completed or failed. */
    readonly finished: number
    readonly failed: number
    /** How many items run now. */
    readonly processing: number
    /** Null: not known yet. */
    readonly total: number | null
  }
  /** Whole percent of the items that have ended. 100 for a job without items. */
  readonly percent: number
  /** How many responses there are: items that were completed. */
  readonly responses: number
  readonly startedAt: string | null
  /** Null while the job is active. */
  readonly finishedAt: string | null
  /** Whether a person started the job, or its schedule. */
  readonly trigger: 'manual' | 'automatic'
}

/** Shows a job as a row. */
export function batchJobRow(view: JobView): BatchJobRow {
  // A policy may have redacted any field, even one that the type `JobView` requires.
  const { id = '', pipeline, status, progress, createdAt, endedAt, trigger }: Partial<JobView> = view
  const { completed = 0, failed = 0, running = 0, total } = progress ?? {}
  const finished = completed + failed
  return {
    id,
    project: pipeline ?? null,
    // The cast is safe: these are the labels of this preset's lifecycle.
    status: (status ?? null) as BatchJobStatus | null,
    progress: { finished, failed, processing: running, total: total ?? null },
    percent: total === undefined ? 0 : total === 0 ? 100 : Math.floor((100 * finished) / total),
    responses: completed,
    startedAt: createdAt ?? null,
    finishedAt: endedAt ?? null,
    trigger: trigger === 'schedule' ? 'automatic' : 'manual',
  }
}
