import type { Position } from 'geojson'

/**
 * A closed ring whose longitudes have no jump. A ring that crosses the antimeridian continues beyond 180, and one
 * around a pole is closed by way of that pole. Any other ring is returned unchanged.
 *
 * The atlas joins its rings across the antimeridian, so an edge goes from 180 to -180, right across a flat map. RFC
 * 7946 would cut them; the tile cutter takes longitudes beyond 180 and wraps them.
 */
export function unrolled(ring: readonly Position[]): readonly Position[] {
  let turns = 0
  let before = ring[0]?.[0] ?? 0
  const all = ring.map(([east = 0, north = 0]) => {
    if (east - before > 180) turns--
    else if (before - east > 180) turns++
    before = east
    return [round(east + 360 * turns), north]
  })
  const isSame = all.every(([east], index) => east === ring[index]?.[0])
  if (isSame) return ring
  return turns === 0 ? all : closedOverPole(all)
}

// The first and the last position are the same place, once around the globe from each other.
function closedOverPole(ring: readonly Position[]): readonly Position[] {
  const [first = [0, 0]] = ring
  const last = ring.at(-1) ?? first
  const [, north = 0] = first
  const pole = north < 0 ? -90 : 90
  return [...ring, [last[0] ?? 0, pole], [first[0] ?? 0, pole], first]
}

/** Rounded to the digits of the map, which sums of fractions lose. */
function round(degrees: number): number {
  return Number(degrees.toFixed(4))
}
