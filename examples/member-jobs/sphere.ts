import type { Position } from 'geojson'

/** The earth's mean radius, in kilometres. */
const radiusKm = 6371.0088

/**
 * The area inside a closed ring on a sphere, in square kilometres, in either direction of the ring.
 *
 * @see Chamberlain and Duquette, "Some Algorithms for Polygons on a Sphere", JPL Publication 07-03, 2007.
 */
export function ringAreaKm2(ring: readonly Position[]): number {
  let sum = 0
  for (const [from, to] of edges(ring)) {
    sum += radians(to.east - from.east) * (2 + Math.sin(radians(from.north)) + Math.sin(radians(to.north)))
  }
  return Math.abs((sum * radiusKm ** 2) / 2)
}

/** The length of a ring on a sphere, in kilometres (haversine formula). */
export function ringLengthKm(ring: readonly Position[]): number {
  let sum = 0
  for (const [from, to] of edges(ring)) sum += distanceKm(from, to)
  return sum
}

/** Whether a closed ring runs counter-clockwise on the map, as RFC 7946 requires of an outer ring. */
export function isCounterClockwise(ring: readonly Position[]): boolean {
  let sum = 0
  for (const [from, to] of edges(ring)) sum += (to.east - from.east) * (to.north + from.north)
  return sum < 0
}

interface Point {
  readonly east: number
  readonly north: number
}

function* edges(ring: readonly Position[]): Iterable<readonly [Point, Point]> {
  let from: Point | undefined
  for (const [east = 0, north = 0] of ring) {
    const to = { east, north }
    if (from !== undefined) yield [from, to]
    from = to
  }
}

function distanceKm(from: Point, to: Point): number {
  const north = haversine(to.north - from.north)
  const east = haversine(to.east - from.east)
  const narrowing = Math.cos(radians(from.north)) * Math.cos(radians(to.north))
  return 2 * radiusKm * Math.asin(Math.sqrt(north + narrowing * east))
}

function haversine(degrees: number): number {
  return Math.sin(radians(degrees) / 2) ** 2
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180
}
