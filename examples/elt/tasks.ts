import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { task } from 'jobchart'
import { z } from 'zod'
import { clean, cleanFlight, rejectedFlight } from './clean.ts'
import { cleaned, extracted, type Loaded, settings } from './context.ts'
import { airportLine, flightRow, readFlights, readSource } from './extract.ts'
import { readStaged, removeStaging, stagingFolder, writeStaged } from './staging.ts'
import { describeDifferences, differences, loadedTotals, sourceTotals, warehouseTotals } from './verify.ts'
import { type ChunkLoad, loadFlights, loadRejected, withWarehouse } from './warehouse.ts'

/** Reads both sources and stages them. Later states work on these rows, even if the source changes. */
export const extractTask = task({ input: z.object({ settings }) }, async ({ input, job }) => {
  const folder = stagingFolder(input.settings.folder, job.id)
  const source = await readSource()
  return {
    airports: await writeStaged(join(folder, 'airports.json'), source.airports),
    flights: await writeStaged(join(folder, 'flights.json'), source.flights),
  }
})

/** Joins the flights with their airports, and stages the joined and the rejected ones. */
export const cleanTask = task({ input: z.object({ settings, extracted }) }, async ({ input, job, log }) => {
  const folder = stagingFolder(input.settings.folder, job.id)
  const { flights, rejected } = clean({
    airports: await readStaged(input.extracted.airports, airportLine),
    flights: await readStaged(input.extracted.flights, flightRow),
  })
  for (const row of rejected.slice(0, 100)) log(`rejected flight ${row.flight}: ${row.reason}: ${row.source}`)
  const counts = Map.groupBy(rejected, (row) => row.reason)
  return {
    flights: await writeStaged(join(folder, 'clean-flights.json'), flights),
    rejected: await writeStaged(join(folder, 'rejected-flights.json'), rejected),
    reasons: [...counts].map(([reason, rows]) => ({ reason, flights: rows.length })),
  }
})

/**
 * Loads the staged rows into the warehouse, each chunk exactly once.
 *
 * A chunk is a step. A step whose result is recorded does not run again, in this process or the next. An interrupted
 * step runs again under the same key, by which the warehouse knows whether its rows are there.
 */
export const loadTask = task(
  { input: z.object({ settings, cleaned }), retry: { limit: 2, backoff: '1s' } },
  async ({ input, job, progress, log, step }) => {
    const flights = await readStaged(input.cleaned.flights, cleanFlight)
    const rejected = await readStaged(input.cleaned.rejected, rejectedFlight)
    const chunks = chunksOf(flights, input.settings.chunkRows)
    const pauseMs = (input.settings.paceSeconds * 1000) / Math.max(1, chunks.length)
    return withWarehouse(warehouseFile(input.settings.folder), async (warehouse) => {
      await step('rejected', ({ key }) => loadRejected(warehouse, { run: job.id, key, rows: rejected }))
      let done: Loaded = { flights: 0, chunks: 0, found: 0 }
      for (const [index, rows] of chunks.entries()) {
        const name = `chunk ${index + 1}`
        const load = await step(name, async ({ key, signal }) => {
          const load = loadFlights(warehouse, { run: job.id, key, rows })
          // The pause is in the worst place on purpose: the rows are committed, but the step's result is not recorded
          // yet. So a random kill nearly always comes right here.
          if (!load.found && pauseMs > 0) await sleep(pauseMs, undefined, { signal })
          return load
        })
        if (load.found) log(`${name} was in the warehouse already`)
        done = add(done, load)
        progress({ completed: done.flights, total: flights.length })
      }
      return done
    })
  },
)

/**
 * Compares the warehouse with the source, which is read again: every source row must be in the warehouse exactly once,
 * loaded or rejected. Afterwards the staged rows are not needed any more.
 */
export const verifyTask = task({ input: z.object({ settings }) }, async ({ input, job }) => {
  const source = sourceTotals(await readFlights())
  const loaded = await withWarehouse(warehouseFile(input.settings.folder), (warehouse) => {
    const found = differences(source, warehouseTotals(warehouse, job.id))
    if (found.length > 0) throw new Error(`the warehouse differs from the source: ${describeDifferences(found)}`)
    return loadedTotals(warehouse, job.id)
  })
  await removeStaging(input.settings.folder, job.id)
  return { origins: source.size, totals: loaded }
})

/** File of a run's warehouse. */
export function warehouseFile(folder: string): string {
  return join(folder, 'warehouse.db')
}

function add(done: Loaded, load: ChunkLoad): Loaded {
  return {
    flights: done.flights + load.rows,
    chunks: done.chunks + 1,
    found: done.found + (load.found ? 1 : 0),
  }
}

function chunksOf<Row>(rows: readonly Row[], size: number): readonly (readonly Row[])[] {
  return Array.from({ length: Math.ceil(rows.length / size) }, (_, index) =>
    rows.slice(index * size, (index + 1) * size),
  )
}
