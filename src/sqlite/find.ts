import type { SQLInputValue } from 'node:sqlite'
import type { Scope } from '../port/policy.ts'
import type { JobFilter, JobPage } from '../port/storage.ts'
import { JOB_COLUMNS } from './rows.ts'

/** A statement's text, made of constants, and the values bound to it. */
export interface Query {
  readonly sql: string
  readonly values: readonly SQLInputValue[]
}

/** The query for one page of a list. Each scope is searched by its own index and the pages are merged by the order. */
export function findQuery(filter: JobFilter, page: JobPage): Query {
  const { scopes, ...narrow } = filter
  const branches = scopes.map((scope) => branch(scope, narrow, page))
  const union = branches.map(({ sql }) => `SELECT * FROM (${sql})`).join(' UNION ')
  return {
    sql: `SELECT ${JOB_COLUMNS} FROM (${union}) ORDER BY created_at DESC, id DESC LIMIT ?`,
    values: [...branches.flatMap(({ values }) => values), page.limit],
  }
}

/** The query for how many jobs a list has. */
export function countQuery(filter: JobFilter): Query {
  const { scopes, ...narrow } = filter
  const covered = scopes.map((scope) => conditionsOf(scope, narrow))
  const any = ['FALSE', ...covered.map(({ sql }) => `(${sql})`)].join(' OR ')
  return { sql: `SELECT count(*) AS found FROM jobs WHERE ${any}`, values: covered.flatMap(({ values }) => values) }
}

function branch(scope: Scope, filter: Omit<JobFilter, 'scopes'>, page: JobPage): Query {
  const { sql, values } = conditionsOf(scope, filter, page)
  return {
    sql: `SELECT ${JOB_COLUMNS} FROM jobs WHERE ${sql} ORDER BY created_at DESC, id DESC LIMIT ?`,
    values: [...values, page.limit],
  }
}

function conditionsOf(scope: Scope, filter: Omit<JobFilter, 'scopes'>, { after }: Partial<JobPage> = {}): Query {
  const where: string[] = ['deleted = 0']
  const values: SQLInputValue[] = []
  const add = (sql: string, ...bound: SQLInputValue[]) => {
    where.push(sql)
    values.push(...bound)
  }
  for (const part of [scope, filter]) narrow(part, 'pipeline', add)
  if (filter.parentId === null) add('parent_id IS NULL')
  else if (filter.parentId !== undefined) add('parent_id = ?', filter.parentId)
  if (filter.phase !== undefined) add('phase = ?', filter.phase)
  if (filter.status !== undefined) add('status = ?', filter.status)
  if (after !== undefined) add('(created_at, id) < (?, ?)', after.createdAt, after.id)
  return { sql: where.join(' AND '), values }
}

/** What a row must be to be in a scope; `pipeline` is the column that holds the id of a pipeline. */
export function scopeConditions(scope: Scope, pipeline: 'pipeline' | 'id'): Query {
  const where = ['TRUE']
  const values: SQLInputValue[] = []
  narrow(scope, pipeline, (sql, ...bound) => {
    where.push(sql)
    values.push(...bound)
  })
  return { sql: where.join(' AND '), values }
}

function narrow(part: Scope, pipeline: 'pipeline' | 'id', add: (sql: string, ...bound: SQLInputValue[]) => void): void {
  if (part.tenant !== undefined) add('tenant = ?', part.tenant)
  if (part.createdBy !== undefined) add('created_by = ?', part.createdBy)
  if (part.type !== undefined) add('type = ?', part.type)
  if (part.pipeline !== undefined) add(`${pipeline} = ?`, part.pipeline)
  for (const [name, value] of Object.entries(part.labels ?? {})) {
    add('EXISTS (SELECT 1 FROM json_each(labels) WHERE key = ? AND value = ?)', name, value)
  }
}
