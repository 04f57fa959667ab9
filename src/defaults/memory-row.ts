import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { MemoryRecords } from './memory-records.ts'
import type { SortedList } from './sorted-list.ts'

/** A stored job, and where it stands in the orders that are kept of jobs. */
export interface Row {
  /** Its age: the number of its insert. */
  readonly n: number
  /** The very record that was written. */
  job: Job
  /** When something of it falls due. */
  wakeAt: number | undefined
  /** Its turn, while it waits. */
  turn: Turn | undefined
  /** Its tasks that may be claimed. */
  ready: readonly ReadyTask[]
  records: MemoryRecords | undefined
}

/** What claims and admissions go by: higher priorities first, then what was due first, then the older. */
export interface Due {
  readonly priority: number
  readonly due: number
  readonly n: number
  /** 0, where no task is meant. */
  readonly invocation: number
}

/** The turn of a waiting job. */
export interface Turn extends Due {
  readonly row: Row
  /** Where it stands. */
  readonly line: Line<Turn>
}

/** A task that may be claimed from `due` on. */
export interface ReadyTask extends Due {
  readonly row: Row
  readonly task: Task
  /** That of its job when it became ready. */
  readonly version: string
  /** Where it stands. */
  readonly line: Line<ReadyTask>
}

/** What waits for one thing, in its order. */
export type Line<Entry extends Due> = SortedList<Due, Entry>

/** Compares by the order of claims and admissions. */
export function byDue(a: Due, b: Due): number {
  return b.priority - a.priority || a.due - b.due || a.n - b.n || a.invocation - b.invocation
}

/** The first of a line that is due, or the first behind another one. */
export function nextDue<Entry extends Due>(line: Line<Entry>, at: number, behind?: Due): Entry | undefined {
  let found = line.next(behind)
  // The rest of a priority is due even later.
  while (found !== undefined && found.due > at) found = line.next({ ...found, due: Number.POSITIVE_INFINITY })
  return found
}
