import type { StandardSchemaV1 } from '@standard-schema/spec'
import { fromPromise, type PromiseActorLogic } from 'xstate'
import { BATCH_RUN_PLACE, type BatchSettings, isBatchRun } from './batch-settings.ts'
import { JobchartError } from './error.ts'
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
  timeLimit,
} from './option-checks.ts'
import { type MakeProgram, type ProgramOptions, parseProgram } from './program.ts'
import { parseRetry, type Retry, type RetryOptions } from './retry.ts'
import type { StorableSchemas } from './schema-fit.ts'
import type { StorableReturn } from './storable.ts'
import { plainContext, type TaskContext } from './task-context.ts'
import type { LimitScope } from './task-scope.ts'
import { type Duration, durationMs } from './time.ts'

export type { LineStream, StepContext, StepRun, TaskContext } from './task-context.ts'
export { countsOf, type Progress, type StampedProgress, type Task } from './task-record.ts'

/**
 * What happens when an attempt is lost, e.g. because its process died.
 *
 * - `restart`: the task becomes available again.
 * - `fail`: the task fails.
 * - `await`: the task waits for a report of that attempt, e.g. from another process.
 *
 * A task that crashes its process three times in a row, with no new step or item recorded between, is not restarted: it
 * fails as `POISON`. A process ended by SIGINT or SIGTERM does not count as a crash.
 */
export type Recovery = 'restart' | 'fail' | 'await'

/** The options of {@link task}. */
export interface TaskOptions<Input = unknown, Output = unknown> {
  /** The name of the executor that runs the task. Default `'default'`. */
  readonly executor?: string
  /**
   * Tells an executor that runs code outside this process which function to call: text of 1 to 200 characters, or a
   * function that returns it. Such a function is called when the task becomes available, and must be pure. If it throws,
   * or returns anything else, the task ends with an error event, code `INVALID_INPUT`.
   */
  readonly function?: string | ((of: LimitScope<NoInfer<Input>>) => string)
  /** The version of the code that `function` names, given in the same way. A function may return `undefined`: no version. */
  readonly version?: string | ((of: LimitScope<NoInfer<Input>>) => string | undefined)
  /** Checks the input; the code receives the parsed value. */
  readonly input?: StandardSchemaV1<unknown, Input>
  /** Checks the result; the chart receives the parsed value. A result that does not fit fails the attempt. */
  readonly output?: StandardSchemaV1<unknown, Output>
  /** The types of events that the code may send to the chart. Default: any except commands, `task.*` and `xstate.*`. */
  readonly events?: readonly string[]
  readonly retry?: RetryOptions
  readonly recovery?: Recovery
  /**
   * The maximum time of one attempt, from its start, more than 0. A longer attempt is asked to stop. Once it has
   * stopped, it is retried by `retry`, or else fails with code `TIMEOUT`. Default: no limit.
   */
  readonly timeout?: Duration
  /** How long the code may go on after it was told to stop. Default `'5s'`; `'never'` waits without limit. */
  readonly killGrace?: Duration | 'never'
  /** How many tasks of one key run at once, over all engines of one storage. Default: no limit. */
  readonly limits?: TaskLimits<NoInfer<Input>>
}

/** The code of a task. */
export type TaskRun<Input, Output> = (context: TaskContext<Input>) => Output | PromiseLike<Output>

/** The parsed options of a task, and its code. */
export interface TaskSettings {
  readonly executor: string
  readonly function: string | ((of: LimitScope) => unknown) | undefined
  readonly version: string | ((of: LimitScope) => unknown) | undefined
  /** True: agents run the task. It waits in a queue of its function, version and assignment. */
  readonly isForAgents: boolean
  readonly input: StandardSchemaV1 | undefined
  readonly output: StandardSchemaV1 | undefined
  readonly retry: Retry
  readonly recovery: Recovery
  /** The longest time of one attempt, in milliseconds. Null: no limit. */
  readonly timeoutMs: number | null
  /** How long the code may go on after it was told to stop, in milliseconds. Null: without limit. */
  readonly killGraceMs: number | null
  readonly limit: TaskLimit | undefined
  /**
   * `promise`: the code ends by itself. Code of other kinds runs as long as its state is active, and sends events to
   * the chart.
   */
  readonly kind: LogicKind
  /** The types of events that the code may send to the chart. `undefined`: any except commands and reserved events. */
  readonly events: readonly string[] | undefined
  /** The XState logic of a callback or an observable. Absent for other tasks. */
  readonly logic?: AnyLogic
  /** Present if the task is a batch. */
  readonly batch?: BatchSettings
  /** Makes the program that the task runs. Absent for tasks that run a function. */
  readonly program?: MakeProgram
  /** True: the code receives the input of the job. False: the input that the chart gives to the invoke. */
  readonly takesJobInput: boolean
  readonly run: TaskRun<unknown, unknown>
}

