/** What was read back at the end of a run: it shows what the figure was measured on. */
export interface Facts {
  readonly [name: string]: string
}

/** Something that runs jobs, opened afresh for one run. */
export interface Subject {
  /** Submits the `n`th job and resolves when it is known to have succeeded. */
  readonly complete: (n: number) => Promise<void>
  /** Stores a job for each input, and runs none of them. */
  readonly store: (inputs: readonly object[]) => Promise<void>
  /** Runs all that was stored, and resolves when it has succeeded. */
  readonly drain: () => Promise<void>
  /**
   * Reads back what was stored, outside the measured time.
   *
   * @throws {Error}  not exactly `jobs` jobs are stored as succeeded, or the durability is not the one asked for.
   */
  readonly check: (jobs: number) => Promise<Facts>
  readonly close: () => Promise<void>
  /** Transactions committed so far that wrote something; absent where they are not counted. */
  readonly commits?: () => number
}

/** SQLite's words for the value of `PRAGMA synchronous`. */
const SYNCHRONOUS: readonly string[] = ['OFF', 'NORMAL', 'FULL', 'EXTRA']

/**
 * The word for a value of `PRAGMA synchronous` as it was read from the connection that wrote.
 *
 * @throws {Error}  it is not the one that the figure is about.
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
