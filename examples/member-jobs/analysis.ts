import { writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { z } from 'zod'
import { polygonsOf, readMap } from './countries.ts'
import { type Measures, measure } from './measures.ts'
import { members } from './members.ts'

/** A country with its measures: a line of the report. */
export type MeasuredCountry = Measures & { readonly id: string; readonly name: string }

/** Number of largest countries that the result names. */
const largestCount = 3

/** Analyzes a loaded map: measures each country on a sphere, and writes the report beside the map. */
export const analysis = members.defineJob({
  type: 'Analysis',
  input: z.object({ map: z.string(), folder: z.string() }),
  message: ({ map }) => `Analyze ${basename(map)}`,
  async execute({ input: { map, folder }, percent, signal }) {
    const { features } = await readMap(map)
    const measured: MeasuredCountry[] = []
    for (const [index, { id, properties, geometry }] of features.entries()) {
      measured.push({ id, name: properties.name, ...measure(polygonsOf(geometry)) })
      percent((99 * (index + 1)) / features.length)
      await turn()
      signal.throwIfAborted()
    }
    const report = join(folder, `${basename(map, '.geojson')}.report.json`)
    const summary = summaryOf(measured)
    await writeFile(report, JSON.stringify({ ...summary, measured }, undefined, 2))
    return { report, ...summary }
  },
})

function summaryOf(measured: readonly MeasuredCountry[]) {
  const sum = (key: 'vertices' | 'areaKm2' | 'outlineKm' | 'invalidRings') =>
    Math.round(measured.reduce((total, each) => total + each[key], 0))
  const largest = measured.toSorted((a, b) => b.areaKm2 - a.areaKm2).slice(0, largestCount)
  return {
    countries: measured.length,
    vertices: sum('vertices'),
    areaKm2: sum('areaKm2'),
    outlineKm: sum('outlineKm'),
    invalidRings: sum('invalidRings'),
    largest: largest.map(({ name, areaKm2, box }) => ({ name, areaKm2: Math.round(areaKm2), box })),
  }
}
