import { JobchartError } from './error.ts'
import { anything, checkOptions, oneOf } from './option-checks.ts'
import { type Json, storableCopy } from './storable.ts'

/** The result of one part of a job's work. */
export type ItemStatus = 'completed' | 'failed'

/** One part of a job's work, as its code reported it. `at`: milliseconds UTC. */
export interface Item {
  /** The name of the part, e.g. a URL: 1 to 2,000 characters. */
  readonly key: string
  readonly status: ItemStatus
  readonly message?: string
  readonly output?: Json
  readonly at: number
}

/** A task's report on one part of its work. */
export interface ItemReport {
  /** Default `'completed'`. */
  readonly status?: ItemStatus
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
