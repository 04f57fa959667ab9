import type { StandardSchemaV1 } from '@standard-schema/spec'
import { fromPromise, type PromiseActorLogic } from 'xstate'
import { JobchartError } from './error.ts'
import type { ItemReport } from './item.ts'
import { parseTaskLimits, type TaskLimit, type TaskLimits } from './limits.ts'
import { type AnyLogic, isPromise, kindOf, type LogicKind, type PromiseCreator } from './logic.ts'
import {
  anything,
  callback,
  checkOptions,
  duration,
  either,
  names,
  type OptionRules,
  oneOf,
  required,
  schema,
  text,
} from './option-checks.ts'
import { type MakeProgram, type ProgramOptions, parseProgram } from './program.ts'
import type { ProgressReport } from './progress.ts'
import { parseRetry, type Retry, type RetryOptions } from './retry.ts'
import type { Storable, StorableReturn } from './storable.ts'
import type { Progress } from './task-record.ts'
import { type Duration, durationMs } from './time.ts'

export { countsOf, type Progress, type StampedProgress, type Task } from './task-record.ts'

/** Where a program has written a line. */
export type LineStream = 'stdout' | 'stderr'

/** What the function of a step is given. */
export interface StepContext {
  /**
   * The same in every attempt, after every crash and in a retry that continues the job, and used by no other step. A step
   * runs at least once: write its key in the transaction of the target, and skip the work where it stands there already,
   * and the effect is exactly-once.
   */
  readonly key: string
  /** Aborted when the task is asked to stop. */
  readonly signal: AbortSignal
}

/** The function of a step. A helper that hands one on to `step` takes a `StepRun<Result>`, whatever `Result` is. */
export type StepRun<Result> = ((step: StepContext) => Result | PromiseLike<Result>) & StorableReturn<Result>

/** What the code of a task works with. */
export interface TaskContext<Input = unknown> {
  readonly input: Input
  /**
   * Aborted when the chart left the invoke or sent `task.stop` (`reason.code` is `TASK_STOPPED`), when the attempt took
   * too long (`TIMEOUT`), or when the engine stops (`ENGINE_STOPPED`).
   */
  readonly signal: AbortSignal
  /** 1 for the first. */
  readonly attempt: number
  readonly job: { readonly id: string; readonly type: string }
  /** The same in every attempt of this invocation of the invoke, and in a retry that continues the job. */
  readonly idempotencyKey: string
  /**
   * Says how far the work is: stored, and published at most once in 250 ms and at the attempt's end. It never falls
   * within an attempt. A number is `completed`. It never throws: what is negative or not finite is ignored, and a line of
   * the job's log says so, once for each attempt.
   */
  readonly progress: (report: ProgressReport | number) => void
  /** The last progress that was recorded of the job before this attempt; absent where there was none. */
  readonly reported?: Progress
  /** Adds a line to the job's log. A line is cut at 10,000 characters. */
  readonly log: (text: string) => void
  /**
   * Records what became of one part of the work, and resolves when it is stored. While the storage fails it waits, until
   * the task is told to stop. A later report of the same key, also by a later attempt, replaces the earlier one. Where it
   * is not awaited, what it is refused by is a line of the job's log.
   *
   * @throws {JobchartError} `STALE_CLAIM` the task is no longer this attempt's; `INVALID_INPUT` the key is no name of 1 to
   *   2,000 characters; `NOT_STORABLE`; `PAYLOAD_TOO_LARGE` the output is over 1 MiB, or the job has 1,000,000 keys.
   */
  readonly item: <Output>(
    key: string,
    report?: ItemReport & { readonly output?: Output & Storable<Output> },
  ) => Promise<void>
  /**
   * Runs `run` and records its result before it resolves. An attempt that finds the result recorded, by an earlier attempt
   * or by the job that this one continues, gets it without running again. While the storage fails the record waits, until
   * the task is told to stop. Await each step: code that returns while one still runs fails with `STEP_NOT_AWAITED`, and is
   * not tried again. Once it has returned, what is still under way is not answered, and no further step begins.
   *
   * @throws {JobchartError} `STALE_CLAIM` the task is no longer this attempt's; `INVALID_INPUT` the name is none of 1 to
   *   200 characters, or was used before in this attempt; `NOT_STORABLE` the result is no JSON, `PAYLOAD_TOO_LARGE` it is
   *   over 1 MiB: these two are not tried again, since the step has run.
   */
  readonly step: <Result>(name: string, run: StepRun<Result>) => Promise<Result>
  /**
   * Sends an event to the job's chart, and resolves with whether the chart took it: false, where its state takes no such
   * event. While the storage fails it waits, until the task is told to stop. In a plain XState actor it goes nowhere.
   *
   * @throws {JobchartError} `INVALID_INPUT` the task's `events` do not declare it, or, where it declares none, it is a
   *   command or one of the engine's; `NOT_STORABLE`; `STALE_CLAIM` the task is no longer this attempt's.
   */
  readonly send: (event: { readonly type: string; readonly [field: string]: unknown }) => Promise<boolean>
  /**
   * What the chart sends to this task, from the first message on, also to a later attempt. It ends when the task should
   * stop. `task.drain` asks to take no new part of the work; `task.stop` and `task.kill` abort the signal instead.
   */
  readonly inbox: AsyncIterable<{ readonly type: string; readonly [field: string]: unknown }>
}

