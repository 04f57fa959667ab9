import type { SQLInputValue } from 'node:sqlite'
import type { Scope } from '../port/policy.ts'
import type { EventQuery, StoredEvents } from '../port/storage.ts'
import type { Query } from './find.ts'
import { EVENT_COLUMNS, eventsOf, type Row } from './rows.ts'

/** So many alternatives one statement may have: SQLite takes no expression that is deeper than 1,000. */
const SHAPES_MAX = 200

/**
 * The text of a query for rows of the log, in its order, from the row that covers what comes after a sequence.
 *
 * @param ofJob  only those of one job.
 * @param covered  a condition beside it.
 */
export function eventsSql(ofJob: boolean, covered = 'TRUE'): string {
  const job = ofJob ? 'job_id = ? AND ' : ''
  // The row that covers the sequence asked for may reach beyond it, so reading starts there. Parameters stand unnumbered
  // and are bound again: Node 22 binds numbered ones in no other way than by name.
  return `
    SELECT ${EVENT_COLUMNS} FROM events
    WHERE ${job}sequence >= coalesce((SELECT max(sequence) FROM events WHERE ${job}sequence <= ?), 0)
      AND sequence <= ? AND sequence + count - 1 > ? AND ${covered}
    ORDER BY sequence`
}

/** What is bound to {@link eventsSql}, before what its condition takes. */
export function eventsValues({ after, jobId, through }: Omit<EventQuery, 'limit'>): readonly SQLInputValue[] {
  const job = jobId === undefined ? [] : [jobId]
  return [...job, ...job, after, through ?? Number.MAX_SAFE_INTEGER, after]
}

/**
 * What a row must be to be in one of the scopes: one condition, unless they are of very many shapes. A row may fulfil
 * several.
 */
export function coverage(scopes: readonly Scope[]): readonly Query[] {
  const conditions = shapesOf(scopes).map(conditionOf)
  const chunks: Query[] = []
  for (let start = 0; start < conditions.length; start += SHAPES_MAX) {
    const chunk = conditions.slice(start, start + SHAPES_MAX)
    const sql = `(${chunk.map((each) => each.sql).join(' OR ')})`
    chunks.push({ sql, values: chunk.flatMap(({ values }) => values) })
  }
  return chunks
}

const COLUMNS = { tenant: 'tenant', createdBy: 'created_by', type: 'type', pipeline: 'pipeline' } as const
const FIELDS = ['tenant', 'createdBy', 'type', 'pipeline'] as const

/** Scopes that name the same fields and labels: a row is looked up among them, however many there are. */
interface Shape {
  readonly fields: readonly (typeof FIELDS)[number][]
  readonly names: readonly string[]
  readonly keys: (readonly unknown[])[]
}

function shapesOf(scopes: readonly Scope[]): readonly Shape[] {
  const shapes = new Map<string, Shape>()
  for (const scope of scopes) {
    const fields = FIELDS.filter((field) => scope[field] !== undefined)
    const labels = scope.labels ?? {}
    const names = Object.keys(labels).sort()
    const name = JSON.stringify([fields, names])
    const shape = shapes.get(name) ?? { fields, names, keys: [] }
    shape.keys.push([...fields.map((field) => scope[field]), ...names.map((each) => labels[each])])
    shapes.set(name, shape)
  }
  return [...shapes.values()]
}

// A broken row's labels would fail the statement for every other row of it.
const LABEL = `(SELECT value FROM json_each(CASE WHEN json_valid(labels) THEN labels END) WHERE key = ?)`

function conditionOf({ fields, names, keys }: Shape): Query {
  const parts = [...fields.map((field) => COLUMNS[field]), ...names.map(() => LABEL)]
  if (parts.length === 0) return { sql: 'TRUE', values: [] }
  const wanted = parts.map((_, index) => `value ->> ${index}`)
  return {
    sql: `(${parts.join(', ')}) IN (SELECT ${wanted.join(', ')} FROM json_each(?))`,
    values: [...names, JSON.stringify(keys)],
  }
}

/** The first rows of the log, without those that are broken: whoever follows it is not held up by one. */
export function readableEvents(rows: Iterable<Row>, limit: number): readonly StoredEvents[] {
  const found: StoredEvents[] = []
  for (const row of rows) {
    if (found.length === limit) break
    const read = readableRow(row)
    if (read !== undefined) found.push(read)
  }
  return found
}

/** The first rows of the log. @throws {Error} one is broken. */
export function firstEvents(rows: Iterable<Row>, limit: number): readonly StoredEvents[] {
  const found: StoredEvents[] = []
  for (const row of rows) {
    if (found.length === limit) break
    found.push(eventsOf(row))
  }
  return found
}

function readableRow(row: Row): StoredEvents | undefined {
  try {
    return eventsOf(row)
  } catch {
    return undefined
  }
}
