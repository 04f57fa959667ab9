import { JobchartError, type JobError } from './error.ts'
import { anything, checkOptions, oneOf } from './option-checks.ts'
import { type Json, storableCopy } from './storable.ts'

/** The status of one part of a job's work. Only items of a batch are `waiting` or `skipped`. */
export type ItemStatus = 'waiting' | 'completed' | 'failed' | 'skipped'

/** One part of a job's work, as its code reported it. `at`: milliseconds UTC. */
export interface Item {
  /** The name of the part, e.g. a URL: 1 to 2,000 characters. */
  readonly key: string
  readonly status: ItemStatus
  readonly message?: string
  readonly output?: Json
  readonly at: number
  /** How many attempts were made. Only for items of a batch. */
  readonly attempts?: number
  /** Only for items of a batch. */
  readonly input?: Json
  /** The error of a failed item. Only for items of a batch. */
  readonly error?: JobError
}

/**
 * Numbers the items of a batch in their job: those of one invocation follow each other in the order of the source.
 * Numbers of items that code reports by `item` are below `BATCH_NUMBERS`.
 *
 * @param index  the place of the item in the source of the batch, from 1.
 */
export function batchNumber(invocation: number, index: number): number {
  return invocation * BATCH_NUMBERS + index
}

/**
 * The key of an item of a batch that has no other: its index.
 *
 * `String` would keep the last thousands of these texts in a cache of V8. Then they survive collections of young memory,
 * and a million of them wait for a full collection.
 */
export function indexKey(index: number): string {
  return JSON.stringify(index)
}

/** How many numbers each invocation of a batch has; see {@link batchNumber}. */
export const BATCH_NUMBERS = 2 ** 32

/** A task's report on one part of its work. */
export interface ItemReport {
  /** Default `'completed'`. */
  readonly status?: 'completed' | 'failed'
  /** Why the part failed; cut to 2,000 characters. */
  readonly message?: string
  readonly output?: unknown
}

const REPORT = { status: oneOf('completed', 'failed'), message: anything, output: anything }

const KEY_CHARACTERS_MAX = 2_000
const MESSAGE_CHARACTERS_MAX = 2_000

/**
 * Checks the report of an item, and makes the item from it.
 *
 * @throws {JobchartError} `INVALID_INPUT` the key or the report is invalid; `NOT_STORABLE` or `PAYLOAD_TOO_LARGE` for
 *   the output.
 */
export function parseItem(key: string, report: ItemReport, at: number): Item {
  if (typeof key !== 'string' || key === '' || key.length > KEY_CHARACTERS_MAX || !key.isWellFormed()) {
    throw new JobchartError('INVALID_INPUT', 'an item should have a key of 1 to 2,000 characters')
  }
  checkOptions('item', report, REPORT, { code: 'INVALID_INPUT' })
  const { status = 'completed', message, output } = report
  return {
    key,
    status,
    ...(message === undefined ? {} : { message: `${message}`.slice(0, MESSAGE_CHARACTERS_MAX).toWellFormed() }),
    ...(output === undefined ? {} : { output: storableCopy(output, `output of item "${key}"`, true) }),
    at,
  }
}
