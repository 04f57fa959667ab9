import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'
import { defined } from '../model/defined.ts'
import { withoutPayload } from '../model/erased-events.ts'
import type { Job, Phase } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import { isRunning } from '../model/task-record.ts'
import { EventLog } from './event-log.ts'
import { eventsRecordOf } from './event-record.ts'
import { JobTable } from './job-table.ts'
import { labelsIn } from './json-text.ts'
import { Kinds } from './kinds.ts'
import { Names } from './names.ts'
import { type OldRow, oldEvents, oldJob, textIn } from './old-records.ts'
import { type Prepare, preparing } from './statement.ts'

/** How many rows one transaction moves. */
const ROWS_TOGETHER = 2_000

type MovedTable = 'jobs' | 'events' | 'logs' | 'steps' | 'items'

/** Moves rows from the old tables into the new ones. Each call goes on with the first rows that remain. */
export class RowMover {
  readonly #db: DatabaseSync
  readonly #query: Prepare
  readonly #jobs: JobTable
  readonly #log: EventLog
  readonly #statements = new Map<string, StatementSync>()

  /** @param db  a database with both the old and the new tables. */
  constructor(db: DatabaseSync) {
    const prepare = preparing(db)
    const names = new Names(prepare)
    this.#db = db
    this.#query = prepare
    this.#jobs = new JobTable(prepare, names, new Kinds(prepare))
    this.#log = new EventLog(prepare, names)
  }

  /** Call this after the moved rows were committed. */
  keep(): void {
    this.#jobs.keep()
  }

  /** Call this when moved rows may be rolled back. */
  forget(): void {
    this.#jobs.forget()
  }

