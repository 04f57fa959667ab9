import type { AgentRef, Assignment } from '../model/agent.ts'
import type { JobError } from '../model/error.ts'
import type { Job, JobId, Outcome, Phase, Trigger } from '../model/job.ts'
import {
  type Dependency,
  OVERLAP_DEFAULTS,
  type OverlapRules,
  type PausedBy,
  type Pipeline,
  type PipelineStatus,
} from '../model/pipeline.ts'
import { progressOf } from '../model/progress.ts'
import type { Schedule } from '../model/schedule.ts'
import { type Json, jsonCopy } from '../model/storable.ts'
import type { Progress, Task } from '../model/task.ts'
import { isoTime } from '../model/time.ts'
import { type FieldMask, namingMasked, WHOLE } from './field-mask.ts'

/**
 * A job as a session shows it. Its state, context and tasks are absent unless the policy opens them. Times are ISO
 * 8601.
 */
export interface JobView<Type = unknown, Output = unknown> {
  readonly id: JobId<Type>
  readonly type: string
  readonly version: string
  readonly tenant: string
  readonly createdBy: string
  /** The person who is to act on the job. Absent: nobody. */
  readonly assignee?: string
  /** Which agents may run the tasks of the job. Absent: any that are able. */
  readonly assignment?: Assignment
  /**
   * The agent that holds a task of the job. If several do: the one that claimed last. Of a job that has ended: the last
   * one. Absent: none.
   */
  readonly agent?: AgentRef
  readonly trigger: Trigger
  readonly pipeline?: string
  /** The job whose chart invoked this one. */
  readonly parentId?: string
  /** The job that this one retries. */
  readonly retryOf?: string
  /** How many retries led to this job. Absent for a first try. */
  readonly retries?: number
  readonly labels: { readonly [name: string]: string }
  /** The public label of the current state. */
  readonly status: string
  readonly phase: Phase
  /** Present exactly when the phase is `settled`. */
  readonly outcome?: Outcome
  readonly input?: Json
  readonly output?: Output
  /** Includes its `stack` if the policy opens that. */
  readonly error?: JobError
  readonly exitCode?: number
  readonly message?: string
  readonly progress?: Progress
  readonly priority: number
  readonly createdAt: string
  /** The job does not start before this time. */
  readonly startAt?: string
  /** When the job could first run. Absent while it waits for its start time or its slot. */
  readonly admittedAt?: string
  /** When a task of the job first started. */
  readonly startedAt?: string
  readonly endedAt?: string
  /** When a shown field last changed. */
  readonly updatedAt: string
  /** XState's state value, if the policy opens it. */
  readonly state?: Json
  /** The chart's context, if the policy opens it. */
  readonly context?: Json
  /** The chart's tasks, if the policy opens them. */
  readonly tasks?: readonly TaskView[]
  /** The fields that are hidden from the caller. Absent if none. */
  readonly redacted?: readonly string[]
}

/** A task as a session shows it, if the policy opens the job's tasks. */
export type TaskView = Pick<Task, 'id' | 'src' | 'status' | 'attempt' | 'input' | 'inbox'> & {
  /** The earliest time at which the task can be claimed, ISO 8601. */
  readonly availableAt: string
}

/** A pipeline as a session shows it. Times are ISO 8601. */
export interface PipelineView {
  readonly id: string
  readonly tenant: string
  /** The owner: the principal who first defined it. */
  readonly createdBy: string
  /** The job type of the pipeline's runs. */
  readonly type: string
  readonly input?: Json
  /** What happens to a run while another run holds the slot: a rule for each cause of a run. */
  readonly overlap: OverlapRules
  readonly priority: number
  readonly labels: { readonly [name: string]: string }
  /** Which agents may run the tasks of the runs. Absent: any that are able. */
  readonly assignment?: Assignment
  /** Only a pipeline that is `ready` starts runs. */
  readonly status: PipelineStatus
  readonly schedule?: ScheduleView
  /** When the schedule is due next. Absent: never. */
  readonly nextAt?: string
  /** The pipeline also runs after each of these ends of other jobs. `type` names a job type. */
  readonly dependsOn?: readonly Dependency[]
  /** Why the pipeline is paused. Absent: it is not paused, and takes new runs. */
  readonly paused?: string
  /** Who paused the pipeline: a person or a follow-up. A follow-up can resume it only if a follow-up paused it. */
  readonly pausedBy?: PausedBy
  readonly createdAt: string
  readonly updatedAt: string
  /** The fields that are hidden from the caller. Absent if none. */
  readonly redacted?: readonly string[]
}

/** A schedule as it is shown. Durations are milliseconds, times are ISO 8601. */
export type ScheduleView = Pick<Schedule, 'catchUp'> & { readonly enabled: boolean } & (
    | { readonly cron: string; readonly timeZone: string; readonly fields: 5 | 6 }
    | { readonly every: number; readonly from: string }
    | { readonly at: string }
  )

/** All fields of a job's view that can be hidden. */
const FIELDS: readonly string[] = Object.freeze(
  Object.keys({
    ...{ type: 1, version: 1, tenant: 1, createdBy: 1, trigger: 1, pipeline: 1, parentId: 1, retryOf: 1, retries: 1 },
    ...{ assignee: 1, assignment: 1, agent: 1 },
    ...{ labels: 1, status: 1, phase: 1, outcome: 1, input: 1, output: 1, error: 1, exitCode: 1, message: 1 },
    ...{ progress: 1, priority: 1, startAt: 1, admittedAt: 1, startedAt: 1, endedAt: 1, updatedAt: 1 },
    ...{ state: 1, context: 1, tasks: 1 },
  } satisfies { [Field in Exclude<keyof JobView, 'id' | 'createdAt' | 'redacted'>]: 1 }).sort(),
)

