import { lstatSync, mkdirSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { unusable } from './storage-error.ts'

/**
 * How many bytes the name of a file may have (a limit of most file systems), and how many a path may have (a limit of
 * SQLite).
 */
const NAME_BYTES_MAX = 255
const PATH_BYTES_MAX = 511
/** The longest suffix that is added to the database's name: that of the journal beside an instance's lock file. */
const SUFFIX_BYTES = '-instance-'.length + 36 + '-journal'.length

/**
 * The real path of a database, with all symbolic links resolved. All engines must use this path, so that they share one
 * log and one set of locks. Creates missing folders.
 *
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` the file has a second hard link, or its name or path is too long.
 */
export function realFile(path: string): string {
  mkdirSync(dirname(path), { recursive: true })
  const named = join(realpathSync.native(dirname(path)), basename(path))
  checkLength(named, 'name', Buffer.byteLength(basename(named)), NAME_BYTES_MAX)
  checkLength(named, 'path', Buffer.byteLength(named), PATH_BYTES_MAX)
  const found = lstatSync(named, { throwIfNoEntry: false })
  if (found?.isSymbolicLink() === true) return realFile(targetOf(named))
  // SQLite names its log after the database file, so each hard link would have its own log.
  if (found?.isFile() === true && found.nlink > 1) {
    throw unusable(named, 'the file has several names (hard links), but SQLite needs exactly one: remove the others')
  }
  return named
}

// The path that a link points to. That file may not exist yet; then it is created there. If links form a cycle, the
// operating system's error is thrown.
function targetOf(link: string): string {
  try {
    return realpathSync.native(link)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return resolve(dirname(link), readlinkSync(link))
  }
}

function checkLength(file: string, what: string, bytes: number, most: number): void {
  const max = most - SUFFIX_BYTES
  if (bytes > max) throw unusable(file, `the ${what} of the file should have at most ${max} bytes; found ${bytes}`)
}

/**
 * Checks that an open database file is still at the path where it was opened.
 *
 * If the file is removed or replaced, the process still has the old one open. The system accepts commits into it, but
 * nobody will ever open it again. So each transaction that writes first makes two `stat` calls, which take a few
 * microseconds. If the file is removed during a transaction, the next transaction notices it.
 */
export class FileIdentity {
  readonly #known: ReadonlyMap<string, string>
  readonly #file: string

  /** The database must be open, in WAL mode. */
  constructor(file: string) {
    this.#file = file
    this.#known = new Map([file, `${file}-wal`].map((path) => [path, identityOf(path)]))
  }

  /** @throws {JobchartError} `STORAGE_UNAVAILABLE` the file, or its `-wal` log, was removed or replaced. */
  check(): void {
    for (const [path, known] of this.#known) {
      const found = identityOf(path)
      if (found === known) continue
      const what = path === this.#file ? 'the file' : 'its log (-wal)'
      const became = found === '' ? 'removed or moved' : 'replaced by another'
      throw unusable(this.#file, `${what} was ${became} while it was open; put it back, or start again`)
    }
  }
}

function identityOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? '' : `${found.dev}/${found.ino}`
}
