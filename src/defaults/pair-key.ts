/** A map key made of two texts. Two keys are equal only if both their texts are equal. */
export function pairKey(a: string, b: string): string {
  return `${a.length}:${a}${b}`
}
