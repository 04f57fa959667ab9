/** What a decision is given and what it gives, as data. */
import type { Effect } from './chart.ts'
import type { EventDraft } from './event.ts'
import type { Job } from './job.ts'
import type { AnyJobType } from './job-type.ts'
import type { PipelineChange } from './pipeline.ts'
import type { Json } from './storable.ts'

/** Time and chance, passed into a decision, so that it can be replayed. */
export interface DecisionContext {
  /** Milliseconds UTC by the wall clock: what is stamped. */
  readonly at: number
  /** The time from which deadlines count, and by which they fall due; it never jumps. Absent: `at`. */
  readonly steadyAt?: number
  /** Uniform in [0, 1). */
  readonly random: number
  /** How long it may take until another engine has heard: a part of the grace of work that runs there. */
  readonly heartbeatMs: number
  /** The engine that decides: work that it holds hears of its stop at once. */
  readonly instance?: string
}

/** A stored job and its type. */
export interface TreeJob {
  readonly type: AnyJobType
  readonly job: Job
}

/**
 * The stored jobs around one job: all above it up to the one that no other's chart invoked, and all child jobs below
 * that which stand as tasks of their parents. A job that is not in it is gone: its row was removed, or is broken.
 */
export interface JobTree {
  /** May decode the job when it is asked for. */
  readonly get: (id: string) => TreeJob | undefined
  /** An id for a new child job. */
  readonly newId: () => string
}

/** What was decided of one job. */
export interface JobDecision {
  readonly type: AnyJobType
  /** The job that it was made from; absent for a new one. */
  readonly before?: Job | undefined
  /** The next record; its revision is one above the one it was made from. */
  readonly job: Job
  readonly events: readonly EventDraft[]
  /** What moved the chart, for the fold over the log. */
  readonly inputs: readonly Json[]
  /** Lines for the job's log. */
  readonly logs: readonly string[]
  /** Actions to run once after the commit, best effort, in this order: also those of other jobs of its tree. */
  readonly effects: readonly JobEffect[]
}

/** An action of a job's machine. */
export interface JobEffect {
  readonly jobId: string
  readonly run: Effect
}

/** What was decided of a job, and of the other jobs of its tree in the same changeset. */
export interface Decision extends JobDecision {
  /** False: the chart takes no such event here. */
  readonly handled: boolean
  /** False: there is nothing to write. */
  readonly changed: boolean
  readonly others: readonly JobDecision[]
  /** Jobs that did not change, but that chart code looked at: the decision holds only while they stand at these revisions. */
  readonly looked: readonly LookedAt[]
  /** Pipelines that change in the same changeset. */
  readonly pipelines?: readonly PipelineChange[]
}

/** A stored job as it was looked at. */
export interface LookedAt {
  readonly id: string
  readonly revision: number
}
