import type { StorageConnection } from '../port/storage.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** Arguments of a check: an empty storage, and a clock that the check moves. */
export interface Bench {
  readonly clock: VirtualClock
  /** Opens a connection for an engine of this name. Default `me`. */
  readonly open: (instance?: string) => Promise<StorageConnection>
  /** Breaks the stored record of a job; absent: records of this storage cannot break. */
  readonly damage?: (jobId: string) => Promise<void> | void
}

/** Checks by name. A name begins with the numbers of its guarantees. */
export interface Checks {
  readonly [name: string]: (bench: Bench) => Promise<void>
}
