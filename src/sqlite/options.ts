import { JobchartError } from '../model/error.ts'
import { checkOptions, flag, oneOf, shownValue, wholeNumber } from '../model/option-checks.ts'

/** How the file is used. */
export interface SqliteOptions {
  /**
   * What a commit waits for. `'full'` (the default): the disk has it, and it survives a power cut. `'normal'`: the
   * operating system has it, and it survives a crash of the process, but a power cut may take the newest commits.
   */
  readonly durability?: 'full' | 'normal'
  /**
   * Looks through the whole file when it is opened (`PRAGMA quick_check`), and refuses it if it is damaged. It takes
   * about half a second for each GiB that the system has in memory, and the time to read what it has not; nothing else of
   * the process runs meanwhile. So it is off by default: what is damaged is then refused where it is read.
   */
  readonly check?: boolean
  /** Lines kept of each job's log; the oldest go. Default 10,000. */
  readonly logLines?: number
}

const OPTIONS = { durability: oneOf('full', 'normal'), check: flag, logLines: wholeNumber(1) }

/**
 * Refuses what is no path of a file, and options that cannot work.
 *
 * @throws {JobchartError} `INVALID_DEFINITION`
 */
export function checkSqliteOptions(file: unknown, options: unknown): void {
  if (typeof file !== 'string' || file === '' || /^:memory:|^file:|\0/.test(file)) {
    throw new JobchartError('INVALID_DEFINITION', `sqliteStorage should be given a path; found ${shownValue(file)}`)
  }
  checkOptions('sqliteStorage', options, OPTIONS)
}
