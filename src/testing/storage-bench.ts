import type { StorageConnection } from '../port/storage.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What a check works with: an empty storage, and a clock that it moves. */
export interface Bench {
  readonly clock: VirtualClock
  /** Opens a connection for an engine of this name. Default `me`. */
  readonly open: (instance?: string) => Promise<StorageConnection>
  /** Breaks the stored record of a job; absent: the records of this storage cannot be broken. */
  readonly damage?: (jobId: string) => Promise<void> | void
}

/** Checks by their name, which begins with the numbers of the guarantees. */
export interface Checks {
  readonly [name: string]: (bench: Bench) => Promise<void>
}
