import { JobchartError } from '../model/error.ts'
import { checkOptions, flag, oneOf, shownValue, wholeNumber } from '../model/option-checks.ts'

/** The options of `sqliteStorage`. */
export interface SqliteOptions {
  /**
   * What a commit waits for. `'full'` (default): the data is on disk and survives a power cut. `'normal'`: the
   * operating system has the data; it survives a crash of the process, but a power cut may lose the newest commits.
   */
  readonly durability?: 'full' | 'normal'
  /**
   * `true`: the whole file is checked when it is opened (`PRAGMA quick_check`), and refused if it is damaged. The check
   * takes about half a second per GiB, plus the time to read the parts that the system has not cached. It blocks the
   * process meanwhile. Default `false`: damage is then found only when a damaged part is read.
   */
  readonly check?: boolean
  /** How many lines of each job's log are kept. Beyond that, the oldest lines are removed. Default 10,000. */
  readonly logLines?: number
}

const OPTIONS = { durability: oneOf('full', 'normal'), check: flag, logLines: wholeNumber(1) }

/**
 * Refuses an invalid path, and invalid options.
 *
 * @throws {JobchartError} `INVALID_DEFINITION`
 */
export function checkSqliteOptions(file: unknown, options: unknown): void {
  if (typeof file !== 'string' || file === '' || /^:memory:|^file:|\0/.test(file)) {
    throw new JobchartError(
      'INVALID_DEFINITION',
      `sqliteStorage needs the path of a file, e.g. 'jobs.db'; found ${shownValue(file)}`,
    )
  }
  checkOptions('sqliteStorage', options, OPTIONS, { form: "sqliteStorage('jobs.db', { durability: 'full' })" })
}
