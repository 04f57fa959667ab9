/**
 * The value below which a part `q` of the values lies, by nearest rank; of two in the middle, the mean.
 *
 * @param q  0 to 1.
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

/** A figure over rounds. */
export interface Summary {
  readonly median: number
  readonly lowest: number
  readonly highest: number
}

/** @throws {RangeError}  there are no values. */
export function summarize(values: readonly number[]): Summary {
  return { median: quantile(values, 0.5), lowest: Math.min(...values), highest: Math.max(...values) }
}
