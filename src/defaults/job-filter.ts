import type { Job } from '../model/job.ts'
import { isCovered } from '../model/scope.ts'
import type { JobFilter } from '../port/storage.ts'

/** Whether a job matches the filter of a list. */
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
