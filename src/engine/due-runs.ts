/**
 * Runs that stored pipelines start by themselves: at the due times of their schedules, and after the ends of jobs that
 * they depend on.
 *
 * ```
 *  due pipeline ─▶ may its owner run it? ─▶ create the run, and move the pipeline on   } one changeset
 *                                      └──▶ or skip it: run.skipped, and move it on     }
 * ```
 *
 * The pipeline's row says what it must start next: `owed` runs first, then its schedule's `nextAt`. To move a pipeline
 * on is to take the first run off `owed`, or to set the following `nextAt`: a compare-and-set in the changeset that
 * creates the run. So each due time has at most one run, even after a crash, and with any number of engines.
 */

import { defined } from '../model/defined.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import {
  dueTime,
  movedOn,
  overlapFor,
  type Pipeline,
  type PipelineOverlap,
  type RunTrigger,
  standstill,
} from '../model/pipeline.ts'
import type { Principal } from '../port/policy.ts'
import { absentPrincipal } from './absent-principal.ts'
import { authorizePipeline, authorizeSubmit } from './authorization.ts'
import { type Core, ENGINE } from './core.ts'
import { handleDue } from './due-rows.ts'
import { type Facts, factsOf } from './facts.ts'
import { newId } from './ids.ts'
import { insertRun } from './operations/runs.ts'
import { actorOf } from './principal.ts'
import { type DueRange, dueNow, runSkipped, type SkippedRun, skippedNow } from './schedule-times.ts'
import { ChangedMeanwhile } from './tick.ts'

/** How much one pipeline starts or skips at once. Pipelines that depend on each other may owe runs without end. */
const RUNS_AT_ONCE = 100

/** Starts due runs of one engine, one search at a time: two at once would only conflict with each other. */
export class DueRuns {
  #search: Promise<void> | undefined
  #isAskedAgain = false

  /**
   * Starts the runs that are due now. While a search runs, the alarm is set to begin another one after it. The caller
   * does not wait for that one, because pipelines that depend on each other may always owe another run.
   */
  start(core: Core): Promise<void> {
    this.#isAskedAgain = this.#search !== undefined
    this.#search ??= startDueRuns(core).finally(() => {
      this.#search = undefined
      if (this.#isAskedAgain) core.alarm.set(core.clock.steady())
    })
    return this.#search
  }
}

/** Starts the runs that are due, and sets the alarm for those that fall due before the next sweep. */
async function startDueRuns(core: Core): Promise<void> {
  const names = [...new Set(core.types.all().map(({ type }) => type))]
  await handleDue(core, {
    time: 'now',
    read: (at, limit, skip) => core.storage.duePipelines(names, at, limit, skip),
    dueAt: dueTime,
    handle: (pipeline) => startAll(core, pipeline),
  })
}

function isDue(pipeline: Pipeline, now: number): boolean {
  return (dueTime(pipeline) ?? Number.POSITIVE_INFINITY) <= now
}

// Starts the runs of one pipeline that are due now, one after the other. If some are left, the alarm rings at once.
async function startAll(core: Core, first: Pipeline): Promise<void> {
  const { tenant, id } = first
  let pipeline: Pipeline | undefined = first
  // Whether several due times of the schedule have passed. Then their runs make up for them, also the latest one's.
  let isBehind = false
  for (let runs = 0; pipeline !== undefined && isDue(pipeline, core.clock.now()) && !core.stopped.aborted; runs++) {
    if (runs === RUNS_AT_ONCE) return core.alarm.set(core.clock.steady())
    const now = core.clock.now()
    const next = nextOf(pipeline, now, isBehind)
    if (next === undefined) return
    isBehind ||= next.trigger === 'schedule' && (next.after.nextAt ?? Number.POSITIVE_INFINITY) <= now
    try {
      await startNext(core, pipeline, next)
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile)) throw error
    }
    pipeline = await core.storage.pipeline(tenant, id)
  }
}

/** A run to start, and the pipeline's row after that. */
interface Next extends DueRange {
  readonly trigger: Extract<RunTrigger, 'schedule' | 'dependency'>
  readonly overlap: PipelineOverlap
  readonly after: Pipeline
}

/** Due times for which no run is started, and the pipeline's row after that. */
interface Skipped extends SkippedRun {
  readonly after: Pipeline
}

