/** The options of a job type: with `execute`, with `run`, and with a `lifecycle`. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine } from 'xstate'
import type { Commands } from './command.ts'
import type {
  AnyJobType,
  Describe,
  DescribedEvent,
  DescribedFunction,
  Description,
  FollowUpOf,
  Migrated,
  MigratingJob,
} from './job-type.ts'
import type { JobLimits, TaskLimits } from './limits.ts'
import type { ProgramOptions } from './program.ts'
import type { RetryOptions } from './retry.ts'
import type { SafePart } from './safe.ts'
import type { ProgramOutput, Recovery, TaskContext } from './task.ts'
import type { Duration } from './time.ts'

/** Public labels for jobs that are in no state of the chart. Child jobs use them too. */
export interface EndLabels {
  /** The machine threw, or did not handle an error event. Default `'error'`. */
  readonly error?: string
  /** A child job that its parent left. Default `'stopped'`. */
  readonly stopped?: string
  /** A job that waits for its start time, or for its pipeline's slot. Default `'waiting'`. */
  readonly waiting?: string
}

/** The options of every job type. */
export interface CommonOptions<Type extends string, InputSchema, OutputSchema> {
  /** The name of the type: 1 to 200 characters. */
  readonly type: Type
  /**
   * Change it when the chart's states or invokes change: a stored job runs only on the chart that it began with.
   * Default `'1'`.
   */
  readonly version?: string
  /** Any Standard Schema. Checks the input at submit; the parsed value is stored. */
  readonly input?: InputSchema
  /** Any Standard Schema. Checks the result of a job that succeeded. */
  readonly output?: OutputSchema
  readonly labels?: EndLabels
  /**
   * Parts of the job that, by your word, never contain anything of the input. They stay visible when a policy redacts
   * the input. Default: none.
   */
  readonly safe?: readonly SafePart[]
  /** Earlier versions, whose jobs continue or are moved by `migrate`. Jobs of other versions wait for other engines. */
  readonly previous?: readonly AnyJobType[]
  /**
   * Moves a stored job of a previous version to this version, at its next change and only while none of its tasks runs.
   * Must be pure. `undefined` keeps the job on its version. If it throws, the job stays as it is.
   */
  readonly migrate?: (job: MigratingJob) => Migrated | undefined
  /** Returns what comes after a job has ended: a retry, other jobs, runs of pipelines. Committed with the job's end. */
  readonly followUp?: FollowUpOf
}

/** A job type made from one function: queued → running → completed, failed or cancelled. */
export interface ExecuteOptions<Type extends string, InputSchema, OutputSchema, Input, Output>
  extends CommonOptions<Type, InputSchema, OutputSchema> {
  readonly execute: (context: TaskContext<Input>) => Output | PromiseLike<Output>
  /** Returns the message, reason, exit code and error to store after an event. Called for each move; must be pure. */
  readonly describe?: (snapshot: DescribedFunction, event: DescribedEvent) => Description | undefined
  readonly retry?: RetryOptions
  readonly recovery?: Recovery
  /** The maximum time of one attempt, from its start; see {@link TaskOptions.timeout}. Default: no limit. */
  readonly timeout?: Duration
  readonly killGrace?: Duration | 'never'
  readonly executor?: string
  /** How many of its tasks run at once, over all engines of one storage. Default: no limit. */
  readonly limits?: JobLimits & Partial<TaskLimits<NoInfer<Input>>>
}

/** A job type that runs a program of the operating system: queued → running → completed, failed or cancelled. */
export interface ProgramJobOptions<Type extends string, InputSchema, Input>
  extends Omit<ExecuteOptions<Type, InputSchema, undefined, Input, ProgramOutput>, 'execute' | 'output'> {
  /**
   * The program. Exit code 0 means success. With any other exit code the attempt fails; after the attempts of `retry`,
   * the job fails with an `ExitError`. Lines that the program prints go to the job's log.
   */
  readonly run: ProgramOptions<Input>
}

/** A job type made from an XState v5 machine. */
export interface LifecycleOptions<
  Type extends string,
  InputSchema,
  OutputSchema,
  Declared extends Commands,
  Machine extends AnyStateMachine = AnyStateMachine,
> extends CommonOptions<Type, InputSchema, OutputSchema> {
  readonly lifecycle: Machine
  /** Returns the message, reason, exit code and error to store after an event. Called for each move; must be pure. */
  readonly describe?: Describe<Machine>
  /**
   * The events that a person may send: for each, the schema of its fields, or `{ schema, by }` to limit who may send
   * it. Some state must take each command. In a state whose `meta.accepts` lists a command, sending it returns the job
   * and writes nothing, and `actions` does not offer it.
   */
  readonly commands?: Declared
  /** The command that `cancel` sends. Default: `'cancel'`, if there is such a command. `null`: none. */
  readonly cancel?: (keyof Declared & string) | null
  readonly limits?: JobLimits
}

/** The commands of the default lifecycle. */
export interface DefaultCommands {
  readonly cancel: StandardSchemaV1<{ readonly reason?: string | undefined }>
}

/** The options of any job type. */
export type AnyJobOptions = AnyFunctionOptions | AnyLifecycleOptions

/** The options of any job type with `execute` or `run`. */
export type AnyFunctionOptions =
  | ExecuteOptions<string, StandardSchemaV1 | undefined, StandardSchemaV1 | undefined, unknown, unknown>
  | ProgramJobOptions<string, StandardSchemaV1 | undefined, unknown>

/** The options of any job type with a `lifecycle`. */
export type AnyLifecycleOptions = LifecycleOptions<
  string,
  StandardSchemaV1 | undefined,
  StandardSchemaV1 | undefined,
  Commands
>