/**
 * What happens when the process of an attempt died: `restart` offers it again, `fail` ends it, `await` waits for a report of
 * that attempt from elsewhere. Work that takes its process down three times in a row without a further step or item
 * recorded is not offered again: it fails as `POISON`. A process that was ended by SIGINT or SIGTERM does not count.
 */
export type Recovery = 'restart' | 'fail' | 'await'

/** The options of {@link task}. */
export interface TaskOptions<Input = unknown, Output = unknown> {
  /** The name of the executor that runs it. Default `'default'`. */
  readonly executor?: string
  /** Tells an executor that runs code of its own which of it is meant. At most 200 characters. */
  readonly function?: string
  /** The version of that code. At most 200 characters. */
  readonly version?: string
  /** Checks the input before the code sees it; the parsed value is given. */
  readonly input?: StandardSchemaV1<unknown, Input>
  /** Checks the result; a result that does not fit is a failure, and the parsed value is what the chart gets. */
  readonly output?: StandardSchemaV1<unknown, Output>
  /** The types of the events that the code may send to the chart. Default: any but commands, `task.*` and `xstate.*`. */
  readonly events?: readonly string[]
  readonly retry?: RetryOptions
  readonly recovery?: Recovery
  /**
   * How long one attempt may take from its start. One that takes longer is asked to stop; it is made again by `retry`,
   * never beside the old one, and else fails with code `TIMEOUT`. Default: without end.
   */
  readonly timeout?: Duration
  /** How long the code may go on after it was told to stop. Default `'5s'`; `'never'` waits for it without end. */
  readonly killGrace?: Duration | 'never'
  /** How many tasks of one key run at once, in all engines of one storage. Default: any number. */
  readonly limits?: TaskLimits<NoInfer<Input>>
}

/** The code of a task. */
export type TaskRun<Input, Output> = (context: TaskContext<Input>) => Output | PromiseLike<Output>

/** The options of a task, read once, and its code. */
export interface TaskSettings {
  readonly executor: string
  readonly function: string | undefined
  readonly version: string | undefined
  readonly input: StandardSchemaV1 | undefined
  readonly output: StandardSchemaV1 | undefined
  readonly retry: Retry
  readonly recovery: Recovery
  /** Milliseconds; null is without end. */
  readonly timeoutMs: number | null
  /** Milliseconds; null waits without end. */
  readonly killGraceMs: number | null
  readonly limit: TaskLimit | undefined
  /** `promise`: code that ends. The others go on, and tell the chart. */
  readonly kind: LogicKind
  /** The events that it may send to the chart; undefined: any but commands and those of the engine and of XState. */
  readonly events: readonly string[] | undefined
  /** What runs, where it is no function of ours. */
  readonly logic?: AnyLogic
  /** Of a task that is a program. */
  readonly program?: MakeProgram
  /** The code gets the job's own input, not the invoke's. */
  readonly takesJobInput: boolean
  readonly run: TaskRun<unknown, unknown>
}

// A property of the logic would be lost when a machine is provided with wrapped logic; the map follows the object.
const settingsOf = new WeakMap<object, TaskSettings>()

/**
 * Logic for `invoke` whose code gets a {@link TaskContext}: progress, log lines, recorded steps, attempts. In a plain
 * XState actor it runs as promise logic, with progress and log lines going nowhere and steps simply run.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option cannot work.
 */
export function task<Output, Input = unknown>(
  options: TaskOptions<Input, Output>,
  run: TaskRun<NoInfer<Input>, Output> & StorableReturn<Output>,
): PromiseActorLogic<Output, Input> {
  checkOptions('task', options, TASK)
  checkOptions('task', { run }, { run: required(callback) })
  const settings = parseTask(options, run)
  const logic = fromPromise<Output, Input>(async ({ input, signal }) => await run(plainContext(input, signal)))
  settingsOf.set(logic, settings)
  return logic
}

const TASK: OptionRules = {
  executor: text(),
  function: text(),
  version: text(),
  input: schema,
  output: schema,
  events: names,
  retry: anything,
  recovery: oneOf('restart', 'fail', 'await'),
  timeout: duration,
  killGrace: either(duration, oneOf('never')),
  limits: anything,
}

