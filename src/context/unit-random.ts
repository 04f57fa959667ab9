import type { Clock } from '../port/clock.ts'

/** A random number, uniform in [0, 1). */
export function unitRandom({ randomBytes }: Clock): number {
  const bytes = randomBytes(4)
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0) / 2 ** 32
}
