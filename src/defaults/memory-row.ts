import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { MemoryRecords } from './memory-records.ts'
import type { SortedList } from './sorted-list.ts'

/** A stored job, with its places in the lines of waiting jobs and ready tasks. */
export interface Row {
  /** The number of the row. Rows are numbered in the order of their inserts, so an older job has a smaller number. */
  readonly n: number
  /** The job as it is stored now. After a write of the job, this is the written object itself, not a copy. */
  job: Job
  /** The next time when something of the job is due, e.g. a timer. `undefined`: nothing is. */
  wakeAt: number | undefined
  /** The job's place among the waiting jobs. `undefined`: it does not wait. */
  turn: Turn | undefined
  /** The job's claimable tasks. */
  ready: readonly ReadyTask[]
  records: MemoryRecords | undefined
}

/**
 * What claims and admissions are ordered by: higher priority first, then earlier due time, then older job, then lower
 * invocation.
 */
export interface Due {
  readonly priority: number
  readonly due: number
  readonly n: number
  /** The invocation of the task; 0 for a waiting job. */
  readonly invocation: number
}

/** A waiting job's place in a line. */
export interface Turn extends Due {
  readonly row: Row
  /** The line that this turn is in. */
  readonly line: Line<Turn>
}

/** A task that may be claimed once the time `due` has come. */
export interface ReadyTask extends Due {
  readonly row: Row
  readonly task: Task
  /** The version of the job when the task became ready. */
  readonly version: string
  /** The line that this task is in. */
  readonly line: Line<ReadyTask>
}

/** A sorted line of entries that wait for the same thing, e.g. all waiting jobs of one pipeline. */
export type Line<Entry extends Due> = SortedList<Due, Entry>

/** Compares by the order of claims and admissions. */
export function byDue(a: Due, b: Due): number {
  return b.priority - a.priority || a.due - b.due || a.n - b.n || a.invocation - b.invocation
}

/**
 * The first entry of a line that is due at the time `at`. If `behind` is given, only entries after it are considered.
 */
export function nextDue<Entry extends Due>(line: Line<Entry>, at: number, behind?: Due): Entry | undefined {
  let found = line.next(behind)
  // Within a priority, entries are sorted by due time. So if one is not due yet, the rest of its priority is skipped.
  while (found !== undefined && found.due > at) found = line.next({ ...found, due: Number.POSITIVE_INFINITY })
  return found
}