// The settings of each logic, by the logic's object. If the settings were a property of the logic, they would be lost
// when an app wraps the logic and provides it to a machine.
const settingsOf = new WeakMap<object, TaskSettings>()

/**
 * Logic for `invoke` whose code receives a {@link TaskContext}: progress, log lines, recorded steps, attempts. In a
 * plain XState actor it runs as promise logic: progress and log lines are dropped, and steps run without being
 * recorded.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function task<Output, Input = unknown>(
  options: TaskOptions<Input, Output>,
  run: TaskRun<NoInfer<Input>, Output> & StorableReturn<Output>,
): PromiseActorLogic<Output, Input> {
  checkOptions('task', options, TASK, { form: 'task({}, run)' })
  checkOptions('task', { run }, { run: required(callback) })
  const settings = parseTask(options, run)
  const logic = fromPromise<Output, Input>(async ({ input, signal }) => await run(plainContext(input, signal)))
  return withSettings(logic, settings)
}

/** Gives logic the settings of a task. */
export function withSettings<Logic extends object>(logic: Logic, settings: TaskSettings): Logic {
  settingsOf.set(logic, settings)
  return logic
}

/** The rules for the options of {@link task}. */
export const TASK = {
  executor: text(),
  function: either(text(), callback),
  version: either(text(), callback),
  input: schema,
  output: schema,
  events: names,
  retry: anything,
  recovery: oneOf('restart', 'fail', 'await'),
  timeout: timeLimit,
  killGrace: either(duration, oneOf('never')),
  limits: anything,
} satisfies OptionRules

const { output: _, events: __, ...PROGRAM } = TASK

/** The settings of logic made by {@link task}, or undefined. */
export function taskSettings(logic: object): TaskSettings | undefined {
  return settingsOf.get(logic)
}

/**
 * Parses the options of {@link task}. `takesJobInput` is true only for the default lifecycle.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid, or the code is that of a batch.
 */
export function parseTask<Input, Output>(
  options: TaskOptions<Input, Output>,
  run: TaskRun<Input, Output>,
  takesJobInput = false,
): TaskSettings {
  const { recovery = 'restart', killGrace = '5s', executor = 'default' } = options
  refuseBatchRun(run)
  return {
    executor,
    // The casts are safe: the functions are called only with inputs of the task that they were typed for.
    function: options.function as TaskSettings['function'],
    version: options.version as TaskSettings['version'],
    isForAgents: false,
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
    // The cast is safe: the schemas that the code was typed by check each value before the code is called.
    run: run as TaskRun<unknown, unknown>,
  }
}

function refuseBatchRun(run: unknown): void {
  if (isBatchRun(run)) throw new JobchartError('INVALID_DEFINITION', BATCH_RUN_PLACE)
}

/**
 * Logic for `invoke` that runs a program of the operating system. Exit code 0 is success; otherwise the error has the
 * name `ExitError` and the `exitCode`. Lines that the program prints go to the job's log.
 *
 * @param options  those of {@link task}, without `output` and `events`. The default of `executor` is `'processes'`.
 * @param run  the program: its command, arguments and so on.
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function program<Input = unknown>(
  options: Omit<TaskOptions<Input, ProgramOutput>, 'output' | 'events'>,
  run: ProgramOptions<NoInfer<Input>>,
): PromiseActorLogic<ProgramOutput, Input> {
  checkOptions('program', options, PROGRAM, { form: "program({}, { command: 'node' })" })
  const logic = fromPromise<ProgramOutput, Input>(() => Promise.reject(new Error(NO_PROGRAM)))
  return withSettings(logic, parseProgramTask(options, run))
}

/** The output of a program that exited with 0. */
export interface ProgramOutput {
  readonly exitCode: number
}

