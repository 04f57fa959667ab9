/** The options of a job type: with `execute`, with `run`, with `agent`, and with a `lifecycle`. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine } from 'xstate'
import type { Commands } from './command.ts'
import type { EndLabels } from './end-labels.ts'
import type {
  AnyJobType,
  AssigneeOf,
  Describe,
  DescribedEvent,
  DescribedFunction,
  Description,
  FactsOf,
  FollowUpOf,
  Migrated,
  MigratingJob,
} from './job-type.ts'
import type { JobLimits, TaskLimits } from './limits.ts'
import type { NotifyRule } from './notification-rule.ts'
import type { ProgramOptions } from './program.ts'
import type { JobRetention } from './retention.ts'
import type { RetryOptions } from './retry.ts'
import type { SafePart } from './safe.ts'
import type { Parsed } from './schema-fit.ts'
import type { ProgramOutput, Recovery, TaskContext, TaskOptions } from './task.ts'
import type { Duration } from './time.ts'

/** The options of every job type. */
export interface CommonOptions<Type extends string, InputSchema, OutputSchema> {
  /** The name of the type: 1 to 200 characters. */
  readonly type: Type
  /**
   * Change the version when the chart's states or invokes change: a stored job runs only on the chart that it began
   * with. Default `'1'`.
   */
  readonly version?: string
  /** Any Standard Schema. Checks the input at submit; the parsed value is stored. */
  readonly input?: InputSchema
  /** Any Standard Schema. Checks the result of a job that succeeded. */
  readonly output?: OutputSchema
  readonly labels?: EndLabels
  /**
   * The parts of the job that, as you promise, never contain anything of the input. They stay visible when a policy
   * redacts the input. Default: none.
   */
  readonly safe?: readonly SafePart[]
  /**
   * Earlier versions. Their jobs continue, or move by `migrate`. Jobs of versions not listed wait for other engines.
   */
  readonly previous?: readonly AnyJobType[]
  /**
   * Moves a stored job of a previous version to this version, at its next change and only while none of its tasks runs.
   * Must be pure. `undefined` keeps the job on its version. If `migrate` throws, the job stays as it is.
   */
  readonly migrate?: (job: MigratingJob) => Migrated | undefined
  /** Returns what comes after a job has ended, e.g. a retry or other jobs. Committed together with the job's end. */
  readonly followUp?: FollowUpOf
  /**
   * True: pipelines may name this type in `dependsOn`. Default false, because with true, each end of a job costs one
   * more read.
   */
  readonly startsPipelines?: boolean
  /** Other names that `submit`, lists, counts and streams accept for this type, e.g. a misspelt one of older clients. */
  readonly aliases?: readonly string[]
  /** Whom to notify of which events, and how. Each rule notifies once per job. Default: nobody. */
  readonly notify?: readonly NotifyRule[]
  /**
   * Labels that decide rights, computed from the parsed input. They replace labels of the same names that a caller gave,
   * at each submit, run and retry. Must be pure. If it throws, or returns anything but labels, the job is not stored
   * (`INVALID_INPUT`). With `facts` or `assignee`, the input is parsed before the policy is asked about the submit.
   */
  readonly facts?: FactsOf<Parsed<InputSchema>>
  /**
   * The id of the person who is to act on the job, or `undefined` for nobody. Decided once, at the submit or run; then
   * the submitter's option `assignee` is ignored. Must be pure. If it throws, or returns anything else, the job is not
   * stored (`INVALID_INPUT`). Default: the submitter's option.
   */
  readonly assignee?: AssigneeOf<Parsed<InputSchema>>
  /**
   * How long ended jobs of this type are kept. Each given field replaces the same field of the engine's `retention`.
   */
  readonly retention?: JobRetention
}

/** A job type made from one function: queued → running → completed, failed or cancelled. */
export interface ExecuteOptions<Type extends string, InputSchema, OutputSchema, Input, Output>
  extends CommonOptions<Type, InputSchema, OutputSchema> {
  readonly execute: (context: TaskContext<Input>) => Output | PromiseLike<Output>
  /** Returns the message, reason, exit code and error to store. Called after each transition; must be pure. */
  readonly describe?: (snapshot: DescribedFunction, event: DescribedEvent) => Description | undefined
  readonly retry?: RetryOptions
  readonly recovery?: Recovery
  /** The maximum time of one attempt, from its start; see {@link TaskOptions.timeout}. Default: no limit. */
  readonly timeout?: Duration
  readonly killGrace?: Duration | 'never'
  readonly executor?: string
  /** How many tasks of this type run at once, over all engines of one storage. Default: no limit. */
  readonly limits?: JobLimits & Partial<TaskLimits<NoInfer<Input>>>
}

/** A job type that runs a program of the operating system: queued → running → completed, failed or cancelled. */
export interface ProgramJobOptions<Type extends string, InputSchema, Input>
  extends Omit<ExecuteOptions<Type, InputSchema, undefined, Input, ProgramOutput>, 'execute' | 'output'> {
  /**
   * The program. Exit code 0 means success. With any other exit code the attempt fails; if `retry` allows no further
   * attempt, the job fails with an `ExitError`. Lines that the program prints go to the job's log.
   */
  readonly run: ProgramOptions<Input>
}

/** The code of a job type that agents run: the same options as of `agentTask`. */
export type AgentCode<Input = unknown> = Pick<TaskOptions<Input>, 'function' | 'version'>

/** A job type whose code is with agents: queued → running → completed, failed or cancelled. */
export interface AgentJobOptions<Type extends string, InputSchema, OutputSchema, Input>
  extends Omit<ExecuteOptions<Type, InputSchema, OutputSchema, Input, unknown>, 'execute'> {
  /**
   * The function that an agent must have to run the job, and its version; see {@link TaskOptions.function}. Default: the
   * name of the type, and no version. The default of `executor` is `'agents'`.
   */
  readonly agent: AgentCode<Input>
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
  /** Returns the message, reason, exit code and error to store. Called after each transition; must be pure. */
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

/** The options of any job type with `execute`, `run` or `agent`. */
export type AnyFunctionOptions =
  | ExecuteOptions<string, StandardSchemaV1 | undefined, StandardSchemaV1 | undefined, unknown, unknown>
  | ProgramJobOptions<string, StandardSchemaV1 | undefined, unknown>
  | AgentJobOptions<string, StandardSchemaV1 | undefined, StandardSchemaV1 | undefined, unknown>

/** The options of any job type with a `lifecycle`. */
export type AnyLifecycleOptions = LifecycleOptions<
  string,
  StandardSchemaV1 | undefined,
  StandardSchemaV1 | undefined,
  Commands
>
