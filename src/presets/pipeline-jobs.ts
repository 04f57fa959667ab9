import {
  defineJob,
  type Engine,
  type ExecuteOptions,
  type FollowUp,
  type FollowUpOf,
  type JobLimits,
  type JobType,
  type JobView,
  type NotifyRule,
  type PipelineOptions,
  type Policy,
  type Program,
  type ProgramOutput,
  program,
  type StorableReturn,
  type TaskContext,
  task,
} from 'jobchart'
import { z } from 'zod'
import { checkBy, given, passedOn, type Schema, type Types } from './preset-options.ts'
import { partsOf } from './program-parts.ts'
import { describeRun, type RunParts, runLifecycle, userTaskLifecycle } from './run-lifecycle.ts'
import { type PipelineJobRow, pipelineJobRow } from './run-row.ts'
import { type WorkspaceRoles, workspacePolicy } from './workspace-policy.ts'

/** The options that all types of system tasks have. */
export interface RunTypeOptions<Type extends string, InputSchema>
  extends Pick<
    ExecuteOptions<Type, InputSchema, undefined, Types<InputSchema>['output'], unknown>,
    'type' | 'version' | 'input' | 'aliases' | 'previous' | 'migrate' | 'killGrace' | 'executor' | 'startsPipelines'
  > {
  /**
   * How long a run may take from its start, in seconds; then it is told to stop, and ends as STOPPED. 0 means 300. A
   * number, or a pure function of the parsed input. Default 0.
   */
  readonly timeout?: number | ((input: Types<InputSchema>['output']) => number)
  /**
   * How often a job that ended as ERROR is tried again: a whole number, or a pure function of the parsed input. Each try
   * is a new job, linked by `retryOf`. Default 0.
   */
  readonly maxRetries?: number | ((input: Types<InputSchema>['output']) => number)
  readonly limits?: JobLimits
}

/** A type of system tasks that run a program. */
export interface ProgramRunOptions<Type extends string, InputSchema> extends RunTypeOptions<Type, InputSchema> {
  /** The program, or a pure function that makes it from the parsed input. */
  readonly run: Program | ((input: Types<InputSchema>['output']) => Program)
}

/** A type of system tasks that run a function. */
export interface FunctionRunOptions<Type extends string, InputSchema, Output>
  extends RunTypeOptions<Type, InputSchema> {
  /**
   * Does the work. If it throws, the job ends as ERROR. Its exit code is the `exitCode` of the thrown error if that is a
   * whole number other than 0, else 1.
   */
  readonly execute: (context: TaskContext<Types<InputSchema>['output']>) => Output | PromiseLike<Output>
}

/** The commands of a system task. */
export interface RunCommands {
  readonly stop: z.ZodObject
}

/** The commands of a user task. */
export interface UserTaskCommands {
  readonly done: z.ZodObject
}

/** The job type of a system task. */
export type RunType<Type extends string = string, Input = unknown, Output = unknown> = JobType<
  Type,
  Input,
  Output,
  RunCommands
>

/** The job type of a user task. */
export type UserTaskType<Type extends string = string> = JobType<Type, unknown, unknown, UserTaskCommands>

/** A pipeline of a workspace, for {@link PipelineJobs.pipeline}. */
export interface WorkspacePipeline<Type extends RunType> {
  /** Unique in the workspace: 1 to 200 characters. */
  readonly id: string
  /** The job type of the pipeline's runs. */
  readonly job: Type
  readonly input?: unknown
  /** Six fields, the first of which is seconds, e.g. `'0 0 9-17 * * MON-FRI'`. Default: no schedule. */
  readonly schedule?: string
  /** A name of the IANA database. Default `'UTC'`. */
  readonly timeZone?: string
  /** The pipeline runs after each success of one of these: pipelines by id, or job types such as a deployment. */
  readonly triggeredBy?: readonly (string | RunType)[]
  /**
   * The type that configures the pipeline, e.g. PIPELINE_CONFIG. A new pipeline is configured at once, and a failed one
   * when it is changed. The pipeline starts no runs until the configuration has succeeded. Default: the pipeline is
   * ready at once.
   */
  readonly config?: RunType
  readonly labels?: { readonly [name: string]: string }
}

