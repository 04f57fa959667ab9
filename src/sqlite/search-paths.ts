/**
 * Ways to the jobs of a list.
 *
 * An index leads with columns that a list may fix, and ends with the order of lists, (created_at, id). Where all of the
 * leading columns are fixed, the jobs wanted are one range of it, read off in order; where some are not, they are one
 * range for each value that these columns have. Types, phases and statuses have few, so one index serves all of them.
 * What no index has is looked at in each row.
 */
import type { SQLInputValue } from 'node:sqlite'
import type { Scope } from '../port/policy.ts'
import type { JobFilter } from '../port/storage.ts'

/** A statement's text, made of constants, and the values bound to it. */
export interface Query {
  readonly sql: string
  readonly values: readonly SQLInputValue[]
}

/** A column that an index leads with. */
export type SearchColumn =
  | 'tenant'
  | 'created_by'
  | 'child'
  | 'type'
  | 'phase'
  | 'status'
  | 'pipeline'
  | 'parent_id'
  | 'name'
  | 'value'

/** An index, its leading columns, and what all of its rows fulfil. */
interface SearchIndex {
  readonly table: 'jobs' | 'job_labels'
  readonly name: string
  readonly columns: readonly SearchColumn[]
  readonly holds: string
}

const STATE = ['child', 'type', 'phase', 'status'] as const
const LIVE = 'jobs.deleted = 0'

const OF_TENANT: SearchIndex = { table: 'jobs', name: 'jobs_of_tenant', columns: ['tenant', ...STATE], holds: LIVE }
const OF_CREATOR: SearchIndex = {
  table: 'jobs',
  name: 'jobs_of_creator',
  columns: ['tenant', 'created_by', ...STATE],
  holds: LIVE,
}
const IN_PIPELINE = `${LIVE} AND jobs.pipeline IS NOT NULL`
const OF_PIPELINE: SearchIndex = {
  table: 'jobs',
  name: 'jobs_of_pipeline',
  columns: ['tenant', 'pipeline', 'child'],
  holds: IN_PIPELINE,
}
const OF_PIPELINE_AND_CREATOR: SearchIndex = {
  table: 'jobs',
  name: 'jobs_of_pipeline_and_creator',
  columns: ['tenant', 'created_by', 'pipeline', 'child'],
  holds: IN_PIPELINE,
}
const OF_PARENT: SearchIndex = {
  table: 'jobs',
  name: 'jobs_of_parent',
  columns: ['parent_id', 'tenant', 'created_by'],
  holds: `${LIVE} AND jobs.parent_id IS NOT NULL`,
}
const LABELS: SearchIndex = {
  table: 'job_labels',
  // The name that SQLite gives to a table's own key.
  name: 'sqlite_autoindex_job_labels_1',
  columns: ['tenant', 'name', 'value', 'child'],
  holds: 'TRUE',
}
const LABELS_OF_CREATOR: SearchIndex = {
  table: 'job_labels',
  name: 'job_labels_of_creator',
  columns: ['tenant', 'created_by', 'name', 'value', 'child'],
  holds: 'TRUE',
}

type Fixed = ReadonlyMap<SearchColumn, SQLInputValue>

/** An index by which jobs are searched, and what is looked at in each row beside. */
export interface SearchPath {
  readonly index: SearchIndex
  readonly fixed: Fixed
  /** Empty: the index tells all. */
  readonly rest: Query
}

/** What a job must be. */
interface Wanted {
  readonly columns: Fixed
  readonly labels: ReadonlyMap<string, string>
}

/** A place in the order of a list. */
export interface Place {
  readonly createdAt: number
  readonly id: string
}

/**
 * The ways to the jobs that a scope and a filter leave: the first tells all by its index, or else each of them finds the
 * same jobs. None: there can be no such job.
 */
export function searchPaths(scope: Scope, filter: Omit<JobFilter, 'scopes'>): readonly SearchPath[] {
  const wanted = wantedOf(scope, filter)
  if (wanted === undefined) return []
  const paths = pathsTo(wanted)
  const exact = paths.find(({ rest }) => rest.sql === '')
  return exact === undefined ? paths : [exact]
}

function wantedOf(scope: Scope, { parentId, phase, status, ...narrow }: Omit<JobFilter, 'scopes'>): Wanted | undefined {
  const columns = new Map<SearchColumn, SQLInputValue>()
  const labels = new Map<string, string>()
  const pairs = [scope, narrow].flatMap(({ tenant, createdBy, type, pipeline }: Scope) => {
    return [
      ['tenant', tenant],
      ['created_by', createdBy],
      ['type', type],
      ['pipeline', pipeline],
    ] as const
  })
  const parent = parentId === null ? (['child', 0] as const) : (['parent_id', parentId] as const)
  for (const [column, value] of [...pairs, ['phase', phase] as const, ['status', status] as const, parent]) {
    if (value === undefined) continue
    if ((columns.get(column) ?? value) !== value) return undefined
    columns.set(column, value)
  }
  for (const [name, value] of [scope, narrow].flatMap((part: Scope) => Object.entries(part.labels ?? {}))) {
    if ((labels.get(name) ?? value) !== value) return undefined
    labels.set(name, value)
  }
  return { columns, labels }
}

