import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { MemoryRecords } from './memory-records.ts'
import type { SortedList } from './sorted-list.ts'

/** A stored job, with its places in the lines of tasks and jobs that wait. */
export interface Row {
  /** Number of its insert: an older job has a smaller one. */
  readonly n: number
  /** The job as it is stored now. After a write of the job, this is the written object itself, not a copy. */
  job: Job
  /** The next time when something of the job falls due; undefined: there is none. */
  wakeAt: number | undefined
  /** Its place among the waiting jobs; undefined: it does not wait. */
  turn: Turn | undefined
  /** Its claimable tasks. */
  ready: readonly ReadyTask[]
  records: MemoryRecords | undefined
}

/** Order of claims and admissions: higher priority first, then earlier due time, then older job. */
export interface Due {
  readonly priority: number
  readonly due: number
  readonly n: number
  /** Number of the invocation of the task; 0 for a turn. */
  readonly invocation: number
}

/** The turn of a waiting job. */
export interface Turn extends Due {
  readonly row: Row
  /** The line that it is in. */
  readonly line: Line<Turn>
}

/** A task that may be claimed from `due` on. */
export interface ReadyTask extends Due {
  readonly row: Row
  readonly task: Task
  /** Version of its job when the task became ready. */
  readonly version: string
  /** The line that it is in. */
  readonly line: Line<ReadyTask>
}

/** A line of tasks or turns that wait for the same thing, in order. */
export type Line<Entry extends Due> = SortedList<Due, Entry>

/** Compares by the order of claims and admissions. */
export function byDue(a: Due, b: Due): number {
  return b.priority - a.priority || a.due - b.due || a.n - b.n || a.invocation - b.invocation
}

/** The first entry of a line that is due at `at`. If `behind` is given, only entries after it are considered. */
export function nextDue<Entry extends Due>(line: Line<Entry>, at: number, behind?: Due): Entry | undefined {
  let found = line.next(behind)
  // The other entries of this priority are due even later.
  while (found !== undefined && found.due > at) found = line.next({ ...found, due: Number.POSITIVE_INFINITY })
  return found
}
