import { readFile } from 'node:fs/promises'
import type { Feature, FeatureCollection, Geometry } from 'geojson'
import { feature } from 'topojson-client'
import { z } from 'zod'

const properties = z.object({ name: z.string() })

/** The parts of a TopoJSON file that are checked before topojson-client reads it. */
const topology = z.looseObject({
  type: z.literal('Topology'),
  objects: z.looseObject({ countries: z.looseObject({ type: z.literal('GeometryCollection') }) }),
})

/** A country as the atlas has it. */
export type AtlasCountry = Feature<Geometry, { readonly name: string }>

/**
 * Reads the countries of a file of the `world-atlas` package: Natural Earth's borders as TopoJSON. There, two countries
 * share each common border.
 *
 * @throws {Error}  the file does not exist, or is not a map of countries.
 */
export async function readAtlas(file: string): Promise<readonly AtlasCountry[]> {
  const folder = import.meta.resolve('world-atlas/package.json')
  const text = await readFile(new URL(file, folder), 'utf8').catch((cause: unknown) => {
    throw new Error(`the atlas has no map "${file}"`, { cause })
  })
  const parsed = topology.parse(JSON.parse(text))
  // The library has its own types for its input. The shape that it relies on was checked above.
  const read = feature as unknown as (from: typeof parsed, what: unknown) => FeatureCollection
  const { features } = read(parsed, parsed.objects.countries)
  return features.map((each) => ({ ...each, properties: properties.parse(each.properties) }))
}