/** The options of {@link pipelineJobs}. */
export interface PipelineJobsOptions extends WorkspaceRoles {
  /** How those who subscribe are told: names of channels, as in `notify` of a job type. Default `['inApp']`. */
  readonly channels?: readonly string[]
}

/** The jobs of workspaces: their policy, their job types, their pipelines, and their rows in a table. */
export interface PipelineJobs {
  /** The policy for these jobs. Pass it to `createEngine`. */
  readonly policy: Policy
  /** A user task that asks for an invitation. A person completes it by the command `done`. */
  readonly profileCollaborate: UserTaskType<'PROFILE_COLLABORATE'>
  /** A user task that asks for a pipeline. The first pipeline that its creator defines completes it. */
  readonly profileImport: UserTaskType<'PROFILE_IMPORT'>
  /**
   * Defines a type of system tasks that run a program or a function: WORKSPACE_INIT, PIPELINE_CONFIG, PIPELINE_VERFIY,
   * PIPELINE_RUN, or any other name.
   *
   * @throws {JobchartError} `INVALID_DEFINITION` in the same cases as `defineJob` of jobchart.
   */
  readonly defineJob: {
    <const Type extends string, InputSchema extends Schema | undefined = undefined>(
      options: ProgramRunOptions<Type, InputSchema>,
    ): RunType<Type, Types<InputSchema>['input'], ProgramOutput>
    <const Type extends string, Output, InputSchema extends Schema | undefined = undefined>(
      options: FunctionRunOptions<Type, InputSchema, Output> & { readonly execute: StorableReturn<Output> },
    ): RunType<Type, Types<InputSchema>['input'], Awaited<Output>>
  }
  /**
   * Makes the options of `session.pipelines.define` for a pipeline of the workspace.
   *
   * @throws {JobchartError} `INVALID_DEFINITION` an option is unknown, or the schedule has not six fields.
   */
  readonly pipeline: (options: WorkspacePipeline<RunType>) => PipelineOptions
  /**
   * Submits the job that sets up a new workspace, e.g. of type WORKSPACE_INIT: exactly one for each workspace, however
   * often this is called, as long as that job is stored. Its creator is the engine itself.
   */
  readonly openWorkspace: (engine: Engine, workspace: string, job: RunType, input?: unknown) => Promise<JobView>
  /** Shows a job as a row. */
  readonly present: (view: JobView) => PipelineJobRow
}

/**
 * Jobs of workspaces and their pipelines, like Matatika's jobs since 2022. A system task is QUEUED, RUNNING, and then
 * COMPLETE or ERROR by its exit code, or STOPPED by a person or by its time-out. A user task is QUEUED until a person
 * completes it. A workspace is a tenant. Its members see all of its jobs, run its pipelines, and stop their own jobs; its
 * owners and administrators stop and delete all. A pipeline runs one job at a time: another run by hand is refused as
 * `ALREADY_RUNNING`, one by schedule or trigger is skipped, and a retry waits. Those who subscribe to a pipeline, a type
 * or the whole workspace are notified of starts, ends and skipped runs; with the level `alerts`, only of errors and
 * skipped runs.
 *
 * ```ts
 * const workspaces = pipelineJobs()
 * const run = workspaces.defineJob({
 *   type: 'PIPELINE_RUN',
 *   input: z.object({ table: z.string() }),
 *   maxRetries: 2,
 *   run: ({ table }) => ({ command: 'python3', args: ['load.py', table] }),
 * })
 * const engine = await createEngine({ jobs: [run], policy: workspaces.policy, storage: sqliteStorage('jobs.db') })
 * const mia = engine.as({ id: 'mia', tenant: 'acme', role: 'Member' })
 * await mia.pipelines.define(
 *   workspaces.pipeline({ id: 'flights', job: run, input: { table: 'flights' }, schedule: '0 0 2 * * *' }),
 * )
 * ```
 */
