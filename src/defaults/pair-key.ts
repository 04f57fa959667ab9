/** A key made of two texts: equal only where both are. */
export function pairKey(a: string, b: string): string {
  return `${a.length}:${a}${b}`
}
