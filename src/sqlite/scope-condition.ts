import type { SQLInputValue } from 'node:sqlite'
import type { Scope } from '../port/policy.ts'
import type { Names } from './names.ts'

/** A condition's text, made of constants, and the values bound to it. */
export interface Condition {
  readonly sql: string
  readonly values: readonly SQLInputValue[]
}

const FIELDS = ['tenant', 'createdBy', 'type', 'pipeline'] as const
type Field = (typeof FIELDS)[number]

/** Where a table has what scopes ask for. */
interface ScopedTable {
  readonly columns: { readonly [name in Field]: string }
  /** The value of a field as it stands in the column; undefined: it stands in no row. */
  readonly value: (field: Field, text: string) => SQLInputValue | undefined
}

/** What a row of the log must be to be in one of the scopes, but for their labels. */
export function scopeCondition(scopes: readonly Scope[], names: Names): Condition {
  return conditionOf(scopes, {
    columns: {
      tenant: 'coalesce(jobs.tenant, gone.tenant)',
      createdBy: 'coalesce(jobs.created_by, gone.created_by)',
      type: 'coalesce(kinds.type, gone.type)',
      pipeline: 'coalesce(jobs.pipeline, gone.pipeline)',
    },
    value: (field, text) => (field === 'type' ? text : names.knownCode(text)),
  })
}

/** The same for a stored pipeline, whose id is what a scope calls `pipeline`. */
export function pipelineCondition(scopes: readonly Scope[]): Condition {
  return conditionOf(scopes, {
    columns: { tenant: 'tenant', createdBy: 'created_by', type: 'type', pipeline: 'id' },
    value: (_, text) => text,
  })
}

/** Some scope asks for labels: each row is then looked at, since a statement for many labels takes seconds to prepare. */
export function asksForLabels(scopes: readonly Scope[]): boolean {
  return scopes.some(({ labels = {} }) => Object.keys(labels).length > 0)
}

// Scopes that name the same fields are one alternative: a row is looked up among them, however many there are.
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
  // A scope of no field covers all.
  if (shapes.has('')) return { sql: 'TRUE', values: [] }
  const each = [...shapes.values()].map(({ fields }) => {
    const wanted = fields.map((_, index) => `value ->> ${index}`)
    return `(${fields.map((field) => columns[field])}) IN (SELECT ${wanted} FROM json_each(?))`
  })
  const values = [...shapes.values()].map(({ keys }) => JSON.stringify(keys))
  return { sql: each.length === 0 ? 'FALSE' : `(${each.join(' OR ')})`, values }
}
