import {
  type Duration,
  defineJob,
  durationMs,
  type ExecuteOptions,
  type JobLimits,
  type JobType,
  type JobView,
  type Policy,
  type Program,
  type ProgramOutput,
  program,
  type StorableReturn,
  type TaskContext,
  task,
} from 'jobchart'
import { z } from 'zod'
import { describeEnd, type ExecutionParts, executionLifecycle } from './execution-lifecycle.ts'
import { executionRow, type TaskExecutionRow } from './execution-row.ts'
import { checkBy, given, passedOn, type Schema, type Types } from './preset-options.ts'
import { partsOf } from './program-parts.ts'
import { type WorkspaceRoles, workspacePolicy } from './workspace-policy.ts'

interface CommonOptions<Type extends string, InputSchema>
  extends Pick<
    ExecuteOptions<Type, InputSchema, undefined, Types<InputSchema>['output'], unknown>,
    'type' | 'version' | 'input' | 'previous' | 'migrate' | 'killGrace' | 'executor'
  > {
  /**
   * How long a launch may take, from the claim until the start is confirmed. If the process of an execution is lost,
   * the engine waits just as long for news of it. After this time the execution ends as ERROR. Default `'60s'`.
   */
  readonly launchTimeout?: Duration
  readonly limits?: JobLimits
}

/** A type of executions that run a program. */
export interface ProgramExecutionOptions<Type extends string, InputSchema> extends CommonOptions<Type, InputSchema> {
  /** The program, or a pure function that makes it from the parsed input. */
  readonly run: Program | ((input: Types<InputSchema>['output']) => Program)
}

/** A type of executions that run a function. */
export interface FunctionExecutionOptions<Type extends string, InputSchema, Output>
  extends CommonOptions<Type, InputSchema> {
  /**
   * Does the work. If it throws, the execution ends as ERROR and is not retried. Its exit code is the `exitCode` of the
   * thrown error if that is a whole number other than 0, else 1.
   */
  readonly execute: (context: TaskContext<Types<InputSchema>['output']>) => Output | PromiseLike<Output>
  /** Makes the arguments that the details show, from the parsed input. Default: none. */
  readonly arguments?: (input: Types<InputSchema>['output']) => readonly string[]
}

/** The job type that {@link TaskExecutions.defineJob} returns. It has no commands. */
export type TaskExecutionType<Type extends string = string, Input = unknown, Output = unknown> = JobType<
  Type,
  Input,
  Output,
  Record<never, never>
>

/** Task executions: their policy, their job types, and their rows in a table. */
export interface TaskExecutions {
  /** The policy for these jobs. Pass it to `createEngine`. */
  readonly policy: Policy
  /** Shows a job as a row. The row has its details only if `details` is true. */
  readonly present: (view: JobView, options?: { readonly details?: boolean }) => TaskExecutionRow
  /**
   * Defines a type of executions that run a program or a function.
   *
   * @throws {JobchartError} `INVALID_DEFINITION` in the same cases as `defineJob` of jobchart.
   */
  readonly defineJob: {
    <const Type extends string, InputSchema extends Schema | undefined = undefined>(
      options: ProgramExecutionOptions<Type, InputSchema>,
    ): TaskExecutionType<Type, Types<InputSchema>['input'], ProgramOutput>
    <const Type extends string, Output, InputSchema extends Schema | undefined = undefined>(
      options: FunctionExecutionOptions<Type, InputSchema, Output> & { readonly execute: StorableReturn<Output> },
    ): TaskExecutionType<Type, Types<InputSchema>['input'], Awaited<Output>>
  }
}

/**
 * Jobs of the pipelines of a workspace, like Matatika's jobs on Spring Cloud Data Flow. A job is UNKNOWN until its
 * launch is confirmed, then RUNNING, then COMPLETE or ERROR by its exit code. A workspace is a tenant. Its owners,
 * administrators and members see all of its jobs and run its pipelines. No command ends a job. Its creator and
 * administrators may delete it, which stops it. Submit each job into a `pipeline`: a pipeline runs one job at a time
 * and refuses others as `ALREADY_RUNNING`.
 *
 * ```ts
 * const executions = taskExecutions()
 * const load = executions.defineJob({
 *   type: 'load',
 *   input: z.object({ table: z.string() }),
 *   run: ({ table }) => ({ command: 'python3', args: ['load.py', table] }),
 * })
 * const engine = await createEngine({ jobs: [load], policy: executions.policy, storage: sqliteStorage('jobs.db') })
 * const mia = engine.as({ id: 'mia', tenant: 'acme', role: 'Member' })
 * const job = await mia.submit(load, { table: 'flights' }, { pipeline: 'flights' })
 * const row = executions.present(await mia.result(job.id), { details: true })
 * ```
 *
 * If the process of an execution is lost, the execution is UNKNOWN and is not launched again. If an engine stops, it
 * ends the programs and functions of its executions and gives the executions back. The next engine launches them again.
 */
export function taskExecutions(roles: WorkspaceRoles = {}): TaskExecutions {
  return {
    policy: workspacePolicy(roles),
    present: executionRow,
    // The cast is safe: the types come from the schemas, and the schemas check each value before it is used.
    defineJob: defineExecution as TaskExecutions['defineJob'],
  }
}

type AnyOptions =
  | ProgramExecutionOptions<string, Schema | undefined>
  | FunctionExecutionOptions<string, Schema | undefined, unknown>

const common = {
  ...{ type: passedOn, version: passedOn, input: passedOn, previous: passedOn, migrate: passedOn },
  ...{ killGrace: passedOn, executor: passedOn, limits: passedOn, launchTimeout: passedOn },
}
const programSchema = z.strictObject({ ...common, run: z.unknown() })
const functionSchema = z.strictObject({ ...common, execute: z.function(), arguments: z.function().optional() })

function defineExecution(options: AnyOptions): TaskExecutionType {
  checkBy('run' in Object(options) ? programSchema : functionSchema, options, 'defineJob of task executions')
  const { type, version, input, previous, migrate, limits, launchTimeout = '60s' } = options
  const launchTimeoutMs = durationMs(launchTimeout, 'launchTimeout')
  return defineJob({
    type,
    ...given({ version, input, previous, migrate, limits }),
    lifecycle: executionLifecycle({ ...workOf(options), launchTimeoutMs }),
    // If an error ends a job outside its chart, the job is shown as ERROR, like any other.
    labels: { error: 'ERROR', waiting: 'UNKNOWN' },
    describe: (snapshot, event) => describeEnd(snapshot, event, launchTimeoutMs),
  })
}

function workOf(options: AnyOptions) {
  const { killGrace, executor } = options
  // A lost execution is not launched again: the first process may still run.
  const settings = { recovery: 'await', ...given({ killGrace, executor }) } as const
  if ('run' in options) {
    const { run } = options
    // The cast is safe: the lifecycle only passes the output on, whatever its type is.
    const work = program(settings, typeof run === 'function' ? partsOf(run) : run) as ExecutionParts['work']
    const argumentsOf = (input: unknown) => (typeof run === 'function' ? run(input) : run).args ?? []
    return { work, argumentsOf }
  }
  return { work: task<unknown, unknown>(settings, options.execute), argumentsOf: options.arguments ?? (() => []) }
}
