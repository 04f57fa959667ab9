/** The type of a job type, and the types of what its functions receive and return. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine, ContextFrom, EventFrom, OutputFrom, StateValueFrom } from 'xstate'
import type { AgentRef, Assignment } from './agent.ts'
import type { ItemsToRetry } from './batch-piece.ts'
import type { Chart } from './chart.ts'
import type { By, CommandSchemas } from './command.ts'
import type { Job } from './job.ts'
import type { AnyLogic } from './logic.ts'
import type { ParsedRule } from './notification-rule.ts'
import type { PipelineStatus } from './pipeline.ts'
import type { Retention } from './retention.ts'
import type { SafePart } from './safe.ts'
import type { Json } from './storable.ts'
import type { TaskSettings } from './task.ts'
import type { Duration } from './time.ts'

declare const inputBrand: unique symbol
declare const outputBrand: unique symbol
declare const commandsBrand: unique symbol

/**
 * A kind of job: made by {@link defineJob}, given to `createEngine` and `submit`. Internal fields are not part of the
 * published types.
 */
export interface JobType<Type extends string = string, Input = unknown, Output = unknown, Commands = unknown> {
  readonly type: Type
  readonly version: string
  /** The schema of each command. */
  readonly commands: CommandSchemas
  /** Who may send each command, for commands that have `by`. */
  readonly by: { readonly [command: string]: By }
  /** The name of the cancel command, if there is one. */
  readonly cancel: string | null
  readonly input: StandardSchemaV1 | undefined
  readonly output: StandardSchemaV1 | undefined
  /** The machine itself, as it was given. */
  readonly lifecycle: AnyStateMachine
  /**
   * How many jobs of this type each tenant may have queued, i.e. stored with no task started yet. Null: any number.
   *
   * @internal
   */
  readonly queuedMax: number | null
  /**
   * Public labels for jobs whose label does not come from a state of the chart: jobs that failed outside it, stopped
   * child jobs, and waiting jobs.
   *
   * @internal
   */
  readonly endLabels: { readonly error: string; readonly stopped: string; readonly waiting: string }
  /**
   * Parts of the job that never contain anything of the input, according to the author of the type. They stay visible
   * when a policy redacts the input.
   *
   * @internal
   */
  readonly safe: ReadonlySet<SafePart>
  /** @internal */
  readonly describe: Describe | undefined
  /** @internal */
  readonly followUp: FollowUpOf | undefined
  /**
   * Other names of the type. They are accepted wherever a type is named, and never stored.
   *
   * @internal
   */
  readonly aliases: readonly string[]
  /**
   * True: stored pipelines may depend on this type. Then each end of its jobs looks for such pipelines.
   *
   * @internal
   */
  readonly startsPipelines: boolean
  /** @internal */
  readonly notify: readonly ParsedRule[]
  /** @internal */
  readonly facts: FactsOf | undefined
  /** @internal */
  readonly assignee: AssigneeOf | undefined
  /** @internal */
  readonly retention?: Retention | undefined
  /** @internal */
  readonly chart: Chart
  /**
   * Identifies the shape of the chart. An engine refuses to start if stored jobs or other running engines use another
   * hash for this version.
   *
   * @internal
   */
  readonly hash: string
  /** @internal */
  readonly previous: readonly AnyJobType[]
  /** @internal */
  readonly migrate: ((job: MigratingJob) => Migrated | undefined) | undefined
  /**
   * The next version of the type. Jobs of this version are migrated to it. Set by an engine that knows both versions.
   *
   * @internal
   */
  readonly successor?: AnyJobType
  /**
   * True: the machine gets the job's input. False for the default lifecycle, whose task reads the input from the
   * record.
   *
   * @internal
   */
  readonly chartTakesInput: boolean
  /**
   * The settings of the tasks, by the name of the invoked logic.
   *
   * @internal
   */
  readonly tasks: ReadonlyMap<string, TaskSettings>
  /**
   * The transition logic that the machine invokes or spawns, by name.
   *
   * @internal
   */
  readonly inline: ReadonlyMap<string, AnyLogic>
  /**
   * The types of child jobs, by the name of the invoked machine.
   *
   * @internal
   */
  readonly children: ReadonlyMap<string, AnyJobType>
  readonly [inputBrand]?: Input
  readonly [outputBrand]?: Output
  readonly [commandsBrand]?: Commands
}

