import type { JobView } from 'jobchart'

/** The status of a job of a workspace. */
export type PipelineJobStatus = 'QUEUED' | 'RUNNING' | 'COMPLETE' | 'ERROR' | 'STOPPED'

/** A job of a workspace as a row. Times are ISO 8601. Fields that a policy redacts are null. */
export interface PipelineJobRow {
  readonly id: string
  readonly created: string | null
  /** The type of the job, e.g. PIPELINE_RUN. */
  readonly type: string | null
  /**
   * The exit code. Null until the end, for a user task, and where nothing exited: the process was lost, or a function
   * ended because its signal was aborted.
   */
  readonly exitCode: number | null
  readonly status: PipelineJobStatus
  /**
   * When the job first ran; null until then. For a user task, and for a run that ended before it ran: the time of the
   * end.
   */
  readonly startTime: string | null
  readonly endTime: string | null
}

/** Shows a job as a row. */
export function pipelineJobRow(view: JobView): PipelineJobRow {
  // A policy may have redacted any field, even one that the type `JobView` requires.
  const shown: Partial<JobView> = view
  const endTime = shown.endedAt ?? null
  return {
    id: shown.id ?? '',
    created: shown.createdAt ?? null,
    type: shown.type ?? null,
    exitCode: shown.exitCode ?? null,
    // The cast is safe: these are the labels of this preset's lifecycles.
    status: (shown.status ?? 'QUEUED') as PipelineJobStatus,
    startTime: shown.startedAt ?? endTime,
    endTime,
  }
}