function nextOf(pipeline: Pipeline, now: number, isBehind: boolean): Next | Skipped | undefined {
  const { owed: [owed, ...others] = [], nextAt, schedule } = pipeline
  const reason = standstill(pipeline)
  if (owed !== undefined) {
    const after = movedOn(pipeline, { nextAt, owed: others })
    const next = { trigger: 'dependency', dueAt: owed.at, after } as const
    return reason === undefined ? { ...next, overlap: overlapFor(pipeline, 'dependency') } : { ...next, reason }
  }
  if (nextAt === undefined || schedule === undefined) return undefined
  const due = reason === undefined ? dueNow(schedule, nextAt, now) : skippedNow(schedule, nextAt, now)
  const next = { trigger: 'schedule', after: movedOn(pipeline, { nextAt: due.following }) } as const
  if (due.missed !== undefined) return { ...next, ...due.missed, reason: reason ?? 'missed' }
  const isOneOfMany = schedule.catchUp !== 'skip' && (isBehind || (due.following ?? Number.POSITIVE_INFINITY) <= now)
  return { ...next, dueAt: nextAt, overlap: due.isLate || isOneOfMany ? 'queue' : overlapFor(pipeline, 'schedule') }
}

async function startNext(core: Core, pipeline: Pipeline, next: Next | Skipped): Promise<void> {
  if ('reason' in next) return await skip(core, pipeline, next)
  const type = core.types.named(pipeline.type)
  const owned = await ownerOf(core, pipeline, type)
  if (owned === undefined) return await skip(core, pipeline, { ...next, reason: 'forbidden' })
  try {
    await start(core, pipeline, next, type, owned)
  } catch (error) {
    const blocker = blockerIn(error)
    if (blocker === undefined) throw error
    await skip(core, pipeline, { ...next, reason: 'running', blocker: blocker.jobId })
  }
}

/**
 * The error of a run that another run blocks: its overlap rule refused it, or it should replace the other run, and that
 * run cannot be cancelled, by the owner or now. `undefined`: the error has another reason.
 */
function blockerIn(error: unknown): JobchartError | undefined {
  return error instanceof JobchartError && BLOCKED.has(error.code) ? error : undefined
}

const BLOCKED: ReadonlySet<string> = new Set(['ALREADY_RUNNING', 'FORBIDDEN', 'INVALID_STATE'])

/** The owner of a pipeline, and the facts of its next run. */
interface Owned {
  readonly who: Principal
  readonly facts: Facts
}

/**
 * The pipeline's owner, and the facts of the next run. `undefined`: the policy does not let the owner run the pipeline
 * now, or the type cannot decide the facts.
 */
async function ownerOf(core: Core, pipeline: Pipeline, type: AnyJobType): Promise<Owned | undefined> {
  const { tenant, createdBy, labels, id, input } = pipeline
  try {
    const who = await absentPrincipal(core, { tenant, createdBy }, core.stopped)
    await authorizePipeline(core, who, pipeline, 'runPipeline', core.stopped)
    const facts = factsOf(type, { tenant, createdBy, input }, { labels })
    await authorizeSubmit(core, who, { tenant, createdBy, type: type.type, ...facts, pipeline: id }, core.stopped)
    return { who, facts }
  } catch (error) {
    const isRefused = error instanceof JobchartError && REFUSALS.has(error.code)
    if (isRefused && !core.stopped.aborted) return undefined
    throw error
  }
}

const REFUSALS: ReadonlySet<string> = new Set(['FORBIDDEN', 'PIPELINE_NOT_FOUND', 'INVALID_INPUT'])

async function start(core: Core, run: Pipeline, next: Next, type: AnyJobType, { who, facts }: Owned): Promise<void> {
  const { tenant, id, createdBy, priority, input, assignment } = run
  const { trigger, dueAt, overlap, after: runAfter } = next
  const seed = {
    id: newId(core),
    tenant,
    createdBy,
    trigger,
    pipeline: id,
    ...facts,
    priority,
    ...(trigger === 'schedule' ? { startAt: dueAt } : {}),
    ...defined({ input, assignment }),
  } as const
  const by = who.kind === 'system' ? ENGINE : actorOf(who)
  const rule = overlap === 'skip' ? 'reject' : overlap
  await insertRun(core, { who, by, type, seed, overlap: rule, run, runAfter, isUnasked: true })
}

async function skip(core: Core, before: Pipeline, { after, ...skipped }: Skipped): Promise<void> {
  const pipelines = [{ before, after, events: [runSkipped(skipped)], by: ENGINE }]
  await core.ticks.submit({ by: ENGINE, decide: () => ({ pipelines }), isAskedAgain: true })
}
