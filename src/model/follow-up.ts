import type { Job } from './job.ts'
import type { AnyJobType, EndedJob } from './job-type.ts'

export type { FollowUp } from './job-type.ts'

/**
 * Whether the `followUp` of a job type is called for this change of a job: only when a job that is not a child has just
 * ended.
 */
export function mayBeFollowed({ followUp }: AnyJobType, before: Job | undefined, job: Job): boolean {
  return followUp !== undefined && mayCauseRuns(before, job)
}

/** Whether pipelines may run after this change of a job: it has ended, and is no child job. */
export function mayCauseRuns(before: Job | undefined, job: Job): boolean {
  const hasEnded = before?.phase !== 'settled' && job.phase === 'settled'
  return hasEnded && job.deletedAt === undefined && job.parentId === undefined
}

/** Whether follow-ups may come after this change, or runs of pipelines that depend on the job. */
export function mayHaveConsequences({ type, before, job }: ChangedJob): boolean {
  return (
    mayCauseRuns(before, job) && (type.followUp !== undefined || type.startsPipelines || job.pipeline !== undefined)
  )
}

interface ChangedJob {
  readonly type: AnyJobType
  readonly before?: Job | undefined
  readonly job: Job
}

/** The argument of `followUp`: a copy of the job. */
export function endedJob(job: Job): EndedJob {
  const { tasks, timers, state, historyValue, hasRefs, progress, batches, again, ended, ...rest } = job
  const { counter, revision, eventCount, ...shown } = rest
  return structuredClone({ ...shown, retries: job.retries ?? 0 })
}
