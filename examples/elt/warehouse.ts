import { DatabaseSync } from 'node:sqlite'
import type { CleanFlight, RejectedFlight } from './clean.ts'

/** Each row belongs to a run. A reader uses the run that was verified last. */
const schema = `
  create table if not exists flights (
    run text not null,
    flight integer not null,
    departed_at text not null,
    delay_minutes integer not null,
    distance_miles integer not null,
    origin text not null,
    origin_city text not null,
    origin_state text not null,
    origin_latitude real not null,
    origin_longitude real not null,
    destination text not null,
    destination_city text not null,
    destination_state text not null,
    destination_latitude real not null,
    destination_longitude real not null,
    primary key (run, flight)
  ) strict, without rowid;
  create table if not exists rejected_flights (
    run text not null,
    flight integer not null,
    reason text not null,
    source text not null,
    primary key (run, flight)
  ) strict, without rowid;
  create table if not exists loaded_chunks (
    key text primary key,
    run text not null,
    rows integer not null
  ) strict, without rowid;
`

/**
 * Result of loading a chunk.
 *
 * - `rows`  number of its rows in the warehouse now.
 * - `found`  they were there already: an earlier attempt committed them, and died before it recorded that.
 */
export type ChunkLoad = { readonly rows: number; readonly found: boolean }

/** Part of a run's rows, with a key. Loading a key twice has the same result as loading it once. */
export type Chunk<Row> = { readonly run: string; readonly key: string; readonly rows: readonly Row[] }

/** Opens the warehouse while `work` runs; creates it if it does not exist. */
export async function withWarehouse<T>(file: string, work: (warehouse: DatabaseSync) => Promise<T> | T): Promise<T> {
  const warehouse = new DatabaseSync(file, { timeout: 5_000 })
  try {
    // It can be read while it is being loaded. Each commit still reaches the disk (synchronous=FULL, the default).
    warehouse.exec('pragma journal_mode = wal')
    warehouse.exec(schema)
    return await work(warehouse)
  } finally {
    warehouse.close()
  }
}

/** Loads a chunk of flights, unless its key is there already. */
export function loadFlights(warehouse: DatabaseSync, chunk: Chunk<CleanFlight>): ChunkLoad {
  return loadOnce(warehouse, chunk, () => {
    const insert = warehouse.prepare('insert into flights values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)')
    for (const row of chunk.rows) insert.run(chunk.run, ...flightColumns(row))
  })
}

/** Loads the rejected flights of a run, unless their key is there already. */
export function loadRejected(warehouse: DatabaseSync, chunk: Chunk<RejectedFlight>): ChunkLoad {
  return loadOnce(warehouse, chunk, () => {
    const insert = warehouse.prepare('insert into rejected_flights values (?, ?, ?, ?)')
    for (const row of chunk.rows) insert.run(chunk.run, row.flight, row.reason, row.source)
  })
}

/**
 * The important part: the key and the rows are one transaction. A second load with the same key, after a crash or in
 * parallel, finds the key and writes nothing.
 */
function loadOnce(warehouse: DatabaseSync, chunk: Chunk<unknown>, insertRows: () => void): ChunkLoad {
  const rows = chunk.rows.length
  warehouse.exec('begin immediate')
  try {
    const note = warehouse.prepare('insert into loaded_chunks values (?, ?, ?) on conflict (key) do nothing')
    const found = note.run(chunk.key, chunk.run, rows).changes === 0
    if (!found) insertRows()
    warehouse.exec('commit')
    return { rows, found }
  } catch (error) {
    if (warehouse.isTransaction) warehouse.exec('rollback')
    throw error
  }
}

/** In the order of the table's columns, after the run. */
function flightColumns(row: CleanFlight): readonly (string | number)[] {
  return [
    row.flight,
    row.departedAt,
    row.delayMinutes,
    row.distanceMiles,
    row.origin,
    row.originCity,
    row.originState,
    row.originLatitude,
    row.originLongitude,
    row.destination,
    row.destinationCity,
    row.destinationState,
    row.destinationLatitude,
    row.destinationLongitude,
  ]
}
