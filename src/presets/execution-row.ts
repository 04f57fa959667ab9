import type { JobView } from 'jobchart'

/** The status of a task execution. */
export type TaskExecutionStatus = 'UNKNOWN' | 'RUNNING' | 'COMPLETE' | 'ERROR'

/** A task execution as a row. Times are ISO 8601. Fields that a policy redacts are null. */
export interface TaskExecutionRow {
  readonly id: string
  /** The exit code; null until the end. If a signal ended the program: 128 plus the signal's number. */
  readonly exitCode: number | null
  /** When the execution first ran; null while it is UNKNOWN. If it ended before it ran: the time of its end. */
  readonly startTime: string | null
  readonly endTime: string | null
  /** The status, as {@link statusOf} computes it from the three fields above. */
  readonly status: TaskExecutionStatus
  /** The type of the job. This field and the next three are null unless details are asked for. */
  readonly taskName: string | null
  /** How the execution ended, such as `exited with code 0` or `ended by SIGKILL`. */
  readonly exitMessage: string | null
  readonly arguments: readonly string[] | null
  /** If it ended as ERROR: the stack of the thrown error, else the last lines of the standard error. */
  readonly errorMessage: string | null
}

/** The fields of a row from which its status is computed. */
export interface ExecutionFacts {
  readonly startTime: string | number | null
  readonly endTime: string | number | null
  readonly exitCode: number | null
}

/**
 * Computes the status of an execution. Without a start it is UNKNOWN. Without an end or an exit code it is RUNNING. With
 * exit code 0 it is COMPLETE, and with any other exit code ERROR.
 */
export function statusOf({ startTime, endTime, exitCode }: ExecutionFacts): TaskExecutionStatus {
  if (startTime === null) return 'UNKNOWN'
  if (endTime === null || exitCode === null) return 'RUNNING'
  return exitCode === 0 ? 'COMPLETE' : 'ERROR'
}

const WITHOUT_DETAILS = { taskName: null, exitMessage: null, arguments: null, errorMessage: null } as const

/** Shows a job as a row. */
export function executionRow(
  view: JobView,
  { details = false }: { readonly details?: boolean } = {},
): TaskExecutionRow {
  // A policy may have redacted any field, even one that the type `JobView` requires.
  const shown: Partial<JobView> = view
  const facts = { startTime: startOf(shown), endTime: shown.endedAt ?? null, exitCode: exitCodeOf(shown) }
  return {
    id: shown.id ?? '',
    exitCode: facts.exitCode,
    startTime: facts.startTime,
    endTime: facts.endTime,
    status: statusOf(facts),
    // Only the value `true` counts, because a caller may pass on unchecked text from an HTTP request.
    ...(details === true ? detailsOf(shown) : WITHOUT_DETAILS),
  }
}

function startOf({ phase, startedAt, endedAt }: Partial<JobView>): string | null {
  // A lost execution has a start time, but its status is UNKNOWN.
  if (phase === 'indeterminate' || phase === 'waiting') return null
  return startedAt ?? endedAt ?? null
}

// Every execution that has ended has an exit code, even if its machine threw and no program ended.
function exitCodeOf({ exitCode, outcome }: Partial<JobView>): number | null {
  if (outcome === undefined) return null
  return exitCode ?? (outcome === 'success' ? 0 : 1)
}

function detailsOf({ type, message, context, error }: Partial<JobView>) {
  // The cast is safe: it is the context of this preset's lifecycle.
  const { arguments: given } = (context ?? {}) as { readonly arguments?: readonly string[] }
  return {
    taskName: type ?? null,
    exitMessage: message ?? null,
    arguments: given ?? null,
    errorMessage: error === undefined ? null : (error.stack ?? error.message),
  }
}
