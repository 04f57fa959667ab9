/** Facts that are read at the end of a run and show what was measured, e.g. the durability. */
export interface Facts {
  readonly [name: string]: string
}

/** Something that runs jobs. It is opened anew for each run. */
export interface Subject {
  /** Submits the `n`th job, and resolves when the job has certainly succeeded. */
  readonly complete: (n: number) => Promise<void>
  /** Stores one job for each input, and runs none of them. */
  readonly store: (inputs: readonly object[]) => Promise<void>
  /** Runs all stored jobs, and resolves when they have succeeded. */
  readonly drain: () => Promise<void>
  /**
   * Checks the stored jobs. The time of this is not measured.
   *
   * @throws {Error}  not exactly `jobs` jobs are stored as succeeded, or the durability is not the requested one.
   */
  readonly check: (jobs: number) => Promise<Facts>
  readonly close: () => Promise<void>
  /** How many transactions that wrote something were committed. Absent if they are not counted. */
  readonly commits?: () => number
}

/** The names that SQLite gives to the values 0 to 3 of `PRAGMA synchronous`. */
const SYNCHRONOUS: readonly string[] = ['OFF', 'NORMAL', 'FULL', 'EXTRA']

/**
 * The name of a value of `PRAGMA synchronous`.
 *
 * @throws {Error}  it is not the wanted one.
 */
export function checkedSynchronous(found: unknown, wanted: 'NORMAL' | 'FULL'): string {
  const word = SYNCHRONOUS[Number(found)]
  if (word !== wanted) throw new Error(`PRAGMA synchronous should read ${wanted}; found ${String(found)}`)
  return word
}

/**
 * Checks the number of succeeded jobs.
 *
 * @throws {Error}  it is not `jobs`.
 */
export function checkCount(found: number, jobs: number): void {
  if (found !== jobs) throw new Error(`${jobs} jobs should be stored as succeeded; found ${found}`)
}
