import type { StorageConnection } from '../port/storage.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What a check works with. */
export interface Bench {
  readonly clock: VirtualClock
  readonly open: (instance?: string) => Promise<StorageConnection>
}

/** Checks by their name, which begins with the number of the guarantee. */
export interface Checks {
  readonly [name: string]: (bench: Bench) => Promise<void>
}

/** More rows than any check has. */
export const FAR = 100
