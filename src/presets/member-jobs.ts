import {
  defineJob,
  type ExecuteOptions,
  type JobLimits,
  type JobType,
  type JobView,
  type Policy,
  type StorableReturn,
  type TaskContext,
  task,
} from 'jobchart'
import { z } from 'zod'
import { memberLifecycle } from './member-lifecycle.ts'
import { type Percent, percentOf } from './member-percent.ts'
import { type MemberRoles, memberPolicy } from './member-policy.ts'
import { type MemberColumn, type MemberRow, memberColumns, memberRow } from './member-row.ts'
import { checkBy, given, passedOn, type Schema, type Types } from './preset-options.ts'

const commands = { cancel: z.object({ reason: z.string().max(500).optional() }) }

/** The context of a member's job: a task's context, with {@link Percent} for progress. */
export interface MemberTaskContext<Input = unknown> extends Omit<TaskContext<Input>, 'progress'> {
  readonly percent: Percent
}

/** A type of members' jobs. An app may define any number of types. */
export interface MemberJobOptions<Type extends string, InputSchema, OutputSchema, Output>
  extends Pick<
    ExecuteOptions<Type, InputSchema, OutputSchema, Types<InputSchema>['output'], Output>,
    'type' | 'version' | 'input' | 'output' | 'previous' | 'migrate' | 'timeout' | 'killGrace' | 'executor'
  > {
  /**
   * A brief text on what the job does, from its parsed input. A failure does not replace it. If the function throws or
   * returns no text, the message is empty. At most 2,000 characters are kept.
   */
  readonly message?: (input: Types<InputSchema>['output']) => string
  /**
   * Does the work. If it throws, the job fails and is not retried. If its engine stops, the job is given back and
   * starts anew on the next engine. If its process dies, the job fails.
   */
  readonly execute: (context: MemberTaskContext<Types<InputSchema>['output']>) => Output | PromiseLike<Output>
  readonly limits?: JobLimits
}

/** The job type that {@link MemberJobs.defineJob} returns. */
export type MemberJobType<Type extends string = string, Input = unknown, Output = unknown> = JobType<
  Type,
  Input,
  Output,
  typeof commands
>

/** Members' jobs: their lifecycle, who may see and cancel them, and their table. */
export interface MemberJobs {
  /** The policy for these jobs. Pass it to `createEngine`. */
  readonly policy: Policy
  /** The columns of {@link present}, in the table's order. */
  readonly columns: readonly MemberColumn[]
  /** Shows a job as a row. Accepts any view, also one with redacted fields. */
  readonly present: (view: JobView) => MemberRow
  /**
   * Defines a type of members' jobs.
   *
   * @throws {JobchartError} `INVALID_DEFINITION` in the same cases as `defineJob` of jobchart.
   */
  readonly defineJob: <
    const Type extends string,
    Output,
    InputSchema extends Schema | undefined = undefined,
    OutputSchema extends Schema | undefined = undefined,
  >(
    options: MemberJobOptions<Type, InputSchema, OutputSchema, Output> & { readonly execute: StorableReturn<Output> },
  ) => MemberJobType<
    Type,
    Types<InputSchema>['input'],
    OutputSchema extends Schema ? Types<OutputSchema>['output'] : Awaited<Output>
  >
}

/**
 * Jobs of the members of organizations, as on the Jobs page of JMap Cloud: waiting, running, then successful, failed or
 * cancelled, with a percent that never falls. An administrator sees all jobs of the organization (its tenant), an
 * editor sees the jobs that they started, a viewer sees none. Only the member who started a job may cancel it.
 *
 * ```ts
 * const members = memberJobs()
 * const load = members.defineJob({
 *   type: 'Load',
 *   input: z.object({ file: z.string() }),
 *   message: ({ file }) => `Load ${file}`,
 *   async execute({ input, percent, signal }) { … },
 * })
 * const engine = await createEngine({ jobs: [load], policy: members.policy, storage: sqliteStorage('jobs.db') })
 * const ada = engine.as({ id: 'ada', tenant: 'acme', role: 'Administrator' })
 * const { items } = await ada.list()
 * const rows = items.map(members.present)
 * ```
 */
export function memberJobs(roles: MemberRoles = {}): MemberJobs {
  return {
    policy: memberPolicy(roles),
    columns: memberColumns,
    present: memberRow,
    // The cast is safe: the types come from the schemas, and the schemas check each value before it is used.
    defineJob: defineMemberJob as MemberJobs['defineJob'],
  }
}

type AnyOptions = MemberJobOptions<string, Schema | undefined, Schema | undefined, unknown>

const optionsSchema = z.strictObject({
  type: passedOn,
  execute: z.function(),
  message: z.function().optional(),
  ...{ version: passedOn, input: passedOn, output: passedOn, previous: passedOn, migrate: passedOn },
  ...{ timeout: passedOn, killGrace: passedOn, executor: passedOn, limits: passedOn },
})

function defineMemberJob(options: AnyOptions): MemberJobType {
  checkBy(optionsSchema, options, 'defineJob of members')
  const { type, version, input, previous, migrate, limits, message } = options
  return defineJob({
    type,
    ...given({ version, input, previous, migrate, limits }),
    lifecycle: memberLifecycle.provide({ actors: { execute: workOf(options) } }),
    commands,
    // If an error ends a job outside its chart, the job is shown as failed, like any other.
    labels: { error: 'Failed', waiting: 'Waiting' },
    // The message is set only when the job is created. No later event changes it.
    describe: ({ context }, { type: event }) =>
      event === 'xstate.init' && message !== undefined ? { message: message(inputOf(context)) } : undefined,
  })
}

function workOf({ execute, output, timeout, killGrace, executor }: AnyOptions) {
  // A job whose process died fails with a message that says so. It is not retried.
  const settings = { recovery: 'fail', ...given({ output, timeout, killGrace, executor }) } as const
  return task<unknown, unknown>(settings, (context) => {
    const { progress, ...rest } = context
    return execute({ ...rest, percent: percentOf(context) })
  })
}

// The cast is safe: only the lifecycle of this preset is described here.
function inputOf(context: unknown): unknown {
  return (context as { readonly input?: unknown }).input
}
