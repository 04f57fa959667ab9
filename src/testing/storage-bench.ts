import type { StorageConnection } from '../port/storage.ts'
import type { VirtualClock } from './virtual-clock.ts'

/** What each check of a storage gets: an empty storage, and a clock that the check moves. */
export interface Bench {
  readonly clock: VirtualClock
  /** Opens a connection for the engine with this instance id. Default `me`. */
  readonly open: (instance?: string) => Promise<StorageConnection>
  /** Breaks the stored record of a job. Absent: records of this storage cannot break. */
  readonly damage?: (jobId: string) => Promise<void> | void
}

/** The checks by name. A name begins with the number of the guarantee that it checks. */
export interface Checks {
  readonly [name: string]: (bench: Bench) => Promise<void>
}
