import type { Job } from '../model/job.ts'
import type { TypeKey } from '../port/storage.ts'
import { JOB_COLUMNS, type JobTable, PLACE } from './job-table.ts'
import type { Prepare, Row, Statement } from './statement.ts'

const WAITING = 'jobs INDEXED BY jobs_turn WHERE waits_since IS NOT NULL AND pipeline IS NOT NULL'

/** Finds jobs by a key, a slot or tasks that they hold, or by the time when something of them is due. */
export class JobLookups {
  readonly #jobs: JobTable
  readonly #byKey: Statement
  readonly #byUniqueKey: Statement
  readonly #bySlot: Statement
  readonly #ofKind: Statement
  readonly #tenants: Statement
  readonly #ofVersion: Statement
  readonly #due: Statement
  /**
   * Finds the next job for a pipeline's slot. A job without a start time waits only for the slot, so its time is not
   * compared with the clock: its `waits_since` equals its `created_at`.
   */
  readonly #turn: Statement
  readonly #starting: Statement
  readonly #pipelines: Statement
  readonly #held: Statement

  constructor(prepare: Prepare, jobs: JobTable) {
    this.#jobs = jobs
    this.#byKey = prepare(`SELECT id FROM jobs WHERE tenant = ? AND created_by = ? AND key = ?`)
    this.#byUniqueKey = prepare(`SELECT id FROM jobs WHERE tenant = ? AND unique_key = ?`)
    this.#bySlot = prepare(`SELECT id FROM jobs WHERE tenant = ? AND slot = ?`)
    this.#ofKind = prepare(`
      SELECT count(*) FROM (
        SELECT 1 FROM jobs INDEXED BY jobs_of_tenant WHERE tenant = ? AND kind = ? LIMIT ?)`)
    this.#tenants = prepare(`
      WITH RECURSIVE next (tenant) AS (
        SELECT min(tenant) FROM jobs INDEXED BY jobs_of_tenant
        UNION ALL
        SELECT (SELECT min(tenant) FROM jobs INDEXED BY jobs_of_tenant WHERE tenant > next.tenant) FROM next
        WHERE next.tenant IS NOT NULL)
      SELECT tenant FROM next WHERE tenant IS NOT NULL`)
    this.#ofVersion = prepare(`
      SELECT EXISTS (
        SELECT 1 FROM jobs INDEXED BY jobs_of_tenant WHERE tenant = ? AND kind = ? AND version = ?)`)
    this.#due = prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE wake_at <= ? ORDER BY wake_at, n`)
    this.#turn = prepare(`
      SELECT ${JOB_COLUMNS} FROM jobs INDEXED BY jobs_turn
      WHERE tenant = ? AND pipeline = ? AND waits_since IS NOT NULL AND (waits_since <= ? OR waits_since = created_at)
      ORDER BY priority DESC, waits_since, n`)
    this.#starting = prepare(`
      SELECT ${JOB_COLUMNS} FROM jobs INDEXED BY jobs_starting
      WHERE pipeline IS NULL AND waits_since <= ? ORDER BY waits_since, n`)
    // Finds all pipelines with waiting jobs and a free slot. Takes one step in the index for each pipeline, instead of
    // reading all rows. The tenant and the pipeline are compared one after the other: with `(tenant, pipeline) > (?,
    // ?)`, SQLite would read all rows of the pipeline.
    this.#pipelines = prepare(`
      WITH RECURSIVE tenants (tenant) AS (
        SELECT min(tenant) FROM ${WAITING}
        UNION ALL
        SELECT (SELECT min(tenant) FROM ${WAITING} AND tenant > tenants.tenant) FROM tenants WHERE tenant IS NOT NULL),
      next (tenant, pipeline) AS (
        SELECT tenant, (SELECT min(pipeline) FROM ${WAITING} AND tenant = tenants.tenant) FROM tenants
        WHERE tenant IS NOT NULL
        UNION ALL
        SELECT tenant, (SELECT min(pipeline) FROM ${WAITING} AND tenant = next.tenant AND pipeline > next.pipeline)
        FROM next WHERE pipeline IS NOT NULL)
      SELECT tenant, pipeline FROM next
      WHERE pipeline IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM jobs WHERE tenant = next.tenant AND slot = next.pipeline)`)
    this.#held = prepare(`
      SELECT n FROM jobs WHERE holder = ? AND token IS NOT NULL
      UNION ALL SELECT n FROM tasks WHERE holder = ? AND token IS NOT NULL`)
  }

  /** The id of the job that has this idempotency key and the same tenant, creator and type as the given job. */
  keyHolder({ tenant, createdBy, type }: Job, key: string): string | undefined {
    const { names, columns } = this.#jobs
    const [owner, creator] = [names.knownCode(tenant), names.knownCode(createdBy)]
    if (owner === undefined || creator === undefined) return undefined
    return idIn(this.#byKey.get(owner, creator, columns.key(type, key)))
  }

  /** The id of the job that holds this unique key and has the same tenant and type as the given job. */
  uniqueKeyHolder({ tenant, type }: Job, key: string): string | undefined {
    const { names, columns } = this.#jobs
    const owner = names.knownCode(tenant)
    return owner === undefined ? undefined : idIn(this.#byUniqueKey.get(owner, columns.key(type, key)))
  }

  /** The id of the job that holds a pipeline's slot. */
  slotHolder(tenant: string, pipeline: string): string | undefined {
    const { names } = this.#jobs
    const [owner, slot] = [names.knownCode(tenant), names.knownCode(pipeline)]
    return owner === undefined || slot === undefined ? undefined : idIn(this.#bySlot.get(owner, slot))
  }

  /** How many jobs are queued that have the same tenant and type as the given job. Stops counting at `max`. */
  queued({ tenant, type }: Job, max: number): number {
    const owner = this.#jobs.names.knownCode(tenant)
    if (owner === undefined) return 0
    let found = 0
    for (const kind of this.#jobs.kinds.all()) {
      if (kind.type !== type || !kind.isQueued || found >= max) continue
      found += Number(this.#ofKind.get(owner, kind.code, max - found)?.[0])
    }
    return found
  }

  /** Whether there is a job of this type and version that has not ended. */
  isUnsettled({ type, version }: TypeKey): boolean {
    const code = this.#jobs.names.knownCode(version)
    if (code === undefined) return false
    const kinds = [...this.#jobs.kinds.all()].filter((kind) => kind.type === type && kind.phase !== 'settled')
    const tenants = this.#tenants.all()
    return kinds.some((kind) =>
      tenants.some(([tenant]) => this.#ofVersion.get(Number(tenant), kind.code, code)?.[0] === 1),
    )
  }

  /**
   * Jobs for which something is due by `at`, the longest due first. Skips the first `skip` jobs, and returns at most
   * `limit`.
   */
  due(types: readonly TypeKey[], at: number, limit: number, skip: number): readonly Job[] {
    return this.#firstKnown(this.#due.iterate(at), types, limit + skip).slice(skip)
  }

  /** The next waiting job of a pipeline that may be admitted by `at`. */
  next(types: readonly TypeKey[], tenant: string, pipeline: string, at: number): Job | undefined {
    const { names } = this.#jobs
    const [owner, code] = [names.knownCode(tenant), names.knownCode(pipeline)]
    return owner === undefined || code === undefined ? undefined : this.#next(types, owner, code, at)
  }

  /** Waiting jobs that may be admitted by `at`: all that have no pipeline, and at most one for each pipeline. */
  admissible(types: readonly TypeKey[], at: number, limit: number, skip: number): readonly Job[] {
    const jobs = [...this.#firstKnown(this.#starting.iterate(at), types, limit + skip)]
    for (const [tenant, pipeline] of this.#pipelines.iterate()) {
      if (jobs.length >= limit + skip) break
      const next = this.#next(types, Number(tenant), Number(pipeline), at)
      if (next !== undefined) jobs.push(next)
    }
    return jobs.slice(skip)
  }

  /** Jobs with a task that is claimed or stopping at an instance. */
  held(instance: string): readonly Job[] {
    const code = this.#jobs.names.knownCode(instance)
    const rows = code === undefined ? [] : this.#held.all(code, code)
    // A job may have several tasks at the instance, so its number may be found several times.
    const numbers = new Set(rows.map(([n]) => Number(n)))
    return [...numbers].flatMap((n) => this.#jobs.readableByNumber(n) ?? [])
  }

  #next(types: readonly TypeKey[], tenant: number, pipeline: number, at: number): Job | undefined {
    return this.#firstKnown(this.#turn.iterate(tenant, pipeline, at), types, 1)[0]
  }

  // The first jobs of the given types. Jobs of other types and broken jobs are skipped.
  #firstKnown(rows: Iterable<Row>, types: readonly TypeKey[], limit: number): readonly Job[] {
    const jobs: Job[] = []
    if (limit <= 0) return jobs
    const known = new Set(types.map(({ type, version }) => `${type}\u0000${version}`))
    for (const row of rows) {
      const job = this.#isKnown(row, known) ? this.#jobs.readable(row) : undefined
      if (job !== undefined) jobs.push(job)
      if (jobs.length === limit) break
    }
    return jobs
  }

  #isKnown(row: Row, known: ReadonlySet<string>): boolean {
    const { kinds, names } = this.#jobs
    return known.has(`${kinds.get(row[PLACE.kind]).type}\u0000${names.textOf(row[PLACE.version])}`)
  }
}

function idIn(row: Row | undefined): string | undefined {
  return row === undefined ? undefined : String(row[0])
}
