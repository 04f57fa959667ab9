import { basename, join } from 'node:path'
import GeoJSONVT from 'geojson-vt'
import { z } from 'zod'
import { readMap } from './countries.ts'
import { members } from './members.ts'
import { type Tile, TileStore } from './tile-store.ts'

/**
 * Seeds a cache of vector tiles: cuts a loaded map into the tiles of zooms 0 to `zoomMax` (4^z tiles for zoom z), and
 * stores those that are not empty.
 *
 * A column of tiles is a step. After a stop of the engine, the job continues after the last recorded column. A column
 * that was stored but not recorded is cut again, and its tiles replace the stored ones.
 */
export const seed = members.defineJob({
  type: 'Seed',
  input: z.object({ map: z.string(), folder: z.string(), zoomMax: z.number().int().min(0).max(10) }),
  message: ({ map, zoomMax }) => `Seed ${basename(map)}, zooms 0 to ${zoomMax}`,
  async execute({ input: { map, folder, zoomMax }, job, percent, signal, step }) {
    const index = new GeoJSONVT(await readMap(map), { maxZoom: zoomMax, indexMaxZoom: 0 })
    using store = new TileStore(join(folder, `${basename(map, '.geojson')}.${job.id}.tiles`))
    const columns = columnsOf(zoomMax)
    const total = columns.reduce((sum, { zoom }) => sum + 2 ** zoom, 0)
    let [cut, found] = [0, columns.length]
    for (const { zoom, column } of columns) {
      await step(`zoom ${zoom}, column ${column}`, () => {
        found--
        store.put(cutColumn(index, { zoom, column }, signal))
      })
      cut += 2 ** zoom
      percent((99 * cut) / total)
      signal.throwIfAborted()
    }
    return { tiles: store.count, empty: total - store.count, columns: columns.length, found }
  },
})

interface Column {
  readonly zoom: number
  readonly column: number
}

function columnsOf(zoomMax: number): readonly Column[] {
  return Array.from({ length: zoomMax + 1 }, (_, zoom) =>
    Array.from({ length: 2 ** zoom }, (_, column) => ({ zoom, column })),
  ).flat()
}

function cutColumn(index: GeoJSONVT, { zoom, column }: Column, signal: AbortSignal): readonly Tile[] {
  const tiles: Tile[] = []
  for (let row = 0; row < 2 ** zoom; row++) {
    signal.throwIfAborted()
    const tile = index.getTile(zoom, column, row)
    if (tile !== null && tile.features.length > 0)
      tiles.push({ zoom, column, row, data: JSON.stringify(tile.features) })
  }
  return tiles
}