/** A job type, whatever its input, output and commands. */
export type AnyJobType = JobType

/** The input that `submit` takes for a job type. */
export type InputOf<Type> = Type extends string
  ? unknown
  : Type extends { readonly [inputBrand]?: infer Input }
    ? Input
    : never

/** The output of a job of this type that succeeded. */
export type OutputOf<Type> = Type extends { readonly [outputBrand]?: infer Output } ? Output : never

/** The schemas of the type's commands. `unknown` if the commands are not known at compile time. */
export type CommandsOf<Type> = Type extends { readonly [commandsBrand]?: infer Commands } ? Commands : unknown

/** The return value of `describe`. Absent fields keep their defaults. */
export interface Description {
  readonly message?: string
  readonly error?: unknown
  readonly exitCode?: number
  readonly reason?: string
}

/** The first argument of `describe`: the chart's snapshot after the event. Its parts are copies. */
export interface DescribedSnapshot<Machine extends AnyStateMachine = AnyStateMachine> {
  readonly value: StateValueFrom<Machine>
  readonly context: ContextFrom<Machine>
  /** Present for a job that has ended. */
  readonly output: OutputFrom<Machine> | undefined
  readonly status: 'active' | 'done'
}

/** The first argument of `describe` for a job with `execute`. */
export interface DescribedFunction extends Omit<DescribedSnapshot, 'value'> {
  readonly value: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'
}

/**
 * The second argument of `describe`: the event that moved the chart. It is one of the machine's own events, or one of
 * XState's, e.g. `xstate.init` or a done event.
 */
export type DescribedEvent<Machine extends AnyStateMachine = AnyStateMachine> =
  | EventFrom<Machine>
  | { readonly type: `xstate.${string}`; readonly output?: unknown; readonly error?: unknown }

/** Returns the message, reason, exit code and error to store for the job after an event. */
export type Describe<Machine extends AnyStateMachine = AnyStateMachine> = (
  snapshot: DescribedSnapshot<Machine>,
  event: DescribedEvent<Machine>,
) => Description | undefined

/** Options of the job that a follow-up makes. */
export interface FollowingJob {
  /** The new job may start this long after the end of the job that it follows. Default: at once. */
  readonly delay?: Duration
  /** A whole number; higher runs first. Default: the priority of the job that it follows, or of the pipeline. */
  readonly priority?: number
  /** Added to the labels of the retried job, or of the pipeline. */
  readonly labels?: { readonly [name: string]: string }
  /**
   * The person who is to act on the job. Default for a retry: the assignee of the retried job. For another job: ignored if
   * its type has an `assignee` of its own.
   */
  readonly assignee?: string
  /**
   * Which agents may run the tasks of the new job; null: any that are able. Default: the assignment of the retried job, or
   * of the pipeline.
   */
  readonly assignment?: Assignment | null
}

/** One thing that is to happen after a job has ended: see {@link FollowUpOf}. */
export type FollowUp =
  /**
   * A retry: a new job of the same type, creator, assignee, assignment, pipeline, priority and labels, linked by
   * `retryOf`. A cancelled job is not retried. `input` defaults to the old job's input. The retry starts with the recorded steps and step keys of
   * the old job, unless `fresh` is true, `input` is given, or the old job succeeded. The same holds for completed items of
   * a batch, which do not run again. With `items`, only the failed or all unfinished items run again, and the retry
   * continues after a success too; not together with `input`.
   */
  | ({
      readonly kind: 'retry'
      readonly input?: unknown
      readonly fresh?: boolean
      readonly items?: ItemsToRetry
    } & FollowingJob)
  /** A new job of the same creator. If `pipeline` is given, the job waits for the pipeline's slot. */
  | ({
      readonly kind: 'submit'
      readonly job: AnyJobType
      readonly input?: unknown
      readonly pipeline?: string
    } & FollowingJob)
  /**
   * A run of a stored pipeline of the same tenant. The run waits for the slot. Its creator is the owner of the
   * pipeline. `input` defaults to the pipeline's.
   */
  | ({ readonly kind: 'run'; readonly pipeline: string; readonly input?: unknown } & FollowingJob)
  /** Pauses the stored pipeline: it starts no more runs. */
  | { readonly kind: 'pause'; readonly pipeline: string; readonly reason: string }
  /** Resumes the stored pipeline. */
  | { readonly kind: 'resume'; readonly pipeline: string }
  /** Changes the status of the stored pipeline. Only a pipeline that is `ready` starts runs. */
  | { readonly kind: 'status'; readonly pipeline: string; readonly status: PipelineStatus }

