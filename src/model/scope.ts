/** The fields of a scope. A scope covers the jobs that equal every given field. */
interface Asked {
  readonly tenant?: string
  readonly createdBy?: string
  readonly assignee?: string
  readonly type?: string
  readonly pipeline?: string
  readonly labels?: { readonly [name: string]: string }
}

/** The fields of a job or pipeline that a scope is compared with. */
export interface Scoped {
  readonly tenant: string
  readonly createdBy: string
  readonly assignee?: string | undefined
  readonly type: string
  readonly pipeline?: string | undefined
  readonly labels: { readonly [name: string]: string }
}

/** Whether a scope covers a job or pipeline. */
export function isCovered(found: Scoped, { tenant, createdBy, assignee, type, pipeline, labels }: Asked): boolean {
  if (tenant !== undefined && found.tenant !== tenant) return false
  if (createdBy !== undefined && found.createdBy !== createdBy) return false
  if (assignee !== undefined && found.assignee !== assignee) return false
  if (type !== undefined && found.type !== type) return false
  if (pipeline !== undefined && found.pipeline !== pipeline) return false
  for (const name in labels) if (found.labels[name] !== labels[name]) return false
  return true
}
