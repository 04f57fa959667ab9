/** What a job type is made of. */
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
 * A kind of job: made by {@link defineJob}, given to `createEngine` and `submit`. What is internal is left out of the
 * published types.
 */
export interface JobType<Type extends string = string, Input = unknown, Output = unknown, Commands = unknown> {
  readonly type: Type
  readonly version: string
  /** The schema of each command. */
  readonly commands: CommandSchemas
  /** For commands that say so, who may send them. */
  readonly by: { readonly [command: string]: By }
  /** The name of the cancel command, if there is one. */
  readonly cancel: string | null
  readonly input: StandardSchemaV1 | undefined
  readonly output: StandardSchemaV1 | undefined
  /** The machine itself, as it was given. */
  readonly lifecycle: AnyStateMachine
  /**
   * How many of a tenant's jobs of the type may be stored that have not begun; null: any number.
   *
   * @internal
   */
  readonly queuedMax: number | null
  /**
   * Labels for what is no state of the chart.
   *
   * @internal
   */
  readonly endLabels: { readonly error: string; readonly stopped: string; readonly waiting: string }
  /**
   * What never repeats the input.
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
   * Names the chart's shape: the same version with another one is refused at an engine's start.
   *
   * @internal
   */
  readonly hash: string
  /** @internal */
  readonly previous: readonly AnyJobType[]
  /** @internal */
  readonly migrate: ((job: MigratingJob) => Migrated | undefined) | undefined
  /**
   * The version that its jobs are moved to; set by an engine that knows both.
   *
   * @internal
   */
  readonly successor?: AnyJobType
  /**
   * The machine gets the input as its own; the default lifecycle's task reads it from the record instead.
   *
   * @internal
   */
  readonly chartTakesInput: boolean
  /**
   * How outside work is run, by the name of its logic.
   *
   * @internal
   */
  readonly tasks: ReadonlyMap<string, TaskSettings>
  /**
   * Logic that moves with the job, by its name.
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

/** What `submit` takes for a job type. */
export type InputOf<Type> = Type extends { readonly [inputBrand]?: infer Input } ? Input : never

/** What a job of the type gives when it succeeds. */
export type OutputOf<Type> = Type extends { readonly [outputBrand]?: infer Output } ? Output : never

/** The schemas of the commands that a job of the type takes; unknown where the type does not say. */
export type CommandsOf<Type> = Type extends { readonly [commandsBrand]?: infer Commands } ? Commands : unknown

/** What `describe` may say of a job; what it leaves out keeps its default. */
export interface Description {
  readonly message?: string
  readonly error?: unknown
  readonly exitCode?: number
  readonly reason?: string
}

/** What `describe` reads: where the chart stands after the event. These are copies. */
export interface DescribedSnapshot<Machine extends AnyStateMachine = AnyStateMachine> {
  readonly value: StateValueFrom<Machine>
  readonly context: ContextFrom<Machine>
  /** Of a job that has ended. */
  readonly output: OutputFrom<Machine> | undefined
  readonly status: 'active' | 'done'
}

/** The same of a job whose life is one function. */
export interface DescribedFunction extends Omit<DescribedSnapshot, 'value'> {
  readonly value: 'queued' | 'running' | 'completed' | 'failed' | 'cancelled'
}

/** What moved the chart: an event of the machine's own, or one of XState's, such as `xstate.init` or a done event. */
export type DescribedEvent<Machine extends AnyStateMachine = AnyStateMachine> =
  | EventFrom<Machine>
  | { readonly type: `xstate.${string}`; readonly output?: unknown; readonly error?: unknown }

/** Says what the record should carry after an event. */
export type Describe<Machine extends AnyStateMachine = AnyStateMachine> = (
  snapshot: DescribedSnapshot<Machine>,
  event: DescribedEvent<Machine>,
) => Description | undefined

/** What a follow-up may say of the job that it makes. */
export interface FollowingJob {
  /** Counted from the end of the job that it follows. Default: none. */
  readonly delay?: Duration
  /** Higher goes first; a whole number. Default: that of the job, or of the pipeline that is run. */
  readonly priority?: number
  /** Beside those of the job that is tried again, or of the pipeline that is run. */
  readonly labels?: { readonly [name: string]: string }
}

/** What comes after a job that has ended: see {@link FollowUpOf}. */
export type FollowUp =
  /**
   * Another try: a new job of the same type, creator, pipeline, priority and labels, linked by `retryOf`. A job that was
   * cancelled is not tried again. `input` is by default what the job had. It begins with the recorded steps of the job and
   * has its step keys, unless it is `fresh`, has an `input` of its own, or the job succeeded.
   */
  | ({ readonly kind: 'retry'; readonly input?: unknown; readonly fresh?: boolean } & FollowingJob)
  /** A job of the same creator; in a pipeline, it waits for its turn. */
  | ({
      readonly kind: 'submit'
      readonly job: AnyJobType
      readonly input?: unknown
      readonly pipeline?: string
    } & FollowingJob)
  /**
   * A run of a stored pipeline of the same tenant, when its turn comes. Its creator is the pipeline's owner. `input` is
   * by default the pipeline's.
   */
  | ({ readonly kind: 'run'; readonly pipeline: string; readonly input?: unknown } & FollowingJob)
  /** The stored pipeline takes no run from now on. */
  | { readonly kind: 'pause'; readonly pipeline: string; readonly reason: string }
  /** The stored pipeline takes runs again. */
  | { readonly kind: 'resume'; readonly pipeline: string }

/** A job that has ended, as a {@link FollowUpOf} is shown it: a copy. Times are milliseconds UTC. */
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
  /** How many retries led to this job: 0 for a first try. */
  readonly retries: number
}

/**
 * Says what comes after a job that has ended: at most 100 things. What it says is committed with that end, or not at all.
 * It is not asked about a job that was deleted, nor about a child job, which its parent's chart hears of. It must be pure:
 * where another write comes first, it is asked again. What cannot be done, or a throw, becomes a `job.followUpFailed`
 * event of the job, and keeps neither its end nor what else follows from being committed. The schemas of all the inputs
 * that it gives have 5 s together.
 */
export type FollowUpOf = (job: EndedJob) => readonly FollowUp[] | undefined

/** A stored job of an earlier version, as `migrate` is given it: copies, its own to change. */
export interface MigratingJob {
  readonly id: string
  /** The version that it comes from. */
  readonly version: string
  /** XState's state value. */
  readonly state: Json
  readonly context: Json
  readonly input?: Json
  readonly labels: { readonly [name: string]: string }
  /** What will happen at a time: `after`s by XState's ids, as `xstate.after.1000.machine.state`, and delayed events. */
  readonly timers: readonly MigratingTimer[]
}

/** A timer of a job that is migrated. `dueAt` is milliseconds UTC. */
export interface MigratingTimer {
  readonly id: string
  readonly event: { readonly type: string; readonly [field: string]: Json }
  readonly dueAt: number
}

/** Where a migrated job stands in the new chart. */
export interface Migrated {
  /** A state value of the new chart, whose entry actions do not run. */
  readonly state: unknown
  /** Default: as it was. */
  readonly context?: unknown
  /** Default: as they were. Timers of `after`s that the new chart does not have there are dropped, new ones begin now. */
  readonly timers?: readonly MigratingTimer[]
}