/** The default executor of programs. */
const PROGRAM_EXECUTOR = 'processes'
const NO_PROGRAM = 'a program is run by an executor of processes, and not by a live actor'

/** Parses the options of a task that runs a program. */
export function parseProgramTask<Input, Output>(
  options: TaskOptions<Input, Output>,
  program: ProgramOptions<Input>,
  takesJobInput = false,
): TaskSettings {
  const { executor = PROGRAM_EXECUTOR } = options
  const settings = parseTask({ ...options, executor }, refused(NO_PROGRAM), takesJobInput)
  return { ...settings, program: parseProgram(program) }
}

/** The code of a task whose code is elsewhere. */
function refused(why: string): () => never {
  return () => {
    throw new JobchartError('INVALID_DEFINITION', why)
  }
}

/**
 * Logic for `invoke` whose code is with agents: programs, usually on other machines, that pull tasks from an engine. An
 * agent takes the task only if it has registered the task's `function`, and the `version` if the task asks for one; and
 * only if the job is assigned to no other agent or pool.
 *
 * The input and output must be JSON. Without an `output` schema, the output can be any JSON value. In a plain XState
 * actor, the logic fails.
 *
 * @param options  those of {@link task}. The default of `executor` is `'agents'`, that of `function` the name of the
 *   logic, i.e. the invoke's `src`.
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function agentTask<Output = unknown, Input = unknown>(
  options: TaskOptions<Input, Output> &
    StorableSchemas<StandardSchemaV1<unknown, Input>, StandardSchemaV1<unknown, Output>> = {},
): PromiseActorLogic<Output, Input> {
  checkOptions('agentTask', options, TASK)
  const logic = fromPromise<Output, Input>(() => Promise.reject(new Error(NO_AGENT)))
  return withSettings(logic, parseAgentTask(options))
}

/** The default executor of tasks for agents. */
const AGENT_EXECUTOR = 'agents'
const NO_AGENT = 'a task for agents is run by an agent, and not by a live actor'

/** Parses the options of a task that agents run. */
export function parseAgentTask<Input, Output>(
  options: TaskOptions<Input, Output>,
  takesJobInput = false,
): TaskSettings {
  const { executor = AGENT_EXECUTOR, recovery } = options
  // No report of an agent counts after its lease, so the task would be awaited for ever.
  if (recovery === 'await') {
    throw new JobchartError('INVALID_DEFINITION', "a task for agents cannot have recovery: 'await'; react to task.lost")
  }
  return { ...parseTask({ ...options, executor }, refused(NO_AGENT), takesJobInput), isForAgents: true }
}

/**
 * The settings of promise logic that was not made by {@link task}: all defaults, and the function given to
 * `fromPromise` as the code.
 */
export function promiseSettings(creator: PromiseCreator): TaskSettings {
  refuseBatchRun(creator)
  return parseTask({}, async ({ input, signal }) => await creator({ input, signal, ...inert }))
}

/**
 * The executor of callbacks and observables. They may run as long as their state is active. On the executor of tasks
 * that end, they could take up all places.
 */
const LIVE_EXECUTOR = 'live'

/** The settings of a callback or an observable. It is restarted if its process dies. */
function liveSettings(logic: AnyLogic, kind: LogicKind): TaskSettings {
  const never = () => Promise.reject(new Error('live logic is run by its own kind'))
  return { ...parseTask({ executor: LIVE_EXECUTOR }, never), kind, logic }
}

/**
 * The settings of any outside work: logic made by {@link task} or {@link program}, other promise logic, callbacks and
 * observables.
 */
export function settingsOfLogic(logic: AnyLogic): TaskSettings {
  const settings = taskSettings(logic)
  if (settings !== undefined) return settings
  return isPromise(logic) ? promiseSettings(logic.config) : liveSettings(logic, kindOf(logic))
}

/**
 * What XState gives to the code of a promise, a callback or an observable as access to its actor and its system. A task
 * has no such actor, only a stored row, so here they do nothing. Code reaches the chart by its reports alone.
 */
export const inert = {
  self: Object.freeze({ send: () => {} }),
  system: Object.freeze({ get: () => undefined }),
  emit: () => {},
}
