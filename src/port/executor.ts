import type { TaskEnd } from '../model/decision.ts'
import type { ItemReport } from '../model/item.ts'
import type { Program } from '../model/program.ts'
import type { ProgressReport } from '../model/progress.ts'
import type { Json } from '../model/storable.ts'
import type { LineStream, Progress } from '../model/task.ts'

/** A claimed task, ready to run. */
export interface Work {
  readonly job: { readonly id: string; readonly type: string }
  /** The id of the invoke. */
  readonly task: string
  /** Tells an executor that runs code of its own which of it is meant. */
  readonly function: string | undefined
  readonly version: string | undefined
  /** What the chart gave the task; of the default lifecycle, the job's input. */
  readonly input: Json | undefined
  /** 1 for the first. */
  readonly attempt: number
  /** The fencing number: every report of this attempt carries it. */
  readonly token: number
  /** The same in every attempt of this invocation. */
  readonly idempotencyKey: string
  /** The progress that an earlier attempt has recorded. */
  readonly reported: Progress | undefined
  /** The results of the steps that earlier attempts have recorded, by name. */
  readonly recordedSteps: () => Promise<ReadonlyMap<string, Json | undefined>>
  /** When the attempt's `timeout` runs out, in milliseconds UTC; the engine tells it by `signal`. Undefined: never. */
  readonly deadlineAt: number | undefined
  /** How long the code may go on after `signal` was aborted; null: without end. The engine tells its end by `killSignal`. */
  readonly killGraceMs: number | null
  /** Aborted when the work should stop. */
  readonly signal: AbortSignal
  /** Aborted when the work has no more grace. */
  readonly killSignal: AbortSignal
  /** What the work reports while it runs. */
  readonly channel: TaskChannel
  /** The program that the task names; undefined: it names none. */
  readonly program: () => Program | undefined
  /** Runs the task's function in this process. It never rejects. */
  readonly run: () => Promise<TaskEnd>
}

/** What running work reports. Every report counts only while the attempt still holds its task. */
export interface TaskChannel {
  /**
   * The work runs now. For an executor with `reportsStart`; the others' work starts with its claim.
   *
   * @param handle  by which {@link Executor.isGone} finds what runs, also after this process has died.
   */
  readonly started: (handle?: Json) => Promise<void>
  readonly progress: (report: ProgressReport | number) => void
  /** Adds a line to the job's log. */
  readonly log: (text: string, options?: LineOptions) => void
  /** Records what became of one part of the work. */
  readonly item: (key: string, report?: ItemReport) => Promise<void>
  /** Records a step's result. */
  readonly step: (name: string, result: Json | undefined) => Promise<void>
  /** Sends an event to the job's chart, and says whether the chart took it. */
  readonly send: (event: TaskMessage) => Promise<boolean>
  /** What the chart sends to the task. */
  readonly inbox: AsyncIterable<TaskMessage>
}

/** An event between a chart and its task. */
export interface TaskMessage {
  readonly type: string
  readonly [field: string]: unknown
}

/** Where a line of a log comes from. */
export interface LineOptions {
  readonly stream?: LineStream
}

/**
 * Runs claimed work. The backlog stays in storage: an executor holds only what it runs.
 *
 * - E1 `room` says how many more tasks it takes now; it is never given more.
 * - E2 `start` runs each work once, and resolves when its code has really ended: until then its place is taken.
 * - E3 What goes wrong in an executor is an end of the task. A `start` that rejects ends the attempt with its error.
 * - E4 `close` is called when the engine stops. It kills what still runs, where it can, and resolves when nothing runs any
 *   more, or at once where it cannot wait. An engine that is started again uses the executor again.
 * - E5 Work sees its stop: code by `signal`, a process by SIGTERM.
 * - E6 With `kills`: what ignores its stop is ended when `killSignal` is aborted, and so is all that it has started.
 * - E7 With `reportsStart`: `channel.started` is called once, when the code runs.
 * - E8 Reports come in the order in which they were made, and none after the end.
 * - E9 What ends the code from outside, a signal, an exit, a lack of memory, a rejection that nobody handles, is an error
 *   of the task. This process goes on.
 * - E10 A result that cannot be stored is an error of the task.
 * - E11 Output is bounded, and never blocks what writes it.
 * - E12 With `isGone`: whether what a handle names runs no more, also when it was started by a process that is dead.
 */
export interface Executor {
  readonly room: () => number
  readonly start: (work: Work) => Promise<TaskEnd>
  readonly close: () => Promise<void>
  /** It calls `channel.started` by itself. Default: work starts with its claim. */
  readonly reportsStart?: boolean
  /** It can end code that ignores its stop. Default: such code is abandoned, and runs on. */
  readonly kills?: boolean
  /** Whether what a handle names runs no more. A lost task is not started again before that. */
  readonly isGone?: (handle: Json) => Promise<boolean>
}
