import { lstatSync, mkdirSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { unusable } from './storage-error.ts'

/** What systems take: bytes of one name, and of a path for SQLite. */
const NAME_BYTES_MAX = 255
const PATH_BYTES_MAX = 511
/** What the longest name beside the database adds to its own: the journal of an instance's lock. */
const SUFFIX_BYTES = '-instance-'.length + 36 + '-journal'.length

/**
 * The one name of a database, by which all its engines find the same log and each other's locks: links are followed, that
 * of the file and those of its folders. A folder that is not there is made.
 *
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` the file has a second name, or a name that is too long.
 */
export function realFile(path: string): string {
  mkdirSync(dirname(path), { recursive: true })
  const named = join(realpathSync.native(dirname(path)), basename(path))
  checkLength(named, 'name', Buffer.byteLength(basename(named)), NAME_BYTES_MAX)
  checkLength(named, 'path', Buffer.byteLength(named), PATH_BYTES_MAX)
  const found = lstatSync(named, { throwIfNoEntry: false })
  if (found?.isSymbolicLink() === true) return realFile(targetOf(named))
  // SQLite names its log after the database, so each name would have a log of its own.
  if (found?.isFile() === true && found.nlink > 1) {
    throw unusable(named, 'the file has several names (hard links), and SQLite must know it by one: remove the others')
  }
  return named
}

// A link may lead to a file that is not there yet, which is then made there. A circle of links is an error of the system.
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
 * Tells whether an open database still lies where it was opened.
 *
 * A file that was removed, or replaced by another, stays open, and the system goes on taking commits into what nobody
 * will ever open again. Two calls of stat, a few microseconds, stand before each transaction that writes; what is
 * removed in the midst of one is noticed by the next.
 */
export class FileIdentity {
  readonly #known: ReadonlyMap<string, string>
  readonly #file: string

  /** Of a database that is open, in WAL mode. */
  constructor(file: string) {
    this.#file = file
    this.#known = new Map([file, `${file}-wal`].map((path) => [path, identityOf(path)]))
  }

  /** @throws {JobchartError} `STORAGE_UNAVAILABLE` the file, or its log, is not the one that was opened. */
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
