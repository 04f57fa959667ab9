import { writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import { z } from 'zod'
import { readAtlas } from './atlas.ts'
import { Cleaning } from './clean.ts'
import { mapOf } from './countries.ts'
import { members } from './members.ts'

/** Loads a map of the atlas: reads its TopoJSON, cleans it, and writes it as GeoJSON into a folder. */
export const load = members.defineJob({
  type: 'Load',
  input: z.object({ source: z.string(), folder: z.string() }),
  message: ({ source }) => `Load ${source}`,
  async execute({ input: { source, folder }, percent, signal }) {
    const countries = await readAtlas(source)
    percent(20)
    const cleaning = new Cleaning()
    for (const [index, country] of countries.entries()) {
      cleaning.add(country)
      percent(20 + (60 * (index + 1)) / countries.length)
      // A cancel takes effect between two countries.
      await turn()
      signal.throwIfAborted()
    }
    const file = join(folder, `${basename(source, '.json')}.geojson`)
    await writeFile(file, JSON.stringify(mapOf(cleaning.countries)))
    return { file, countries: cleaning.countries.length, ...cleaning.changes }
  },
})
