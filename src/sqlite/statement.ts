import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'

/** A row from the driver: its values in the order of the selected columns. */
export type Row = readonly unknown[]

/** A prepared statement whose rows are arrays. */
export interface Statement {
  readonly sourceSQL: string
  readonly get: (...values: readonly SQLInputValue[]) => Row | undefined
  readonly all: (...values: readonly SQLInputValue[]) => readonly Row[]
  readonly iterate: (...values: readonly SQLInputValue[]) => Iterable<Row>
  readonly run: StatementSync['run']
}

/** Prepares a statement. The text must contain only constants: all values are bound. */
export type Prepare = (sql: string) => Statement

/**
 * A function that prepares statements of a database. Their rows are arrays, because rows as objects with named fields
 * take twice as long.
 *
 * @param cutsTexts  whether the driver cuts texts at their first NUL character.
 */
export function preparing(db: DatabaseSync, cutsTexts = isCuttingTexts(db)): Prepare {
  return (sql) => {
    const query = cutsTexts && /^\s*SELECT\b/.test(sql)
    const statement = db.prepare(query ? asBytesWhereCut(sql, db.prepare(sql).columns().length) : sql)
    statement.setReturnArrays(true)
    // The driver's types know only rows as objects, so the cast is needed.
    const rows = statement as unknown as Statement
    return query ? decoding(rows) : rows
  }
}

// Whether the driver cuts texts at their first NUL character, as in Node 22.18.
function isCuttingTexts(db: DatabaseSync): boolean {
  return db.prepare(`SELECT 'a' || char(0) AS text`).get()?.text !== 'a\0'
}

// Wraps a query so that texts with a NUL character are read as bytes, which the driver does not cut.
function asBytesWhereCut(sql: string, count: number): string {
  const columns = Array.from({ length: count }, (_, index) => `c${index}`)
  const values = columns.map((each) => `CASE WHEN instr(${each}, char(0)) THEN CAST(${each} AS BLOB) ELSE ${each} END`)
  return `WITH found (${columns}) AS (${sql}) SELECT ${values} FROM found`
}

function decoding(statement: Statement): Statement {
  const whole = (row: Row) => row.map((value) => (value instanceof Uint8Array ? Buffer.from(value).toString() : value))
  return {
    sourceSQL: statement.sourceSQL,
    run: statement.run.bind(statement),
    all: (...values) => statement.all(...values).map(whole),
    get: (...values) => {
      const row = statement.get(...values)
      return row === undefined ? undefined : whole(row)
    },
    *iterate(...values) {
      for (const row of statement.iterate(...values)) yield whole(row)
    },
  }
}

/**
 * Prepares each different text once and keeps the statement. Nothing is ever removed, so use it only for few different
 * texts.
 */
export class PreparedTexts {
  readonly #prepare: Prepare
  readonly #known = new Map<string, Statement>()

  constructor(prepare: Prepare) {
    this.#prepare = prepare
  }

  /** The prepared statement for a text. */
  of(sql: string): Statement {
    const known = this.#known.get(sql)
    if (known !== undefined) return known
    const statement = this.#prepare(sql)
    this.#known.set(sql, statement)
    return statement
  }
}
