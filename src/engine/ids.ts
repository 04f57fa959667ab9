import { v4, v7 } from 'uuid'
import type { Core } from './core.ts'

/** A new job's id, of the kind that the engine was set up with. */
export function newId(core: Core): string {
  const random = core.clock.randomBytes(16)
  return core.settings.ids === 'uuidv4' ? v4({ random }) : v7({ random, msecs: core.clock.now() })
}
