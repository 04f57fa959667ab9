/** What the code of a batch writes while it runs, and what it reads when it goes on after a loss. */
import type { JobError } from './error.ts'
import type { ItemStatus } from './item.ts'
import type { Json } from './storable.ts'

/**
 * The counts of a batch. At every moment, total = waiting + running + completed + failed + skipped. `running` is not
 * stored with the items: it is 0 when no attempt holds the task. Waiting is the rest.
 */
export interface BatchCounts {
  /** Absent until the source has ended, unless the source is an array. */
  readonly total?: number
  readonly completed: number
  readonly failed: number
  readonly skipped: number
}

/** An item before it begins. `index`: its place in the source, from 1. */
export interface AddedItem {
  readonly index: number
  readonly key: string
  readonly input?: Json
}

/** The end of an item. */
export interface EndedItem {
  readonly index: number
  readonly status: 'completed' | 'failed' | 'skipped'
  readonly attempts: number
  readonly output?: Json
  readonly error?: JobError
}

/**
 * Changes of a batch that are written together: new rows, then ends of rows, and the counts after them.
 *
 * A row is added as `waiting` before it begins, and ended once.
 */
export interface BatchPiece {
  readonly added: readonly AddedItem[]
  readonly ended: readonly EndedItem[]
  readonly counts: BatchCounts
  /** How many items run now. */
  readonly running: number
  /** The highest index of an item that has begun, or may begin once this piece is written. Never falls. */
  readonly begun: number
  /** The index of the item that runs alone, because it may have caused losses. A change counts as a recorded step. */
  readonly careful?: number
  /** True: this piece ends the batch, so its progress is published at once. */
  readonly isLast?: boolean
}

/** An item of a batch that was recorded before. */
export interface RecordedItem {
  readonly index: number
  readonly key: string
  readonly status: ItemStatus
  readonly attempts: number
  /** Present if the item is one of a job that this job retries: the row is of that job, and this job has none. */
  readonly isOfRetried?: true
}

/** Which items of a retried job run again. `unfinished`: all that were not completed. */
export type ItemsToRetry = 'failed' | 'unfinished'

/** How far earlier attempts of a batch came. */
export interface BatchStart {
  readonly counts: BatchCounts
  readonly begun: number
  readonly careful?: number
  /** How many attempts were lost in a row without a new item. */
  readonly losses: number
  /** Which items of a retried job run again. Absent: all. */
  readonly again?: ItemsToRetry
}
