import { v4, v7 } from 'uuid'
import type { Core } from './core.ts'

/** The last id of each engine. Ids of the same millisecond count on from it, so that they sort by creation. */
const last = new WeakMap<Core, { readonly msecs: number; readonly seq: number }>()

/** The counter has 32 bits. Clearing its first bit at the start leaves room to count up without overflow. */
const SEQ_MASK = 0x7fff_ffff

/** A new job id, of the kind set by the `ids` option. */
export function newId(core: Core): string {
  const random = core.clock.randomBytes(16)
  if (core.settings.ids === 'uuidv4') return v4({ random })
  const msecs = core.clock.now()
  const before = last.get(core)
  const seq = before?.msecs === msecs ? before.seq + 1 : firstOf(random)
  last.set(core, { msecs, seq })
  return v7({ random, msecs, seq })
}

function firstOf(random: Uint8Array): number {
  return new DataView(random.buffer, random.byteOffset).getUint32(6) & SEQ_MASK
}
