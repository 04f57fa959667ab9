import type { SQLInputValue } from 'node:sqlite'
import { defined } from '../model/defined.ts'
import type { Scope } from '../port/policy.ts'
import type { JobFilter } from '../port/storage.ts'
import type { JobTable } from './job-table.ts'
import type { Kind } from './kinds.ts'
import { labelCode } from './label-code.ts'

/**
 * A part of an index, in the order of `created_at`: the SQL text, which contains no user values, and the values to
 * bind.
 *
 * `isExact`: every row of the range matches the list. Otherwise each row must be checked against {@link Wanted}.
 */
export interface SearchRange {
  readonly rows: string
  /** The table whose `created_at` the rows are ordered by. */
  readonly table: 'jobs' | 'job_labels'
  readonly values: readonly SQLInputValue[]
  readonly isExact: boolean
  readonly wanted: Wanted
  /** The kind of every row of the range, if they all have the same. */
  readonly kind?: Kind
}

/** What a list selects, as the codes that rows contain. An absent field matches anything. */
export interface Wanted {
  readonly tenant?: number
  readonly createdBy?: number
  readonly assignee?: number
  readonly pipeline?: number
  /** The id of the parent. `null`: only jobs without a parent. */
  readonly parentId?: string | null
  readonly labels: readonly (readonly [name: string, value: string])[]
  readonly kinds: ReadonlyMap<number, Kind>
}

type Narrow = Omit<JobFilter, 'scopes' | 'createdAfter' | 'createdBefore'>

/**
 * The ranges to read for a scope and a filter. Together they contain each matching job exactly once.
 *
 * If the filter has only type, phase, status and outcome, there is one exact range for each matching kind: of the tenant,
 * or of one creator or assignee. With a filter by parent, label or pipeline, the range is not exact: it has all rows of
 * that parent, label or pipeline, and the rest of the filter is checked in each row. The same holds if an assignee is
 * combined with a creator, label or pipeline. If there are several such filters, the one that probably has the fewest
 * rows gives the range. Without a tenant and a parent, all jobs are read by time.
 */
export function searchRanges(scope: Scope, filter: Narrow, jobs: JobTable): readonly SearchRange[] {
  const wanted = wantedOf(scope, filter, jobs)
  if (wanted === undefined || wanted.kinds.size === 0) return []
  const { tenant, createdBy, assignee, pipeline, parentId, labels } = wanted
  if (typeof parentId === 'string') return [range(wanted, 'jobs_of_parent', ['parent', parentId])]
  if (tenant === undefined) return [range(wanted, 'jobs_by_time')]
  if (assignee !== undefined) {
    const isExact = createdBy === undefined && pipeline === undefined && labels.length === 0
    return byKind(wanted, isExact, 'jobs_of_assignee', ['tenant', tenant], ['assignee', assignee])
  }
  const [label] = labels
  if (label !== undefined) return labelRanges(wanted, tenant, label)
  const owner = ['tenant', tenant] as const
  const creator = createdBy === undefined ? [] : [['created_by', createdBy] as const]
  if (pipeline !== undefined) {
    const index = createdBy === undefined ? 'jobs_of_pipeline' : 'jobs_of_pipeline_and_creator'
    return [range(wanted, index, owner, ...creator, ['pipeline', pipeline])]
  }
  const index = createdBy === undefined ? 'jobs_of_tenant' : 'jobs_of_creator'
  return byKind(wanted, true, index, owner, ...creator)
}

type Column = 'tenant' | 'created_by' | 'assignee' | 'kind' | 'pipeline' | 'parent'
type Fixed = readonly [column: Column, value: SQLInputValue]

/** A range for each kind. */
function byKind(wanted: Wanted, isExact: boolean, index: string, ...fixed: readonly Fixed[]): readonly SearchRange[] {
  return [...wanted.kinds.values()].map((kind) => {
    return { ...range(wanted, index, ...fixed, ['kind', kind.code]), isExact, kind }
  })
}