export function pipelineJobs({ channels = ['inApp'], ...roles }: PipelineJobsOptions = {}): PipelineJobs {
  checkBy(channelsSchema, channels, 'channels of pipelineJobs')
  const profileImport = userTask('PROFILE_IMPORT')
  const profileCollaborate = userTask('PROFILE_COLLABORATE')
  return {
    policy: dismissible(workspacePolicy(roles, 'pipelineJobs'), [profileCollaborate.type, profileImport.type]),
    profileCollaborate,
    profileImport,
    // The cast is safe: the types come from the schemas, and the schemas check each value before it is used.
    defineJob: ((options: AnyOptions) => defineRun(options, channels)) as PipelineJobs['defineJob'],
    pipeline: (options) => {
      checkBy(pipelineSchema, options, 'pipeline of pipeline jobs')
      return pipelineOf(options, profileImport.type)
    },
    openWorkspace: async (engine, workspace, job, input) =>
      await engine.system.submit(job, input, { tenant: workspace, idempotencyKey: 'open' }),
    present: pipelineJobRow,
  }
}

// A user task is dismissed by its deletion, also by its assignee, who sees it.
function dismissible({ scope, authorize }: Policy, types: readonly string[]): Policy {
  return {
    scope,
    authorize: (principal, action, target) => {
      const isOwn = target.assignee === principal.id && types.includes(target.type)
      return authorize(principal, action === 'delete' && isOwn ? 'get' : action, target)
    },
  }
}

function userTask<Type extends string>(type: Type): UserTaskType<Type> {
  const lifecycle = userTaskLifecycle()
  return defineJob({ type, lifecycle, commands: { done: z.object({}) }, cancel: null, labels: LABELS })
}

const LABELS = { error: 'ERROR', stopped: 'STOPPED', waiting: 'QUEUED' } as const

const channelsSchema = z.array(z.string()).min(1)

type AnyOptions =
  | ProgramRunOptions<string, Schema | undefined>
  | FunctionRunOptions<string, Schema | undefined, unknown>

const common = {
  ...{ type: passedOn, version: passedOn, input: passedOn, aliases: passedOn, previous: passedOn, migrate: passedOn },
  ...{ killGrace: passedOn, executor: passedOn, limits: passedOn, startsPipelines: passedOn },
  timeout: z
    .union([z.number().min(0), z.function()], {
      error: 'should be seconds: a number from 0, or a function of the input',
    })
    .optional(),
  maxRetries: z
    .union([z.int().min(0), z.function()], { error: 'should be a whole number from 0, or a function of the input' })
    .optional(),
  retry: z.undefined({ error: 'is not an option here; maxRetries says how often a run is tried again' }).optional(),
}
const programSchema = z.strictObject({ ...common, run: z.unknown() })
const functionSchema = z.strictObject({ ...common, execute: z.function() })

const pipelineSchema = z.strictObject({
  ...{ id: passedOn, job: passedOn, input: passedOn, timeZone: passedOn, config: passedOn, labels: passedOn },
  triggeredBy: z.array(z.unknown()).optional(),
  schedule: passedOn.refine((given) => typeof given !== 'string' || given.trim().split(/\s+/).length === 6, {
    error: (issue) =>
      `should have six fields, of which the first is seconds, e.g. '0 0 2 * * *'; found ${JSON.stringify(issue.input)}`,
  }),
})

function defineRun(options: AnyOptions, channels: readonly string[]): RunType {
  checkBy('run' in Object(options) ? programSchema : functionSchema, options, 'defineJob of pipeline jobs')
  const { type, version, input, aliases, previous, migrate, limits, startsPipelines, timeout, maxRetries } = options
  return defineJob({
    type,
    ...given({ version, input, aliases, previous, migrate, limits, startsPipelines }),
    lifecycle: runLifecycle({ work: workOf(options), timeoutMsOf: (of) => timeoutMs(timeout, of) }),
    commands: { stop: z.object({}) },
    cancel: 'stop',
    labels: LABELS,
    describe: describeRun,
    followUp: followUpOf(maxRetries),
    notify: rulesOf(channels),
  })
}

