import type { SQLInputValue, StatementSync } from 'node:sqlite'
import type { Job } from '../model/job.ts'
import type { Scope } from '../port/policy.ts'
import type { JobFilter, JobPage } from '../port/storage.ts'
import { NumberSet } from './number-set.ts'
import { compareText, JOB_COLUMNS, type Row, readableJob } from './rows.ts'
import {
  edgeQuery,
  nextValueQuery,
  numbersQuery,
  type Place,
  type Query,
  rowsQuery,
  type SearchPath,
  type SearchRange,
  type Stretch,
  searchPaths,
  sizeQuery,
} from './search-paths.ts'

/** Work that takes its turns: it goes on at each `next`, and nothing may be written in between. */
export type Steps<Result> = Generator<void, Result, void>

const JOB_BY_NUMBER = `SELECT ${JOB_COLUMNS} FROM jobs WHERE n = ?`

/** A job that was found, by the number of its row. */
interface FoundJob extends Place {
  readonly n: number
}

/** So much work is done in one turn, counted in entries of an index that are walked over: a few milliseconds. */
const TURN_WORK = 20_000
/** What a statement costs, and what a row costs that is looked at, counted in the same. */
const STATEMENT_WORK = 20
const ROW_WORK = 10
/** A path with fewer jobs than this is as good as any. */
const FEW = 1_000
const RANGES_FEW = 50
/** Statements are kept, but not those of any number of different lists. */
const PREPARED_MAX = 300

/** Finds and counts jobs on one connection. A search is one snapshot if a transaction is open from its begin to its end. */
export class JobSearch {
  readonly #prepare: (sql: string) => StatementSync
  readonly #turnWork: number
  readonly #prepared = new Map<string, StatementSync>()
  #work = 0

  /** @param turnWork  how much is done in one turn, in entries of an index. */
  constructor(prepare: (sql: string) => StatementSync, turnWork = TURN_WORK) {
    this.#prepare = prepare
    this.#turnWork = turnWork
  }

