import type { Job, Trigger } from './job.ts'
import { isoTime } from './time.ts'

/** The job of a task, as the task's code sees it. */
export interface TaskJob {
  readonly id: string
  readonly type: string
  /** What created the job: a person, a schedule, another job. */
  readonly trigger: Trigger
  /**
   * The time from which the job may run, in ISO 8601: for a run of a schedule, the time for which it was due; otherwise
   * the `startAt` of its submit. Absent: it has none. A retry has none of the job that it retries.
   */
  readonly startAt?: string
}

/** What the code of a job's tasks sees of the job. */
export function taskJobOf({ id, type, trigger, startAt }: Job): TaskJob {
  return startAt === undefined ? { id, type, trigger } : { id, type, trigger, startAt: isoTime(startAt) }
}
