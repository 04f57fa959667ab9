import { z } from 'zod'
import { reason } from './clean.ts'
import { type Context, context } from './context.ts'
import { amount, number } from './words.ts'

const count = z.number().int()

/** The output of a completed run. Delays are minutes (early is negative), distances miles. */
export const summary = z.object({
  airports: count,
  flights: count,
  rejected: count,
  reasons: z.array(z.object({ reason, flights: count })),
  loaded: count,
  chunks: count,
  found: count,
  origins: count,
  delayMinutes: count,
  distanceMiles: count,
})
export type Summary = z.infer<typeof summary>

/** The output of a run; null if it was not verified. */
export function summarize({ extracted, cleaned, loaded, verified }: Context): Summary | null {
  if (extracted === null || cleaned === null || loaded === null || verified === null) return null
  return {
    airports: extracted.airports.rows,
    flights: extracted.flights.rows,
    rejected: cleaned.rejected.rows,
    reasons: cleaned.reasons,
    loaded: loaded.flights,
    chunks: loaded.chunks,
    found: loaded.found,
    origins: verified.origins,
    delayMinutes: verified.totals.delayMinutes,
    distanceMiles: verified.totals.distanceMiles,
  }
}

/** The result of the state that was just passed, in words for the history; undefined if there is none. */
export function describePassed(state: unknown, known: unknown): string | undefined {
  const { extracted, cleaned, loaded, verified } = context.parse(known)
  if (state === 'cleaning' && extracted !== null) {
    return `read ${amount(extracted.airports.rows, 'airport')} and ${amount(extracted.flights.rows, 'flight')}`
  }
  if (state === 'loading' && cleaned !== null) {
    const rejected = rejectedInWords(cleaned.rejected.rows, cleaned.reasons)
    return `joined ${amount(cleaned.flights.rows, 'flight')}, rejected ${rejected}`
  }
  if (state === 'verifying' && loaded !== null) {
    const found = loaded.found === 0 ? '' : `, ${loaded.found} of them found there after an interruption`
    return `loaded ${amount(loaded.flights, 'flight')} in ${amount(loaded.chunks, 'chunk')}${found}`
  }
  if (state === 'completed' && verified !== null) {
    return `counts and sums agree with the source for ${amount(verified.origins, 'airport')} of origin`
  }
  return undefined
}

/** '1 (airport without a city, state or position: 1)'. */
export function rejectedInWords(rejected: number, reasons: Summary['reasons']): string {
  if (rejected === 0) return 'none'
  return `${number(rejected)} (${reasons.map(({ reason, flights }) => `${reason}: ${number(flights)}`).join(', ')})`
}
