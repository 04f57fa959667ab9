import type { SQLInputValue } from 'node:sqlite'
import { jobUnreadable } from '../model/error.ts'
import { claimableTasks, type Job, type JobSummary } from '../model/job.ts'
import { idempotencyKeyOf, JobColumnsWriter, MOVING_COLUMNS } from './job-columns.ts'
import { type JobColumns, jobOf, recordOf } from './job-record.ts'
import { jsonOrNull, labelsIn, labelsText } from './json-text.ts'
import type { Kinds } from './kinds.ts'
import { labelCode } from './label-code.ts'
import type { Names } from './names.ts'
import type { Prepare, Row, Statement } from './statement.ts'
import { TaskRows } from './task-rows.ts'

/** The columns that {@link JobTable.job} decodes. */
export const JOB_COLUMNS =
  'n, id, tenant, created_by, kind, version, revision, priority, created_at, pipeline, parent, labels, key, task, holder, limit_key, child, further, input, progress, body, assignee'

/** The positions in a row of some columns, for code that needs only these and does not decode the whole row. */
export const PLACE = { n: 0, id: 1, kind: 4, version: 5, parent: 10, child: 16, further: 17 } as const

/**
 * The columns that {@link JobTable.summary} reads. In the table, all of them but the assignee come before the input and
 * the record, which may be large, so SQLite need not read these. It reads past them only if the job has an assignee.
 */
const SUMMARY_COLUMNS = 'id, tenant, kind, version, created_by, pipeline, labels, assignee'

/** The columns of a new row: first those that always have a value, then those that may be null. */
const GIVEN_COLUMNS = ['n', 'id', 'tenant', 'created_by', 'priority', 'created_at', 'revision', 'body'] as const
/** In the bits that say which columns an update sets: the bit of the progress. */
const PROGRESS = 1 << MOVING_COLUMNS.length
const OPTIONAL_COLUMNS = ['pipeline', 'parent', 'labels', 'input', 'progress', 'assignee', ...MOVING_COLUMNS] as const

/** Stands for every creator in the label rows for searches over all creators of a tenant. */
const ANYBODY = 0
const NO_PARTS: readonly Row[] = []
/** SQLite's error code when a row violates a unique index. */
const UNIQUE_ERROR = 2067
/** How many row numbers are cached before the cache is cleared. */
const NUMBERS_MAX = 5_000

/**
 * Reads and writes the rows of jobs, together with the rows of their further tasks, ended children and labels.
 *
 * The number `n` of a row is the sequence of the job's first event. So newer jobs have higher numbers, and no number is
 * used twice.
 */
export class JobTable {
  readonly names: Names
  readonly kinds: Kinds
  readonly tasks: TaskRows
  readonly columns: JobColumnsWriter
  /** INSERT statements. The key is a bit mask of the optional columns that the statement sets. */
  readonly #inserts = new Map<number, Statement>()
  readonly #prepare: Prepare
  /** UPDATE statements. The key is a bit mask of the columns that the statement changes. */
  readonly #updates = new Map<number, Statement>()
  readonly #remove: Statement
  readonly #putLabel: Statement
  readonly #dropLabel: Statement
  readonly #numberAndRevision: Statement
  readonly #byId: Statement
  readonly #byNumber: Statement
  readonly #summaryById: Statement
  /** A cache of row numbers by job id, for jobs that this connection has read or written. */
  readonly #numbers = new Map<string, number>()
  /**
   * Claimable jobs that this transaction has inserted and not changed since. A claim can use these records without
   * decoding their rows again.
   */
  #inserted = new Map<number, Job>()

