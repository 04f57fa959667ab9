import type { Scope } from '../port/policy.ts'
import type { Query } from './search-paths.ts'

/** So many alternatives one statement may have: SQLite takes no expression that is deeper than 1,000. */
const SHAPES_MAX = 200

type PipelineColumn = 'pipeline' | 'id'

/**
 * What a row must be to be in one of the scopes: one condition, unless they are of very many shapes. A row may fulfil
 * several.
 *
 * @param pipeline  the column that holds the id of a pipeline.
 */
export function coverage(scopes: readonly Scope[], pipeline: PipelineColumn): readonly Query[] {
  const conditions = shapesOf(scopes).map((shape) => conditionOf(shape, pipeline))
  const chunks: Query[] = []
  for (let start = 0; start < conditions.length; start += SHAPES_MAX) {
    const chunk = conditions.slice(start, start + SHAPES_MAX)
    const sql = `(${chunk.map((each) => each.sql).join(' OR ')})`
    chunks.push({ sql, values: chunk.flatMap(({ values }) => values) })
  }
  return chunks
}

const COLUMNS = { tenant: 'tenant', createdBy: 'created_by', type: 'type' } as const
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

function conditionOf({ fields, names, keys }: Shape, pipeline: PipelineColumn): Query {
  const columns = { ...COLUMNS, pipeline }
  const parts = [...fields.map((field) => columns[field]), ...names.map(() => LABEL)]
  if (parts.length === 0) return { sql: 'TRUE', values: [] }
  const wanted = parts.map((_, index) => `value ->> ${index}`)
  return {
    sql: `(${parts.join(', ')}) IN (SELECT ${wanted.join(', ')} FROM json_each(?))`,
    values: [...names, JSON.stringify(keys)],
  }
}
