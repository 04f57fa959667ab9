import { parse } from '@lukeed/ms'
import { JobchartError } from './error.ts'

/** A duration: whole milliseconds, or text such as `'250ms'`, `'5s'`, `'10m'`, `'1h'`, `'7d'`. */
export type Duration = number | string

/** A point in time: ISO 8601 with an offset, such as `'2027-01-01T02:00:00Z'`; milliseconds UTC; or a date object. */
export type Time = string | number | { readonly getTime: () => number }

/** The longest accepted duration: a hundred years. */
const DURATION_MS_MAX = 100 * 365 * 86_400_000

/**
 * A duration in milliseconds, at least 0.
 *
 * @param what  names the value in the error. Default `'a duration'`.
 * @throws {JobchartError} `INVALID_DEFINITION` it is not a duration, is negative, or is over a hundred years.
 */
export function durationMs(value: Duration, what = 'a duration'): number {
  const ms = typeof value === 'number' ? value : parseText(value)
  if (ms === undefined || !Number.isFinite(ms) || ms < 0 || ms > DURATION_MS_MAX) {
    throw new JobchartError(
      'INVALID_DEFINITION',
      `${what} should be a duration such as '10m' or milliseconds, at least 0; found ${typeof value === 'number' ? value : JSON.stringify(value)}`,
    )
  }
  return Math.round(ms)
}

// `parse` does not accept zero.
function parseText(text: string): number | undefined {
  return /^0(ms|s|m|h|d)?$/.test(text) ? 0 : parse(text)
}

/** Milliseconds since 1970 UTC as ISO 8601. All times are shown in this form. */
export function isoTime(ms: number): string {
  const millisecond = ms % 1_000
  const second = ms - millisecond
  // The text of the last second is cached, because times shown together are mostly close. Times before 1970 are not
  // cached: their remainder is negative.
  if (second !== shown.second || millisecond < 0) {
    const text = new Date(ms).toISOString()
    if (millisecond >= 0) shown = { second, text: text.slice(0, -'000Z'.length) }
    return text
  }
  return `${shown.text}${String(millisecond).padStart(3, '0')}Z`
}

let shown = { second: Number.NaN, text: '' }

/** The milliseconds since 1970 UTC of an ISO 8601 time. */
export function millisecondsOf(text: string): number {
  return Date.parse(text)
}

/** Milliseconds since 1970 UTC as a date object, for libraries that take one. */
export function dateOf(ms: number): Date {
  return new Date(ms)
}
