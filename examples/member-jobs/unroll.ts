import type { Position } from 'geojson'

/**
 * A closed ring whose longitudes go on without a jump: one that crosses the antimeridian leaves the map at 180 and goes on
 * beyond it, and one around a pole is closed by way of that pole. Any other is given back as it is.
 *
 * The atlas has its rings stitched together over the antimeridian, so that an edge goes from 180 to -180, right across
 * any flat map. RFC 7946 would have them cut; what cuts tiles takes longitudes beyond 180 and wraps them.
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

/** To the digits of the map, which a sum of fractions loses. */
function round(degrees: number): number {
  return Number(degrees.toFixed(4))
}
