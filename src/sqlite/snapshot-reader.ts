import type { DatabaseSync } from 'node:sqlite'
import { JobchartError } from '../model/error.ts'
import type { Clock } from '../port/clock.ts'
import { JobSearch, type Steps } from './job-search.ts'
import { whenUnlocked } from './transaction.ts'

/**
 * Reads in turns, each piece of work on one snapshot: on a connection of its own, since the other one writes in between.
 * It is opened when it is first needed. Pieces of work come one after the other.
 */
export class SnapshotReader {
  readonly #open: () => DatabaseSync
  readonly #clock: Clock
  #opened: { readonly db: DatabaseSync; readonly search: JobSearch } | undefined
  #last: Promise<unknown> = Promise.resolve()
  #isClosed = false

  /** @param open  opens the file to read. */
  constructor(open: () => DatabaseSync, clock: Clock) {
    this.#open = open
    this.#clock = clock
  }

  /** Does the work, with a turn of the event loop between its steps. */
  run<Result>(steps: (search: JobSearch) => Steps<Result>): Promise<Result> {
    const result = this.#last.then(() => this.#take(steps))
    this.#last = result.catch(() => undefined)
    return result
  }

  close(): void {
    this.#isClosed = true
    this.#opened?.db.close()
    this.#opened = undefined
  }

  async #take<Result>(steps: (search: JobSearch) => Steps<Result>): Promise<Result> {
    const { db, search } = await whenUnlocked(this.#clock, () => this.#use())
    db.exec('BEGIN')
    try {
      const work = steps(search)
      for (;;) {
        const step = work.next()
        if (step.done === true) return step.value
        await new Promise<void>((resume) => this.#clock.turn(resume))
        if (!db.isOpen) throw closed()
      }
    } finally {
      if (db.isOpen && db.isTransaction) db.exec('COMMIT')
    }
  }

  #use(): { readonly db: DatabaseSync; readonly search: JobSearch } {
    if (this.#isClosed) throw closed()
    if (this.#opened === undefined) {
      const db = this.#open()
      this.#opened = { db, search: new JobSearch((sql) => db.prepare(sql)) }
    }
    return this.#opened
  }
}

function closed(): JobchartError {
  return new JobchartError('STORAGE_UNAVAILABLE', 'the storage was closed')
}
