import type { Job } from '../model/job.ts'
import type { Scope } from '../port/policy.ts'
import type { JobFilter } from '../port/storage.ts'

/** What a scope looks at. */
export interface Scoped {
  readonly tenant: string
  readonly createdBy: string
  readonly type: string
  readonly pipeline?: string | undefined
  readonly labels: { readonly [name: string]: string }
}

/** Whether a scope covers something. */
export function isCovered(found: Scoped, { tenant, createdBy, type, pipeline, labels }: Scope): boolean {
  return (
    (tenant === undefined || found.tenant === tenant) &&
    (createdBy === undefined || found.createdBy === createdBy) &&
    (type === undefined || found.type === type) &&
    (pipeline === undefined || found.pipeline === pipeline) &&
    (labels === undefined || Object.entries(labels).every(([name, value]) => found.labels[name] === value))
  )
}

/** Whether a list with this filter shows a job. */
export function isListed(job: Job, filter: JobFilter): boolean {
  const { scopes, parentId, phase, status, outcome, createdAfter, createdBefore, ...narrow } = filter
  return (
    (parentId === undefined || (job.parentId ?? null) === parentId) &&
    (phase === undefined || job.phase === phase) &&
    (status === undefined || status.includes(job.status)) &&
    (outcome === undefined || job.outcome === outcome) &&
    (createdAfter === undefined || job.createdAt >= createdAfter) &&
    (createdBefore === undefined || job.createdAt < createdBefore) &&
    isCovered(job, narrow) &&
    scopes.some((scope) => isCovered(job, scope))
  )
}
