/** The types of what goes into a decision and comes out of it, as data. */
import type { EndedBatch } from './batch-record.ts'
import type { Effect } from './chart.ts'
import type { EventDraft } from './event.ts'
import type { Job } from './job.ts'
import type { AnyJobType } from './job-type.ts'
import type { NewNotification } from './notification.ts'
import type { PipelineChange } from './pipeline-change.ts'
import type { Json } from './storable.ts'

/** Time and randomness for a decision, passed in so that it can be replayed. */
export interface DecisionContext {
  /** The wall clock, in milliseconds UTC. Used for the times in records and events. */
  readonly at: number
  /** The time that deadlines are compared with, in milliseconds. It never jumps. Default: `at`. */
  readonly steadyAt?: number
  /** A random number, uniform in [0, 1). */
  readonly random: number
  /**
   * How long another engine may take to hear of a stop, in milliseconds. Added to the grace of tasks that run there.
   */
  readonly heartbeatMs: number
  /** The instance of the engine that decides. Tasks that it runs itself hear of a stop at once. */
  readonly instance?: string
}

/** A stored job and its type. */
export interface TreeJob {
  readonly type: AnyJobType
  readonly job: Job
}

/**
 * The tree of one job, as stored: its parents up to the top job, and all child jobs below that still have a task in
 * their parent's row. If a job is not in the tree, its row was deleted or is broken.
 */
export interface JobTree {
  /** Returns a job of the tree. A storage may decode the record only at this call. */
  readonly get: (id: string) => TreeJob | undefined
  /** Returns an id for a new child job. */
  readonly newId: () => string
}

/** The decision on one job. */
export interface JobDecision {
  readonly type: AnyJobType
  /** The record that the decision was made from. Absent for a new job. */
  readonly before?: Job | undefined
  /** The next record. Its revision is that of `before` plus 1. */
  readonly job: Job
  readonly events: readonly EventDraft[]
  /** The events that moved the chart, for replaying the log. */
  readonly inputs: readonly Json[]
  /** Lines for the job's log. */
  readonly logs: readonly string[]
  /**
   * Custom actions to run once after the commit, best effort, in this order. They may belong to other jobs of the tree.
   */
  readonly effects: readonly JobEffect[]
  /** Drained batches that the decision has ended. Absent: none. */
  readonly endedBatches?: readonly EndedBatch[]
  /** The notifications that the events cause. Absent: none. */
  readonly notifications?: readonly NewNotification[]
}

/** A custom action of a job's machine. */
export interface JobEffect {
  readonly jobId: string
  readonly run: Effect
}

/** The decision on a job, with the decisions on other jobs of its tree in the same changeset. */
export interface Decision extends JobDecision {
  /** False: the chart does not take this event in its current state. */
  readonly handled: boolean
  /** False: there is nothing to write. */
  readonly changed: boolean
  readonly others: readonly JobDecision[]
  /**
   * Jobs that the decision does not change, but whose data chart code has read. The decision is valid only while they
   * have these revisions.
   */
  readonly looked: readonly LookedAt[]
  /** Pipelines that change in the same changeset. */
  readonly pipelines?: readonly PipelineChange[]
}

/** A decision about pipelines alone, for example that a due run is skipped. */
export interface PipelineDecision {
  readonly pipelines: readonly PipelineChange[]
}

/** A stored job whose data was read. */
export interface LookedAt {
  readonly id: string
  readonly revision: number
}
