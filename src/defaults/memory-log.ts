import { withoutPayloads } from '../model/erased-events.ts'
import type { EventRow } from '../model/event.ts'
import { isCovered } from '../model/scope.ts'
import type { Scope } from '../port/policy.ts'
import type { EventQuery, PipelineKey, StoredEvents } from '../port/storage.ts'
import { pairKey } from './pair-key.ts'

/**
 * The event log in memory. Rows are in the order of their writes, and each row is linked to the previous row of the
 * same job or pipeline.
 */
export class MemoryLog {
  readonly #rows: LogRow[] = []
  /** For each row, the index of the previous row of the same job, or -1 if there is none. */
  readonly #previous: number[] = []
  readonly #newest = new Map<string, number>()
  /** The newest number of the log when rows were last removed, so that no number is used again. */
  #pruned = 0

  /** Number of rows. */
  get length(): number {
    return this.#rows.length
  }

  /** Sequence of the newest event; 0 if the log is empty. */
  get sequence(): number {
    const last = this.#rows.at(-1)
    return Math.max(this.#pruned, last === undefined ? 0 : endOf(last))
  }

  /** Adds a row. Returns the sequence of its first event. */
  append(changeset: string, row: EventRow): number {
    const sequence = this.sequence + 1
    this.#put({ row, sequence, changeset })
    return sequence
  }

  #put(added: LogRow): void {
    const subject = subjectOf(added.row)
    this.#previous.push(this.#newest.get(subject) ?? -1)
    this.#newest.set(subject, this.#rows.length)
    this.#rows.push(added)
  }

  /** Undoes writes: removes all rows after the first `length`. */
  truncate(length: number): void {
    for (const { row } of this.#rows.splice(length).reverse()) {
      const previous = this.#previous.pop() ?? -1
      if (previous < 0) this.#newest.delete(subjectOf(row))
      else this.#newest.set(subjectOf(row), previous)
    }
  }

  /** Erases the payloads of a job's events. */
  erase(jobId: string): void {
    for (const index of this.#of(jobId, 0)) {
      const known = this.#rows[index]
      if (known !== undefined) this.#rows[index] = { ...known, row: { ...known.row, ...withoutPayloads(known.row) } }
    }
  }

  /** Removes the rows for which `isOld` is true. Returns how many it has removed. */
  prune(isOld: (row: EventRow) => boolean): number {
    const kept = this.#rows.filter(({ row }) => !isOld(row))
    const removed = this.#rows.length - kept.length
    if (removed === 0) return 0
    this.#pruned = this.sequence
    this.#rows.length = 0
    this.#previous.length = 0
    this.#newest.clear()
    for (const each of kept) this.#put(each)
    return removed
  }

  /** The rows that these changesets wrote, without those at or before the event `sequence`. */
  landed(changesets: readonly string[], sequence: number): readonly StoredEvents[] {
    const wanted = new Set(changesets)
    const rows = this.#rows.slice(this.#firstAfter(sequence))
    return rows.filter((row) => row.sequence > sequence && wanted.has(row.changeset)).map(storedEvents)
  }

  read({
    after,
    limit,
    jobId,
    pipeline,
    scopes,
    through = Number.POSITIVE_INFINITY,
  }: EventQuery): readonly StoredEvents[] {
    const found: StoredEvents[] = []
    const subject = pipeline === undefined ? jobId : pipelineSubject(pipeline)
    for (const index of subject === undefined ? this.#all(after) : this.#of(subject, after)) {
      const row = this.#rows[index]
      if (row === undefined || row.sequence > through || found.length >= limit) break
      if (scopes === undefined || isOfAny(row.row, scopes)) found.push(storedEvents(row))
    }
    return found
  }

  *#all(after: number): Iterable<number> {
    for (let index = this.#firstAfter(after); index < this.#rows.length; index++) yield index
  }

  #of(subject: string, after: number): readonly number[] {
    const first = this.#firstAfter(after)
    const found: number[] = []
    for (let index = this.#newest.get(subject) ?? -1; index >= first; index = this.#previous[index] ?? -1) {
      found.push(index)
    }
    return found.reverse()
  }

  /** Index of the first row that has an event with a higher sequence than `after`. */
  #firstAfter(after: number): number {
    let low = 0
    let high = this.#rows.length
    while (low < high) {
      const middle = (low + high) >> 1
      const row = this.#rows[middle]
      if (row !== undefined && endOf(row) <= after) low = middle + 1
      else high = middle
    }
    return low
  }
}

interface LogRow {
  readonly row: EventRow
  /** Sequence of the row's first event. */
  readonly sequence: number
  readonly changeset: string
}

/** What a row is about: a job's id, or a text for the pipeline that no job has as its id. */
function subjectOf({ jobId, tenant, pipeline = '' }: EventRow): string {
  return jobId === '' ? pipelineSubject({ tenant, id: pipeline }) : jobId
}

function pipelineSubject({ tenant, id }: PipelineKey): string {
  return `pipeline ${pairKey(tenant, id)}`
}

function storedEvents({ row, sequence, changeset }: LogRow): StoredEvents {
  return { ...row, sequence, changeset }
}

/** Sequence of a row's last event. */
function endOf({ sequence, row }: LogRow): number {
  return sequence + row.events.length - 1
}

// Whether one of the scopes covers the row's job. Each row of the log has the fields of its job that scopes select by.
function isOfAny(
  { jobType: type, tenant, createdBy, assignee, pipeline, labels }: EventRow,
  scopes: readonly Scope[],
): boolean {
  return scopes.some((scope) => isCovered({ type, tenant, createdBy, assignee, pipeline, labels }, scope))
}
