import { readFile } from 'node:fs/promises'
import { parse } from 'csv-parse/sync'
import { z } from 'zod'

/** A line of airports.csv: text, as in the file. */
export const airportLine = z.object({
  iata: z.string(),
  name: z.string(),
  city: z.string(),
  state: z.string(),
  country: z.string(),
  latitude: z.string(),
  longitude: z.string(),
})
export type AirportLine = z.infer<typeof airportLine>

/** A flight as the source has it: `date` 'YYYY/MM/DD hh:mm', `delay` minutes (early is negative), `distance` miles. */
export const flightRow = z.object({
  date: z.string(),
  delay: z.number().int(),
  distance: z.number().int(),
  origin: z.string(),
  destination: z.string(),
})
export type FlightRow = z.infer<typeof flightRow>

/** The rows of the two source files, in order. */
export type Source = {
  readonly airports: readonly AirportLine[]
  readonly flights: readonly FlightRow[]
}

/** Path of a file of the `vega-datasets` package. Its exports hide the data folder, so the path starts at its entry. */
function sourceFile(name: string): URL {
  return new URL(`../data/${name}`, import.meta.resolve('vega-datasets'))
}

/**
 * Reads the airports. Quoted fields may contain commas, so a CSV parser is needed.
 *
 * @throws {ZodError}  a column is missing.
 */
async function readAirports(): Promise<readonly AirportLine[]> {
  const text = await readFile(sourceFile('airports.csv'), 'utf8')
  return z.array(airportLine).parse(parse(text, { columns: true }))
}

/**
 * Reads the flights of January to March 2001: row n of the file is at index n − 1.
 *
 * @throws {ZodError}  a row is not a flight.
 */
export async function readFlights(): Promise<readonly FlightRow[]> {
  const text = await readFile(sourceFile('flights-20k.json'), 'utf8')
  return z.array(flightRow).parse(JSON.parse(text))
}

/** Reads both source files. */
export async function readSource(): Promise<Source> {
  const [airports, flights] = await Promise.all([readAirports(), readFlights()])
  return { airports, flights }
}