// Those who subscribed to alerts are told of errors and skipped runs. Those who subscribed to everything are told by
// each of these rules.
function rulesOf(channels: readonly string[]): readonly NotifyRule[] {
  const told = { channels, audience: 'subscribers' } as const
  return [
    { name: 'JOB_STARTED', on: { status: 'RUNNING' }, ...told },
    { name: 'JOB_ENDED COMPLETE', on: { status: 'COMPLETE' }, ...told },
    { name: 'JOB_ENDED STOPPED', on: { status: 'STOPPED' }, ...told },
    { name: 'JOB_ENDED ERROR', on: { status: 'ERROR' }, level: 'alerts', ...told },
    { name: 'RUN_SKIPPED', on: { event: 'run.skipped' }, level: 'alerts', ...told },
  ]
}

/** The time-out of a run whose type gives none, or 0, in seconds. */
const TIMEOUT_S = 300

function timeoutMs(timeout: RunTypeOptions<string, Schema | undefined>['timeout'], input: unknown): number {
  return 1_000 * (numberOf(timeout, input) || TIMEOUT_S)
}

function numberOf(value: number | ((input: unknown) => number) | undefined, input: unknown): number {
  return (typeof value === 'function' ? value(input) : value) ?? 0
}

function workOf(options: AnyOptions): RunParts['work'] {
  const { killGrace, executor } = options
  // A lost run ends as ERROR. It is tried again as a new job.
  const settings = { recovery: 'fail', ...given({ killGrace, executor }) } as const
  if ('execute' in options) return task<unknown, unknown>(settings, options.execute)
  const { run } = options
  // The cast is safe: the lifecycle only passes the output on, whatever its type is.
  return program(settings, typeof run === 'function' ? partsOf(run) : run) as RunParts['work']
}

/**
 * The name of the label that marks a job as the configuration of its pipeline. When such a job ends, its outcome sets
 * the pipeline's status.
 */
const CONFIGURES = 'configures'

function followUpOf(maxRetries: RunTypeOptions<string, Schema | undefined>['maxRetries']): FollowUpOf {
  return ({ outcome, retries, input, pipeline, labels }) => {
    if (outcome === 'failure' && retries < numberOf(maxRetries, input)) return [{ kind: 'retry' }]
    if (pipeline === undefined || labels[CONFIGURES] !== pipeline) return []
    const status = outcome === 'success' ? 'ready' : 'failed'
    return [{ kind: 'status', pipeline, status } satisfies FollowUp]
  }
}

function pipelineOf(
  { id, job, input, schedule, timeZone = 'UTC', triggeredBy = [], config, labels }: WorkspacePipeline<RunType>,
  userTaskType: string,
): PipelineOptions {
  return {
    id,
    job,
    // A person is refused while a job runs. Runs by schedule and by other pipelines are skipped, and retries wait.
    overlap: { manual: 'reject', schedule: 'skip', dependency: 'skip', retry: 'queue' },
    ...given({ input, labels }),
    ...(schedule === undefined ? {} : { schedule: { cron: schedule, fields: 6, timeZone } }),
    dependsOn: triggeredBy.map((source) => (typeof source === 'string' ? { pipeline: source } : { job: source })),
    onDefine: ({ before }) => {
      const imported = { kind: 'send', to: { type: userTaskType }, event: { type: 'done' } } as const
      const isConfigured = config !== undefined && (before === undefined || before.status === 'failed')
      const configured = isConfigured
        ? ([
            { kind: 'status', status: 'provisioning' },
            { kind: 'submit', job: config, input: { pipeline: id }, labels: { [CONFIGURES]: id } },
          ] as const)
        : []
      return before === undefined ? [...configured, imported] : configured
    },
  }
}
