import { checkOptions, duration, wholeNumber } from './option-checks.ts'
import { type Duration, durationMs } from './time.ts'

/** How often a failed attempt is retried, and after which delay. */
export interface RetryOptions {
  /** How many failed attempts are retried. Default 0: one attempt only. Lost attempts do not count. */
  readonly limit?: number
  /** The delay before the first retry. It doubles with each further attempt, and has full jitter. Default `'1s'`. */
  readonly backoff?: Duration
  /** The longest delay before a retry. Default `'1h'`. */
  readonly backoffMax?: Duration
}

/** {@link RetryOptions}, parsed. */
export interface Retry {
  readonly limit: number
  readonly baseMs: number
  readonly capMs: number
}

/**
 * Parses the retry options of a task.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the limit is not a whole number from 0, or a delay is not a duration.
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
  // The exponent is at most 60: with it, even a base of 1 ms gives more than any cap. Larger exponents could make the
  // factor infinite, and a base of 0 would give NaN.
  return Math.round(random * Math.min(retry.capMs, retry.baseMs * 2 ** Math.min(attempt - 1, 60)))
}
