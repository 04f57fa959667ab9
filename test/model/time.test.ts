import fc from 'fast-check'
import { expect, test } from 'vitest'
import { durationMs, isoTime } from '../../src/model/time.ts'

test.each([
  ['250ms', 250],
  ['5s', 5_000],
  ['1.5s', 1_500],
  ['10m', 600_000],
  ['10 minutes', 600_000],
  ['1h', 3_600_000],
  ['7d', 604_800_000],
  ['2w', 1_209_600_000],
  ['1500', 1_500],
  [0, 0],
  [1.4, 1],
  [36_500 * 86_400_000, 36_500 * 86_400_000],
])('%j is a duration', (value, ms) => {
  expect(durationMs(value, 'timeout')).toBe(ms)
})

test.each(['0', '0ms', '0s', '0h'])('%j is a duration of nothing, as 0 is', (value) => {
  expect([durationMs(value, 'timeout'), durationMs(value)]).toEqual([0, 0])
})

test.each(['', ' ', 'soon', '5 parsecs', '1h30m', '-5s', '101y'])('%j is refused, and the option is named', (value) => {
  expect(() => durationMs(value, 'timeout')).toThrow(
    expect.objectContaining({
      code: 'INVALID_DEFINITION',
      message: `timeout should be a duration such as '10m' or milliseconds, at least 0; found ${JSON.stringify(value)}`,
    }),
  )
})

test.each([-1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 36_500 * 86_400_000 + 1])(
  '%d milliseconds are refused, and shown as they are',
  (value) => {
    expect(() => durationMs(value, 'backoff')).toThrow(
      expect.objectContaining({ code: 'INVALID_DEFINITION', message: expect.stringContaining(`found ${value}`) }),
    )
  },
)

test('law: a duration is whole and not negative, or refused by a typed error', () => {
  const any = fc.oneof(
    fc.double(),
    fc.integer(),
    fc.string(),
    fc.stringMatching(/^-?\d{0,4}\.?\d{1,3} ?(ms|s|m|h|d|w|y)?$/),
  )
  fc.assert(
    fc.property(any, (value) => {
      try {
        const ms = durationMs(value, 'timeout')
        expect(Number.isSafeInteger(ms) && ms >= 0).toBe(true)
      } catch (error) {
        expect(error).toMatchObject({ code: 'INVALID_DEFINITION' })
      }
    }),
    { numRuns: 1_000 },
  )
})

test('a time is shown as ISO 8601 in UTC', () => {
  expect(isoTime(0)).toBe('1970-01-01T00:00:00.000Z')
  expect(isoTime(1_700_000_000_123)).toBe('2023-11-14T22:13:20.123Z')
})
