import type { Position } from 'geojson'
import { ringAreaKm2, ringLengthKm } from './sphere.ts'

type Polygons = readonly (readonly (readonly Position[])[])[]

/** [west, south, east, north], in degrees. A box over the antimeridian has its west above its east (RFC 7946, 5.2). */
export type Box = readonly [number, number, number, number]

/** Measures of a country. */
export interface Measures {
  readonly polygons: number
  readonly holes: number
  readonly vertices: number
  readonly areaKm2: number
  /** Length of all its rings: coasts, borders, and cuts along the antimeridian. */
  readonly outlineKm: number
  readonly box: Box
  readonly invalidRings: number
}

/** Measures a country. */
export function measure(polygons: Polygons): Measures {
  const rings = polygons.flat()
  return {
    polygons: polygons.length,
    holes: rings.length - polygons.length,
    vertices: rings.reduce((sum, ring) => sum + ring.length, 0),
    areaKm2: polygons.reduce((sum, polygon) => sum + polygonAreaKm2(polygon), 0),
    outlineKm: rings.reduce((sum, ring) => sum + ringLengthKm(ring), 0),
    box: boxOf(rings),
    invalidRings: rings.filter(isInvalid).length,
  }
}

function polygonAreaKm2([outer = [], ...holes]: readonly (readonly Position[])[]): number {
  return holes.reduce((area, hole) => area - ringAreaKm2(hole), ringAreaKm2(outer))
}

/** Whether a ring is invalid: fewer than four positions, not closed, a position twice in a row, or off the globe. */
export function isInvalid(ring: readonly Position[]): boolean {
  const isSame = (a: Position | undefined, b: Position | undefined) => a?.[0] === b?.[0] && a?.[1] === b?.[1]
  if (ring.length < 4 || !isSame(ring[0], ring.at(-1))) return true
  return ring.some((position, index) => {
    const [east = Number.NaN, north = Number.NaN] = position
    const isOnGlobe = Number.isFinite(east) && Math.abs(north) <= 90
    return !isOnGlobe || (index > 0 && isSame(position, ring[index - 1]))
  })
}

/** The smallest box around rings. A box all around the globe goes from -180 to 180. */
export function boxOf(rings: readonly (readonly Position[])[]): Box {
  const [west, east] = around(rings.map((ring) => spanOf(ring.map(([longitude = 0]) => longitude))))
  const [south, north] = spanOf(rings.flatMap((ring) => ring.map(([, latitude = 0]) => latitude)))
  return [west, south, east, north]
}

type Span = readonly [number, number]

function spanOf(values: readonly number[]): Span {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const value of values) {
    low = Math.min(low, value)
    high = Math.max(high, value)
  }
  return [low, high]
}

// The circle without its widest gap. The search goes eastward, from the part that crosses the antimeridian.
function around(spans: readonly Span[]): Span {
  const sorted = spans.map(onMap).sort(([a], [b]) => a - b)
  let reached = Math.max(...sorted.map(([, east]) => east)) - 360
  let widest = { gap: 0, box: [-180, 180] as Span }
  for (const [west, east] of sorted) {
    if (west - reached > widest.gap) widest = { gap: west - reached, box: [west, onMap([reached, reached])[0]] }
    reached = Math.max(reached, east)
  }
  return widest.box
}

/** The same span, with its west from -180 to below 180. */
function onMap([west, east]: Span): Span {
  const shift = 360 * Math.floor((west + 180) / 360)
  return [round(west - shift), round(east - shift)]
}

// Rounded to the digits of the map, which sums of fractions lose.
function round(degrees: number): number {
  return Number(degrees.toFixed(4))
}