// The likely smallest first.
function pathsTo({ columns, labels }: Wanted): readonly SearchPath[] {
  const path = (index: SearchIndex, more: Fixed = new Map()): SearchPath => {
    const fixed = new Map([...columns, ...more].filter(([column]) => index.columns.includes(column)))
    const others = [...labels].filter(([name]) => name !== more.get('name'))
    return {
      index,
      fixed,
      rest: restOf(
        [...columns].filter(([column]) => !fixed.has(column)),
        others,
      ),
    }
  }
  if (columns.has('parent_id')) return [path(OF_PARENT)]
  const isOwn = columns.has('created_by')
  return [
    ...[...labels].map(([name, value]) =>
      path(
        isOwn ? LABELS_OF_CREATOR : LABELS,
        new Map([
          ['name', name],
          ['value', value],
        ]),
      ),
    ),
    ...(columns.has('pipeline') ? [path(isOwn ? OF_PIPELINE_AND_CREATOR : OF_PIPELINE)] : []),
    path(isOwn ? OF_CREATOR : OF_TENANT),
  ]
}

// A label is looked up in its table, so that a row whose text is broken fails nothing.
const HAS_LABEL = `EXISTS (
  SELECT 1 FROM job_labels AS other
  WHERE other.tenant = jobs.tenant AND other.name = ? AND other.value = ? AND other.child = (jobs.parent_id IS NOT NULL)
    AND other.created_at = jobs.created_at AND other.id = jobs.id)`

function restOf(
  columns: readonly (readonly [SearchColumn, SQLInputValue])[],
  labels: readonly (readonly [string, string])[],
): Query {
  const conditions = [...columns.map(([column]) => `jobs.${column} = ?`), ...labels.map(() => HAS_LABEL)]
  return { sql: conditions.join(' AND '), values: [...columns.map(([, value]) => value), ...labels.flat()] }
}

/** A part of an index in which all leading columns have one value, so that it is in the order of lists. */
export interface SearchRange {
  readonly path: SearchPath
  /** Of each leading column. */
  readonly key: readonly SQLInputValue[]
}

/** From a place, which is left out, to another, which is not. */
export interface Stretch {
  readonly after?: Place | undefined
  readonly through?: Place | undefined
}

/**
 * The query for the next value below `last` that the column after a key has: one step in the index, however many rows have
 * the values passed over. Of several columns at once SQLite would walk over all that have the last ones.
 */
export function nextValueQuery(
  { index }: SearchPath,
  key: readonly SQLInputValue[],
  last: SQLInputValue | undefined,
): Query {
  const column = index.columns[key.length]
  const below = last === undefined ? '' : ` AND ${column} < ?`
  return {
    sql: `SELECT ${column} AS value FROM ${index.table} INDEXED BY ${index.name}
      WHERE ${keyed(index, key)}${below} ORDER BY ${column} DESC LIMIT 1`,
    values: last === undefined ? key : [...key, last],
  }
}

/** The query for what stands `offset` rows further in a stretch of a range; its rest is not looked at. */
export function edgeQuery(range: SearchRange, stretch: Stretch, offset: number): Query {
  const { sql, values } = stretchOf(range, stretch)
  return {
    sql: `SELECT created_at, id FROM ${sql} ${newestFirst(range)} LIMIT 1 OFFSET ?`,
    values: [...values, offset],
  }
}

/** The query for the first rows of a stretch of a range. */
export function rowsQuery(range: SearchRange, stretch: Stretch, limit: number): Query {
  const { table } = range.path.index
  const { sql, values } = withRest(range, stretch)
  return {
    sql: `SELECT ${table}.n, ${table}.created_at, ${table}.id FROM ${sql} ${newestFirst(range)} LIMIT ?`,
    values: [...values, limit],
  }
}

/** The query for the numbers of the rows of a stretch of a range, in no order. */
export function numbersQuery(range: SearchRange, stretch: Stretch): Query {
  const { sql, values } = withRest(range, stretch)
  return { sql: `SELECT ${range.path.index.table}.n FROM ${sql}`, values }
}

/** The query for how many rows a stretch of a range has. */
export function sizeQuery(range: SearchRange, stretch: Stretch): Query {
  const { sql, values } = withRest(range, stretch)
  return { sql: `SELECT count(*) AS found FROM ${sql}`, values }
}

function withRest(range: SearchRange, stretch: Stretch): Query {
  const { index, rest } = range.path
  const { sql, values } = stretchOf(range, stretch, rest.sql !== '' && index.table === 'job_labels')
  return rest.sql === '' ? { sql, values } : { sql: `${sql} AND ${rest.sql}`, values: [...values, ...rest.values] }
}

function stretchOf({ path: { index }, key }: SearchRange, { after, through }: Stretch, isJoined = false): Query {
  const { table, name } = index
  const place = `(${table}.created_at, ${table}.id)`
  const bounds = [
    ...(after === undefined ? [] : [`${place} < (?, ?)`]),
    ...(through === undefined ? [] : [`${place} >= (?, ?)`]),
  ]
  const values = [after, through].flatMap((each) => (each === undefined ? [] : [each.createdAt, each.id]))
  const join = isJoined ? ' CROSS JOIN jobs ON jobs.n = job_labels.n' : ''
  const where = [keyed(index, key), ...bounds].join(' AND ')
  return { sql: `${table} INDEXED BY ${name}${join} WHERE ${where}`, values: [...key, ...values] }
}

function newestFirst({ path: { index } }: SearchRange): string {
  return `ORDER BY ${index.table}.created_at DESC, ${index.table}.id DESC`
}

function keyed({ table, columns, holds }: SearchIndex, key: readonly SQLInputValue[]): string {
  return [holds, ...columns.slice(0, key.length).map((column) => `${table}.${column} = ?`)].join(' AND ')
}
