import type { SQLInputValue } from 'node:sqlite'
import type { Scope } from '../port/policy.ts'
import type { Names } from './names.ts'

/** The SQL text of a condition, which contains no user values, and the values to bind. */
export interface Condition {
  readonly sql: string
  readonly values: readonly SQLInputValue[]
}

const FIELDS = ['tenant', 'createdBy', 'assignee', 'type', 'pipeline'] as const
type Field = (typeof FIELDS)[number]

/** How a table stores the fields that scopes select by. */
interface ScopedTable {
  readonly columns: { readonly [name in Field]: string }
  /** The value of a field as the column stores it. `undefined`: no row has this value. */
  readonly value: (field: Field, text: string) => SQLInputValue | undefined
}

/** Selects the rows of the log that one of the scopes covers. Labels are not part of the condition. */
export function scopeCondition(scopes: readonly Scope[], names: Names): Condition {
  return conditionOf(scopes, {
    columns: {
      tenant: 'coalesce(jobs.tenant, gone.tenant)',
      createdBy: 'coalesce(jobs.created_by, gone.created_by)',
      assignee: 'coalesce(jobs.assignee, gone.assignee)',
      type: 'coalesce(kinds.type, gone.type)',
      pipeline: 'coalesce(jobs.pipeline, gone.pipeline)',
    },
    value: (field, text) => (field === 'type' ? text : names.knownCode(text)),
  })
}

/**
 * Selects the pipelines that one of the scopes covers, without their labels. A scope's `pipeline` is the pipeline's id.
 * No pipeline has an assignee.
 */
export function pipelineCondition(scopes: readonly Scope[]): Condition {
  return conditionOf(scopes, {
    columns: { tenant: 'tenant', createdBy: 'created_by', assignee: 'NULL', type: 'type', pipeline: 'id' },
    value: (_, text) => text,
  })
}

/**
 * Whether some scope has labels. If so, the caller checks each row in JavaScript, because SQLite takes seconds to
 * prepare a statement for many labels.
 */
export function asksForLabels(scopes: readonly Scope[]): boolean {
  return scopes.some(({ labels = {} }) => Object.keys(labels).length > 0)
}

// All scopes that have the same fields become one `IN` condition. So the statement stays short, however many scopes
// there are.
function conditionOf(scopes: readonly Scope[], { columns, value }: ScopedTable): Condition {
  const shapes = new Map<string, { readonly fields: readonly Field[]; readonly keys: (readonly unknown[])[] }>()
  for (const scope of scopes) {
    const fields = FIELDS.filter((field) => scope[field] !== undefined)
    const key = fields.map((field) => value(field, scope[field] ?? ''))
    if (key.includes(undefined)) continue
    const shape = shapes.get(fields.join()) ?? { fields, keys: [] }
    shape.keys.push(key)
    shapes.set(fields.join(), shape)
  }
  // A scope without fields covers everything.
  if (shapes.has('')) return { sql: 'TRUE', values: [] }
  const each = [...shapes.values()].map(({ fields }) => {
    const wanted = fields.map((_, index) => `value ->> ${index}`)
    return `(${fields.map((field) => columns[field])}) IN (SELECT ${wanted} FROM json_each(?))`
  })
  const values = [...shapes.values()].map(({ keys }) => JSON.stringify(keys))
  return { sql: each.length === 0 ? 'FALSE' : `(${each.join(' OR ')})`, values }
}
