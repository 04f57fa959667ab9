/**
 * Removes ended jobs, log lines and rows of the log that the query names (S40 to S42).
 *
 * A pass has six stages, each a walk along an index that exists for other reasons. A call goes on from the place where
 * the last one stopped, and stops at its bound:
 *
 * ```
 *  aged      jobs by tenant, kind and creation: a job ends after its creation, so younger ones are not looked at
 *  excess    for each tenant and type: counts its ended jobs, and removes the oldest above `max`
 *  lines     jobs that have lines, in the order of their creation
 *  events    removed jobs, in the order of their creation
 *  progress  rows of the log, from the first that no earlier pass has seen
 *  items     items that were left when their job was removed, because it had very many
 * ```
 *
 * A pass leaves what is too young, and the next pass looks at it again. To save time, the stages `lines` and `events`
 * stop early: after a call that found only young jobs.
 */
import { isBusy, type Outcome } from '../model/job.ts'
import type { Pruned, PruneQuery, PruneType } from '../port/storage.ts'
import { JobRemoval, PruneBounds, type RemovalTables } from './job-removal.ts'
import type { Kind } from './kinds.ts'
import type { Prepare, Row, Statement } from './statement.ts'

const STAGES = ['aged', 'excess', 'lines', 'events', 'progress', 'items'] as const

/** A place in the walk of a stage. */
type Place = readonly number[]
/** How many items are removed before the time of the call is checked. */
const ITEMS_TOGETHER = 500
/** A value below all times and numbers. */
const FIRST = Number.MIN_SAFE_INTEGER

/** Does a part of a stage. Returns the place where the next call continues; `undefined`: the stage has ended. */
type Stage = (query: PruneQuery, from: Place, bounds: PruneBounds) => Place | undefined

/** Runs the calls of `prune` on one connection. */
export class Pruning {
  readonly #tables: RemovalTables
  readonly #removal: JobRemoval
  readonly #tenant: Statement
  readonly #sameTime: Statement
  readonly #later: Statement
  readonly #oldest: Statement
  readonly #count: Statement
  readonly #withLines: Statement
  readonly #kindOf: Statement
  readonly #gone: Statement
  readonly #at: Statement
  readonly #seen: Statement
  readonly #see: Statement
  readonly #rows: Statement
  readonly #removeProgress: Statement
  readonly #stages: { readonly [Name in (typeof STAGES)[number]]: Stage }

