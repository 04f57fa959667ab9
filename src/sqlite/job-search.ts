import type { SQLInputValue } from 'node:sqlite'
import type { Clock } from '../port/clock.ts'
import type { Scope } from '../port/policy.ts'
import type { CountedField, FoundJobs, JobFilter, JobPage, JobPosition } from '../port/storage.ts'
import type { JobTable } from './job-table.ts'
import { compareText, labelsIn } from './json-text.ts'
import type { Kind } from './kinds.ts'
import { type SearchRange, searchRanges, type Wanted } from './search-paths.ts'
import { type Prepare, PreparedTexts, type Row } from './statement.ts'

/**
 * How many rows are read at most for one page of a list that no index serves exactly. A count reads this many rows in
 * one turn of the event loop.
 */
const ROWS_MAX = 2_000
/** How many of these rows one SELECT statement reads. */
const ROWS_TOGETHER = 500
/** Counting stops at this number, which means "more than 10,000". */
const COUNT_MAX = 10_001

/** The additional columns that are read if each row must be checked against the filter. */
const LOOKED_AT = 'jobs.tenant, jobs.created_by, jobs.kind, jobs.pipeline, jobs.parent, jobs.labels, jobs.assignee'

/** A found job. */
interface Found extends JobPosition {
  readonly n: number
  readonly kind: Kind | undefined
}

/** The result of reading one range, or several, for a page. */
interface Walked {
  readonly found: readonly Found[]
  /** The last row that was read. Present only if reading stopped before the end of the range. */
  readonly through?: JobPosition
}

type Order = NonNullable<JobPage['order']>
type Bounds = Pick<JobFilter, 'createdAfter' | 'createdBefore'>

/** Lists and counts jobs (S12, S26, S30). */
export class JobSearch {
  readonly #jobs: JobTable
  readonly #clock: Clock
  readonly #rowsMax: number
  readonly #queries: PreparedTexts

  /** @param rowsMax  how many rows are read at most for one page, or in one turn of the event loop. */
  constructor(prepare: Prepare, jobs: JobTable, clock: Clock, rowsMax = ROWS_MAX) {
    this.#jobs = jobs
    this.#clock = clock
    this.#rowsMax = rowsMax
    this.#queries = new PreparedTexts(prepare)
  }

  /** One page of a list. Jobs whose records cannot be decoded are left out. */
  find(filter: JobFilter, page: JobPage): FoundJobs {
    const { order = 'newest', limit } = page
    const { found, through: end } = this.#walkAll(this.#ranges(filter), filter, page, order)
    // If reading of a range stopped early, the range may have more jobs after that place. So the page ends there, and
    // later jobs are left for the next page.
    const sure = end === undefined ? found : found.filter((each) => inOrder(order)(each, end) <= 0)
    const shown = sure.slice(0, limit)
    const last = sure.length > limit ? shown.at(-1) : end
    const jobs = shown.flatMap(({ n }) => this.#jobs.readableByNumber(n) ?? [])
    return last === undefined ? { jobs } : { jobs, after: { createdAt: last.createdAt, id: last.id } }
  }

  /** How many jobs a list has. Counts up to 10,001. */
  async count(filter: JobFilter): Promise<number> {
    const counted = await this.#count(filter, () => 'all')
    return counted.get('all') ?? 0
  }

  /** How many jobs a list has for each value of a field, e.g. for each status. */
  counts(by: CountedField, filter: JobFilter): Promise<ReadonlyMap<string, number>> {
    return this.#count(filter, (kind) => kind[by])
  }

  #ranges({ scopes, ...filter }: JobFilter): readonly SearchRange[] {
    return distinct(scopes).flatMap((scope) => searchRanges(scope, filter, this.#jobs))
  }

  // Reads the ranges in the list order of their first jobs. Once the page is full, ranges whose first job comes after
  // the end of the page are skipped.
  #walkAll(ranges: readonly SearchRange[], filter: JobFilter, page: JobPage, order: Order): Walked {
    const begun = ranges.length === 1 ? ranges.map((range) => ({ range, head: 0 })) : this.#heads(ranges, filter, page)
    const sign = order === 'newest' ? 1 : -1
    let all: Walked = { found: [] }
    let rows = this.#rowsMax
    for (const { range, head } of begun.sort((a, b) => (b.head - a.head) * sign)) {
      const full = all.found[page.limit]
      if (full !== undefined && (head - full.createdAt) * sign < 0) break
      const one = range.isExact ? this.#exact(range, filter, page) : this.#looked(range, filter, page, rows)
      if (!range.isExact) rows = Math.max(ROWS_TOGETHER, rows - ROWS_TOGETHER)
      all = merged(all, one, order, page.limit + 1)
    }
    return all
  }

  // The ranges that have jobs for this page. `head` is the time when the first of these jobs was created.
  #heads(ranges: readonly SearchRange[], filter: JobFilter, page: JobPage) {
    const begun: { readonly range: SearchRange; readonly head: number }[] = []
    for (const range of ranges) {
      const { sql, values } = stretch(range, filter, { ...page, limit: 1 })
      const head = this.#queries.of(`SELECT ${range.table}.created_at FROM ${sql} LIMIT ?`).get(...values, 1)?.[0]
      if (typeof head === 'number') begun.push({ range, head })
    }
    return begun
  }

