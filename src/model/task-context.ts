/** What the code of a task receives. */
import type { ItemReport } from './item.ts'
import type { ProgressReport } from './progress.ts'
import type { Storable, StorableReturn } from './storable.ts'
import type { TaskJob } from './task-job.ts'
import type { Progress } from './task-record.ts'

/** The output stream of a program to which it wrote a line. */
export type LineStream = 'stdout' | 'stderr'

/** The argument of a step's function. */
export interface StepContext {
  /**
   * Unique to this step, and the same in every attempt, after every crash, and in a retry that continues the job.
   *
   * A step runs at least once. To make its effect exactly-once, write this key in the same transaction as the effect,
   * and skip the work if the key is already there.
   */
  readonly key: string
  /** Aborted when the task is asked to stop. */
  readonly signal: AbortSignal
}

/**
 * The function of a step. A helper that takes such a function and passes it on to `step` should give its parameter the
 * type `StepRun<Result>`.
 */
export type StepRun<Result> = ((step: StepContext) => Result | PromiseLike<Result>) & StorableReturn<Result>

/** The argument of a task's code. */
export interface TaskContext<Input = unknown> {
  readonly input: Input
  /**
   * Aborted when the chart leaves the invoke or sends `task.stop` (`reason.code` is `TASK_STOPPED`), when the attempt
   * exceeds its `timeout` (`TIMEOUT`), or when the engine stops (`ENGINE_STOPPED`).
   */
  readonly signal: AbortSignal
  /**
   * Aborted when the chart sends `task.drain`: begin no new part of the work, and end when what runs has ended. In a
   * later attempt it is aborted from the start.
   */
  readonly draining: AbortSignal
  /** The number of the attempt: 1 for the first. */
  readonly attempt: number
  readonly job: TaskJob
  /**
   * A key for external services. It is the same in every attempt of this invocation, and in a retry that continues the
   * job.
   */
  readonly idempotencyKey: string
  /**
   * Reports progress. A number means `completed`. The progress is stored, and published at most once per 250 ms and at
   * the attempt's end. Within an attempt, the stored numbers never fall. The call never throws: negative and non-finite
   * numbers are ignored, and a line in the job's log says so, once per attempt.
   */
  readonly progress: (report: ProgressReport | number) => void
  /** The last progress recorded before this attempt. Absent: none. */
  readonly reported?: Progress
  /** Adds a line to the job's log. The line is cut to 10,000 characters. */
  readonly log: (text: string) => void
  /**
   * Records the result of one part of the work, and resolves when the result is stored. While the storage fails, the
   * call waits, until the task is told to stop. A later report with the same key, also by a later attempt, replaces the
   * earlier one. If the call fails and nobody awaits it, the error is written to the job's log.
   *
   * @throws {JobchartError} `STALE_CLAIM` the task no longer belongs to this attempt; `INVALID_INPUT` the key is not text of 1 to 2,000 characters; `NOT_STORABLE`; `PAYLOAD_TOO_LARGE` the output is over 1 MiB, or the job already has 1,000,000 keys.
   */
  readonly item: <Output>(
    key: string,
    report?: ItemReport & { readonly output?: Output & Storable<Output> },
  ) => Promise<void>
  /**
   * Runs `run` and resolves when its result is recorded. If an earlier attempt, or the job that this one continues, has
   * recorded the step, the call returns that result and does not call `run`. While the storage fails, the call waits,
   * until the task is told to stop.
   *
   * Await each step: code that returns while a step still runs fails with `STEP_NOT_AWAITED` and is not retried. After
   * the code has returned, pending steps get no answer, and no new step starts.
   *
   * @throws {JobchartError} `STALE_CLAIM` the task no longer belongs to this attempt; `INVALID_INPUT` the name is not text of 1 to 200 characters, or was already used in this attempt; `NOT_STORABLE` the result is not JSON; `PAYLOAD_TOO_LARGE` it is over 1 MiB. The last two are not retried, since the step has run.
   */
  readonly step: <Result>(name: string, run: StepRun<Result>) => Promise<Result>
  /**
   * Sends an event to the job's chart. Resolves with `true` if the chart took the event, and with `false` if the chart
   * does not take it in its current state. While the storage fails, the call waits, until the task is told to stop. In
   * a plain XState actor the event is dropped.
   *
   * @throws {JobchartError} `INVALID_INPUT` the task's `events` do not include the event; or, without `events`, the
   *   event is a command or reserved; `NOT_STORABLE`; `STALE_CLAIM` the task no longer belongs to this attempt.
   */
  readonly send: (event: { readonly type: string; readonly [field: string]: unknown }) => Promise<boolean>
  /**
   * The messages that the chart sends to this task. A later attempt gets all of them again, from the first one on. The
   * iteration ends when the task should stop. `task.drain` asks to start no new part of the work; `task.stop` and
   * `task.kill` do not appear here, but abort the signal.
   */
  readonly inbox: AsyncIterable<{ readonly type: string; readonly [field: string]: unknown }>
}

/** The context of a task's code in a plain XState actor. */
export function plainContext<Input>(input: Input, signal: AbortSignal): TaskContext<Input> {
  return {
    input,
    signal,
    draining: new AbortController().signal,
    attempt: 1,
    job: { id: 'actor', type: 'actor', trigger: 'manual' },
    idempotencyKey: 'actor',
    progress: () => {},
    log: () => {},
    item: async () => {},
    step: async (name, run) => await run({ key: `actor:${name}`, signal }),
    send: async () => false,
    inbox: { [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }) }) },
  }
}
