/** The parts of a job type. */
import type { StandardSchemaV1 } from '@standard-schema/spec'
import type { AnyStateMachine, ContextFrom, EventFrom, OutputFrom, StateValueFrom } from 'xstate'
import type { Chart } from './chart.ts'
import type { By, CommandSchemas } from './command.ts'
import type { Job } from './job.ts'
import type { AnyLogic } from './logic.ts'
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
   * How many jobs of this type a tenant may have stored that have not begun; null: any number.
   *
   * @internal
   */
  readonly queuedMax: number | null
  /**
   * Public labels for jobs that are in no state of the chart.
   *
   * @internal
   */
  readonly endLabels: { readonly error: string; readonly stopped: string; readonly waiting: string }
  /**
   * Parts of the job that, by the author's word, never contain anything of the input. They stay visible when a policy
   * redacts the input.
   *
   * @internal
   */
  readonly safe: ReadonlySet<SafePart>
  /** @internal */
  readonly describe: Describe | undefined
  /** @internal */
  readonly followUp: FollowUpOf | undefined
  /** @internal */
  readonly chart: Chart
  /**
   * Identifies the chart's shape. At an engine's start, a stored version with another hash is refused.
   *
   * @internal
   */
  readonly hash: string
  /** @internal */
  readonly previous: readonly AnyJobType[]
  /** @internal */
  readonly migrate: ((job: MigratingJob) => Migrated | undefined) | undefined
  /**
   * The next version, to which jobs are migrated. Set by an engine that knows both versions.
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
   * The settings of outside work, by the name of its logic.
   *
   * @internal
   */
  readonly tasks: ReadonlyMap<string, TaskSettings>
  /**
   * Transition logic, by its name.
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

/** Any job type. */
export type AnyJobType = JobType

/** The input that `submit` takes for a job type. */
export type InputOf<Type> = Type extends string
  ? unknown
  : Type extends { readonly [inputBrand]?: infer Input }
    ? Input
    : never

/** The output of a job of this type that succeeded. */
export type OutputOf<Type> = Type extends { readonly [outputBrand]?: infer Output } ? Output : never

/** The schemas of the type's commands; `unknown` if the type does not say. */
export type CommandsOf<Type> = Type extends { readonly [commandsBrand]?: infer Commands } ? Commands : unknown

/** The return value of `describe`. Absent fields keep their defaults. */
export interface Description {
  readonly message?: string
  readonly error?: unknown
  readonly exitCode?: number
  readonly reason?: string
}

/** What `describe` receives: the chart's snapshot after the event, as copies. */
export interface DescribedSnapshot<Machine extends AnyStateMachine = AnyStateMachine> {
  readonly value: StateValueFrom<Machine>
  readonly context: ContextFrom<Machine>
  /** Present for a job that has ended. */
  readonly output: OutputFrom<Machine> | undefined
  readonly status: 'active' | 'done'
}

/** What `describe` receives for a job with `execute`. */
export interface DescribedFunction extends Omit<DescribedSnapshot, 'value'> {
  readonly value: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'
}

/** The event that moved the chart: one of the machine's own, or one of XState's, e.g. `xstate.init` or a done event. */
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
  /** How long after the end of the followed job this one may start. Default: at once. */
  readonly delay?: Duration
  /** A whole number; higher runs first. Default: the priority of the followed job, or of the pipeline that is run. */
  readonly priority?: number
  /** Added to the labels of the job that is retried, or of the pipeline that is run. */
  readonly labels?: { readonly [name: string]: string }
}

/** What comes after a job that has ended: see {@link FollowUpOf}. */
export type FollowUp =
  /**
   * A retry: a new job of the same type, creator, pipeline, priority and labels, linked by `retryOf`. A cancelled job
   * is not retried. `input` defaults to the old job's input. The retry starts with the recorded steps and step keys of
   * the old job, unless `fresh` is true, `input` is given, or the old job succeeded.
   */
  | ({ readonly kind: 'retry'; readonly input?: unknown; readonly fresh?: boolean } & FollowingJob)
  /** A new job of the same creator. In a pipeline, it waits for the slot. */
  | ({
      readonly kind: 'submit'
      readonly job: AnyJobType
      readonly input?: unknown
      readonly pipeline?: string
    } & FollowingJob)
  /**
   * A run of a stored pipeline of the same tenant; it waits for the slot. Its creator is the pipeline's owner. `input`
   * defaults to the pipeline's.
   */
  | ({ readonly kind: 'run'; readonly pipeline: string; readonly input?: unknown } & FollowingJob)
  /** Pauses the stored pipeline: it starts no more runs. */
  | { readonly kind: 'pause'; readonly pipeline: string; readonly reason: string }
  /** Resumes the stored pipeline. */
  | { readonly kind: 'resume'; readonly pipeline: string }

/** A job that has ended, as a {@link FollowUpOf} receives it: a copy. Times are milliseconds UTC. */
export type EndedJob = Pick<
  Job,
  | 'id'
  | 'type'
  | 'version'
  | 'tenant'
  | 'createdBy'
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
}

/**
 * Returns what comes after a job that has ended: at most 100 follow-ups. They are committed with the job's end, or not
 * at all.
 *
 * Not called for deleted jobs, nor for child jobs, whose end goes to their parent's chart. Must be pure: after a write
 * conflict it is called again. A follow-up that fails, or a throw, becomes a `job.followUpFailed` event of the job; the
 * job's end and the other follow-ups are committed all the same. The schemas of all given inputs have 5 s together.
 */
export type FollowUpOf = (job: EndedJob) => readonly FollowUp[] | undefined

/** A stored job of an earlier version, as `migrate` receives it: copies, which it may change. */
export interface MigratingJob {
  readonly id: string
  /** The version that the job has now. */
  readonly version: string
  /** XState's state value. */
  readonly state: Json
  readonly context: Json
  readonly input?: Json
  readonly labels: { readonly [name: string]: string }
  /**
   * The pending timers: those of `after` under XState's ids, e.g. `xstate.after.1000.machine.state`, and delayed
   * events.
   */
  readonly timers: readonly MigratingTimer[]
}

/** A timer of a job that is migrated. `dueAt`: milliseconds UTC. */
export interface MigratingTimer {
  readonly id: string
  readonly event: { readonly type: string; readonly [field: string]: Json }
  readonly dueAt: number
}

/** The place of a migrated job in the new chart. */
export interface Migrated {
  /** A state value of the new chart. Its entry actions do not run. */
  readonly state: unknown
  /** Default: unchanged. */
  readonly context?: unknown
  /**
   * Default: unchanged. `after` timers that the new chart does not have in this state are dropped; new ones start now.
   */
  readonly timers?: readonly MigratingTimer[]
}
