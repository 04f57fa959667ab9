import type { TaskEnd } from '../model/decision.ts'
import type { Json } from '../model/storable.ts'

/** A claimed task, ready to run. */
export interface Work {
  readonly jobId: string
  readonly jobType: string
  readonly task: string
  /** What the task says of code that is not this process's. */
  readonly function: string | undefined
  readonly version: string | undefined
  /** What the chart gave the task; of the default lifecycle, the job's input. */
  readonly input: Json | undefined
  readonly attempt: number
  /** The fencing number: every report of this attempt carries it. */
  readonly token: number
  /** Aborted when the work should stop. */
  readonly signal: AbortSignal
  /** Runs the task's function in this process; it never rejects. */
  readonly run: () => Promise<TaskEnd>
}

/**
 * Runs claimed work. The backlog stays in storage: an executor holds only what it runs.
 *
 * - E1 `room` says how many more tasks it takes now; it is never given more.
 * - E2 `start` runs each work once, and resolves when its code has really ended: until then its place is taken.
 * - E3 What goes wrong in an executor is an end of the task. `work.run` never rejects, so what only runs it need not
 *   catch; a `start` that rejects all the same ends the attempt with its error.
 * - E4 `close` is called when the engine stops, and waited for until the stop's timeout. It resolves when nothing runs any
 *   more, or at once where it cannot wait. An engine that is started again uses the executor again.
 */
export interface Executor {
  readonly room: () => number
  readonly start: (work: Work) => Promise<TaskEnd>
  readonly close: () => Promise<void>
}
