/**
 * The smallest value that is at or above a part `q` of all values (nearest rank). If two values fit, their mean. So `q`
 * = 0.5 gives the median.
 *
 * @param q  from 0 to 1.
 * @throws {RangeError}  there are no values.
 */
export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = q * sorted.length
  const below = sorted[Math.max(0, Math.ceil(rank) - 1)]
  const above = sorted[Math.min(sorted.length - 1, Math.floor(rank))]
  if (below === undefined || above === undefined) throw new RangeError('a quantile needs at least one value')
  return (below + above) / 2
}

/** The slope of the line that fits the points best (least squares). */
export interface Slope {
  readonly slope: number
  /** Half the width of the slope's 95 % interval. Holds if the errors are normal and independent. */
  readonly error: number
}

/**
 * Student's t at 97.5 %. The index is the number of degrees of freedom; the last value is used for all larger numbers.
 */
const T = [
  Number.NaN,
  12.71,
  4.3,
  3.18,
  2.78,
  2.57,
  2.45,
  2.36,
  2.31,
  2.26,
  2.23,
  2.2,
  2.18,
  2.16,
  2.14,
  2.13,
  2.12,
  2.11,
  2.1,
]

/**
 * Fits a line through points.
 *
 * @throws {RangeError}  there are fewer than three points.
 */
export function slopeOf(points: readonly (readonly [x: number, y: number])[]): Slope {
  const n = points.length
  if (n < 3) throw new RangeError('the interval of a slope needs at least three points')
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / n
  const x = mean(points.map(([each]) => each))
  const y = mean(points.map(([, each]) => each))
  const spread = points.reduce((sum, [each]) => sum + (each - x) ** 2, 0)
  const slope = points.reduce((sum, [a, b]) => sum + (a - x) * (b - y), 0) / spread
  const rest = points.reduce((sum, [a, b]) => sum + (b - y - slope * (a - x)) ** 2, 0)
  return { slope, error: (T[n - 2] ?? 2.1) * Math.sqrt(rest / (n - 2) / spread) }
}

/** The values of a figure in all rounds, summarized. */
export interface Summary {
  readonly median: number
  readonly lowest: number
  readonly highest: number
}

/**
 * Summarizes values.
 *
 * @throws {RangeError}  there are no values.
 */
export function summarize(values: readonly number[]): Summary {
  return { median: quantile(values, 0.5), lowest: Math.min(...values), highest: Math.max(...values) }
}
