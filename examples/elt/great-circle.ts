/** A point on the globe, in degrees; south and west are negative. */
export type Point = { readonly latitude: number; readonly longitude: number }

/** The earth's mean radius, in miles. */
const radiusMiles = 3958.8

/** The shortest distance between two points on a sphere, in miles (haversine formula). */
export function greatCircleMiles(from: Point, to: Point): number {
  const north = haversine(to.latitude - from.latitude)
  const east = haversine(to.longitude - from.longitude)
  const narrowing = Math.cos(radians(from.latitude)) * Math.cos(radians(to.latitude))
  return 2 * radiusMiles * Math.asin(Math.sqrt(north + narrowing * east))
}

function haversine(degrees: number): number {
  return Math.sin(radians(degrees) / 2) ** 2
}

function radians(degrees: number): number {
  return (degrees * Math.PI) / 180
}
