/**
 * A hash of a label's name and value, used as its key in an index. Two labels may have the same hash, so each found row
 * is checked. Hashes keep the index small: there may be any number of different labels, and their texts are stored only
 * with their jobs.
 *
 * @see "cyrb53", Bryc, 2018: two 32-bit multiplicative hashes, of which 53 bits are kept.
 */
export function labelCode(name: string, value: string): number {
  const text = JSON.stringify([name, value])
  let high = 0xdeadbeef
  let low = 0x41c6ce57
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index)
    high = Math.imul(high ^ unit, 2_654_435_761)
    low = Math.imul(low ^ unit, 1_597_334_677)
  }
  high = Math.imul(high ^ (high >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909)
  low = Math.imul(low ^ (low >>> 16), 2_246_822_507) ^ Math.imul(high ^ (high >>> 13), 3_266_489_909)
  return 2 ** 32 * (low & 0x1fffff) + (high >>> 0)
}
