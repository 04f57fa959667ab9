/** A key made of two texts. Two keys are equal only if both texts are. */
export function pairKey(a: string, b: string): string {
  return `${a.length}:${a}${b}`
}
