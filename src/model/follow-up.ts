import type { AnyJobType } from './definition.ts'
import type { Job } from './job.ts'
import type { Duration } from './time.ts'

/** What a follow-up may say of the job that it makes. */
export interface FollowingJob {
  /** Counted from the end of the job that it follows. Default: none. */
  readonly delay?: Duration
  /** Higher goes first; a whole number. Default: that of the job, or of the pipeline that is run. */
  readonly priority?: number
  /** Beside those of the job that is tried again, or of the pipeline that is run. */
  readonly labels?: { readonly [name: string]: string }
}

/** What comes after a job that has ended: see {@link FollowUpOf}. */
export type FollowUp =
  /**
   * Another try: a new job of the same type, creator, pipeline, priority and labels, linked by `retryOf`. A job that was
   * cancelled is not tried again. `input` is by default what the job had.
   */
  | ({ readonly kind: 'retry'; readonly input?: unknown } & FollowingJob)
  /** A job of the same creator; in a pipeline, it waits for its turn. */
  | ({
      readonly kind: 'submit'
      readonly job: AnyJobType
      readonly input?: unknown
      readonly pipeline?: string
    } & FollowingJob)
  /**
   * A run of a stored pipeline of the same tenant, when its turn comes. Its creator is the pipeline's owner. `input` is
   * by default the pipeline's.
   */
  | ({ readonly kind: 'run'; readonly pipeline: string; readonly input?: unknown } & FollowingJob)
  /** The stored pipeline takes no run from now on. */
  | { readonly kind: 'pause'; readonly pipeline: string; readonly reason: string }
  /** The stored pipeline takes runs again. */
  | { readonly kind: 'resume'; readonly pipeline: string }

/** A job that has ended, as a {@link FollowUpOf} is shown it: a copy. Times are milliseconds UTC. */
export type EndedJob = Pick<
  Job,
  | 'id'
  | 'type'
  | 'version'
  | 'tenant'
  | 'createdBy'
  | 'trigger'
  | 'pipeline'
  | 'retryOf'
  | 'labels'
  | 'priority'
  | 'status'
  | 'outcome'
  | 'context'
  | 'input'
  | 'output'
  | 'error'
  | 'exitCode'
  | 'message'
  | 'createdAt'
  | 'startedAt'
  | 'endedAt'
> & {
  /** How many retries led to this job: 0 for a first try. */
  readonly retries: number
}

/**
 * Says what comes after a job that has ended: at most 100 things. What it says is committed with that end, or not at all.
 * It is not asked about a job that was deleted, nor about a child job, which its parent's chart hears of. It must be pure:
 * where another write comes first, it is asked again. What cannot be done, or a throw, becomes a `job.followUpFailed`
 * event of the job, and keeps neither its end nor what else follows from being committed. The schemas of all the inputs
 * that it gives have 5 s together.
 */
export type FollowUpOf = (job: EndedJob) => readonly FollowUp[] | undefined

/** Whether its type may say what follows a job that is `job` now, and was `before`. */
export function mayBeFollowed({ followUp }: AnyJobType, before: Job | undefined, job: Job): boolean {
  const hasEnded = before?.phase !== 'settled' && job.phase === 'settled'
  return followUp !== undefined && hasEnded && job.deletedAt === undefined && job.parentId === undefined
}

/** A job as its type's `followUp` is shown it. */
export function endedJob(job: Job): EndedJob {
  const { tasks, timers, state, historyValue, hasRefs, progress, ended, counter, revision, eventCount, ...shown } = job
  return structuredClone({ ...shown, retries: job.retries ?? 0 })
}