  /** One page of a list, newest first, without the jobs that are broken. */
  *list(filter: JobFilter, page: JobPage): Steps<readonly Job[]> {
    this.#work = 0
    const jobs: Job[] = []
    // Where a broken one was left out, the page is filled from behind its last one.
    for (let rest = page; ; ) {
      const found = yield* this.#page(filter, rest)
      for (const { n } of found) {
        const job = readableJob(this.#get({ sql: JOB_BY_NUMBER, values: [n] }) ?? {})
        if (job !== undefined) jobs.push(job)
      }
      const last = found.at(-1)
      if (last === undefined || found.length < rest.limit || jobs.length === page.limit) return jobs
      yield* this.#charge(found.length * ROW_WORK)
      rest = { limit: page.limit - jobs.length, after: last }
    }
  }

  *#page({ scopes, ...filter }: JobFilter, { limit, after }: JobPage): Steps<readonly FoundJob[]> {
    const ranges: SearchRange[] = []
    for (const scope of distinct(scopes)) ranges.push(...(yield* this.#rangesOf(scope, filter)))
    const heads: { readonly range: SearchRange; readonly head: Place }[] = []
    for (const range of ranges) {
      const head = yield* this.#edge(range, { after }, 0)
      if (head !== undefined) heads.push({ range, head })
    }
    // Once the page is full, a range whose newest job is older than its last one has nothing for it.
    let found: readonly FoundJob[] = []
    for (const { range, head } of heads.sort((a, b) => newestFirst(a.head, b.head))) {
      const last = found.length === limit ? found.at(-1) : undefined
      if (last !== undefined && newestFirst(last, head) <= 0) break
      found = merged(found, yield* this.#first(range, after, limit, last)).slice(0, limit)
    }
    return found
  }

  /** How many jobs a list has. */
  *count({ scopes, ...filter }: JobFilter): Steps<number> {
    this.#work = 0
    const asked = distinct(scopes)
    const seen = areApart(asked) ? undefined : new NumberSet()
    let found = 0
    for (const scope of asked) {
      for (const range of yield* this.#rangesOf(scope, filter)) found += yield* this.#size(range, seen)
    }
    return seen?.size ?? found
  }

  *#rangesOf(scope: Scope, filter: Omit<JobFilter, 'scopes'>): Steps<readonly SearchRange[]> {
    const [first, ...others] = searchPaths(scope, filter)
    if (first === undefined) return []
    const ranges = yield* this.#ranges(first, [])
    if (others.length === 0 || (yield* this.#areFew(ranges))) return ranges
    for (const other of others) {
      const found = yield* this.#ranges(other, [])
      if (yield* this.#areFew(found)) return found
    }
    return ranges
  }

  *#areFew(ranges: readonly SearchRange[]): Steps<boolean> {
    if (ranges.length > RANGES_FEW) return false
    for (const range of ranges) if ((yield* this.#edge(range, {}, FEW)) !== undefined) return false
    return true
  }

  *#ranges(path: SearchPath, known: readonly SQLInputValue[]): Steps<readonly SearchRange[]> {
    const { index, fixed } = path
    const key = [...known]
    for (const column of index.columns.slice(known.length)) {
      const value = fixed.get(column)
      if (value === undefined) break
      key.push(value)
    }
    if (key.length === index.columns.length) return [{ path, key }]
    const ranges: SearchRange[] = []
    for (let last: SQLInputValue | undefined; ; ) {
      const row = this.#get(nextValueQuery(path, key, last))
      yield* this.#charge(0)
      if (row === undefined) return ranges
      // A leading column holds text or a whole number.
      last = row.value as SQLInputValue
      ranges.push(...(yield* this.#ranges(path, [...key, last])))
    }
  }

  *#edge(range: SearchRange, stretch: Stretch, offset: number): Steps<Place | undefined> {
    const row = this.#get(edgeQuery(range, stretch, offset))
    yield* this.#charge(row === undefined ? 0 : offset)
    return row === undefined ? undefined : placeOf(row)
  }

  *#first(
    range: SearchRange,
    start: Place | undefined,
    limit: number,
    last: Place | undefined,
  ): Steps<readonly FoundJob[]> {
    if (isExact(range)) return this.#rows(range, { after: start }, limit)
    const found: FoundJob[] = []
    for (let after = start; ; ) {
      const through = yield* this.#edge(range, { after }, this.#turnWork / ROW_WORK - 1)
      found.push(...this.#rows(range, { after, through }, limit - found.length))
      const isOver = through === undefined || (last !== undefined && newestFirst(last, through) <= 0)
      if (isOver || found.length === limit) return found
      yield* this.#charge(this.#turnWork)
      after = through
    }
  }

  *#size(range: SearchRange, seen: NumberSet | undefined): Steps<number> {
    const rows = isExact(range) && seen === undefined ? this.#turnWork : this.#turnWork / ROW_WORK
    let size = 0
    for (let after: Place | undefined; ; ) {
      const through = yield* this.#edge(range, { after }, rows - 1)
      if (seen !== undefined) this.#addNumbers(range, { after, through }, seen)
      else if (through !== undefined && isExact(range)) size += rows
      else size += Number(this.#get(sizeQuery(range, { after, through }))?.found)
      yield* this.#charge(through === undefined ? 0 : this.#turnWork)
      if (through === undefined) return size
      after = through
    }
  }

  #addNumbers(range: SearchRange, stretch: Stretch, seen: NumberSet): void {
    const { sql, values } = numbersQuery(range, stretch)
    for (const { n } of this.#statement(sql).all(...values)) seen.add(Number(n))
  }

  #rows(range: SearchRange, stretch: Stretch, limit: number): readonly FoundJob[] {
    const { sql, values } = rowsQuery(range, stretch, limit)
    const rows = this.#statement(sql).all(...values)
    return rows.map((row) => ({ n: Number(row.n), ...placeOf(row) }))
  }

  #get({ sql, values }: Query): Row | undefined {
    return this.#statement(sql).get(...values)
  }

  #statement(sql: string): StatementSync {
    const known = this.#prepared.get(sql)
    if (known !== undefined) return known
    if (this.#prepared.size === PREPARED_MAX) this.#prepared.clear()
    const statement = this.#prepare(sql)
    this.#prepared.set(sql, statement)
    return statement
  }

  *#charge(entries: number): Steps<void> {
    this.#work += STATEMENT_WORK + entries
    if (this.#work < this.#turnWork) return
    this.#work = 0
    yield
  }
}

function isExact({ path }: SearchRange): boolean {
  return path.rest.sql === ''
}

function placeOf(row: Row): Place {
  return { createdAt: Number(row.created_at), id: String(row.id) }
}

/** Negative: `a` comes before `b` in a list. */
function newestFirst(a: Place, b: Place): number {
  return b.createdAt - a.createdAt || compareText(b.id, a.id)
}

// Scopes may overlap, so that a job is found twice.
function merged(a: readonly FoundJob[], b: readonly FoundJob[]): readonly FoundJob[] {
  if (a.length === 0) return b
  const all = new Map([...a, ...b].map((job) => [job.n, job]))
  return [...all.values()].sort(newestFirst)
}

function distinct(scopes: readonly Scope[]): readonly Scope[] {
  if (scopes.length < 2) return scopes
  const byText = scopes.map(({ tenant, createdBy, type, pipeline, labels = {} }) => {
    const scope = { tenant, createdBy, type, pipeline, labels }
    return [JSON.stringify({ ...scope, labels: Object.entries(labels).sort() }), scope as Scope] as const
  })
  return [...new Map(byText).values()]
}

// No job is in two of them, if there is a field in which each of them asks for another value.
function areApart(scopes: readonly Scope[]): boolean {
  const [first] = scopes
  if (first === undefined || scopes.length === 1) return true
  const values: readonly ((scope: Scope) => string | undefined)[] = [
    ({ tenant }) => tenant,
    ({ createdBy }) => createdBy,
    ({ type }) => type,
    ({ pipeline }) => pipeline,
    ...Object.keys(first.labels ?? {}).map(
      (name) =>
        ({ labels }: Scope) =>
          labels?.[name],
    ),
  ]
  return values.some((asked) => {
    const found = new Set(scopes.map(asked))
    return found.size === scopes.length && !found.has(undefined)
  })
}
