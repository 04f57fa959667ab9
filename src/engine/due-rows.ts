import type { Core } from './core.ts'

/** How many rows one query reads. */
export const ROWS_AT_ONCE = 1_000

/** Rows of the storage for which something falls due. */
interface DueRows<Row> {
  /** The time by which they are due: that of deadlines, or the wall clock. */
  readonly time: 'steady' | 'now'
  /** Reads those that are due by `at`, the longest due first. */
  readonly read: (at: number, limit: number, skip: number) => Promise<readonly Row[]>
  readonly dueAt: (row: Row) => number | undefined
  readonly handle: (row: Row) => Promise<unknown>
}

/** Handles the rows that are due, and sets the alarm for the first that falls due before the next sweep. */
export async function handleDue<Row>(core: Core, { time, read, dueAt, handle }: DueRows<Row>): Promise<void> {
  const { clock, alarm, settings } = core
  // Rows that could not be handled stay due, so they are skipped; the next sweep tries them again.
  for (let skip = 0; ; ) {
    const now = clock[time]()
    const found = await read(now + settings.sweepMs, ROWS_AT_ONCE, skip)
    const due = found.filter((row) => (dueAt(row) ?? now) <= now)
    const next = found[due.length]
    const nextAt = next === undefined ? undefined : dueAt(next)
    if (nextAt !== undefined) time === 'steady' ? alarm.set(nextAt) : alarm.setByWall(nextAt)
    skip += await failuresOf(due, handle)
    if (due.length < ROWS_AT_ONCE) return
  }
}

/** Handles each of the rows. Returns how many could not be handled; the others go on. */
export async function failuresOf<Row>(rows: readonly Row[], handle: (row: Row) => Promise<unknown>): Promise<number> {
  const results = await Promise.allSettled(rows.map(handle))
  return results.filter(({ status }) => status === 'rejected').length
}
