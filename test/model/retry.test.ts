import fc from 'fast-check'
import { expect, test } from 'vitest'
import { backoffMs, parseRetry } from '../../src/model/retry.ts'

test('without options there is one attempt, and pauses would start at a second and end at an hour', () => {
  expect(parseRetry()).toEqual({ limit: 0, baseMs: 1_000, capMs: 3_600_000 })
  expect(parseRetry({})).toEqual(parseRetry())
})

test('options are read once: durations become milliseconds', () => {
  expect(parseRetry({ limit: 3, backoff: '5s', backoffMax: 250 })).toEqual({ limit: 3, baseMs: 5_000, capMs: 250 })
})

test.each([-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53])('a limit of %d is refused', (limit) => {
  expect(() => parseRetry({ limit })).toThrow(
    expect.objectContaining({
      code: 'INVALID_DEFINITION',
      message: `retry.limit should be a whole number from 0; found ${limit}`,
    }),
  )
})

test.each([
  ['retry.backoff', { backoff: 'soon' }],
  ['retry.backoff', { backoff: -1 }],
  ['retry.backoffMax', { backoffMax: Number.NaN }],
])('a %s that is no duration is refused by its name: %j', (name, options) => {
  expect(() => parseRetry(options)).toThrow(
    expect.objectContaining({ code: 'INVALID_DEFINITION', message: expect.stringContaining(`${name} should be`) }),
  )
})

test('the pause doubles with each attempt, and is scaled by the random number', () => {
  const retry = { limit: 9, baseMs: 1_000, capMs: 60_000 }
  expect([1, 2, 3, 4].map((attempt) => backoffMs(retry, attempt, 0.5))).toEqual([500, 1_000, 2_000, 4_000])
  expect(backoffMs(retry, 3, 0)).toBe(0)
})

test('the pause is limited by its cap before it is scaled by the random number', () => {
  const retry = { limit: 9, baseMs: 1_000, capMs: 3_000 }
  expect(backoffMs(retry, 3, 0.5)).toBe(1_500)
  expect(backoffMs(retry, 2_000, 0.5)).toBe(1_500)
})

test.each([0, -1, Number.NEGATIVE_INFINITY])('attempt %d is a RangeError', (attempt) => {
  expect(() => backoffMs({ limit: 1, baseMs: 1, capMs: 1 }, attempt, 0)).toThrow(RangeError)
})

test('law: a pause is whole, from 0 to min(cap, base · 2^(attempt − 1)), and never falls as the random number rises', () => {
  const retries = fc.record({
    limit: fc.constant(1),
    baseMs: fc.nat(4_000_000_000_000),
    capMs: fc.nat(4_000_000_000_000),
  })
  const chances = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
  fc.assert(
    fc.property(retries, fc.integer({ min: 1, max: 5_000 }), chances, chances, (retry, attempt, one, other) => {
      // A base of 0 skips the power, because 0 · Infinity is NaN.
      const most = retry.baseMs === 0 ? 0 : Math.min(retry.capMs, retry.baseMs * 2 ** (attempt - 1))
      const [low, high] = one < other ? [one, other] : [other, one]
      const pause = backoffMs(retry, attempt, high)
      expect(Number.isSafeInteger(pause)).toBe(true)
      expect(pause).toBeGreaterThanOrEqual(backoffMs(retry, attempt, low))
      expect(pause).toBeLessThanOrEqual(most)
      expect(backoffMs(retry, attempt, low)).toBeGreaterThanOrEqual(0)
    }),
    { examples: [[{ limit: 1, baseMs: 0, capMs: 1_000 }, 1_100, 0.25, 0.5]] },
  )
})
