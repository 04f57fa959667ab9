import type { Assignment } from './agent.ts'
import { JobchartError } from './error.ts'
import type { Outcome, Overlap, Trigger } from './job.ts'
import type { Schedule } from './schedule.ts'
import type { Json } from './storable.ts'

/** What may cause a run of a stored pipeline. */
export type RunTrigger = Extract<Trigger, 'manual' | 'schedule' | 'dependency' | 'retry'>

/** A pipeline's rule for a run while another run holds the slot. `skip`: no run, and a `run.skipped` event. */
export type PipelineOverlap = Overlap | 'skip'

/** The rule for a run, by what triggers the run. */
export type OverlapRules = { readonly [Name in RunTrigger]: PipelineOverlap }

/** The rules of a pipeline that was defined without `overlap`. */
export const OVERLAP_DEFAULTS: OverlapRules = {
  manual: 'reject',
  schedule: 'skip',
  dependency: 'queue',
  retry: 'queue',
}

/** A pipeline with another status than `ready` starts no runs. */
export type PipelineStatus = 'ready' | 'provisioning' | 'failed'

/** After which ends of other jobs a pipeline runs: those of another pipeline's runs, or those of a job type. */
export type Dependency = { readonly outcome: Outcome } & (
  | { readonly pipeline: string; readonly type?: never }
  | { readonly type: string; readonly pipeline?: never }
)

/** A run that a pipeline must still start: the end that caused it was committed, but the run was not created yet. */
export interface OwedRun {
  /** The job whose end causes the run. */
  readonly jobId: string
  /** When it ended. */
  readonly at: number
}

/** A stored pipeline: one row for each (tenant, id). Jobs are runs of it. All times are whole milliseconds UTC. */
export interface Pipeline {
  readonly tenant: string
  /** Unique in its tenant. Each run of the pipeline has this id in its field `pipeline`. */
  readonly id: string
  /** The owner: the principal who first defined it. */
  readonly createdBy: string
  /** The job type of the pipeline's runs. */
  readonly type: string
  /** The input of the pipeline's runs, as parsed by the type's schema. */
  readonly input?: Json
  /** What happens to a new run while another run holds the slot. A text, in older rows, is the rule of manual runs. */
  readonly overlap: OverlapRules | Overlap
  /** The priority of the pipeline's runs: a whole number; higher runs first. */
  readonly priority: number
  /** Added to the labels of each run. */
  readonly labels: { readonly [name: string]: string }
  /** Which agents may run the tasks of the runs. Absent: any that are able. */
  readonly assignment?: Assignment
  /** Why the pipeline is paused. Absent: it is not paused. */
  readonly paused?: string
  /** Who paused the pipeline. If `paused` is present and this is absent, a person did. */
  readonly pausedBy?: PausedBy
  /** Only a pipeline that is `ready` starts runs. Absent: `ready`. */
  readonly status?: Exclude<PipelineStatus, 'ready'>
  /**
   * The job that was submitted together with the setting of `status`, e.g. to provision the pipeline. If that job is
   * deleted before its end, a `provisioning` pipeline becomes `failed`.
   */
  readonly statusJob?: string
  readonly schedule?: Schedule
  /** The next due time of the schedule. Absent: there is none. */
  readonly nextAt?: number
  /** The pipeline also runs after each of these ends of other jobs. */
  readonly dependsOn?: readonly Dependency[]
  /** Runs that must still be started because other jobs have ended, oldest first. */
  readonly owed?: readonly OwedRun[]
  readonly createdAt: number
  readonly updatedAt: number
  /**
   * The number that compare-and-set compares. It begins at a random number, so that a pipeline that was deleted and
   * defined again is not mistaken for the old one. Every write raises it.
   */
  readonly revision: number
}

/**
 * Who paused a pipeline. Only a session can lift the pause of a person. A follow-up can lift only the pause of a
 * follow-up.
 */
export type PausedBy = 'person' | 'followUp'

/** The fields of a pipeline that can change. */
export type PipelineFields = Pick<
  Pipeline,
  | 'type'
  | 'input'
  | 'overlap'
  | 'priority'
  | 'labels'
  | 'assignment'
  | 'paused'
  | 'pausedBy'
  | 'status'
  | 'statusJob'
  | 'schedule'
  | 'nextAt'
  | 'dependsOn'
  | 'owed'
>

/**
 * The next row of a pipeline, with other values of the given fields. Its times never go back, even if the clock does.
 */
export function withFields(before: Pipeline, fields: PipelineFields, at: number): Pipeline {
  const { tenant, id, createdBy, createdAt, updatedAt, revision } = before
  const fixed = { tenant, id, createdBy, createdAt }
  return { ...fixed, ...fields, updatedAt: Math.max(at, updatedAt), revision: revision + 1 }
}

