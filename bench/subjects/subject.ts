/** Facts read at the end of a run, which show what was measured. */
export interface Facts {
  readonly [name: string]: string
}

/** Something that runs jobs, opened anew for one run. */
export interface Subject {
  /** Submits the `n`th job and resolves when it is known to have succeeded. */
  readonly complete: (n: number) => Promise<void>
  /** Stores a job for each input, and runs none of them. */
  readonly store: (inputs: readonly object[]) => Promise<void>
  /** Runs all stored jobs, and resolves when they have succeeded. */
  readonly drain: () => Promise<void>
  /**
   * Checks the stored jobs, outside the measured time.
   *
   * @throws {Error}  not exactly `jobs` jobs are stored as succeeded, or the durability is not the requested one.
   */
  readonly check: (jobs: number) => Promise<Facts>
  readonly close: () => Promise<void>
  /** Number of committed transactions that wrote something; absent if they are not counted. */
  readonly commits?: () => number
}

/** SQLite's words for the values of `PRAGMA synchronous`. */
const SYNCHRONOUS: readonly string[] = ['OFF', 'NORMAL', 'FULL', 'EXTRA']

/**
 * The word for a value of `PRAGMA synchronous` that was read from the writing connection.
 *
 * @throws {Error}  it is not the durability of the figure.
 */
export function checkedSynchronous(found: unknown, wanted: 'NORMAL' | 'FULL'): string {
  const word = SYNCHRONOUS[Number(found)]
  if (word !== wanted) throw new Error(`PRAGMA synchronous should read ${wanted}; found ${String(found)}`)
  return word
}

/** @throws {Error}  the counts differ. */
export function checkCount(found: number, jobs: number): void {
  if (found !== jobs) throw new Error(`${jobs} jobs should be stored as succeeded; found ${found}`)
}
