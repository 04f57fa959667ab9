import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, expect, test } from 'vitest'
import { Cleaning } from '../examples/member-jobs/clean.ts'
import { boxOf, isInvalid, measure } from '../examples/member-jobs/measures.ts'
import { isCounterClockwise, ringAreaKm2, ringLengthKm } from '../examples/member-jobs/sphere.ts'
import { TileStore } from '../examples/member-jobs/tile-store.ts'
import { unrolled } from '../examples/member-jobs/unroll.ts'

// The example's figures are right only if its formulas are.

const radiusKm = 6371.0088
const globeKm2 = 4 * Math.PI * radiusKm ** 2

/** A rectangle from west to east, counter-clockwise. */
const rectangle = (west: number, south: number, east: number, north: number) => [
  [west, south],
  [east, south],
  [east, north],
  [west, north],
  [west, south],
]

const folders: string[] = []
afterEach(() => {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
})

test('an octant is an eighth of the globe, and its outline three quarters of a meridian', () => {
  const octant = rectangle(0, 0, 90, 90)
  expect(ringAreaKm2(octant)).toBeCloseTo(globeKm2 / 8, 3)
  expect(ringLengthKm(octant)).toBeCloseTo((2 * Math.PI * radiusKm * 3) / 4, 3)
  expect(isCounterClockwise(octant)).toBe(true)
  expect(isCounterClockwise(octant.toReversed())).toBe(false)
})

test('a ring in the Pacific is measured as the same ring in the Atlantic', () => {
  const degrees = fc.integer({ min: -180, max: 150 })
  const wrapped = (east: number) => (east > 180 ? east - 360 : east)
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 359 }), degrees, (shift, east) => {
      const ring = rectangle(east, -20, east + 30, 40)
      const moved = unrolled(ring.map(([at = 0, north = 0]) => [wrapped(at + shift), north]))
      expect(ringAreaKm2(moved)).toBeCloseTo(ringAreaKm2(ring), 0)
      const [west, south, end, north] = boxOf([moved])
      expect([(((end - west) % 360) + 360) % 360, south, north]).toEqual([expect.closeTo(30, 3), -20, 40])
    }),
  )
})

test('a ring around a pole is closed by way of it', () => {
  const ring = [-180, -90, 0, 90, 180].map((east) => [east, -60])
  const whole = unrolled([...ring.slice(0, -1), [-180, -60]])
  expect(whole.filter(([, north]) => north === -90)).toHaveLength(2)
  expect(ringAreaKm2(whole)).toBeCloseTo((globeKm2 / 2) * (1 - Math.sin(Math.PI / 3)), 3)
  expect(boxOf([whole])).toEqual([-180, -90, 180, -60])
})

test('a box takes the shorter way around the globe', () => {
  expect(boxOf([rectangle(170, 0, 180, 1), rectangle(-180, 0, -170, 1)])).toEqual([170, 0, -170, 1])
  expect(boxOf([rectangle(-20, 0, -10, 1), rectangle(30, 0, 40, 1)])).toEqual([-20, 0, 40, 1])
  expect(boxOf([rectangle(175, 0, 190, 1), rectangle(-175, 0, -160, 1)])).toEqual([175, 0, -160, 1])
})

test('invalid rings are found', () => {
  const ring = rectangle(0, 0, 1, 1)
  expect(isInvalid(ring)).toBe(false)
  expect(isInvalid(ring.slice(1))).toBe(true)
  expect(isInvalid([ring[0] ?? [], ...ring])).toBe(true)
  expect(isInvalid(rectangle(0, 89, 1, 91))).toBe(true)
  expect(
    isInvalid([
      [0, 0],
      [1, 1],
      [0, 0],
    ]),
  ).toBe(true)
})

test('cleaning gives each country its own id, turns its rings, and leaves out countries without area', () => {
  const cleaning = new Cleaning()
  const properties = (name: string) => ({ type: 'Feature', properties: { name } }) as const
  const hole = rectangle(2, 2, 3, 3)
  const geometry = { type: 'Polygon', coordinates: [rectangle(0, 0, 9, 9).toReversed(), hole] } as const
  cleaning.add({ ...properties('A'), id: '1', geometry: { ...geometry, coordinates: [...geometry.coordinates] } })
  cleaning.add({ ...properties('B'), id: '1', geometry: { type: 'Polygon', coordinates: [rectangle(0, 0, 1, 1)] } })
  cleaning.add({ ...properties('C'), id: '3', geometry: { type: 'Point', coordinates: [0, 0] } })
  expect(cleaning.countries.map(({ id }) => id)).toEqual(['1', 'B'])
  expect(cleaning.changes).toEqual({ dropped: 1, renamed: 1, unrolled: 0, rewound: 2 })
  const { areaKm2, holes, polygons, vertices } = measure(cleaning.countries[0]?.polygons ?? [])
  expect({ holes, polygons, vertices }).toEqual({ holes: 1, polygons: 1, vertices: 10 })
  expect(areaKm2).toBeCloseTo(ringAreaKm2(rectangle(0, 0, 9, 9)) - ringAreaKm2(hole), 3)
})

test('tiles that are put twice are stored once', () => {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-tiles-'))
  folders.push(folder)
  using store = new TileStore(join(folder, 'tiles.db'))
  const tile = { zoom: 1, column: 0, row: 1, data: '[]' }
  store.put([tile, { ...tile, row: 0 }])
  store.put([tile])
  expect(store.count).toBe(2)
})
