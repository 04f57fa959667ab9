/** The most values in one chunk. A longer chunk is split. */
const CHUNK_MAX = 512

/**
 * A sorted list of values, stored in chunks. Adding at the end and removing at the front take constant time. Elsewhere,
 * the list searches the place in logarithmic time and moves the values of one chunk.
 *
 * `Key` has the fields that the order compares. Each value has all these fields, and they must not change while the
 * value is in the list.
 */
export class SortedList<Key, Value extends Key> {
  readonly #order: (a: Key, b: Key) => number
  readonly #chunks: Value[][] = []

  /**
   * @param order  compares two keys. Negative: the first comes before the second. It must be 0 only for the same value.
   */
  constructor(order: (a: Key, b: Key) => number) {
    this.#order = order
  }

  get isEmpty(): boolean {
    return this.#chunks.length === 0
  }

  add(value: Value): void {
    const index = this.#chunkOf(value)
    const chunk = this.#chunks[index]
    if (chunk === undefined) {
      const last = this.#chunks.at(-1)
      if (last !== undefined && last.length < CHUNK_MAX) last.push(value)
      else this.#chunks.push([value])
      return
    }
    chunk.splice(this.#placeIn(chunk, value), 0, value)
    if (chunk.length > CHUNK_MAX) this.#chunks.splice(index + 1, 0, chunk.splice(CHUNK_MAX / 2))
  }

  /** Removes the value. Does nothing if it is not in the list. */
  remove(value: Value): void {
    const index = this.#chunks[0]?.[0] === value ? 0 : this.#chunkOf(value)
    const chunk = this.#chunks[index]
    if (chunk === undefined) return
    if (chunk[0] === value) chunk.shift()
    else {
      const place = this.#placeIn(chunk, value)
      if (chunk[place] === value) chunk.splice(place, 1)
    }
    if (chunk.length === 0) this.#chunks.splice(index, 1)
  }

  /** The first value, or the first one after a key. */
  next(key?: Key): Value | undefined {
    const chunks = this.#chunks
    if (key === undefined) return chunks[0]?.[0]
    const index = this.#chunkOf(key)
    const chunk = chunks[index]
    if (chunk === undefined) return undefined
    const place = this.#placeIn(chunk, key)
    const found = chunk[place]
    if (found === undefined || this.#order(found, key) !== 0) return found
    return chunk[place + 1] ?? chunks[index + 1]?.[0]
  }

  /** The values after a key, or all values. The list must not change during the iteration. */
  *after(key?: Key): Iterable<Value> {
    for (let index = key === undefined ? 0 : this.#chunkOf(key); index < this.#chunks.length; index++) {
      for (const value of this.#chunks[index] ?? []) if (key === undefined || this.#order(value, key) > 0) yield value
    }
  }

  /** The values before a key, or all values, in reverse order. The list must not change during the iteration. */
  *before(key?: Key): Iterable<Value> {
    const last = this.#chunks.length - 1
    for (let index = key === undefined ? last : Math.min(this.#chunkOf(key), last); index >= 0; index--) {
      const chunk = this.#chunks[index] ?? []
      for (let place = chunk.length - 1; place >= 0; place--) {
        const value = chunk[place]
        if (value !== undefined && (key === undefined || this.#order(value, key) < 0)) yield value
      }
    }
  }

  /** Index of the first chunk whose last value does not come before the key. If there is none, the number of chunks. */
  #chunkOf(key: Key): number {
    const chunks = this.#chunks
    const end = chunks.at(-1)?.at(-1)
    if (end === undefined || this.#order(end, key) < 0) return chunks.length
    let low = 0
    let high = chunks.length - 1
    while (low < high) {
      const middle = (low + high) >> 1
      const last = chunks[middle]?.at(-1)
      if (last !== undefined && this.#order(last, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Index of the key in a chunk, or the index where it would be inserted. */
  #placeIn(chunk: readonly Value[], key: Key): number {
    let low = 0
    let high = chunk.length
    while (low < high) {
      const middle = (low + high) >> 1
      const value = chunk[middle]
      if (value !== undefined && this.#order(value, key) < 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