/**
 * The pipeline or the type that a pipeline depends on, as one text, e.g. `type import`. A pipeline and a type of the
 * same name give different texts.
 */
export function sourceKey({ pipeline, type }: { readonly pipeline?: string; readonly type?: string }): string {
  return pipeline === undefined ? `type ${type}` : `pipeline ${pipeline}`
}

/**
 * When the pipeline next has a run to start by itself, or to skip, in milliseconds of the wall clock. `undefined`:
 * never. 0: at once, because `owed` has a run. That holds even if the clock was set back since the end that caused the
 * run.
 */
export function dueTime({ owed = [], nextAt }: Pipeline): number | undefined {
  return owed.length > 0 ? 0 : nextAt
}

/** The most runs in the `owed` of a pipeline. Bounded, because the pipeline's row has them all. */
export const OWED_MAX = 1_000

/** The pipeline with one more run in `owed`. */
export function owing(before: Pipeline, run: OwedRun): Pipeline {
  const { owed = [], revision } = before
  return { ...before, owed: [...owed, run], revision: revision + 1 }
}

/** The overlap rule for a run with this trigger. */
export function overlapFor({ overlap }: Pipeline, trigger: RunTrigger): PipelineOverlap {
  if (typeof overlap !== 'string') return overlap[trigger]
  return trigger === 'manual' ? overlap : OVERLAP_DEFAULTS[trigger]
}

/** Why the pipeline starts no runs now. `undefined`: it starts runs. */
export function standstill({ paused, status }: Pipeline): 'paused' | 'provisioning' | 'failed' | undefined {
  return paused === undefined ? status : 'paused'
}

/**
 * Returns the pipeline if it starts runs.
 *
 * @param hidden  the fields that the message must not tell: the reason of a pause (`paused`), and the `status`.
 * @throws {JobchartError} `INVALID_STATE` it is paused, or its status is not `ready`.
 */
export function startable(pipeline: Pipeline, hidden: ReadonlySet<string> = new Set()): Pipeline {
  const { id, paused } = pipeline
  const why = standstill(pipeline)
  if (why === undefined) return pipeline
  const reason = hidden.has('paused') || paused === undefined ? '' : `: ${paused}`
  const status = hidden.has('status') ? 'not ready' : `${why}, and starts runs when it is ready`
  throw new JobchartError('INVALID_STATE', `pipeline "${id}" is ${why === 'paused' ? `paused${reason}` : status}`)
}

/** The pipeline with another status. `jobId`: the job to store as `statusJob`. */
export function withStatus(before: Pipeline, status: PipelineStatus, at: number, jobId?: string): Pipeline {
  const { status: _, statusJob: __, ...rest } = before
  if (status === 'ready') return withFields(before, rest, at)
  return withFields(before, { ...rest, status, ...(jobId === undefined ? {} : { statusJob: jobId }) }, at)
}

/**
 * The pipeline with another `nextAt` or `owed`, because one of its runs was started or skipped. Nothing that a person
 * set changes.
 */
export function movedOn(
  before: Pipeline,
  { nextAt, owed }: { readonly nextAt?: number | undefined; readonly owed?: readonly OwedRun[] | undefined },
): Pipeline {
  const { nextAt: _, owed: __, ...rest } = before
  return {
    ...rest,
    ...(nextAt === undefined ? {} : { nextAt }),
    ...(owed === undefined || owed.length === 0 ? {} : { owed }),
    revision: before.revision + 1,
  }
}

/** Pauses the pipeline, or without a `reason` resumes it. */
export function pausedAs(before: Pipeline, reason: string | undefined, pausedBy: PausedBy, at: number): Pipeline {
  const { paused, pausedBy: was, ...rest } = before
  return withFields(before, reason === undefined ? rest : { ...rest, paused: reason, pausedBy }, at)
}

/**
 * Pauses the pipeline by a follow-up, or without a `reason` resumes it. A person's pause stays unchanged.
 *
 * @throws {JobchartError} `INVALID_STATE` a follow-up cannot lift a person's pause.
 */
export function pausedByFollowUp(before: Pipeline, reason: string | undefined, at: number): Pipeline {
  if (before.paused === reason) return before
  const isPersons = before.paused !== undefined && before.pausedBy !== 'followUp'
  if (!isPersons) return pausedAs(before, reason, 'followUp', at)
  if (reason !== undefined) return before
  throw new JobchartError(
    'INVALID_STATE',
    `pipeline "${before.id}" was paused by a person, so only a person can resume it`,
  )
}
