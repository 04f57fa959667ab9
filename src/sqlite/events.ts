import type { SQLInputValue } from 'node:sqlite'
import type { EventQuery, StoredEvents } from '../port/storage.ts'
import { EVENT_COLUMNS, eventsOf, type Row } from './rows.ts'

/**
 * The text of a query for rows of the log, in its order, from the row that covers what comes after a sequence.
 *
 * @param ofJob  only those of one job.
 * @param covered  a condition beside it.
 */
export function eventsSql(ofJob: boolean, covered = 'TRUE'): string {
  const job = ofJob ? 'job_id = ? AND ' : ''
  // The row that covers the sequence asked for may reach beyond it, so reading starts there. Parameters stand unnumbered
  // and are bound again: Node 22 binds numbered ones in no other way than by name.
  return `
    SELECT ${EVENT_COLUMNS} FROM events
    WHERE ${job}sequence >= coalesce((SELECT max(sequence) FROM events WHERE ${job}sequence <= ?), 0)
      AND sequence <= ? AND sequence + count - 1 > ? AND ${covered}
    ORDER BY sequence`
}

/** What is bound to {@link eventsSql}, before what its condition takes. */
export function eventsValues({ after, jobId, through }: Omit<EventQuery, 'limit'>): readonly SQLInputValue[] {
  const job = jobId === undefined ? [] : [jobId]
  return [...job, ...job, after, through ?? Number.MAX_SAFE_INTEGER, after]
}

/** The first rows of the log, without those that are broken: whoever follows it is not held up by one. */
export function readableEvents(rows: Iterable<Row>, limit: number): readonly StoredEvents[] {
  const found: StoredEvents[] = []
  for (const row of rows) {
    if (found.length === limit) break
    const read = readableRow(row)
    if (read !== undefined) found.push(read)
  }
  return found
}

/** The first rows of the log. @throws {Error} one is broken. */
export function firstEvents(rows: Iterable<Row>, limit: number): readonly StoredEvents[] {
  const found: StoredEvents[] = []
  for (const row of rows) {
    if (found.length === limit) break
    found.push(eventsOf(row))
  }
  return found
}

function readableRow(row: Row): StoredEvents | undefined {
  try {
    return eventsOf(row)
  } catch {
    return undefined
  }
}