  /** Moves some rows of a table. Returns `false` if none were left. */
  move(table: MovedTable): boolean {
    const key = { jobs: 'n', events: 'sequence', logs: 'job_id, number', steps: 'job_id, entry, name', items: 'rowid' }[
      table
    ]
    const columns = table === 'items' ? 'rowid, *' : '*'
    const rows = this.#rows(`SELECT ${columns} FROM old_${table} ORDER BY ${key} LIMIT ${ROWS_TOGETHER}`)
    const drop = this.#prepare(`
      DELETE FROM old_${table} WHERE ${key
        .split(', ')
        .map((column) => `${column} = ?`)
        .join(' AND ')}`)
    for (const row of rows) {
      this.#moveRow(table, row)
      drop.run(...key.split(', ').map((column) => row[column] as SQLInputValue))
    }
    return rows.length > 0
  }

  #rows(sql: string): readonly OldRow[] {
    const columns = this.#prepare(sql).columns()
    return this.#query(sql)
      .all()
      .map((row) => Object.fromEntries(columns.map(({ name }, index) => [name, row[index]])))
  }

  #moveRow(table: MovedTable, row: OldRow): void {
    if (table === 'jobs') this.#moveJob(row)
    else if (table === 'events') this.#moveEvents(row)
    else {
      // Log lines, steps and items of a removed job are dropped.
      const n = this.#jobs.numberOf(String(row.job_id))
      if (n !== undefined) this.#moveBeside(table, n, row)
    }
  }

  #moveJob(row: OldRow): void {
    const n = this.#newNumber(String(row.id))
    let job: Job | undefined
    try {
      job = oldJob(row)
    } catch {
      // The old record is broken. The job stays unreadable in the new table, and lists and counts still include it.
    }
    if (job === undefined) this.#moveBroken(n, row)
    else this.#jobs.insert(n, job)
  }

  // The number for a job's new row: the sequence of its first event. A job without events uses up a new sequence.
  #newNumber(id: string): number {
    const first = this.#prepare(`SELECT min(sequence) AS first FROM old_events WHERE job_id = ?`).get(id)?.first
    if (typeof first === 'number') return first
    const next = this.#log.last() + 1
    this.#prepare(`UPDATE meta SET value = ? WHERE name = 'sequence'`).run(next)
    return next
  }

  #moveBroken(n: number, row: OldRow): void {
    this.#jobs.insert(n, standIn(row))
    this.#prepare(`UPDATE jobs SET body = ?, input = ?, progress = ?, labels = ? WHERE n = ?`).run(
      ...[row.body, row.input, row.progress, row.labels].map((value) => value as SQLInputValue),
      n,
    )
  }

  #moveEvents(row: OldRow): void {
    const id = String(row.job_id)
    const n = this.#jobs.numberOf(id)
    const names = this.#jobs.names
    const changeset = String(row.unit)
    const split = changeset.lastIndexOf('/') + 1
    const sequence = Number(row.sequence)
    const isDeleted = n === undefined || this.#isDeleted(n)
    this.#prepare(`
      INSERT INTO events (sequence, job, count, job_sequence, at, by, origin, changeset, events, inputs)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`).run(
      sequence,
      n ?? this.#goneNumber(sequence, row),
      Number(row.count),
      Number(row.job_sequence),
      Number(row.at),
      names.codeOf(`${String(row.by_kind)} ${String(row.by_id)}`),
      names.codeOf(changeset.slice(0, split)),
      changeset.slice(split),
      eventsText(String(row.events), isDeleted),
      isDeleted ? null : (row.inputs as SQLInputValue),
    )
  }

  #isDeleted(n: number): boolean {
    const kind = this.#prepare(`SELECT kind FROM jobs WHERE n = ?`).get(n)?.kind
    return this.#jobs.kinds.get(kind).isDeleted
  }

  // The row number for the events of a removed job: the sequence of its first row of the log. Log rows are moved in
  // order, so that row is moved first.
  #goneNumber(sequence: number, row: OldRow): number {
    const jobId = String(row.job_id)
    const known = this.#prepare(`SELECT n FROM gone WHERE id = ?`).get(jobId)?.n
    if (typeof known === 'number') return known
    const pipeline = textIn(row.pipeline)
    this.#log.keepGone(sequence, {
      jobId,
      tenant: String(row.tenant),
      createdBy: String(row.created_by),
      jobType: String(row.type),
      ...(pipeline === undefined ? {} : { pipeline }),
      labels: soundLabels(row.labels),
    })
    return sequence
  }

  #moveBeside(table: 'logs' | 'steps' | 'items', n: number, row: OldRow): void {
    const value = (column: string) => row[column] as SQLInputValue
    if (table === 'logs') {
      this.#prepare(`INSERT INTO logs (n, number, at, text, key) VALUES (?, ?, ?, ?, ?)`).run(
        ...[n, value('number'), value('at'), value('text'), value('key')],
      )
    } else if (table === 'steps') {
      const { invoke, ordinal } = this.#invocation(String(row.job_id), Number(row.entry))
      this.#prepare(
        `INSERT INTO steps (n, invoke, ordinal, name, job, invocation, result) VALUES (?, ?, ?, ?, ?, ?, ?)`,
      ).run(...[n, invoke, ordinal, value('name'), n, value('entry'), value('result')])
    } else {
      this.#prepare(`
        INSERT INTO items (n, number, invocation, key, status, at, message, output) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`).run(
        ...[n, value('number'), this.#itemInvocation(String(row.job_id))],
        ...[value('key'), value('outcome'), value('at'), value('message'), value('output')],
      )
    }
  }

  // Old rows of steps have only the number of the invocation. The invoke and its ordinal can be found only while the
  // job still has the task.
  #invocation(id: string, entry: number): { readonly invoke: string; readonly ordinal: number } {
    const tasks = this.#tasksOf(id)
    const task = tasks.find(({ invocation }) => invocation === entry)
    if (task === undefined) return { invoke: String(entry), ordinal: 1 }
    const earlier = tasks.filter((each) => each.id === task.id && each.invocation < entry)
    return { invoke: task.id, ordinal: earlier.length + 1 }
  }

  // Old rows of items have no invocation. They get that of the running task; if none runs, that of the first task; if
  // there is none, 1.
  #itemInvocation(id: string): number {
    const tasks = this.#tasksOf(id)
    const task = tasks.find(isRunning) ?? tasks[0]
    return task?.invocation ?? 1
  }

  #tasksOf(id: string): readonly Task[] {
    return this.#jobs.readable(this.#jobs.rowById(id))?.tasks ?? []
  }

  #prepare(sql: string): StatementSync {
    const known = this.#statements.get(sql) ?? this.#db.prepare(sql)
    this.#statements.set(sql, known)
    return known
  }
}

// A record for a job whose own record is broken, made from the columns of its row.
function standIn(row: OldRow): Job {
  return {
    id: String(row.id),
    type: String(row.type),
    version: String(row.version),
    tenant: String(row.tenant),
    createdBy: String(row.created_by),
    trigger: 'manual',
    labels: soundLabels(row.labels),
    state: null,
    context: null,
    status: String(row.status),
    phase: row.phase as Phase,
    // With this value, the job holds its slot in the new table exactly if it held it in the old one.
    vacates: row.holds_slot !== 1,
    priority: Number(row.priority),
    timers: [],
    tasks: [],
    counter: 0,
    createdAt: Number(row.created_at),
    updatedAt: Number(row.created_at),
    revision: Number(row.revision),
    eventCount: 0,
    ...defined({
      pipeline: textIn(row.pipeline),
      parentId: textIn(row.parent_id),
      idempotencyKey: textIn(row.idempotency_key),
    }),
    ...(row.queued === 1 ? {} : { startedAt: Number(row.created_at) }),
    ...(row.deleted === 1 ? { deletedAt: Number(row.created_at) } : {}),
  }
}

function soundLabels(text: unknown): { readonly [name: string]: string } {
  try {
    return labelsIn(text)
  } catch {
    return {}
  }
}

function eventsText(text: string, isDeleted: boolean): string {
  try {
    const events = oldEvents(text)
    return eventsRecordOf(isDeleted ? events.map(withoutPayload) : events)
  } catch {
    return isDeleted ? '' : text
  }
}
