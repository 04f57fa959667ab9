/**
 * Migrates a file to the current schema.
 *
 * A file of schema 3 or 4 gets the columns, tables and indexes that it lacks, in one transaction. A file of schema 1 or 2
 * is migrated in pieces, each in its own transaction. So no piece holds the write lock for long. If the process is killed,
 * the next one that opens the file continues there:
 *
 * ```
 *  1, 2 ─ no engine has it open ─▶ 5, marked ─▶ indexes dropped ─▶ old tables set aside, new ones made
 *                                                  ─▶ rows moved, some thousands at a time ─▶ old tables dropped ─▶ 5
 * ```
 *
 * The rows left in the old tables are the work that remains. While the file is marked, each connection that opens it
 * does pieces until none is left, and older versions of jobchart refuse the file.
 */
import type { DatabaseSync } from 'node:sqlite'
import type { Clock } from '../port/clock.ts'
import { InstanceLock } from './instance-lock.ts'
import { checkDatabase } from './opening-checks.ts'
import { RowMover } from './row-mover.ts'
import { ADDED, ADDITIONS, APPLICATION_ID, INDEXES, LASTING_TABLES, SCHEMA_VERSION, TABLES } from './schema.ts'
import { unusable } from './storage-error.ts'
import { transaction } from './transaction.ts'
import { whenUnlocked } from './write-queue.ts'

/**
 * `MOVED`: these tables are renamed, and then their rows are moved into the new tables. `DROPPED`: these tables are
 * dropped, because nothing in them is still needed.
 */
const MOVED = ['jobs', 'events', 'logs', 'steps', 'items'] as const
const DROPPED = ['offers', 'holds', 'job_labels'] as const
/** The one old index that is kept during the migration: it finds rows of the log by job. */
const LOG_INDEX = 'events_job'
const MARK = 'migrating'

/**
 * Migrates the file to the current schema.
 *
 * @throws {JobchartError} `STORAGE_UNAVAILABLE` the file belongs to another program; or it was written by a newer jobchart; or it has an older schema and is open in another engine.
 */
export async function migrate(db: DatabaseSync, file: string, clock: Clock): Promise<void> {
  const migration = new Migration(db, file)
  while (await whenUnlocked(clock, () => migration.step())) {
    await new Promise<void>((resume) => clock.turn(resume))
  }
}

class Migration {
  readonly #db: DatabaseSync
  readonly #file: string
  #mover: RowMover | undefined

  constructor(db: DatabaseSync, file: string) {
    this.#db = db
    this.#file = file
  }

  /** Does the next piece. Returns `false` if nothing is left to do. */
  step(): boolean {
    try {
      const isMore = transaction(this.#db, () => this.#piece())
      this.#mover?.keep()
      return isMore
    } catch (error) {
      this.#mover?.forget()
      throw error
    }
  }

  #piece(): boolean {
    const version = checkDatabase(this.#db, this.#file)
    if (version === 0) return this.#make()
    if (version < 3) return this.#begin()
    if (version < SCHEMA_VERSION) return this.#extend(version)
    if (!this.#isMarked()) return false
    return this.#dropIndex() || this.#setAside() || this.#move() || this.#end()
  }

  #make(): false {
    const db = this.#db
    db.exec(TABLES + LASTING_TABLES + INDEXES + ADDED)
    db.exec(`INSERT INTO meta VALUES ('sequence', 0)`)
    db.exec(`PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${SCHEMA_VERSION}`)
    return false
  }

  // A marked file was left in the midst of its migration from schema 1 or 2. It has the tables of its schema once its
  // old tables are set aside.
  #extend(version: number): boolean {
    this.#refuseIfOpen()
    const hasTables = !this.#isMarked() || this.#tables().has('old_jobs')
    for (const { columns, sql } of hasTables ? ADDITIONS.filter((each) => each.version > version) : []) {
      for (const [table, column] of columns) this.#db.exec(`ALTER TABLE ${table} ADD COLUMN ${column}`)
      this.#db.exec(sql)
    }
    this.#db.exec(`PRAGMA user_version = ${SCHEMA_VERSION}`)
    return this.#isMarked()
  }

  // An engine that has the file open knows only the old tables.
  #refuseIfOpen(): void {
    const other = InstanceLock.all(this.#file).find((instance) => InstanceLock.isHeld(this.#file, instance))
    if (other !== undefined) {
      throw unusable(
        this.#file,
        'the file is of an older version, and another engine has it open: stop all engines, then start this one',
      )
    }
  }

  #begin(): true {
    this.#refuseIfOpen()
    // An old file does not store the latest time of a beat, so the time of the newest event takes its place. The stored
    // deadlines come from the same clock.
    this.#db.exec(`INSERT INTO meta SELECT 'beat', at FROM events ORDER BY sequence DESC LIMIT 1`)
    this.#db.exec(`INSERT INTO meta VALUES ('${MARK}', 1); PRAGMA user_version = ${SCHEMA_VERSION}`)
    return true
  }

  #isMarked(): boolean {
    return this.#db.prepare(`SELECT 1 FROM meta WHERE name = '${MARK}'`).get() !== undefined
  }

  // Drops only one index per transaction, because dropping an index writes every page that it frees.
  #dropIndex(): boolean {
    if (this.#tables().has('old_jobs')) return false
    const index = this.#db
      .prepare(`SELECT name FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL AND name <> '${LOG_INDEX}'`)
      .get()?.name
    if (index === undefined) return false
    this.#db.exec(`DROP INDEX "${String(index)}"`)
    return true
  }

  #setAside(): boolean {
    const tables = this.#tables()
    if (tables.has('old_jobs')) return false
    const dropped = DROPPED.find((table) => tables.has(table))
    if (dropped !== undefined) {
      this.#db.exec(`DROP TABLE ${dropped}`)
      return true
    }
    for (const table of MOVED) if (tables.has(table)) this.#db.exec(`ALTER TABLE ${table} RENAME TO old_${table}`)
    this.#db.exec(`ALTER TABLE pipelines ADD COLUMN due_at INTEGER`)
    this.#db.exec(TABLES + INDEXES + ADDED)
    return true
  }

  #move(): boolean {
    const tables = this.#tables()
    this.#mover ??= new RowMover(this.#db)
    return MOVED.some((table) => tables.has(`old_${table}`) && this.#mover?.move(table) === true)
  }

  #end(): false {
    const tables = this.#tables()
    for (const table of MOVED) if (tables.has(`old_${table}`)) this.#db.exec(`DROP TABLE old_${table}`)
    this.#db.exec(`DELETE FROM meta WHERE name = '${MARK}'`)
    return false
  }

  #tables(): ReadonlySet<unknown> {
    return new Set(
      this.#db
        .prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`)
        .all()
        .map(({ name }) => name),
    )
  }
}