  #exact(range: SearchRange, filter: JobFilter, page: JobPage): Walked {
    const { sql, values } = stretch(range, filter, page, true)
    const rows = this.#queries.of(`SELECT jobs.n, jobs.created_at, jobs.id FROM ${sql} LIMIT ?`)
    return { found: rows.all(...values, page.limit + 1).map((row) => foundOf(row, range.kind)) }
  }

  // Reads rows and checks each, until there are enough jobs or `rowsMax` rows were read.
  #looked(range: SearchRange, filter: JobFilter, page: JobPage, rowsMax: number): Walked {
    const found: Found[] = []
    let after = page.after
    let limit = page.limit + 1
    for (let looked = 0; ; limit = ROWS_TOGETHER) {
      const rows = this.#lookAt(range, filter, { ...page, limit, ...(after === undefined ? {} : { after }) })
      found.push(...rows.flatMap(({ found: each }) => each ?? []))
      if (rows.length < limit || found.length > page.limit) return { found }
      after = rows.at(-1)?.at
      looked += rows.length
      if (looked >= rowsMax && after !== undefined) return { found, through: after }
    }
  }

  // Jobs that `counted` selects are not found.
  #lookAt(range: SearchRange, filter: JobFilter, page: JobPage, counted?: Wanted) {
    const { sql, values } = stretch(range, filter, page, true)
    const statement = this.#queries.of(`SELECT jobs.n, jobs.created_at, jobs.id, ${LOOKED_AT} FROM ${sql} LIMIT ?`)
    return statement.all(...values, page.limit).map((row) => {
      const kind = range.wanted.kinds.get(Number(row[5]))
      const at = foundOf(row, kind)
      const isFound = kind !== undefined && isWanted(row, range.wanted)
      const isCounted = counted?.kinds.has(Number(row[5])) === true && isWanted(row, counted)
      return { at, found: isFound && !isCounted ? at : undefined }
    })
  }

  async #count(filter: JobFilter, groupOf: (kind: Kind) => string | undefined): Promise<ReadonlyMap<string, number>> {
    const all = distinct(filter.scopes).map((scope) => searchRanges(scope, filter, this.#jobs))
    const [first = [], ...others] = all
    const isExact = first.every((range) => range.isExact)
    const counts = isExact ? this.#countExactly(first, filter, groupOf) : new Map<string, number>()
    // Scopes may overlap, so a job may be found in several ranges. Each is counted once, by its number. Jobs of the first
    // scope that were counted exactly are skipped.
    const counted = isExact ? first[0]?.wanted : undefined
    const groups = new Map<string, Set<number>>()
    for (const range of (isExact ? others : all).flat()) await this.#gather(range, filter, groupOf, groups, counted)
    for (const [group, { size }] of groups) counts.set(group, Math.min((counts.get(group) ?? 0) + size, COUNT_MAX))
    return counts
  }

  #countExactly(ranges: readonly SearchRange[], filter: JobFilter, groupOf: (kind: Kind) => string | undefined) {
    const counts = new Map<string, number>()
    for (const range of ranges) {
      const group = range.kind === undefined ? undefined : groupOf(range.kind)
      if (group === undefined) continue
      const known = counts.get(group) ?? 0
      if (known >= COUNT_MAX) continue
      const { sql, values } = stretch(range, filter, { limit: COUNT_MAX })
      const statement = this.#queries.of(`SELECT count(*) FROM (SELECT 1 FROM ${sql} LIMIT ?)`)
      const found = Number(statement.get(...values, COUNT_MAX - known)?.[0])
      if (found > 0) counts.set(group, known + found)
    }
    return counts
  }

  // Reads the range part by part, and lets the event loop turn after each part. Ends with the range, or when the count
  // reaches its maximum.
  async #gather(
    range: SearchRange,
    filter: JobFilter,
    groupOf: (kind: Kind) => string | undefined,
    groups: Map<string, Set<number>>,
    counted: Wanted | undefined,
  ): Promise<void> {
    for (let after: JobPosition | undefined; ; ) {
      const page = { limit: this.#rowsMax, ...(after === undefined ? {} : { after }) }
      const rows = this.#lookAt(range, filter, page, counted)
      for (const { found } of rows) {
        const group = found?.kind === undefined ? undefined : groupOf(found.kind)
        if (found === undefined || group === undefined) continue
        const numbers = groups.get(group) ?? new Set()
        groups.set(group, numbers)
        if (numbers.size < COUNT_MAX) numbers.add(found.n)
      }
      after = rows.at(-1)?.at
      if (rows.length < this.#rowsMax || this.#isCounted(range, groupOf, groups)) return
      await new Promise<void>((resume) => this.#clock.turn(resume))
    }
  }

  #isCounted(
    { wanted }: SearchRange,
    groupOf: (kind: Kind) => string | undefined,
    groups: ReadonlyMap<string, ReadonlySet<number>>,
  ): boolean {
    for (const kind of wanted.kinds.values()) {
      const group = groupOf(kind)
      if (group !== undefined && (groups.get(group)?.size ?? 0) < COUNT_MAX) return false
    }
    return true
  }
}

/**
 * The SQL for a part of a range, in list order: the rows between two times and after a position. Only if `withIds` is
 * true, jobs created in the same millisecond are ordered by id.
 */
function stretch(
  { rows, table, values }: SearchRange,
  { createdAfter, createdBefore }: Bounds,
  { after, order = 'newest' }: JobPage,
  withIds = false,
): { readonly sql: string; readonly values: readonly SQLInputValue[] } {
  const [beyond, direction] = order === 'newest' ? ['<', 'DESC'] : ['>', 'ASC']
  const at = `${table}.created_at`
  const where = [rows]
  const bound: SQLInputValue[] = [...values]
  if (createdAfter !== undefined) {
    where.push(`${at} >= ?`)
    bound.push(createdAfter)
  }
  if (createdBefore !== undefined) {
    where.push(`${at} < ?`)
    bound.push(createdBefore)
  }
  if (after !== undefined) {
    // The first condition uses the index. The second leaves out jobs that the previous page has shown.
    where.push(`${at} ${beyond}= ?`)
    bound.push(after.createdAt)
    if (withIds) {
      where.push(`(${at} ${beyond} ? OR jobs.id ${beyond} ?)`)
      bound.push(after.createdAt, after.id)
    }
  }
  const ids = withIds ? `, jobs.id ${direction}` : ''
  return { sql: `${where.join(' AND ')} ORDER BY ${at} ${direction}${ids}`, values: bound }
}

function foundOf([n, createdAt, id]: Row, kind: Kind | undefined): Found {
  return { n: Number(n), createdAt: Number(createdAt), id: String(id), kind }
}

function isWanted(row: Row, { tenant, createdBy, assignee, pipeline, parentId, labels }: Wanted): boolean {
  const [, , , ofTenant, ofCreator, , ofPipeline, parent, text, ofAssignee] = row
  if (tenant !== undefined && ofTenant !== tenant) return false
  if (createdBy !== undefined && ofCreator !== createdBy) return false
  if (assignee !== undefined && ofAssignee !== assignee) return false
  if (pipeline !== undefined && ofPipeline !== pipeline) return false
  if (parentId !== undefined && parent !== parentId) return false
  return labels.length === 0 || hasLabels(text, labels)
}

// Whether the text of a row contains all of these labels. A text that cannot be decoded counts as no labels.
function hasLabels(text: unknown, labels: Wanted['labels']): boolean {
  try {
    const has = labelsIn(text)
    return labels.every(([name, value]) => Object.hasOwn(has, name) && has[name] === value)
  } catch {
    return false
  }
}

/** A comparison for sorting: a negative result means that `a` comes before `b` in the list. */
function inOrder(order: Order): (a: JobPosition, b: JobPosition) => number {
  const sign = order === 'newest' ? -1 : 1
  return (a, b) => (a.createdAt - b.createdAt || compareText(a.id, b.id)) * sign
}

// Joins two results. Scopes may overlap, so a job may be in both; it is kept once.
function merged(a: Walked, b: Walked, order: Order, limit: number): Walked {
  const [through] = [a.through ?? [], b.through ?? []].flat().sort(inOrder(order))
  const ended = through === undefined ? {} : { through }
  if (a.found.length === 0) return { found: b.found, ...ended }
  const all = new Map([...a.found, ...b.found].map((each) => [each.n, each]))
  return { found: [...all.values()].sort(inOrder(order)).slice(0, limit), ...ended }
}

function distinct(scopes: readonly Scope[]): readonly Scope[] {
  if (scopes.length < 2) return scopes
  const byText = scopes.map(({ tenant, createdBy, assignee, type, pipeline, labels = {} }) => {
    const scope = { tenant, createdBy, assignee, type, pipeline, labels }
    return [JSON.stringify({ ...scope, labels: Object.entries(labels).sort() }), scope as Scope] as const
  })
  return [...new Map(byText).values()]
}
