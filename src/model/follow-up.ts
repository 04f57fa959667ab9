import type { Job } from './job.ts'
import type { AnyJobType, EndedJob } from './job-type.ts'

export type { FollowUp } from './job-type.ts'

/**
 * Whether the `followUp` of a job type is called for this change of a job: only when a job that is not a child has just
 * ended.
 */
export function mayBeFollowed({ followUp }: AnyJobType, before: Job | undefined, job: Job): boolean {
  const hasEnded = before?.phase !== 'settled' && job.phase === 'settled'
  return followUp !== undefined && hasEnded && job.deletedAt === undefined && job.parentId === undefined
}

/** The argument of `followUp`: a copy of the job. */
export function endedJob(job: Job): EndedJob {
  const { tasks, timers, state, historyValue, hasRefs, progress, ended, counter, revision, eventCount, ...shown } = job
  return structuredClone({ ...shown, retries: job.retries ?? 0 })
}
