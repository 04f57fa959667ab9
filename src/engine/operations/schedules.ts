/** Schedules and dependencies of stored pipelines, in the form in which callers give them. */

import { parseWith } from '../../context/parse-with.ts'
import type { AnyJobType } from '../../model/definition.ts'
import type { Outcome } from '../../model/job.ts'
import type { Dependency, Pipeline } from '../../model/pipeline.ts'
import type { CatchUp, Schedule } from '../../model/schedule.ts'
import { canonicalText } from '../../model/storable.ts'
import { type Duration, isoTime, type Time } from '../../model/time.ts'
import type { Principal } from '../../port/policy.ts'
import { type CallOptions, misfit, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { reachPipeline } from '../pipeline-entry.ts'
import { previewSchema, scheduleSchema } from '../pipeline-options.ts'
import { nextDue, scheduleIssue } from '../schedule-times.ts'

/** When a pipeline runs by itself. Exactly one of `cron`, `every` and `at` is given. */
export type ScheduleOptions = (
  | {
      /**
       * A cron pattern of five fields, e.g. `'0 2 * * *'`. With `fields: 6` it has six fields, and the first one is
       * seconds.
       */
      readonly cron: string
      /** A name of the IANA database, e.g. `'Europe/Paris'`. Default `'UTC'`. */
      readonly timeZone?: string
      readonly fields?: 5 | 6
      readonly every?: never
      readonly at?: never
    }
  | {
      /** The time between due times: at least `'1s'`. */
      readonly every: Duration
      /** The first due time. Default: the time of the definition. */
      readonly from?: Time
      readonly cron?: never
      readonly at?: never
    }
  /** The one due time. A time in the past is never due. */
  | { readonly at: Time; readonly cron?: never; readonly every?: never }
) & {
  /**
   * What happens to due times that were missed while no engine ran: nothing, the latest one is made up for, or the
   * latest `max` of them. Runs that make up for missed times wait for the slot. Default `'one'`.
   */
  readonly catchUp?: CatchUp
  /** False: the schedule is stored, but never due. Default true. */
  readonly enabled?: boolean
}

/** After which ends of jobs a pipeline runs: those of another pipeline's runs, or those of a job type. */
export type DependencyOptions = { readonly outcome?: Outcome } & (
  | { readonly pipeline: string; readonly job?: never }
  | { readonly job: AnyJobType; readonly pipeline?: never }
)

/** The options of `pipelines.preview`. */
export interface PreviewOptions extends CallOptions {
  /** How many due times: 1 to 1,000, default 5. */
  readonly count?: number
  /** Only due times after this. Default: now. */
  readonly after?: Time
}

type AskedSchedule = ReturnType<typeof scheduleSchema.parse>

/** The stored form of a schedule, and its next due time. A schedule with the same times keeps its next due time. */
export function scheduled(
  core: Core,
  before: Pipeline | undefined,
  asked: AskedSchedule | undefined,
): Pick<Pipeline, 'schedule' | 'nextAt'> {
  if (asked === undefined) return {}
  const now = core.clock.now()
  const schedule = scheduleOf(asked, before?.schedule, now)
  const issue = scheduleIssue(schedule, now)
  if (issue !== undefined) throw misfit('schedule', issue)
  const nextAt = nextAtOf(before, schedule, now)
  return { schedule, ...(nextAt === undefined ? {} : { nextAt }) }
}

// The next due time. It stays if the times of the schedule are unchanged, e.g. if only `catchUp` changes, so no time is
// due twice.
function nextAtOf(before: Pipeline | undefined, schedule: Schedule, now: number): number | undefined {
  if (schedule.enabled === false) return undefined
  if (before?.schedule === undefined || timesOf(before.schedule) !== timesOf(schedule)) return firstDue(schedule, now)
  return before.schedule.enabled === false ? nextDue(schedule, now) : before.nextAt
}

function timesOf({ catchUp, enabled, ...times }: Schedule): string {
  return canonicalText(times)
}

// The first due time. An interval that begins now is due at once.
function firstDue(schedule: Schedule, now: number): number | undefined {
  return nextDue(schedule, 'everyMs' in schedule ? now - 1 : now)
}

function scheduleOf(asked: AskedSchedule, before: Schedule | undefined, now: number): Schedule {
  const { catchUp, enabled } = asked
  const common = { catchUp, ...(enabled ? {} : { enabled }) } as const
  if ('at' in asked) return { ...common, at: asked.at }
  if ('cron' in asked) return { ...common, cron: asked.cron, timeZone: asked.timeZone, fields: asked.fields }
  const isSame = before !== undefined && 'everyMs' in before && before.everyMs === asked.every
  return { ...common, everyMs: asked.every, from: asked.from ?? (isSame ? before.from : now) }
}

/** The stored form of a dependency. @throws {JobchartError} `INVALID_INPUT` the type starts no pipelines. */
export function dependencyOf({ pipeline, job, outcome }: ParsedDependency): Dependency {
  if (pipeline !== undefined) return { pipeline, outcome }
  if (job?.startsPipelines !== true) {
    throw misfit('dependsOn', `names the job type "${job?.type}", whose defineJob does not say startsPipelines: true`)
  }
  return { type: job.type, outcome }
}

/** The stored pipeline, and what its new definition depends on. */
interface Sources {
  readonly before: Pipeline | undefined
  readonly tenant: string | undefined
  readonly sources: readonly Dependency[] | undefined
}

/**
 * Checks that the caller sees the pipelines that a definition newly depends on, because the owner of the definition
 * learns when their runs end.
 *
 * @throws {JobchartError} `PIPELINE_NOT_FOUND`
 */
export async function checkSources(
  core: Core,
  who: Principal,
  { before, tenant, sources = [] }: Sources,
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const { pipeline: id } of sources) {
    const isKnown = before?.dependsOn?.some(({ pipeline }) => pipeline === id) === true
    if (id !== undefined && !isKnown) await reachPipeline(core, who, { id, tenant }, 'getPipeline', signal)
  }
}

interface ParsedDependency {
  readonly pipeline?: string
  readonly job?: AnyJobType
  readonly outcome: Outcome
}

/** The next due times of a schedule. The schedule need not be stored. */
export async function previewSchedule(core: Core, given: unknown, options: PreviewOptions = {}): Promise<string[]> {
  const { signal, ...rest } = options
  const { count, after } = await parseOptions(previewSchema, rest)
  const asked = await parseWith(scheduleSchema, given, 'schedule')
  const now = core.clock.now()
  const schedule = scheduleOf(asked, undefined, now)
  const issue = scheduleIssue(schedule, now)
  if (issue !== undefined) throw misfit('schedule', issue)
  const times: string[] = []
  for (let at: number | undefined = after ?? now; times.length < count; times.push(isoTime(at))) {
    at = times.length === 0 && after === undefined ? firstDue(schedule, at) : nextDue(schedule, at)
    if (at === undefined) break
  }
  return times
}