  constructor(prepare: Prepare, names: Names, kinds: Kinds) {
    this.#prepare = prepare
    this.names = names
    this.kinds = kinds
    this.columns = new JobColumnsWriter(names, kinds)
    this.tasks = new TaskRows(prepare, names, this.columns)
    this.#remove = prepare(`DELETE FROM jobs WHERE n = ? AND id = ? AND revision = ?`)
    this.#putLabel = prepare(`
      INSERT INTO job_labels (tenant, created_by, label, child, created_at, n) VALUES (?, ?, ?, ?, ?, ?)
      ON CONFLICT DO NOTHING`)
    this.#dropLabel = prepare(`
      DELETE FROM job_labels
      WHERE tenant = ? AND created_by = ? AND label = ? AND child = ? AND created_at = ? AND n = ?`)
    this.#numberAndRevision = prepare(`SELECT n, revision FROM jobs WHERE id = ?`)
    this.#byId = prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE id = ?`)
    this.#byNumber = prepare(`SELECT ${JOB_COLUMNS} FROM jobs WHERE n = ?`)
    this.#summaryById = prepare(`SELECT ${SUMMARY_COLUMNS} FROM jobs WHERE id = ?`)
  }

  /** Call this after the writes were committed. */
  keep(): void {
    this.#inserted = new Map()
    this.names.keep()
    this.kinds.keep()
  }

  /** Call this when writes since the last `keep` may be rolled back. */
  forget(): void {
    this.#inserted = new Map()
    this.names.forget()
    this.kinds.forget()
  }

  /** The number of the job's row. `undefined`: the stored record has another revision, or there is none. */
  numberAt({ id, revision }: Job): number | undefined {
    const [n, stored] = this.#numberAndRevision.get(id) ?? []
    return typeof n === 'number' && stored === revision ? n : undefined
  }

  /** The number of a job's row. */
  numberOf(id: string): number | undefined {
    const n = this.#numberAndRevision.get(id)?.[0]
    return typeof n === 'number' ? n : undefined
  }

  /** The stored revision of a job. */
  revisionOf(id: string): number | undefined {
    const revision = this.#numberAndRevision.get(id)?.[1]
    return typeof revision === 'number' ? revision : undefined
  }

  /** Writes a new job. Returns `false` if a job with this id exists. */
  insert(n: number, job: Job): boolean {
    const { names } = this
    const { pipeline, parentId = null, labels, input, progress, assignee } = job
    const optional: SQLInputValue[] = [
      pipeline === undefined ? null : names.codeOf(pipeline),
      parentId,
      labelsText(labels),
      jsonOrNull(input),
      jsonOrNull(progress),
      assignee === undefined ? null : names.codeOf(assignee),
      ...this.columns.moving(job),
    ]
    const values: SQLInputValue[] = [
      n,
      job.id,
      names.codeOf(job.tenant),
      names.codeOf(job.createdBy),
      job.priority,
      job.createdAt,
      job.revision,
      recordOf(job),
    ]
    let given = 0
    for (let index = 0; index < optional.length; index++) {
      const value = optional[index]
      if (value === null || value === undefined) continue
      given |= 1 << index
      values.push(value)
    }
    try {
      this.#insertOf(given).run(...values)
    } catch (error) {
      // The caller has checked slots and keys, so only the unique index of ids can refuse the row.
      if ((error as { readonly errcode?: unknown }).errcode === UNIQUE_ERROR) return false
      throw error
    }
    if (job.deletedAt === undefined) this.#eachLabel(job, n, this.#putLabel)
    this.tasks.write(n, undefined, job)
    this.#rememberNumber(job.id, n)
    if (claimableTasks(job).length > 0) this.#inserted.set(n, job)
    return true
  }

  /**
   * Writes what differs between two records of a job. Returns the number of its row, or `undefined` if the stored
   * record is not `before`.
   */
  update(before: Job, job: Job): number | undefined {
    const from = this.columns.moving(before)
    const to = this.columns.moving(job)
    const values: SQLInputValue[] = [job.revision, recordOf(job)]
    let moved = 0
    for (let index = 0; index < MOVING_COLUMNS.length; index++) {
      const value = to[index]
      if (value === from[index] || value === undefined) continue
      moved |= 1 << index
      values.push(value)
    }
    const progress = jsonOrNull(job.progress)
    const changesProgress = job.progress !== before.progress
    const statement = this.#updateOf(changesProgress ? moved | PROGRESS : moved)
    if (changesProgress) values.push(progress)
    const stored = changesProgress ? [jsonOrNull(before.progress), progress] : []
    const n = this.#changed(before, (number) => statement.run(...values, number, before.id, before.revision, ...stored))
    if (n === undefined) return undefined
    this.#inserted.delete(n)
    if (job.deletedAt !== undefined && before.deletedAt === undefined) this.#eachLabel(before, n, this.#dropLabel)
    this.tasks.write(n, before, job)
    // A settled job rarely changes again, so its number need not stay cached.
    if (job.phase === 'settled') this.#numbers.delete(job.id)
    return n
  }

  /**
   * Removes a job's row, and the rows of its tasks, ended children and labels. Returns its number, or `undefined` if
   * the stored record is not `before`.
   */
  remove(before: Job): number | undefined {
    const n = this.#changed(before, (number) => this.#remove.run(number, before.id, before.revision))
    if (n === undefined) return undefined
    this.#inserted.delete(n)
    if (before.deletedAt === undefined) this.#eachLabel(before, n, this.#dropLabel)
    this.tasks.removeAll(n)
    return n
  }

  // The statement has only the columns that are not null. Most columns are null for most jobs, and binding nulls takes
  // time.
  #insertOf(given: number): Statement {
    const known = this.#inserts.get(given)
    if (known !== undefined) return known
    const columns = [...GIVEN_COLUMNS, ...OPTIONAL_COLUMNS.filter((_, index) => (given & (1 << index)) !== 0)]
    const values = columns.map(() => '?').join(', ')
    const statement = this.#prepare(`INSERT INTO jobs (${columns.join(', ')}) VALUES (${values})`)
    this.#inserts.set(given, statement)
    return statement
  }

  // The statement sets only the columns that differ, because SQLite rewrites the indexes of every column that a
  // statement sets.
  #updateOf(moved: number): Statement {
    const known = this.#updates.get(moved)
    if (known !== undefined) return known
    const columns = ['revision', 'body', ...MOVING_COLUMNS.filter((_, index) => (moved & (1 << index)) !== 0)]
    const changesProgress = (moved & PROGRESS) !== 0
    if (changesProgress) columns.push('progress')
    const set = columns.map((column) => `${column} = ?`).join(', ')
    const as = changesProgress ? ' AND (progress IS ? OR progress IS ?)' : ''
    const statement = this.#prepare(`UPDATE jobs SET ${set} WHERE n = ? AND +id = ? AND revision = ?${as}`)
    this.#updates.set(moved, statement)
    return statement
  }

  // Runs a write with the cached number of the job's row. The cached number may be wrong, e.g. if another connection
  // has removed the job and stored a new one with its id. Then the write changes no row, and is repeated with the
  // number read anew.
  #changed(job: Job, run: (n: number) => { readonly changes: number | bigint }): number | undefined {
    const remembered = this.#numbers.get(job.id)
    if (remembered !== undefined && run(remembered).changes !== 0) return remembered
    const n = this.numberOf(job.id)
    if (n === undefined || n === remembered || run(n).changes === 0) return undefined
    this.#rememberNumber(job.id, n)
    return n
  }

  #rememberNumber(id: string, n: number): void {
    if (this.#numbers.size >= NUMBERS_MAX) this.#numbers.clear()
    this.#numbers.set(id, n)
  }

  #eachLabel({ labels, tenant, createdBy, parentId, createdAt }: Job, n: number, statement: Statement): void {
    for (const name in labels) {
      const label = labelCode(name, labels[name] ?? '')
      const child = parentId === undefined ? 0 : 1
      const [owner, creator] = [this.names.codeOf(tenant), this.names.codeOf(createdBy)]
      for (const by of [ANYBODY, creator]) statement.run(owner, by, label, child, createdAt, n)
    }
  }

  /** The row of a job. */
  rowById(id: string): Row | undefined {
    return this.#byId.get(id)
  }

  /**
   * The job with this row number, as it is in this transaction. `undefined`: there is none, or its record is broken.
   */
  readableByNumber(n: number): Job | undefined {
    return this.#inserted.get(n) ?? this.readable(this.#byNumber.get(n))
  }

  /**
   * Call this after a write that changed a part of the job outside its record, e.g. its progress. If this transaction
   * inserted the job, the record of the insert is then out of date, so the job is read again.
   */
  wroteBeside(id: string): void {
    const n = this.#inserted.size === 0 ? undefined : this.numberOf(id)
    if (n !== undefined) this.#inserted.delete(n)
  }

  /** The rows of a job's tasks after the first, and of its ended children. */
  partsOf(row: Row): readonly Row[] {
    return row[PLACE.further] === null ? NO_PARTS : this.tasks.rowsOf(Number(row[PLACE.n]))
  }

  /**
   * Decodes a job from its row and its parts. Both must have been read from the same state of the file.
   *
   * @throws {JobchartError} `JOB_UNREADABLE` the row is broken.
   */
  job(row: Row, parts = this.partsOf(row)): Job {
    try {
      return this.#decoded(row, parts)
    } catch (error) {
      throw jobUnreadable(String(row[PLACE.id]), error)
    }
  }

  /** Decodes a job from its row. `undefined`: there is no row, or it is broken. */
  readable(row: Row | undefined): Job | undefined {
    if (row === undefined) return undefined
    try {
      return this.#decoded(row, this.partsOf(row))
    } catch {
      return undefined
    }
  }

  #decoded(row: Row, parts: readonly Row[]): Job {
    const [n, , , , , , , , , , , , , task, holder, limitKey, child] = row
    const columns = this.#columnsOf(row)
    const first = task === null ? undefined : this.tasks.columnsOf(task, holder, limitKey, child)
    const job = jobOf({ ...columns, task: first }, String(row[20]))
    if (parts.length > 0) this.tasks.addTo(job, parts)
    this.#rememberNumber(job.id, Number(n))
    return job
  }

  #columnsOf(row: Row): Omit<JobColumns, 'task'> {
    const [, id, tenant, createdBy, kind, version, revision, priority, createdAt, pipeline, parent, labels, key] = row
    return {
      id: String(id),
      tenant: this.names.textOf(tenant),
      createdBy: this.names.textOf(createdBy),
      assignee: row[21] === null ? undefined : this.names.textOf(row[21]),
      kind: this.kinds.get(kind),
      version: this.names.textOf(version),
      revision: Number(revision),
      priority: Number(priority),
      createdAt: Number(createdAt),
      pipeline: pipeline === null ? undefined : this.names.textOf(pipeline),
      parentId: parent === null ? undefined : String(parent),
      labels: labelsIn(labels),
      idempotencyKey: key === null ? undefined : idempotencyKeyOf(String(key)),
      input: row[18] as string | null,
      progress: row[19] as string | null,
    }
  }

  /**
   * The facts of a job that a policy may see; undefined: there is no such job, or it is deleted.
   *
   * @throws {JobchartError} `JOB_UNREADABLE` its labels are broken.
   */
  summary(id: string): JobSummary | undefined {
    const row = this.#summaryById.get(id)
    if (row === undefined) return undefined
    const [, tenant, kindCode, version, createdBy, pipeline, labels, assignee] = row
    try {
      const kind = this.kinds.get(kindCode)
      if (kind.isDeleted) return undefined
      return {
        id,
        tenant: this.names.textOf(tenant),
        type: kind.type,
        version: this.names.textOf(version),
        createdBy: this.names.textOf(createdBy),
        ...(assignee === null ? {} : { assignee: this.names.textOf(assignee) }),
        ...(pipeline === null ? {} : { pipeline: this.names.textOf(pipeline) }),
        labels: labelsIn(labels),
        status: kind.status,
      }
    } catch (error) {
      throw jobUnreadable(id, error)
    }
  }
}
