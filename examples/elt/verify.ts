import type { DatabaseSync } from 'node:sqlite'
import { z } from 'zod'
import type { FlightRow } from './extract.ts'

/** Number of flights, with the sums of their delays (minutes) and distances (miles). */
export const totals = z.object({
  flights: z.number().int(),
  delayMinutes: z.number().int(),
  distanceMiles: z.number().int(),
})
export type Totals = z.infer<typeof totals>

/** Totals by the airport of origin. */
export type TotalsByOrigin = ReadonlyMap<string, Totals>

/** One origin whose totals differ; undefined if one side does not have it. */
export type Difference = {
  readonly origin: string
  readonly source: Totals | undefined
  readonly warehouse: Totals | undefined
}

const originTotals = totals.extend({ origin: z.string() })

/** Adds up the rows of the source. It uses no code of the cleaning or the loading, so that it finds faults in both. */
export function sourceTotals(rows: readonly FlightRow[]): TotalsByOrigin {
  const byOrigin = new Map<string, Totals>()
  for (const { origin, delay, distance } of rows) {
    const sum = byOrigin.get(origin) ?? { flights: 0, delayMinutes: 0, distanceMiles: 0 }
    byOrigin.set(origin, {
      flights: sum.flights + 1,
      delayMinutes: sum.delayMinutes + delay,
      distanceMiles: sum.distanceMiles + distance,
    })
  }
  return byOrigin
}

/** Adds up all rows of one run, loaded and rejected. Together they must equal the source. */
export function warehouseTotals(warehouse: DatabaseSync, run: string): TotalsByOrigin {
  const rows = warehouse
    .prepare(`
      select origin, count(*) as flights, sum(delay) as delayMinutes, sum(distance) as distanceMiles from (
        select origin, delay_minutes as delay, distance_miles as distance from flights where run = :run
        union all
        select source ->> 'origin', source ->> 'delay', source ->> 'distance' from rejected_flights where run = :run
      ) group by origin`)
    .all({ run })
  return new Map(
    z
      .array(originTotals)
      .parse(rows)
      .map(({ origin, ...sum }) => [origin, sum]),
  )
}

/** Adds up the loaded rows of one run. */
export function loadedTotals(warehouse: DatabaseSync, run: string): Totals {
  const row = warehouse
    .prepare(`
      select count(*) as flights, coalesce(sum(delay_minutes), 0) as delayMinutes,
        coalesce(sum(distance_miles), 0) as distanceMiles
      from flights where run = ?`)
    .get(run)
  return totals.parse(row)
}

/**
 * The origins whose totals differ, in alphabetical order. If there are none, each source row is in the warehouse once.
 */
export function differences(source: TotalsByOrigin, warehouse: TotalsByOrigin): readonly Difference[] {
  const origins = [...new Set([...source.keys(), ...warehouse.keys()])].sort()
  return origins
    .map((origin) => ({ origin, source: source.get(origin), warehouse: warehouse.get(origin) }))
    .filter((pair) => !sameTotals(pair.source, pair.warehouse))
}

/** The differences in words, five at most. */
export function describeDifferences(found: readonly Difference[]): string {
  const shown = found
    .slice(0, 5)
    .map((pair) => `${pair.origin}: ${inWords(pair.source)} in the source, ${inWords(pair.warehouse)} in the warehouse`)
  const more = found.length > shown.length ? [`and ${found.length - shown.length} more`] : []
  return [...shown, ...more].join('; ')
}

function sameTotals(a: Totals | undefined, b: Totals | undefined): boolean {
  return a?.flights === b?.flights && a?.delayMinutes === b?.delayMinutes && a?.distanceMiles === b?.distanceMiles
}

function inWords(sum: Totals | undefined): string {
  if (sum === undefined) return 'none'
  return `${sum.flights} flights, ${sum.delayMinutes} minutes, ${sum.distanceMiles} miles`
}