/** A job that has ended, as a {@link FollowUpOf} receives it: a copy. Times are milliseconds UTC. */
export type EndedJob = Pick<
  Job,
  | 'id'
  | 'type'
  | 'version'
  | 'tenant'
  | 'createdBy'
  | 'assignee'
  | 'assignment'
  | 'trigger'
  | 'pipeline'
  | 'retryOf'
  | 'labels'
  | 'priority'
  | 'status'
  | 'outcome'
  | 'context'
  | 'input'
  | 'output'
  | 'error'
  | 'exitCode'
  | 'message'
  | 'createdAt'
  | 'startedAt'
  | 'endedAt'
> & {
  /** How many retries led to this job; 0 for a first try. */
  readonly retries: number
  /** The last agent that held a task of the job. */
  readonly agent?: AgentRef
}

/**
 * Returns what comes after a job that has ended: at most 100 follow-ups. They are committed with the job's end, or not
 * at all.
 *
 * Not called for deleted jobs. Not called for child jobs either: their end is an event for their parent's chart. Must
 * be pure, because it is called again after a write conflict. If a follow-up fails, or the function throws, the job
 * gets the event `job.followUpFailed`; the job's end and the other follow-ups are committed all the same. The schemas
 * that check the inputs of all follow-ups have 5 s together.
 */
export type FollowUpOf = (job: EndedJob) => readonly FollowUp[] | undefined

/** What `facts` and `assignee` of a job type receive: a job that is about to be stored. */
export interface NewJobScope<Input = unknown> {
  /** A copy of the parsed input. */
  readonly input: Input
  readonly tenant: string
  readonly createdBy: string
  /** For `facts`: the labels that the caller gave. For `assignee`: all labels of the job. */
  readonly labels: { readonly [name: string]: string }
}

/** Returns labels that the job gets whatever the caller gave. */
export type FactsOf<Input = unknown> = (job: NewJobScope<Input>) => { readonly [name: string]: string } | undefined

/** Returns the id of the person who is to act on the job; `undefined`: nobody. */
export type AssigneeOf<Input = unknown> = (job: NewJobScope<Input>) => string | undefined

/** The argument of `migrate`: a stored job of an earlier version. The parts are copies, which `migrate` may change. */
export interface MigratingJob {
  readonly id: string
  /** The version that the job has now. */
  readonly version: string
  /** XState's state value, e.g. `'running'` or `{ shipping: 'packed' }`. */
  readonly state: Json
  readonly context: Json
  readonly input?: Json
  readonly labels: { readonly [name: string]: string }
  /**
   * The pending timers. Those of `after` have the ids that XState gives them, e.g. `xstate.after.1000.machine.state`.
   * The others are delayed events.
   */
  readonly timers: readonly MigratingTimer[]
}

/** A timer of a job that is migrated. `dueAt`: milliseconds UTC. */
export interface MigratingTimer {
  readonly id: string
  readonly event: { readonly type: string; readonly [field: string]: Json }
  readonly dueAt: number
}

/** The result of `migrate`: where the job continues in the new chart. */
export interface Migrated {
  /** A state value of the new chart. Its entry actions do not run. */
  readonly state: unknown
  /** The new context. Default: unchanged. */
  readonly context?: unknown
  /**
   * The timers to keep. Default: all pending ones. `after` timers that the new chart does not have in this state are
   * dropped; new ones start now.
   */
  readonly timers?: readonly MigratingTimer[]
}
