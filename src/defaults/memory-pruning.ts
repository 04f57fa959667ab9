import { isBusy } from '../model/job.ts'
import type { Pruned, PruneQuery, PruneType } from '../port/storage.ts'
import type { EndedList } from './ended-jobs.ts'
import type { Row } from './memory-row.ts'
import type { MemoryStore } from './memory-store.ts'

/** Where a pass continues: the stage, the list of ended jobs in it, and the last job of that list. */
type Place = readonly [stage: number, list?: number, createdAt?: number, id?: string]

// The stages of a pass: 0 removes old jobs and lines, 1 the jobs above `max`, 2 rows of the log.
const BY_AGE = 0
const LOG = 2
/** A position before all jobs of a list. */
const START: Position = { createdAt: Number.MIN_SAFE_INTEGER, id: '' }

/**
 * One call of `prune` (S40 to S42). A pass first walks all ended jobs for those that are old, then removes what is over
 * `max`, and then cleans the event log, in one piece.
 */
export class MemoryPruning {
  readonly #store: MemoryStore
  readonly #query: PruneQuery
  #jobs = 0
  #events = 0
  #lines = 0
  #left: number

  constructor(store: MemoryStore, query: PruneQuery) {
    this.#store = store
    this.#query = query
    this.#left = query.limit
  }

  /** Runs the call. */
  run(): Pruned {
    const after = this.#walk(this.#query.after === undefined ? [BY_AGE] : (JSON.parse(this.#query.after) as Place))
    const counts = { jobs: this.#jobs, events: this.#events, lines: this.#lines, unreadable: [] }
    return after === undefined ? counts : { ...counts, after: JSON.stringify(after) }
  }

  #walk([stage, from = 0, createdAt, id]: Place): Place | undefined {
    const lists = stage === LOG ? [] : this.#store.ended.lists
    for (const [index, list] of lists.entries()) {
      const rule = this.#query.types.find(({ type }) => type === list.type)
      if (index < from || rule === undefined) continue
      if (this.#left <= 0) return [stage, index]
      const place = index === from && createdAt !== undefined && id !== undefined ? { createdAt, id } : START
      const next = stage === BY_AGE ? this.#removeOld(list, rule, place) : this.#removeMany(list, rule)
      if (next !== undefined) return [stage, index, next.createdAt, next.id]
    }
    if (stage < LOG) return [stage + 1]
    const { eventsBefore = 0, progressBefore = 0 } = this.#query
    this.#events += this.#store.log.prune(({ jobId, jobSequence, at, events }) => {
      const isProgress = jobSequence === 0 && events[0]?.type === 'job.progress'
      return (isProgress && at < progressBefore) || (at < eventsBefore && !this.#store.jobs.has(jobId))
    })
    return undefined
  }

  // Removes old jobs of a list. Returns the last job that was looked at, if more may be old.
  #removeOld(list: EndedList, rule: PruneType, place: Position): Position | undefined {
    const { success = 0, failure = 0, cancelled = 0 } = rule.endedBefore
    const youngest = Math.max(
      success,
      failure,
      cancelled,
      ...this.#query.types.map(({ linesBefore = 0 }) => linesBefore),
    )
    const rows = first(list.rows.after({ job: place }), this.#left + 1)
    let last = place
    for (const row of rows) {
      const { createdAt, id, endedAt = youngest, outcome } = row.job
      if (createdAt >= youngest) return undefined
      if (this.#left <= 0) return last
      const before = outcome === undefined ? 0 : (rule.endedBefore[outcome] ?? 0)
      if (endedAt >= before) this.#removeLines(row)
      else if (this.#removeTree(row) === 'later') return last
      last = { createdAt, id }
    }
    return rows.length === 0 ? undefined : last
  }

  // Removes the jobs of a list above `max`. Returns where to continue, if more must be removed.
  #removeMany(list: EndedList, { max }: PruneType): Position | undefined {
    if (max === undefined) return undefined
    const before = this.#jobs
    // Jobs that cannot be removed, e.g. because their code runs, count as kept.
    for (const row of first(list.rows.after(), list.size > max ? this.#left + 1 : 0)) {
      if (list.size <= max) return undefined
      if (this.#left <= 0 || this.#removeTree(row) === 'later') return START
    }
    return list.size > max && this.#jobs > before ? START : undefined
  }

  #removeLines(row: Row): void {
    this.#left--
    const { type, endedAt, id } = row.job
    const before = this.#query.types.find((rule) => rule.type === type)?.linesBefore ?? 0
    if (endedAt !== undefined && endedAt < before && !isBusy(row.job)) this.#lines += row.records?.dropLines() ?? 0
    for (const child of this.#store.ended.childrenOf(id)) this.#removeLines(child)
  }

  #removeTree(row: Row): 'gone' | 'stays' | 'later' {
    const { job } = row
    if (job.phase !== 'settled' || isBusy(job) || job.deletedAt !== undefined) {
      this.#left--
      return 'stays'
    }
    let hasStaying = false
    for (const child of this.#store.ended.childrenOf(job.id)) {
      if (this.#left <= 0) return hasStaying ? 'stays' : 'later'
      const removal = this.#removeTree(child)
      if (removal === 'later') return 'later'
      hasStaying ||= removal === 'stays'
    }
    if (hasStaying) return 'stays'
    this.#left--
    this.#jobs++
    this.#lines += row.records?.dropLines() ?? 0
    this.#store.remove(row)
    return 'gone'
  }
}

type Position = { readonly createdAt: number; readonly id: string }

// A list may not change while it is read, so its first rows are copied.
function first(rows: Iterable<Row>, count: number): readonly Row[] {
  const found: Row[] = []
  if (count <= 0) return found
  for (const row of rows) if (found.push(row) >= count) break
  return found
}