/** Shows only the job's id and its time of creation. */
export const BARE: FieldMask = { hidden: new Set(FIELDS), open: new Set(), redacted: FIELDS, key: 'bare' }

/** Makes the view of a pipeline, without the fields that the mask hides. */
export function pipelineViewOf(pipeline: Pipeline, mask: FieldMask = WHOLE): PipelineView {
  const { revision, input, overlap, schedule, nextAt, owed, statusJob, createdAt, updatedAt, ...rest } = pipeline
  const status: PipelineStatus = rest.status ?? 'ready'
  const view = {
    ...rest,
    labels: { ...rest.labels },
    ...(rest.assignment === undefined ? {} : { assignment: { ...rest.assignment } }),
    overlap: typeof overlap === 'string' ? { ...OVERLAP_DEFAULTS, manual: overlap } : { ...overlap },
    status,
    ...(input === undefined ? {} : { input: jsonCopy(input) }),
    ...(schedule === undefined ? {} : { schedule: scheduleViewOf(schedule) }),
    ...(nextAt === undefined ? {} : { nextAt: isoTime(nextAt) }),
    createdAt: isoTime(createdAt),
    updatedAt: isoTime(updatedAt),
  }
  return namingMasked<PipelineView>(view, mask)
}

function scheduleViewOf({ catchUp, enabled, ...times }: Schedule): ScheduleView {
  const common = { catchUp, enabled: enabled !== false }
  if ('at' in times) return { ...common, at: isoTime(times.at) }
  if ('everyMs' in times) return { ...common, every: times.everyMs, from: isoTime(times.from) }
  return { ...common, ...times }
}

/**
 * Makes the view of a job, without the fields that the mask hides. The view is a copy: changing it changes nothing
 * else.
 */
export function viewOf(job: Job, mask: FieldMask = WHOLE): JobView {
  const { hidden, open } = mask
  const view: { -readonly [Field in keyof JobView]?: JobView[Field] } = {
    id: job.id,
    type: job.type,
    version: job.version,
    tenant: job.tenant,
    createdBy: job.createdBy,
    trigger: job.trigger,
    labels: { ...job.labels },
    status: job.status,
    phase: job.phase,
    priority: job.priority,
    createdAt: isoTime(job.createdAt),
    updatedAt: isoTime(shownUpdate(job)),
  }
  if (job.assignee !== undefined) view.assignee = job.assignee
  if (job.assignment !== undefined) view.assignment = { ...job.assignment }
  const agent = agentHolding(job)
  if (agent !== undefined) view.agent = agent
  if (job.pipeline !== undefined) view.pipeline = job.pipeline
  if (job.parentId !== undefined) view.parentId = job.parentId
  if (job.retryOf !== undefined) view.retryOf = job.retryOf
  if (job.retries !== undefined) view.retries = job.retries
  if (job.outcome !== undefined) view.outcome = job.outcome
  // Large values are copied only if they are shown.
  if (job.input !== undefined && !hidden.has('input')) view.input = jsonCopy(job.input)
  if (job.output !== undefined && !hidden.has('output')) view.output = jsonCopy(job.output)
  if (job.error !== undefined) view.error = shownError(job.error, mask)
  if (job.exitCode !== undefined) view.exitCode = job.exitCode
  if (job.message !== undefined) view.message = job.message
  const progress = progressOf(job)
  if (progress !== undefined) view.progress = progress
  if (job.startAt !== undefined) view.startAt = isoTime(job.startAt)
  if (job.admittedAt !== undefined) view.admittedAt = isoTime(job.admittedAt)
  if (job.startedAt !== undefined) view.startedAt = isoTime(job.startedAt)
  if (job.endedAt !== undefined) view.endedAt = isoTime(job.endedAt)
  if (open.has('state') && !hidden.has('state')) view.state = jsonCopy(job.state)
  if (open.has('context') && !hidden.has('context')) view.context = jsonCopy(job.context)
  if (open.has('tasks') && !hidden.has('tasks')) view.tasks = job.tasks.map(taskViewOf)
  // Only hidden fields are missing, so the cast is safe.
  return namingMasked(view as JobView, mask)
}

function agentHolding({ agent }: Job): AgentRef | undefined {
  if (agent === undefined) return undefined
  const { isGone, ...shown } = agent
  return isGone === true ? undefined : shown
}

function taskViewOf({ id, src, status, attempt, input, inbox, availableAt }: Task): TaskView {
  const given = input === undefined ? {} : { input: jsonCopy(input) }
  return { id, src, status, attempt, ...given, inbox: structuredClone(inbox), availableAt: isoTime(availableAt) }
}

// A shown job does not change after its end. So its last update is its end, even if the end of a task is written later.
function shownUpdate({ endedAt, updatedAt, progress }: Job): number {
  return endedAt ?? Math.max(updatedAt, progress?.at ?? 0)
}

/** A copy of an error for a view. The stack names files of the server, so it is private. */
export function shownError(error: JobError, { hidden, open }: FieldMask): JobError {
  const { stack, ...shown } = error
  return open.has('stack') && !hidden.has('stack') && stack !== undefined ? { ...shown, stack } : shown
}
