import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Changeset, Write } from '../port/storage.ts'
import { isClaimable, isRunning } from './job-columns.ts'
import { type ClaimOrder, goesBefore } from './ready-tasks.ts'

/** What the changesets of a commit will do, which a claim that is made before them must not hinder. */
export interface Ahead {
  /** Of the changesets after each: the first of their tasks in the order of claims. */
  readonly tasks: readonly (ClaimOrder | undefined)[]
  /** The last changeset that looks at a job which it does not insert. */
  readonly touched: ReadonlyMap<string, number>
  /** The last changeset that is judged by limits; -1: none. */
  readonly lastLimits: number
  /** Some insert is bounded by how many jobs are queued. */
  readonly hasBounds: boolean
  /** Some job had a task running under a limit key. */
  readonly freesKeys: boolean
}

/** Looks through the changesets of a commit, for a claim by `at`. */
export function aheadIn(changesets: readonly Changeset[], at: number): Ahead {
  const tasks: (ClaimOrder | undefined)[] = []
  const touched = new Map<string, number>()
  const ahead = { tasks, touched, lastLimits: -1, hasBounds: false, freesKeys: false }
  let first: ClaimOrder | undefined
  // From the last to the first.
  for (let place = changesets.length - 1; place >= 0; place--) {
    tasks[place] = first
    for (const write of changesets[place]?.writes ?? []) {
      first = firstIn(write, first, at)
      const id = touchedId(write)
      if (id !== undefined && !touched.has(id)) touched.set(id, place)
      if ('limits' in write && write.limits !== undefined) ahead.lastLimits = Math.max(ahead.lastLimits, place)
      if (write.op === 'insert') ahead.hasBounds ||= write.queuedMax !== undefined
      if (write.op === 'update') ahead.freesKeys ||= write.before.tasks.some(isRunningUnderKey)
    }
  }
  return ahead
}

/** The task may be claimed by `at`. */
export function isDue(job: Job, task: Task, at: number): boolean {
  return task.availableAt <= at && isClaimable(job, task)
}

/** The place of a task in the order of claims. */
export function orderOf({ priority }: Job, { availableAt }: Task): ClaimOrder {
  return { priority, readyAt: availableAt }
}

/** Which of two is claimed first; of equal ones, the first. */
export function earlier(a: ClaimOrder | undefined, b: ClaimOrder): ClaimOrder {
  return a === undefined || goesBefore(b, a) ? b : a
}

function firstIn(write: Write, first: ClaimOrder | undefined, at: number): ClaimOrder | undefined {
  if (write.op !== 'insert' && write.op !== 'update') return first
  let found = first
  for (const task of write.job.tasks) if (isDue(write.job, task, at)) found = earlier(found, orderOf(write.job, task))
  return found
}

function touchedId(write: Write): string | undefined {
  if (write.op === 'update') return write.job.id
  return write.op === 'expect' || write.op === 'note' ? write.jobId : undefined
}

function isRunningUnderKey(task: Task): boolean {
  return task.limitKey !== undefined && isRunning(task)
}
