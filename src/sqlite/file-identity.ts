import { statSync } from 'node:fs'
import { JobchartError } from '../model/error.ts'

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
      const what = found === '' ? 'removed or moved' : 'replaced by another'
      const message = `"${this.#file}": "${path}" was ${what} while it was open; put it back, or start again`
      throw new JobchartError('STORAGE_UNAVAILABLE', message)
    }
  }
}

function identityOf(path: string): string {
  const found = statSync(path, { throwIfNoEntry: false })
  return found === undefined ? '' : `${found.dev}/${found.ino}`
}
