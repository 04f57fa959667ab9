import { v4, v7 } from 'uuid'
import type { Core } from './core.ts'

/** The last id of an engine: those of one millisecond go on from it, so that they sort in the order in which they were made. */
const last = new WeakMap<Core, { readonly msecs: number; readonly seq: number }>()

/** Of the 32 bits that tell ids of one millisecond apart, the first is free, so that a count does not run over. */
const SEQ_MASK = 0x7fff_ffff

/** A new job's id, of the kind that the engine was set up with. */
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
