import type { JobView } from 'jobchart'

/** How a member's job stands. */
export type MemberStatus = 'Waiting' | 'Running' | 'Successful' | 'Failed' | 'Cancelled'

/**
 * A member's job as a row of the table; times are ISO 8601. What a policy redacts of the job shows as if nobody had said
 * it: a text is empty, and what may be null is null.
 */
export interface MemberRow {
  readonly type: string
  readonly id: string
  readonly status: MemberStatus
  /** A brief text on what the job does, said at its creation; empty if its type says none. */
  readonly message: string
  /** Why it failed; null unless it did. */
  readonly errorDetail: string | null
  /**
   * Whole percent, 0 to 100: 0 at its creation, 100 of every job that was successful, and else what its work has reported
   * last. A job at 100 may still be running, or have failed.
   */
  readonly progress: number
  readonly creation: string
  /** Null until its work has begun. */
  readonly start: string | null
  /** Null until it has ended. */
  readonly end: string | null
  /** When its status or its progress changed last. */
  readonly update: string
  /** The id of the member who started it. */
  readonly startedBy: string
}

/** A column of the table. */
export interface MemberColumn {
  readonly key: keyof MemberRow
  /** Its heading, in English. */
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
  // Any field may have been redacted, whatever its type says.
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

// By what holds of every lifecycle: the label of the chart may be redacted.
function statusOf({ outcome, startedAt }: Partial<JobView>): MemberStatus {
  if (outcome !== undefined) return ENDS[outcome]
  return startedAt === undefined ? 'Waiting' : 'Running'
}

// What was thrown may have no message.
function detailOf({ error }: Partial<JobView>): string | null {
  return error === undefined ? null : error.message || error.name
}