const { output: _, events: __, ...PROGRAM } = TASK

/** The settings of logic made by {@link task}, or undefined. */
export function taskSettings(logic: object): TaskSettings | undefined {
  return settingsOf.get(logic)
}

/** Reads the options of {@link task}; `takesJobInput` is the default lifecycle's. */
export function parseTask<Input, Output>(
  options: TaskOptions<Input, Output>,
  run: TaskRun<Input, Output>,
  takesJobInput = false,
): TaskSettings {
  const { recovery = 'restart', killGrace = '5s', executor = 'default' } = options
  return {
    executor,
    function: options.function,
    version: options.version,
    input: options.input,
    output: options.output,
    retry: parseRetry(options.retry),
    recovery,
    kind: 'promise',
    events: options.events,
    timeoutMs: options.timeout === undefined ? null : durationMs(options.timeout, 'timeout'),
    killGraceMs: killGrace === 'never' ? null : durationMs(killGrace, 'killGrace'),
    limit: parseTaskLimits(options.limits),
    takesJobInput,
    // The code was typed by its own schemas, which have checked the value by the time it is called.
    run: run as TaskRun<unknown, unknown>,
  }
}

/**
 * Logic for `invoke` that runs a program of the operating system. It ends well when the program exits with 0; else it is an
 * error with the name `ExitError` and the `exitCode`. Lines that it writes are lines of the job's log.
 *
 * @param options  as those of {@link task}; `executor` is `'processes'` unless it says otherwise.
 * @throws {JobchartError} `INVALID_DEFINITION` an option cannot work.
 */
export function program<Input = unknown>(
  options: Omit<TaskOptions<Input, ProgramOutput>, 'output' | 'events'>,
  run: ProgramOptions<NoInfer<Input>>,
): PromiseActorLogic<ProgramOutput, Input> {
  checkOptions('program', options, PROGRAM)
  const logic = fromPromise<ProgramOutput, Input>(() => Promise.reject(new Error(NO_PROGRAM)))
  settingsOf.set(logic, parseProgramTask(options, run))
  return logic
}

/** What a program that exited with 0 ends with. */
export interface ProgramOutput {
  readonly exitCode: number
}

/** The executor of programs. */
const PROGRAM_EXECUTOR = 'processes'
const NO_PROGRAM = 'a program is run by an executor of processes, and not by a live actor'

/** Reads the options of a task that is a program. */
export function parseProgramTask<Input, Output>(
  options: TaskOptions<Input, Output>,
  program: ProgramOptions<Input>,
  takesJobInput = false,
): TaskSettings {
  const run = () => {
    throw new JobchartError('INVALID_DEFINITION', NO_PROGRAM)
  }
  const settings = parseTask({ executor: PROGRAM_EXECUTOR, ...options }, run, takesJobInput)
  return { ...settings, program: parseProgram(program) }
}

/** The settings of promise logic that is no {@link task}: the defaults, and its creator as the code. */
export function promiseSettings(creator: PromiseCreator): TaskSettings {
  return parseTask({}, async ({ input, signal }) => await creator({ input, signal, ...inert }))
}

/** The executor of callbacks and observables: they run for as long as their state, and take no place of work that ends. */
const LIVE_EXECUTOR = 'live'

/** The settings of a callback or an observable: it is started again when its process died. */
function liveSettings(logic: AnyLogic, kind: LogicKind): TaskSettings {
  const never = () => Promise.reject(new Error('live logic is run by its own kind'))
  return { ...parseTask({ executor: LIVE_EXECUTOR }, never), kind, logic }
}

/** How any logic that ends, or goes on and tells the chart, is run as a task. */
export function settingsOfLogic(logic: AnyLogic): TaskSettings {
  const settings = taskSettings(logic)
  if (settings !== undefined) return settings
  return isPromise(logic) ? promiseSettings(logic.config) : liveSettings(logic, kindOf(logic))
}

// In XState these reach the promise's own actor, which nobody can subscribe to when its job is a row.
const inert = {
  self: Object.freeze({ send: () => {} }),
  system: Object.freeze({ get: () => undefined }),
  emit: () => {},
}

function plainContext<Input>(input: Input, signal: AbortSignal): TaskContext<Input> {
  return {
    input,
    signal,
    attempt: 1,
    job: { id: 'actor', type: 'actor' },
    idempotencyKey: 'actor',
    progress: () => {},
    log: () => {},
    item: async () => {},
    step: async (name, run) => await run({ key: `actor:${name}`, signal }),
    send: async () => false,
    inbox: { [Symbol.asyncIterator]: () => ({ next: async () => ({ done: true, value: undefined }) }) },
  }
}
