import { eventRow } from '../model/event.ts'
import { isBusy, type Job } from '../model/job.ts'
import type { EventLog } from './event-log.ts'
import type { JobTable } from './job-table.ts'
import type { Leases } from './leases.ts'
import type { Notes } from './notes.ts'
import type { Notifications } from './notifications.ts'
import type { Prepare, Statement } from './statement.ts'

/**
 * What became of a job that was to be removed. `stays`: it has not ended, its code still runs, or its record is broken.
 * `later`: the bound of the call was reached before all of it was removed.
 */
export type Removal = 'gone' | 'stays' | 'later'

/** The tables that have rows of a job. */
export interface RemovalTables {
  readonly jobs: JobTable
  readonly log: EventLog
  readonly notes: Notes
  readonly notifications: Notifications
  readonly leases: Leases
}

/** What one call of `prune` has done, and how much more it may do. */
export class PruneBounds {
  jobs = 0
  events = 0
  lines = 0
  readonly unreadable: string[] = []
  #left: number
  #isBegun = false
  readonly #isLate: () => boolean

  constructor(limit: number, isLate: () => boolean) {
    this.#left = limit
    this.#isLate = isLate
  }

  /** How many more rows may be removed or looked at. */
  get left(): number {
    return Math.max(0, this.#left)
  }

  /** Whether the call must end. Each call first removes or looks at something, so that every pass ends. */
  get isOver(): boolean {
    return this.#left <= 0 || (this.#isBegun && this.#isLate())
  }

  /** Counts rows that were removed or looked at. */
  spend(rows: number): void {
    this.#isBegun = true
    this.#left -= rows
  }
}

/**
 * Removes ended jobs, each after its child jobs (S40).
 *
 * `remove` reads the job in its own transaction, and removes it only if it has settled, nothing of it runs, and nobody
 * has deleted it (S18). No other check is needed: until somebody deletes it, such a job changes no more.
 */
export class JobRemoval {
  readonly #tables: RemovalTables
  readonly #children: Statement
  readonly #idOf: Statement

  constructor(prepare: Prepare, tables: RemovalTables) {
    this.#tables = tables
    this.#children = prepare(`SELECT n FROM jobs WHERE parent = ? ORDER BY created_at, n LIMIT ?`)
    this.#idOf = prepare(`SELECT id FROM jobs WHERE n = ?`)
  }

  /**
   * Removes a job and its child jobs.
   *
   * @param isOld  whether the job may go.
   * @param eventsBefore  the job's rows of the log from before this time are removed too.
   */
  remove(n: number, bounds: PruneBounds, isOld: (job: Job) => boolean, eventsBefore: number | undefined): Removal {
    const job = this.#tables.jobs.readableByNumber(n)
    if (job === undefined) bounds.unreadable.push(String(this.#idOf.get(n)?.[0]))
    if (job?.phase !== 'settled' || isBusy(job) || job.deletedAt !== undefined || !isOld(job)) {
      bounds.spend(1)
      return 'stays'
    }
    const children = this.#removeChildren(job, bounds, eventsBefore)
    return children === 'gone' ? this.#removeOne(n, job, bounds, eventsBefore) : children
  }

  /** Removes the child jobs of a deleted job, as far as they have ended. The others are deleted by their own writes. */
  removeChildrenOf(job: Job): void {
    this.#removeChildren(job, new PruneBounds(UNBOUNDED, () => false), undefined)
  }

  #removeChildren({ id }: Job, bounds: PruneBounds, eventsBefore: number | undefined): Removal {
    for (;;) {
      const limit = bounds.left + 1
      const children = this.#children.all(id, limit)
      let staying = 0
      for (const [child] of children) {
        // If a child job stays, this job stays too, and the next call need not look at it again.
        if (bounds.isOver) return staying > 0 ? 'stays' : 'later'
        const removal = this.remove(Number(child), bounds, ALWAYS, eventsBefore)
        if (removal === 'later') return 'later'
        if (removal === 'stays') staying++
      }
      if (staying > 0) return 'stays'
      if (children.length < limit) return 'gone'
    }
  }

  // Removes a job without child jobs. The job's steps and items are removed only together with its row, because until
  // then the job may be retried. If there are many items, the stage `items` of the pass removes the rest.
  #removeOne(n: number, job: Job, bounds: PruneBounds, eventsBefore: number | undefined): Removal {
    const { jobs, log, notes, notifications, leases } = this.#tables
    const lines = notes.removeSomeLines(n, bounds.left + 1)
    bounds.lines += lines
    bounds.spend(lines)
    if (bounds.left === 0 && lines > 0) return 'later'
    if (jobs.remove(job) === undefined) return 'stays'
    const items = notes.remove(n)
    notifications.removeOfJob(job.id)
    leases.removeOfJob(job.id)
    bounds.jobs++
    bounds.spend(1 + items)
    if (eventsBefore !== undefined) {
      const rows = log.removeSome(n, eventsBefore, bounds.left + 1)
      bounds.events += rows
      bounds.spend(rows)
    }
    if (log.hasRows(n)) {
      log.keepGone(n, eventRow(job, { kind: 'system', id: 'engine' }, [], []))
      log.erasePayloadsNow(n)
    }
    return 'gone'
  }
}

const ALWAYS = () => true
/** More rows than a file can have, and still a number that SQLite takes as a limit. */
const UNBOUNDED = 2 ** 52
