import type { TaskEnd } from '../model/attempt-end.ts'
import type { BatchPiece, BatchStart, RecordedItem } from '../model/batch-piece.ts'
import type { ItemReport } from '../model/item.ts'
import type { Program } from '../model/program.ts'
import type { ProgressReport } from '../model/progress.ts'
import type { Json } from '../model/storable.ts'
import type { LineStream, Progress } from '../model/task.ts'
import type { TaskJob } from '../model/task-job.ts'

/** A claimed task, ready to run. */
export interface Work {
  readonly job: TaskJob
  /** The id of the invoke that asked for the task. */
  readonly task: string
  /** The task's `function` option. It tells an executor whose code is outside this process which function to call. */
  readonly function: string | undefined
  readonly version: string | undefined
  /** The task's input, as given by the chart. In the default lifecycle: the job's input. */
  readonly input: Json | undefined
  /** The number of the attempt: 1 for the first. */
  readonly attempt: number
  /** The fencing token: every report of this attempt carries it. */
  readonly token: number
  /** A key for external services, the same in every attempt of this invocation. */
  readonly idempotencyKey: string
  /** The progress that an earlier attempt recorded. `undefined`: none. */
  readonly reported: Progress | undefined
  /** Aborted when the work should begin nothing new, and end when what runs has ended (`task.drain`). */
  readonly draining: AbortSignal
  /** For a batch: how far earlier attempts came. */
  readonly batch: BatchStart | undefined
  /** The results of the steps that earlier attempts recorded, by name. */
  readonly recordedSteps: () => Promise<ReadonlyMap<string, Json | undefined>>
  /**
   * When the attempt exceeds its `timeout`, in milliseconds UTC. The engine then aborts `signal`. `undefined`: no
   * limit.
   */
  readonly deadlineAt: number | undefined
  /**
   * How long the code may go on after `signal` was aborted, in milliseconds. After that the engine aborts `killSignal`.
   * Null: no limit.
   */
  readonly killGraceMs: number | null
  /** Aborted when the work should stop. */
  readonly signal: AbortSignal
  /** Aborted when the grace is over and the code must be ended by force. */
  readonly killSignal: AbortSignal
  /** Takes the reports of the running task. */
  readonly channel: TaskChannel
  /** Returns the program that the task names. `undefined`: it names none. */
  readonly program: () => Program | undefined
  /** Runs the task's function in this process. Never rejects. */
  readonly run: () => Promise<TaskEnd>
}

/** Takes the reports of a running task. A report counts only while the attempt holds its task. */
export interface TaskChannel {
  /**
   * Reports that the task runs now. Only for executors with `reportsStart`; otherwise a task starts with its claim.
   *
   * @param handle  by which {@link Executor.isGone} finds the running code, even after this process has died.
   */
  readonly started: (handle?: Json) => Promise<void>
  readonly progress: (report: ProgressReport | number) => void
  /** Adds a line to the job's log. */
  readonly log: (text: string, options?: LineOptions) => void
  /** Records the result of one part of the work. */
  readonly item: (key: string, report?: ItemReport) => Promise<void>
  /** Writes items of a batch. Resolves when they are stored. */
  readonly items: (piece: BatchPiece) => Promise<void>
  /** The recorded items of a batch whose indexes are from `from` to `to`, by index; those of a retried job included. */
  readonly recordedItems: (range: { readonly from: number; readonly to: number }) => Promise<readonly RecordedItem[]>
  /** Which of these keys of items are recorded in this invocation of a batch, with the index of the item. */
  readonly itemKeys: (keys: readonly string[]) => Promise<readonly { readonly key: string; readonly index: number }[]>
  /** Records the result of a step. */
  readonly step: (name: string, result: Json | undefined) => Promise<void>
  /** Sends an event to the job's chart. Resolves with `true` if the chart took it. */
  readonly send: (event: TaskMessage) => Promise<boolean>
  /** The messages that the chart sends to the task. */
  readonly inbox: AsyncIterable<TaskMessage>
}

/** An event between a chart and its task. */
export interface TaskMessage {
  readonly type: string
  readonly [field: string]: unknown
}

/** Details of a log line: the output stream that it comes from, if a program printed it. */
export interface LineOptions {
  readonly stream?: LineStream
}

/**
 * Runs claimed tasks. Tasks that wait stay in the storage: an executor holds only the tasks that it runs.
 *
 * - E1 `room` says how many more tasks the executor takes now. The engine never gives it more.
 * - E2 `start` runs its work. It resolves when the code has really ended; until then the work counts as running. The
 *   engine starts no work twice.
 * - E3 An error in an executor ends the task. If `start` rejects, the attempt ends with that error.
 * - E4 The engine calls `close` when it stops. `close` kills the work that still runs, if the executor can kill. It
 *   resolves when nothing runs any more, or at once if the executor cannot wait for that. An engine that starts again
 *   uses the same executor again.
 * - E5 Running code learns of a stop: a function by `signal`, a process by SIGTERM.
 * - E6 With `kills`: when `killSignal` is aborted, code that still runs is ended, together with every process that it
 *   has started.
 * - E7 With `reportsStart`: the executor calls `channel.started` once, when the code runs.
 * - E8 Reports arrive in the order in which they were made, and none after the end.
 * - E9 If the code is ended from outside (by a signal, an exit, lack of memory or an unhandled rejection), its task
 *   ends with an error. This process goes on.
 * - E10 A result that cannot be stored ends the task with an error.
 * - E11 Captured output has a size limit. Output beyond it never blocks the code that prints it.
 * - E12 With `isGone`: `isGone` tells whether the code of a handle has ended, even if the process that started the code
 *   is dead.
 */
export interface Executor {
  readonly room: () => number
  readonly start: (work: Work) => Promise<TaskEnd>
  readonly close: () => Promise<void>
  /**
   * Present: agents pull the tasks of this executor, and `start` is never called. A task is lost if its agent sends no
   * heartbeat for this many milliseconds.
   */
  readonly leaseMs?: number
  /**
   * What the executor runs: the functions of the tasks (by `work.run`), the exports of a module, or programs. An engine
   * that runs tasks is not made if a program, or a batch with or without `each`, names an executor that cannot run it.
   * Default: unknown, and nothing is checked.
   */
  readonly runs?: 'functions' | 'modules' | 'programs'
  /** `true`: the executor calls `channel.started` itself. Default: a task starts with its claim. */
  readonly reportsStart?: boolean
  /** `true`: the executor can end code that ignores its stop. Default: such code is abandoned, and runs on. */
  readonly kills?: boolean
  /**
   * Whether the code of a handle has ended. Before that, a lost task is not started again. An executor with `isGone`
   * runs code in other processes, so a crash of the engine does not count as a crash of its tasks.
   */
  readonly isGone?: (handle: Json) => Promise<boolean>
}
