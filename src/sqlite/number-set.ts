/** So many numbers stand in one part. */
const PART = 2 ** 16

/** A set of row numbers. They lie close together, so a bit for each takes far less than an invocation of a `Set`. */
export class NumberSet {
  readonly #parts = new Map<number, Uint8Array>()
  #size = 0

  get size(): number {
    return this.#size
  }

  add(number: number): void {
    const place = number % PART
    const key = (number - place) / PART
    const part = this.#parts.get(key) ?? new Uint8Array(PART / 8)
    const byte = part[place >> 3] ?? 0
    const bit = 1 << (place & 7)
    if ((byte & bit) !== 0) return
    part[place >> 3] = byte | bit
    this.#parts.set(key, part)
    this.#size++
  }
}