function range(wanted: Wanted, index: string, ...fixed: readonly Fixed[]): SearchRange {
  const where = fixed.length === 0 ? 'TRUE' : fixed.map(([column]) => `jobs.${column} = ?`).join(' AND ')
  const rows = `jobs INDEXED BY ${index} WHERE ${where}`
  return { rows, table: 'jobs', values: fixed.map(([, value]) => value), isExact: false, wanted }
}

function labelRanges(wanted: Wanted, tenant: number, [name, value]: readonly [string, string]): readonly SearchRange[] {
  // Each label of a job has two rows: one under the job's creator, and one under creator 0 for searches over all
  // creators of the tenant.
  const values = [tenant, wanted.createdBy ?? 0, labelCode(name, value)]
  const rows = `
    job_labels CROSS JOIN jobs ON jobs.n = job_labels.n
    WHERE job_labels.tenant = ? AND job_labels.created_by = ? AND job_labels.label = ? AND job_labels.child = ?`
  const children = wanted.parentId === null ? [0] : [0, 1]
  return children.map((child) => {
    return { rows, table: 'job_labels', values: [...values, child], isExact: false, wanted }
  })
}

function wantedOf(scope: Scope, filter: Narrow, { names, kinds }: JobTable): Wanted | undefined {
  const asked = merged(scope, filter)
  if (asked === undefined) return undefined
  const code = (text: string | undefined) => (text === undefined ? undefined : (names.knownCode(text) ?? NOBODY))
  const [tenant, createdBy, pipeline] = [code(asked.tenant), code(asked.createdBy), code(asked.pipeline)]
  const assignee = code(asked.assignee)
  if ([tenant, createdBy, assignee, pipeline].includes(NOBODY)) return undefined
  const fitting = [...kinds.all()].filter((kind) => isFitting(kind, filter, asked.type))
  return {
    ...defined({ tenant, createdBy, assignee, pipeline, parentId: filter.parentId }),
    labels: asked.labels,
    kinds: new Map(fitting.map((kind) => [kind.code, kind])),
  }
}

/** A code that no row has. */
const NOBODY = -1

interface Asked {
  readonly tenant?: string
  readonly createdBy?: string
  readonly assignee?: string
  readonly type?: string
  readonly pipeline?: string
  readonly labels: readonly (readonly [name: string, value: string])[]
}

// Combines a scope and a filter. `undefined`: they contradict each other, so no job matches.
function merged(scope: Scope, filter: Narrow): Asked | undefined {
  const fields: { [field in 'tenant' | 'createdBy' | 'assignee' | 'type' | 'pipeline']?: string } = {}
  const labels = new Map<string, string>()
  const { createdBy, assignee, type, pipeline } = filter
  for (const part of [scope, { createdBy, assignee, type, pipeline, labels: filter.labels }]) {
    const { tenant } = part as Scope
    for (const [field, value] of Object.entries({
      tenant,
      createdBy: part.createdBy,
      assignee: part.assignee,
      type: part.type,
      pipeline: part.pipeline,
    })) {
      if (value === undefined) continue
      const name = field as keyof typeof fields
      if ((fields[name] ?? value) !== value) return undefined
      fields[name] = value
    }
    for (const [name, value] of Object.entries(part.labels ?? {})) {
      if ((labels.get(name) ?? value) !== value) return undefined
      labels.set(name, value)
    }
  }
  return { ...fields, labels: [...labels] }
}

function isFitting(kind: Kind, { phase, status, outcome, parentId }: Narrow, type: string | undefined): boolean {
  if (kind.isDeleted) return false
  if (type !== undefined && kind.type !== type) return false
  if (phase !== undefined && kind.phase !== phase) return false
  if (status !== undefined && !status.includes(kind.status)) return false
  if (outcome !== undefined && kind.outcome !== outcome) return false
  return parentId === undefined || kind.isChild === (parentId !== null)
}
