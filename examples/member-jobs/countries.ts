import { readFile } from 'node:fs/promises'
import type { MultiPolygon, Polygon, Position } from 'geojson'
import { z } from 'zod'

const position = z.array(z.number()).min(2)
const polygon = z.array(z.array(position))

/** A country on the map. `polygons` are lists of rings, the outer one first; longitude and latitude in degrees. */
export const country = z.object({ id: z.string(), name: z.string(), polygons: z.array(polygon) })
export type Country = z.infer<typeof country>

const geometry = z.union([
  z.object({ type: z.literal('Polygon'), coordinates: polygon }),
  z.object({ type: z.literal('MultiPolygon'), coordinates: z.array(polygon) }),
])

/** A map as GeoJSON: each feature a country, by its id. */
export const countryMap = z.object({
  type: z.literal('FeatureCollection'),
  features: z.array(
    z.object({
      type: z.literal('Feature'),
      id: z.string(),
      properties: z.object({ name: z.string() }),
      geometry,
    }),
  ),
})
export type CountryMap = z.infer<typeof countryMap>

/** The polygons of a country. GeoJSON has no list around a single one. */
export function polygonsOf({ type, coordinates }: Polygon | MultiPolygon): Position[][][] {
  return type === 'Polygon' ? [coordinates] : coordinates
}

/** The map of some countries. */
export function mapOf(countries: readonly Country[]): CountryMap {
  return {
    type: 'FeatureCollection',
    features: countries.map(({ id, name, polygons }) => ({
      type: 'Feature',
      id,
      properties: { name },
      geometry: { type: 'MultiPolygon', coordinates: polygons },
    })),
  }
}

/**
 * Reads a map that a Load has written.
 *
 * @throws {ZodError}  the file has other content.
 */
export async function readMap(file: string): Promise<CountryMap> {
  return countryMap.parse(JSON.parse(await readFile(file, 'utf8')))
}
