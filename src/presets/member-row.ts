import type { JobView } from 'jobchart'

/** The status of a member's job. */
export type MemberStatus = 'Waiting' | 'Running' | 'Successful' | 'Failed' | 'Cancelled'

/**
 * A member's job as a row of the table. Times are ISO 8601. A redacted field shows as empty text, or as null if it may
 * be null.
 */
export interface MemberRow {
  readonly type: string
  readonly id: string
  readonly status: MemberStatus
  /** A brief text on what the job does, set at its creation; empty if its type has none. */
  readonly message: string
  /** Why the job failed; null if it did not. */
  readonly errorDetail: string | null
  /**
   * Whole percent, 0 to 100: 0 at its creation, 100 for every successful job, otherwise the last reported value. A job
   * at 100 may still be running, or have failed.
   */
  readonly progress: number
  readonly creation: string
  /** When the job's work began; null until then. */
  readonly start: string | null
  /** When the job ended; null until then. */
  readonly end: string | null
  /** The time of the last change of the job's status or progress. */
  readonly update: string
  /** The id of the member who started the job. */
  readonly startedBy: string
}

/** A column of the table. */
export interface MemberColumn {
  readonly key: keyof MemberRow
  /** The heading of the column, in English. */
  readonly name: string
}

/** The columns in the table's order. */
export const memberColumns: readonly MemberColumn[] = [
  { key: 'type', name: 'Type' },
  { key: 'id', name: 'Id' },
  { key: 'status', name: 'Status' },
  { key: 'message', name: 'Message' },
  { key: 'errorDetail', name: 'Error detail' },
  { key: 'progress', name: 'Progress' },
  { key: 'creation', name: 'Creation' },
  { key: 'start', name: 'Start' },
  { key: 'end', name: 'End' },
  { key: 'update', name: 'Update' },
  { key: 'startedBy', name: 'Started by' },
]

/** Shows a job as a row. */
export function memberRow(view: JobView): MemberRow {
  // A policy may have redacted any field, even one that the type `JobView` requires.
  const shown: Partial<JobView> = view
  const status = statusOf(shown)
  return {
    type: shown.type ?? '',
    id: shown.id ?? '',
    status,
    message: shown.message ?? '',
    errorDetail: detailOf(shown),
    progress: status === 'Successful' ? 100 : (shown.progress?.completed ?? 0),
    creation: shown.createdAt ?? '',
    start: shown.startedAt ?? null,
    end: shown.endedAt ?? null,
    update: shown.updatedAt ?? '',
    startedBy: shown.createdBy ?? '',
  }
}

const ENDS = { success: 'Successful', failure: 'Failed', cancelled: 'Cancelled' } as const

// The policy may redact the label of the chart's state. Then the times tell it, except of a job that was given back and
// waits again.
function statusOf({ outcome, status, startedAt }: Partial<JobView>): MemberStatus {
  if (outcome !== undefined) return ENDS[outcome]
  if (status === 'Waiting' || status === 'Running') return status
  return startedAt === undefined ? 'Waiting' : 'Running'
}

// If the error has no message, its name is shown.
function detailOf({ error }: Partial<JobView>): string | null {
  return error === undefined ? null : error.message || error.name
}
