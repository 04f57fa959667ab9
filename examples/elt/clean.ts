import { z } from 'zod'
import type { AirportLine, FlightRow, Source } from './extract.ts'
import { greatCircleMiles } from './great-circle.ts'

/** An airport with a position. Latitude and longitude are in degrees, south and west negative. */
export type Airport = {
  readonly iata: string
  readonly city: string
  readonly state: string
  readonly latitude: number
  readonly longitude: number
}

/** A flight joined with its two airports: a row of the warehouse. */
export const cleanFlight = z.object({
  /** Row number in the source file, from 1. It identifies the flight, because the source has no flight numbers. */
  flight: z.number().int(),
  /** 'YYYY-MM-DDThh:mm', local time at the origin. The source names no time zone. */
  departedAt: z.string(),
  delayMinutes: z.number().int(),
  distanceMiles: z.number().int(),
  origin: z.string(),
  originCity: z.string(),
  originState: z.string(),
  originLatitude: z.number(),
  originLongitude: z.number(),
  destination: z.string(),
  destinationCity: z.string(),
  destinationState: z.string(),
  destinationLatitude: z.number(),
  destinationLongitude: z.number(),
})
export type CleanFlight = z.infer<typeof cleanFlight>

/** Why a flight was left out. */
export const reason = z.enum([
  'impossible date',
  'unknown airport',
  'airport without a city, state or position',
  'distance does not fit the map',
])
export type Reason = z.infer<typeof reason>

/**
 * A flight that was left out: its row number in the source file from 1, the reason, and the row itself as JSON text.
 */
export const rejectedFlight = z.object({ flight: z.number().int(), reason, source: z.string() })
export type RejectedFlight = z.infer<typeof rejectedFlight>

/** Every row of the source is in exactly one of the two. */
export type Cleaned = {
  readonly flights: readonly CleanFlight[]
  readonly rejected: readonly RejectedFlight[]
}

/** Joins each flight with its airports, or says why it cannot. Pure: the same source gives the same rows. */
export function clean(source: Source): Cleaned {
  const airports = new Map(source.airports.map((line) => [line.iata, parseAirport(line)]))
  const flights: CleanFlight[] = []
  const rejected: RejectedFlight[] = []
  for (const [index, row] of source.flights.entries()) {
    const flight = index + 1
    const outcome = cleanOne(flight, row, airports)
    if (typeof outcome === 'string') rejected.push({ flight, reason: outcome, source: JSON.stringify(row) })
    else flights.push(outcome)
  }
  return { flights, rejected }
}

type Airports = ReadonlyMap<string, Airport | null>

function cleanOne(flight: number, row: FlightRow, airports: Airports): CleanFlight | Reason {
  const departedAt = parseDate(row.date)
  if (departedAt === null) return 'impossible date'
  const origin = airports.get(row.origin)
  const destination = airports.get(row.destination)
  if (origin === undefined || destination === undefined) return 'unknown airport'
  if (origin === null || destination === null) return 'airport without a city, state or position'
  if (!fitsTheMap(row.distance, origin, destination)) return 'distance does not fit the map'
  return joined(flight, departedAt, row, origin, destination)
}

function joined(
  flight: number,
  departedAt: string,
  row: FlightRow,
  origin: Airport,
  destination: Airport,
): CleanFlight {
  return {
    flight,
    departedAt,
    delayMinutes: row.delay,
    distanceMiles: row.distance,
    origin: origin.iata,
    originCity: origin.city,
    originState: origin.state,
    originLatitude: origin.latitude,
    originLongitude: origin.longitude,
    destination: destination.iata,
    destinationCity: destination.city,
    destinationState: destination.state,
    destinationLatitude: destination.latitude,
    destinationLongitude: destination.longitude,
  }
}

/** The airport, or null if the source has no position for it: it writes 'NA' for an unknown city or state. */
export function parseAirport(line: AirportLine): Airport | null {
  const latitude = Number.parseFloat(line.latitude)
  const longitude = Number.parseFloat(line.longitude)
  const known = [line.city, line.state].every((name) => name !== '' && name !== 'NA')
  if (!known || !(Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180)) return null
  return { iata: line.iata, city: line.city, state: line.state, latitude, longitude }
}

/** '2001/01/31 06:02' → '2001-01-31T06:02'; null if there is no such minute. */
export function parseDate(text: string): string | null {
  const parts = /^(\d{4})\/(\d{2})\/(\d{2}) (\d{2}:\d{2})$/.exec(text)
  if (parts === null) return null
  const minute = `${parts[1]}-${parts[2]}-${parts[3]}T${parts[4]}`
  const time = Date.parse(`${minute}Z`)
  // Date.parse reads 31 February as 3 March, so the result is compared with the text.
  const exists = !Number.isNaN(time) && new Date(time).toISOString().startsWith(minute)
  return exists ? minute : null
}

/**
 * Whether a distance in miles is the great circle's, within 2 miles and 1 %. Otherwise the join took a wrong airport.
 */
function fitsTheMap(distance: number, origin: Airport, destination: Airport): boolean {
  const expected = greatCircleMiles(origin, destination)
  return Math.abs(distance - expected) <= 2 + expected / 100
}
