import type { Position } from 'geojson'
import type { AtlasCountry } from './atlas.ts'
import { type Country, polygonsOf } from './countries.ts'
import { isCounterClockwise } from './sphere.ts'
import { unrolled } from './unroll.ts'

/** Digits kept after the point of a degree: 11 m, finer than the grid of the atlas. */
const digits = 4

/** Number of each kind of correction. */
export interface Changes {
  /** Countries that were left out, because they have no area. */
  readonly dropped: number
  /** Countries without an id, or with the id of another; they get their name as id. */
  readonly renamed: number
  /** Rings that were joined again across the antimeridian, or around a pole. */
  readonly unrolled: number
  /** Rings that were reversed: outer ones are now counter-clockwise and holes clockwise (RFC 7946). */
  readonly rewound: number
}

/** Cleans countries, one after the other. Pure except for its memory: the same countries give the same map. */
export class Cleaning {
  readonly countries: Country[] = []
  readonly #ids = new Set<string>()
  #dropped = 0
  #renamed = 0
  #unrolled = 0
  #rewound = 0

  get changes(): Changes {
    return { dropped: this.#dropped, renamed: this.#renamed, unrolled: this.#unrolled, rewound: this.#rewound }
  }

  add({ id, properties: { name }, geometry }: AtlasCountry): void {
    const isArea = geometry.type === 'Polygon' || geometry.type === 'MultiPolygon'
    const polygons = isArea ? polygonsOf(geometry).flatMap((rings) => this.#polygons(rings)) : []
    if (polygons.length === 0) this.#dropped++
    else this.countries.push({ id: this.#idOf(id, name), name, polygons })
  }

  #idOf(id: string | number | undefined, name: string): string {
    const isOwn = id !== undefined && !this.#ids.has(String(id))
    if (!isOwn) this.#renamed++
    const own = isOwn ? String(id) : name
    this.#ids.add(own)
    return own
  }

  // A ring around a pole may be listed as a hole of another ring. On a flat map it is a separate area of land.
  #polygons(rings: readonly (readonly Position[])[]): Position[][][] {
    const whole = rings.map((ring) => this.#inOnePiece(ring.map(rounded)))
    const polar = whole.slice(1).filter(touchesPole)
    const usual = whole.filter((ring) => !polar.includes(ring))
    return [usual, ...polar.map((ring) => [ring])].map((polygon) =>
      polygon.map((ring, index) => this.#wound(ring, index === 0)),
    )
  }

  #inOnePiece(ring: readonly Position[]): readonly Position[] {
    const whole = unrolled(ring)
    if (whole !== ring) this.#unrolled++
    return whole.filter(([east, north], index) => east !== whole[index - 1]?.[0] || north !== whole[index - 1]?.[1])
  }

  #wound(ring: readonly Position[], isOuter: boolean): Position[] {
    if (isCounterClockwise(ring) === isOuter) return [...ring]
    this.#rewound++
    return ring.toReversed()
  }
}

function touchesPole(ring: readonly Position[]): boolean {
  return ring.some(([, north = 0]) => Math.abs(north) === 90)
}

function rounded(position: Position): Position {
  return position.map((degrees) => Number(degrees.toFixed(digits)))
}
