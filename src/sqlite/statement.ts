import type { DatabaseSync, SQLInputValue, StatementSync } from 'node:sqlite'

/** A row as the driver gives it: its values in the order of the columns that were asked for. */
export type Row = readonly unknown[]

/** A prepared statement whose rows are lists. */
export interface Statement {
  readonly sourceSQL: string
  readonly get: (...values: readonly SQLInputValue[]) => Row | undefined
  readonly all: (...values: readonly SQLInputValue[]) => readonly Row[]
  readonly iterate: (...values: readonly SQLInputValue[]) => Iterable<Row>
  readonly run: StatementSync['run']
}

/** Prepares a statement. Its text is made of constants; all values are bound. */
export type Prepare = (sql: string) => Statement

/** Prepares statements of a database. Rows are given as lists: one object with names for each row takes twice as long. */
export function preparing(db: DatabaseSync): Prepare {
  return (sql) => {
    const statement = db.prepare(sql)
    statement.setReturnArrays(true)
    // The driver's types know only rows with names.
    return statement as unknown as Statement
  }
}

/** Statements by their text, each prepared at its first use: for texts of which there are a few. */
export class PreparedTexts {
  readonly #prepare: Prepare
  readonly #known = new Map<string, Statement>()

  constructor(prepare: Prepare) {
    this.#prepare = prepare
  }

  /** The statement of a text. */
  of(sql: string): Statement {
    const known = this.#known.get(sql)
    if (known !== undefined) return known
    const statement = this.#prepare(sql)
    this.#known.set(sql, statement)
    return statement
  }
}
