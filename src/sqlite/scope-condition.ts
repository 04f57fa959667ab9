import type { SQLInputValue } from 'node:sqlite'
import type { Scope } from '../port/policy.ts'
import type { Names } from './names.ts'

/** A condition's text, made of constants, and the values bound to it. */
export interface Condition {
  readonly sql: string
  readonly values: readonly SQLInputValue[]
}

/** So many alternatives one statement has: SQLite takes no expression that is deeper than 1,000. */
const SHAPES_MAX = 200

const FIELDS = ['tenant', 'createdBy', 'type', 'pipeline'] as const
type Field = (typeof FIELDS)[number]

/** Where a table has what scopes ask for. */
interface ScopedTable {
  readonly columns: { readonly [name in Field | 'labels']: string }
  /** The value of a field as it stands in the column; undefined: it stands in no row. */
  readonly value: (field: Field, text: string) => SQLInputValue | undefined
}

/** Scopes that name the same fields and labels: a row is looked up among them, however many there are. */
interface Shape {
  readonly fields: readonly Field[]
  readonly names: readonly string[]
  readonly keys: (readonly unknown[])[]
}

/**
 * What a row of the log must be to be in one of the scopes: one condition, unless they are of very many shapes. A row may
 * fulfil several.
 */
export function scopeConditions(scopes: readonly Scope[], names: Names): readonly Condition[] {
  return conditions(scopes, {
    columns: {
      tenant: 'coalesce(jobs.tenant, gone.tenant)',
      createdBy: 'coalesce(jobs.created_by, gone.created_by)',
      type: 'coalesce(kinds.type, gone.type)',
      pipeline: 'coalesce(jobs.pipeline, gone.pipeline)',
      labels: 'coalesce(jobs.labels, gone.labels)',
    },
    value: (field, text) => (field === 'type' ? text : names.knownCode(text)),
  })
}

/** The same for a stored pipeline, whose id is what a scope calls `pipeline`. */
export function pipelineConditions(scopes: readonly Scope[]): readonly Condition[] {
  return conditions(scopes, {
    columns: { tenant: 'tenant', createdBy: 'created_by', type: 'type', pipeline: 'id', labels: 'labels' },
    value: (_, text) => text,
  })
}

function conditions(scopes: readonly Scope[], table: ScopedTable): readonly Condition[] {
  const each = shapesOf(scopes, table).map((shape) => conditionOf(shape, table))
  const chunks: Condition[] = []
  for (let start = 0; start < each.length; start += SHAPES_MAX) {
    const chunk = each.slice(start, start + SHAPES_MAX)
    const sql = `(${chunk.map((one) => one.sql).join(' OR ')})`
    chunks.push({ sql, values: chunk.flatMap(({ values }) => values) })
  }
  return chunks
}

function shapesOf(scopes: readonly Scope[], table: ScopedTable): readonly Shape[] {
  const shapes = new Map<string, Shape>()
  for (const scope of scopes) {
    const fields = FIELDS.filter((field) => scope[field] !== undefined)
    const values = fields.map((field) => table.value(field, scope[field] ?? ''))
    if (values.includes(undefined)) continue
    const labels = scope.labels ?? {}
    const names = Object.keys(labels).sort()
    const name = JSON.stringify([fields, names])
    const shape = shapes.get(name) ?? { fields, names, keys: [] }
    shape.keys.push([...values, ...names.map((each) => labels[each])])
    shapes.set(name, shape)
  }
  return [...shapes.values()]
}

function conditionOf({ fields, names, keys }: Shape, { columns }: ScopedTable): Condition {
  // A broken row's labels would fail the statement for every other row of it.
  const label = `(SELECT value FROM json_each(CASE WHEN json_valid(${columns.labels}) THEN ${columns.labels} END) WHERE key = ?)`
  const parts = [...fields.map((field) => columns[field]), ...names.map(() => label)]
  if (parts.length === 0) return { sql: 'TRUE', values: [] }
  const wanted = parts.map((_, index) => `value ->> ${index}`)
  return {
    sql: `(${parts.join(', ')}) IN (SELECT ${wanted.join(', ')} FROM json_each(?))`,
    values: [...names, JSON.stringify(keys)],
  }
}
