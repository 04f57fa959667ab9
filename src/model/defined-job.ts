/**
 * What `defineJob` takes and gives, as types. Its options are one type and not three overloads, because the compiler
 * shows only the errors of the last overload.
 */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine } from 'xstate'
import type { Commands, SchemasOf } from './command.ts'
import type {
  AgentCode,
  AgentJobOptions,
  DefaultCommands,
  ExecuteOptions,
  LifecycleOptions,
  ProgramJobOptions,
} from './job-options.ts'
import type { Describe, DescribedEvent, DescribedFunction, Description, JobType } from './job-type.ts'
import type { ProgramOptions } from './program.ts'
import type {
  FittingMachine,
  Given,
  MachineInput,
  MachineOutput,
  Misfit,
  Parsed,
  StorableCommands,
  StorableSchemas,
} from './schema-fit.ts'
import type { StorableReturn } from './storable.ts'
import type { ProgramOutput, TaskContext } from './task.ts'

/** Stands for the machine of a job type that has no machine. */
export interface NoMachine extends AnyStateMachine {
  readonly [none]: true
}

declare const none: unique symbol

type Is<One, Other> =
  (<Type>() => Type extends One ? 1 : 2) extends <Type>() => Type extends Other ? 1 : 2 ? true : false

/** The options of a job type with `execute`, with `run`, with `agent`, or with a `lifecycle`. */
export type JobOptions<
  Type extends string,
  InputSchema,
  OutputSchema,
  Output,
  Command,
  Machine extends AnyStateMachine,
  Declared extends Commands,
> = AllOptions<Type, InputSchema, OutputSchema, Output, Command, Machine, Declared> &
  StorableSchemas<InputSchema, OutputSchema> &
  (Is<Machine, NoMachine> extends true
    ? OfExecute<Output> | OfProgram | OfAgents
    : OfMachine<Machine, InputSchema, OutputSchema, Declared>)

type DescribeFunction = (snapshot: DescribedFunction, event: DescribedEvent) => Description | undefined

interface AllOptions<
  Type extends string,
  InputSchema,
  OutputSchema,
  Output,
  Command,
  Machine extends AnyStateMachine,
  Declared extends Commands,
> extends Omit<ExecuteOptions<Type, InputSchema, OutputSchema, Parsed<InputSchema>, Output>, 'execute' | 'describe'> {
  /** See {@link ExecuteOptions}. */
  readonly execute?: (context: TaskContext<Parsed<InputSchema>>) => Output | PromiseLike<Output>
  /** See {@link ProgramJobOptions}. */
  readonly run?: ProgramOptions<Parsed<InputSchema>> & { readonly command?: Command }
  /** See {@link AgentJobOptions}. */
  readonly agent?: AgentCode<Parsed<InputSchema>>
  /** See {@link LifecycleOptions}. */
  readonly lifecycle?: Machine
  /** Returns the message, reason, exit code and error to store. Called after each transition; must be pure. */
  readonly describe?: Is<Machine, NoMachine> extends true ? DescribeFunction : Describe<Machine>
  /** See {@link LifecycleOptions.commands}. */
  readonly commands?: Declared
  /** See {@link LifecycleOptions.cancel}. */
  readonly cancel?: (keyof Declared & string) | null
}

/** Requires `execute`, and refuses what belongs to other job types. */
interface OfExecute<Output> extends OfFunction {
  readonly execute: StorableReturn<Output>
  readonly run?: undefined
  readonly agent?: undefined
}

/** Requires `run`, and refuses what belongs to other job types. */
interface OfProgram extends OfFunction {
  readonly run: unknown
  readonly execute?: undefined
  readonly agent?: undefined
  readonly output?: undefined
}

/** Requires `agent`, and refuses what belongs to other job types. */
interface OfAgents extends OfFunction {
  readonly agent: unknown
  readonly execute?: undefined
  readonly run?: undefined
}

interface OfFunction {
  readonly commands?: MachineHas
  readonly cancel?: MachineHas
}

/** Requires a `lifecycle` that fits, and refuses what belongs to other job types. */
interface OfMachine<Machine extends AnyStateMachine, InputSchema, OutputSchema, Declared extends Commands>
  extends StorableCommands<Declared> {
  readonly lifecycle: FittingMachine<Machine, InputSchema, OutputSchema, Declared>
  readonly execute?: Misfit<'a job has only one of execute, run, agent and lifecycle'>
  readonly run?: Misfit<'a job has only one of execute, run, agent and lifecycle'>
  readonly agent?: Misfit<'a job has only one of execute, run, agent and lifecycle'>
  readonly retry?: TaskHas
  readonly recovery?: TaskHas
  readonly timeout?: TaskHas
  readonly killGrace?: TaskHas
  readonly executor?: TaskHas
  readonly limits?: { readonly key?: TaskHas }
}

type TaskHas = Misfit<'a job with a lifecycle does not have this option; give it to task()'>
type MachineHas = Misfit<'only a job with a lifecycle has commands of its own'>

/** What `defineJob` makes of its options. */
export type DefinedJob<
  Type extends string,
  InputSchema,
  OutputSchema,
  Output,
  Command,
  Machine extends AnyStateMachine,
  Declared extends Commands,
> =
  Is<Machine, NoMachine> extends true
    ? JobType<Type, Given<InputSchema>, OutputOfWork<OutputSchema, Output, Command>, DefaultCommands>
    : JobType<
        Type,
        InputSchema extends StandardSchemaV1 ? Given<InputSchema> : MachineInput<Machine>,
        OutputSchema extends StandardSchemaV1 ? Parsed<OutputSchema> : MachineOutput<Machine>,
        SchemasOf<Declared>
      >

// The command is unknown if there is no program.
type OutputOfWork<OutputSchema, Output, Command> = OutputSchema extends StandardSchemaV1
  ? Parsed<OutputSchema>
  : unknown extends Command
    ? Awaited<Output>
    : ProgramOutput