  constructor(prepare: Prepare, tables: RemovalTables) {
    const jobs = 'FROM jobs INDEXED BY jobs_of_tenant WHERE tenant = ? AND kind = ?'
    this.#tables = tables
    this.#removal = new JobRemoval(prepare, tables)
    this.#tenant = prepare(`SELECT min(tenant) FROM jobs INDEXED BY jobs_of_tenant WHERE tenant >= ?`)
    // Two statements: for `(created_at, n) > (?, ?)`, SQLite would read all rows of that time.
    this.#sameTime = prepare(`SELECT n, created_at ${jobs} AND created_at = ? AND n > ? ORDER BY n LIMIT ?`)
    this.#later = prepare(`
      SELECT n, created_at ${jobs} AND created_at > ? AND created_at < ? ORDER BY created_at, n LIMIT ?`)
    this.#oldest = prepare(`SELECT n, created_at ${jobs} ORDER BY created_at, n LIMIT ?`)
    this.#count = prepare(`SELECT count(*) FROM (SELECT 1 ${jobs} LIMIT ?)`)
    this.#withLines = prepare(`SELECT min(n) FROM logs WHERE n > ?`)
    this.#kindOf = prepare(`SELECT kind, created_at FROM jobs WHERE n = ?`)
    this.#gone = prepare(`SELECT min(n) FROM gone WHERE n > ?`)
    this.#at = prepare(`SELECT at FROM events WHERE sequence = ?`)
    this.#seen = prepare(`SELECT value FROM meta WHERE name = 'progress_pruned'`)
    this.#see = prepare(`
      INSERT INTO meta (name, value) VALUES ('progress_pruned', ?) ON CONFLICT DO UPDATE SET value = excluded.value`)
    this.#rows = prepare(`SELECT sequence, at FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?`)
    this.#removeProgress = prepare(`
      DELETE FROM events
      WHERE sequence > ? AND sequence <= ? AND job_sequence = 0 AND events LIKE '[{"type":"job.progress"%'`)
    this.#stages = {
      aged: (query, from, bounds) => this.#aged(query, from, bounds),
      excess: (query, from, bounds) => this.#excess(query, from, bounds),
      lines: (query, from, bounds) => this.#lines(query, from, bounds),
      events: (query, from, bounds) => this.#events(query, from, bounds),
      progress: (query, _, bounds) => this.#progress(query, bounds),
      items: (_, __, bounds) => this.#items(bounds),
    }
  }

  /** Does one call. Runs inside a transaction. @param isLate  whether the time of the call is over. */
  run(query: PruneQuery, isLate: () => boolean): Pruned {
    const bounds = new PruneBounds(query.limit, isLate)
    const [first = 0, ...from] = query.after === undefined ? [] : (JSON.parse(query.after) as readonly number[])
    let next: Place | undefined = from
    let stage = first
    for (; stage < STAGES.length; stage++, next = []) {
      if (bounds.isOver) break
      const name = STAGES[stage]
      next = name === undefined ? undefined : this.#stages[name](query, next, bounds)
      if (next !== undefined) break
    }
    const { jobs, events, lines, unreadable } = bounds
    const isMore = stage < STAGES.length
    return { jobs, events, lines, unreadable, ...(isMore ? { after: JSON.stringify([stage, ...(next ?? [])]) } : {}) }
  }

  #aged(query: PruneQuery, [fromTenant, fromKind, fromTime = FIRST, fromN = FIRST]: Place, bounds: PruneBounds) {
    const kinds = this.#endedKinds(query, ({ endedBefore }) => Object.keys(endedBefore).length > 0)
    for (
      let tenant = this.#tenantFrom(fromTenant ?? FIRST);
      tenant !== undefined;
      tenant = this.#tenantFrom(tenant + 1)
    ) {
      for (const { code, outcome, rule } of kinds) {
        const before = outcome === undefined ? undefined : rule.endedBefore[outcome]
        const isFirst = tenant === fromTenant && code === fromKind
        if (before === undefined || (tenant === fromTenant && code < (fromKind ?? FIRST))) continue
        if (bounds.isOver) return [tenant, code, ...(isFirst ? [fromTime, fromN] : [])]
        const place = isFirst ? [fromTime, fromN] : [FIRST, FIRST]
        const stop = this.#agedOf({ tenant, kind: code, before, place }, query, bounds)
        if (stop !== undefined) return [tenant, code, ...stop]
      }
    }
    return undefined
  }

  #agedOf(
    range: { tenant: number; kind: number; before: number; place: Place },
    query: PruneQuery,
    bounds: PruneBounds,
  ) {
    const { tenant, kind, before } = range
    let [time = FIRST, last = FIRST] = range.place
    for (;;) {
      const same = time === FIRST ? [] : this.#sameTime.all(tenant, kind, time, last, bounds.left + 1)
      const rows = same.length > 0 ? same : this.#later.all(tenant, kind, time, before, bounds.left + 1)
      if (rows.length === 0) {
        bounds.spend(1)
        return undefined
      }
      for (const [n, createdAt] of rows) {
        if (bounds.isOver) return [time, last]
        const isOld = ({ endedAt = before }: { readonly endedAt?: number }) => endedAt < before
        if (this.#removal.remove(Number(n), bounds, isOld, query.eventsBefore) === 'later') return [time, last]
        time = Number(createdAt)
        last = Number(n)
      }
    }
  }

  #excess(query: PruneQuery, [fromTenant, fromType = 0]: Place, bounds: PruneBounds): Place | undefined {
    const kinds = this.#endedKinds(query, ({ max }) => max !== undefined)
    const types = [...new Set(kinds.map(({ rule }) => rule))]
    if (types.length === 0) return undefined
    for (
      let tenant = this.#tenantFrom(fromTenant ?? FIRST);
      tenant !== undefined;
      tenant = this.#tenantFrom(tenant + 1)
    ) {
      for (const [index, rule] of types.entries()) {
        if (tenant === fromTenant && index < fromType) continue
        if (bounds.isOver) return [tenant, index]
        const codes = kinds.flatMap((kind) => (kind.rule === rule ? [kind.code] : []))
        if (this.#excessOf(tenant, codes, rule.max ?? 0, query, bounds)) return [tenant, index]
      }
    }
    return undefined
  }

  // Removes the ended jobs above `max` of one type and tenant. Returns whether more must be removed. Jobs that stay,
  // because their code runs or their records are broken, count as kept.
  #excessOf(tenant: number, kinds: readonly number[], max: number, query: PruneQuery, bounds: PruneBounds): boolean {
    const limit = bounds.left
    const counted = (kind: number) => Number(this.#count.get(tenant, kind, max + limit)?.[0])
    const excess = kinds.reduce((sum, kind) => sum + counted(kind), 0) - max
    if (excess <= 0) {
      bounds.spend(1)
      return false
    }
    const oldest = kinds.flatMap((kind) => this.#oldest.all(tenant, kind, limit)).sort(byCreation)
    const before = bounds.jobs
    let gone = 0
    for (const [n] of oldest) {
      if (gone === excess) return false
      const removal = bounds.isOver ? 'later' : this.#removal.remove(Number(n), bounds, ALWAYS, query.eventsBefore)
      if (removal === 'later') return true
      if (removal === 'gone') gone++
    }
    return bounds.jobs > before
  }

  #lines(query: PruneQuery, [from = FIRST]: Place, bounds: PruneBounds): Place | undefined {
    const rules = new Map(query.types.map((rule) => [rule.type, rule.linesBefore]))
    const before = Math.max(...query.types.map(({ linesBefore = FIRST }) => linesBefore))
    let last = from
    let old = 0
    for (;;) {
      const n = before <= FIRST ? null : this.#withLines.get(last)?.[0]
      if (typeof n !== 'number') return undefined
      if (bounds.isOver) return old > 0 ? [last] : undefined
      bounds.spend(1)
      const [kind, createdAt] = this.#kindOf.get(n) ?? []
      if (typeof createdAt === 'number' && createdAt < before) {
        old++
        if (!this.#removeLines(n, kind, rules, bounds)) return [last]
      }
      last = n
    }
  }

  // Removes old lines of one job. `false`: the job has more lines.
  #removeLines(n: number, code: unknown, rules: ReadonlyMap<string, number | undefined>, bounds: PruneBounds): boolean {
    const kind = this.#tables.jobs.kinds.get(code)
    const before = rules.get(kind.type)
    if (before === undefined || kind.phase !== 'settled') return true
    const job = this.#tables.jobs.readableByNumber(n)
    if (job?.endedAt === undefined || job.endedAt >= before || isBusy(job)) return true
    const limit = bounds.left + 1
    const lines = this.#tables.notes.removeSomeLines(n, limit)
    bounds.lines += lines
    bounds.spend(lines)
    return lines < limit
  }

  #events({ eventsBefore }: PruneQuery, [from = FIRST]: Place, bounds: PruneBounds): Place | undefined {
    if (eventsBefore === undefined) return undefined
    let last = from
    let old = 0
    for (;;) {
      const n = this.#gone.get(last)?.[0]
      if (typeof n !== 'number') return undefined
      if (bounds.isOver) return old > 0 ? [last] : undefined
      bounds.spend(1)
      // The number of a job is that of its first event.
      const [at = FIRST] = this.#at.get(n) ?? []
      if (Number(at) < eventsBefore) {
        old++
        if (!this.#removeEvents(n, eventsBefore, bounds)) return [last]
      }
      last = n
    }
  }

  // Removes old rows of the log of one removed job. `false`: the log has more of them.
  #removeEvents(n: number, before: number, bounds: PruneBounds): boolean {
    const { log } = this.#tables
    const limit = bounds.left + 1
    const rows = log.removeSome(n, before, limit)
    bounds.events += rows
    bounds.spend(rows)
    if (rows === limit) return false
    if (!log.hasRows(n)) log.dropGone(n)
    return true
  }

  // Removes old rows of progress. Stores the number where the pass ended, because no index tells where the log has
  // progress.
  #progress({ progressBefore }: PruneQuery, bounds: PruneBounds): Place | undefined {
    if (progressBefore === undefined) return undefined
    const seen = Number(this.#seen.get()?.[0] ?? 0)
    const rows = this.#rows.all(seen, bounds.left + 1)
    const young = rows.findIndex(([, at]) => Number(at) >= progressBefore)
    const old = young < 0 ? rows : rows.slice(0, young)
    const last = old.at(-1)?.[0]
    if (typeof last !== 'number') return undefined
    bounds.events += Number(this.#removeProgress.run(seen, last).changes)
    bounds.spend(old.length)
    this.#see.run(last)
    return young < 0 ? [] : undefined
  }

  #items(bounds: PruneBounds): Place | undefined {
    for (;;) {
      if (bounds.isOver) return []
      const removed = this.#tables.notes.items.removeLeft(Math.min(bounds.left, ITEMS_TOGETHER))
      if (removed === undefined) return undefined
      bounds.spend(removed)
    }
  }

  #tenantFrom(tenant: number): number | undefined {
    const found = this.#tenant.get(tenant)?.[0]
    return typeof found === 'number' ? found : undefined
  }

  // The kinds of ended top jobs that a rule is about.
  #endedKinds(query: PruneQuery, is: (rule: PruneType) => boolean): readonly RuledKind[] {
    const rules = new Map(query.types.filter(is).map((rule) => [rule.type, rule]))
    const kinds: RuledKind[] = []
    if (rules.size === 0) return kinds
    for (const { code, type, outcome, ...kind } of this.#tables.jobs.kinds.all()) {
      const rule = rules.get(type)
      const isEnded = kind.phase === 'settled' && !kind.isChild && !kind.isDeleted
      if (rule !== undefined && isEnded) kinds.push({ code, outcome, rule })
    }
    return kinds.sort((a, b) => a.code - b.code)
  }
}

interface RuledKind extends Pick<Kind, 'code'> {
  readonly outcome: Outcome | undefined
  readonly rule: PruneType
}

const ALWAYS = () => true

function byCreation([n, createdAt]: Row, [otherN, otherCreatedAt]: Row): number {
  return Number(createdAt) - Number(otherCreatedAt) || Number(n) - Number(otherN)
}
