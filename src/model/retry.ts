import { checkOptions, duration, wholeNumber } from './option-checks.ts'
import { type Duration, durationMs } from './time.ts'

/** How often a failed attempt is made again, and after which pause. */
export interface RetryOptions {
  /** Failed attempts that are made again; 0 (the default) means one attempt in all. Lost attempts do not count. */
  readonly limit?: number
  /** The base of the pause, doubled by each further attempt, with full jitter. Default `'1s'`. */
  readonly backoff?: Duration
  /** The longest pause. Default `'1h'`. */
  readonly backoffMax?: Duration
}

/** {@link RetryOptions}, read once. */
export interface Retry {
  readonly limit: number
  readonly baseMs: number
  readonly capMs: number
}

/**
 * Reads the options of one task.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the limit is not a whole number from 0, or a pause is no duration.
 */
export function parseRetry(options: RetryOptions = {}): Retry {
  checkOptions('retry', options, RETRY, { prefix: 'retry.' })
  return {
    limit: options.limit ?? 0,
    baseMs: durationMs(options.backoff ?? '1s', 'retry.backoff'),
    capMs: durationMs(options.backoffMax ?? '1h', 'retry.backoffMax'),
  }
}

const RETRY = { limit: wholeNumber(0), backoff: duration, backoffMax: duration }

/**
 * Delay before the next attempt, in milliseconds: uniform in [0, min(capMs, baseMs · 2^(attempt − 1))].
 *
 * @param attempt  1 for the first retry.
 * @param random  uniform in [0, 1); passed in, so that a failing run can be replayed.
 * @throws {RangeError}  `attempt` is below 1.
 * @see "Full Jitter", Brooker, AWS Architecture Blog, 2015.
 */
export function backoffMs(retry: Retry, attempt: number, random: number): number {
  if (attempt < 1) throw new RangeError(`attempt should be at least 1; found ${attempt}`)
  // Beyond 2^60 every base is over every cap, and an infinite factor would make a base of 0 no number.
  return Math.round(random * Math.min(retry.capMs, retry.baseMs * 2 ** Math.min(attempt - 1, 60)))
}
