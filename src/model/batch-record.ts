/**
 * A batch in the record of its job. `Job.progress` has its counts from its beginning on, and `Job.batches` its
 * invocation.
 *
 * Attempts write the counts together with the items, and never through the chart. Only two decisions change them: the
 * one that begins the batch, and the one that ends a drained batch that no attempt holds.
 */

import type { BatchCounts, BatchStart } from './batch-piece.ts'
import type { JobError } from './error.ts'
import type { AgainRun, BatchRun, Job, OpenJob } from './job.ts'
import { stepAddress } from './step-key.ts'
import { isToldToStop } from './stop.ts'
import type { StampedProgress, Task, TaskSettings } from './task.ts'
import { isRunning } from './task-record.ts'

/** A drained batch that a decision has ended. Its waiting items are ended in the same changeset. */
export interface EndedBatch {
  readonly invocation: number
  /** Waiting items up to this index may have begun, so they end as failed. The others are skipped. */
  readonly begun: number
  /** The counts after that. */
  readonly progress: StampedProgress
}

/** The error of an item that may have run when its attempt was lost, and that is not tried again. */
export const LOST_ITEM: JobError = {
  name: 'JobchartError',
  code: 'LOST',
  message: 'the item may have run when the attempt of its batch was lost',
}

/**
 * How many invocations of batches a job remembers, the newest. They are part of the job's row, and a chart may enter a
 * batch without end.
 */
const RUNS_MAX = 100

/** Stores the beginning of a batch in the record of its job. */
export function beginBatch(job: OpenJob, task: Task, { batch, takesJobInput }: TaskSettings): void {
  const { ordinal, invocation } = task
  const all = batch?.totalOf(takesJobInput ? job.input : task.input)
  const known = all === undefined ? {} : { total: all }
  const run: BatchRun = { invoke: stepAddress(job, task), ordinal, invocation, ...known }
  const total = all === undefined ? undefined : ownTotal(all, job.again, againRun(job, task))
  job.batches = [...(job.batches ?? []), run].slice(-RUNS_MAX)
  job.progress = { ...beginning(invocation), ...(total === undefined ? {} : { total }) }
}

function beginning(invocation: number): StampedProgress {
  return { completed: 0, failed: 0, skipped: 0, running: 0, invocation, begun: 0, open: 0, known: 0 }
}

// How many items run in this job: not those that a retry passes over.
function ownTotal(all: number, again: Job['again'], run: AgainRun | undefined): number {
  if (run === undefined) return all
  return again?.items === 'failed' ? Math.min(all, run.failed) : Math.max(0, all - run.completed)
}

/** What the retried job knows of the same invocation of the batch. `undefined`: nothing, so all items run. */
function againRun(job: Job, task: Pick<Task, 'id' | 'ordinal'>): AgainRun | undefined {
  const invoke = stepAddress(job, task)
  return job.again?.runs.find((run) => run.invoke === invoke && run.ordinal === task.ordinal)
}

/** The stored progress of this invocation of a batch. */
export function batchProgress({ progress }: Pick<Job, 'progress'>, { invocation }: Pick<Task, 'invocation'>) {
  return progress?.invocation === invocation ? progress : beginning(invocation)
}

/** Why an attempt of a batch may not end with a success before its last piece is stored. */
export const NO_BATCH_CODE =
  'this task is a batch, and its code has ended without the items: the code of a batch should be made by batchRun({ each })'

/** The counts of a batch, as its chart gets them. */
export function batchCounts({ total, completed, failed, skipped = 0 }: StampedProgress): BatchCounts {
  return { ...(total === undefined ? {} : { total }), completed, failed, skipped }
}

/** How far earlier attempts of a batch came. */
export function batchStart(job: Job, task: Task): BatchStart {
  const progress = batchProgress(job, task)
  const { begun = 0, careful } = progress
  return {
    counts: batchCounts(progress),
    begun,
    ...(careful === undefined ? {} : { careful }),
    losses: task.crashes,
    ...(job.again === undefined || againRun(job, task) === undefined ? {} : { again: job.again.items }),
  }
}

/** Whether the task is a batch of which one item runs alone, because it may have caused crashes. */
export function runsAlone(job: Job, task: Task): boolean {
  return batchProgress(job, task).careful !== undefined
}

/** Whether the task was asked to begin no new part of its work. A later request to stop counts more. */
export function isDrained(task: Pick<Task, 'inbox'>): boolean {
  return task.inbox.some((message) => (message as { readonly type?: unknown } | null)?.type === 'task.drain')
}

/** Whether the task is a drained batch that no attempt holds, so that nobody will report its end. */
export function isEndedByDrain({ batch }: TaskSettings, task: Task): boolean {
  return batch !== undefined && !isRunning(task) && isDrained(task) && !isToldToStop(task)
}

/** The end of a drained batch that no attempt holds: items that may have begun have failed, the others are skipped. */
export function drainedBatch(job: Job, task: Task): EndedBatch {
  const { careful, ...progress } = batchProgress(job, task)
  const { completed, failed, begun = 0, open = 0, known = 0, total = known } = progress
  const ended = { total, completed, failed: failed + open, skipped: Math.max(0, total - completed - failed - open) }
  return { invocation: task.invocation, begun, progress: { ...progress, ...ended, running: 0, open: 0 } }
}
