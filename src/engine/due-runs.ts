/**
 * Runs that stored pipelines start by themselves: at the due times of their schedules, and after the ends of jobs that
 * they depend on.
 *
 * ```
 *  due pipeline ─▶ may its owner run it? ─▶ create the run, and move the pipeline on   } one changeset
 *                                      └──▶ or skip it: run.skipped, and move it on     }
 * ```
 *
 * The pipeline's row says what it must start next: `owed` runs first, then its schedule's `nextAt`. Moving it on is a
 * compare-and-set in the changeset that creates the run. So each due time has at most one run, whatever crashes and
 * however many engines look at once.
 */
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import type { PipelineEventDraft } from '../model/event.ts'
import {
  dueTime,
  movedOn,
  overlapFor,
  type Pipeline,
  type PipelineOverlap,
  type RunTrigger,
  standstill,
} from '../model/pipeline.ts'
import type { Schedule, SkipReason } from '../model/schedule.ts'
import { isoTime } from '../model/time.ts'
import type { Principal } from '../port/policy.ts'
import { absentPrincipal } from './absent-principal.ts'
import { authorizePipeline, authorizeSubmit } from './authorization.ts'
import { type Core, ENGINE } from './core.ts'
import { type Facts, factsOf } from './facts.ts'
import { newId } from './ids.ts'
import { insertRun } from './operations/runs.ts'
import { dueNow, nextDue } from './schedule-times.ts'
import { ChangedMeanwhile } from './tick.ts'

/** How many due pipelines are read at once. */
const PIPELINES_AT_ONCE = 1_000

/** Starts the runs that are due, and sets the alarm for those that fall due before the next sweep. */
export async function startDueRuns(core: Core): Promise<void> {
  const { storage, types, clock, settings, alarm } = core
  const names = [...new Set(types.all().map(({ type }) => type))]
  // Pipelines that could not be moved on stay due, so they are skipped; the next sweep tries them again.
  for (let skip = 0; ; ) {
    const now = clock.now()
    const found = await storage.duePipelines(names, now + settings.sweepMs, PIPELINES_AT_ONCE, skip)
    const due = found.filter((each) => isDue(each, now))
    const next = found[due.length]
    if (next !== undefined) alarm.setByWall(dueTime(next) ?? now)
    let failures = 0
    const count = () => {
      failures++
    }
    await Promise.all(due.map((pipeline) => startAll(core, pipeline).catch(count)))
    skip += failures
    if (due.length < PIPELINES_AT_ONCE) return
  }
}

function isDue(pipeline: Pipeline, now: number): boolean {
  return (dueTime(pipeline) ?? Number.POSITIVE_INFINITY) <= now
}

// Starts everything that one pipeline must start now, one after the other.
async function startAll(core: Core, first: Pipeline): Promise<void> {
  const { tenant, id } = first
  let pipeline: Pipeline | undefined = first
  while (pipeline !== undefined && isDue(pipeline, core.clock.now()) && !core.stopped.aborted) {
    try {
      await startNext(core, pipeline)
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile)) throw error
    }
    pipeline = await core.storage.pipeline(tenant, id)
  }
}

/** A run to start or to skip, and the pipeline's row after that. */
interface Next {
  readonly trigger: Extract<RunTrigger, 'schedule' | 'dependency'>
  readonly dueAt: number
  readonly overlap: PipelineOverlap
  readonly after: Pipeline
  /** True: the due time was missed, and is not made up for. */
  readonly isMissed?: boolean
}

function nextOf(pipeline: Pipeline, now: number): Next | undefined {
  const { owed: [owed, ...others] = [], nextAt, schedule } = pipeline
  if (owed !== undefined) {
    const after = movedOn(pipeline, { nextAt, owed: others })
    return { trigger: 'dependency', dueAt: owed.at, overlap: overlapFor(pipeline, 'dependency'), after }
  }
  if (nextAt === undefined || schedule === undefined) return undefined
  const { times, isLate } = dueNow(schedule, nextAt, now)
  const [dueAt, following = nextAfter(schedule, nextAt, now)] = times
  const after = movedOn(pipeline, { nextAt: following })
  if (dueAt === undefined) return { trigger: 'schedule', dueAt: nextAt, overlap: 'skip', after, isMissed: true }
  return { trigger: 'schedule', dueAt, overlap: isLate ? 'queue' : overlapFor(pipeline, 'schedule'), after }
}

// If the clock was set back, `now` may be before the due time. No time is due twice.
function nextAfter(schedule: Schedule, dueAt: number, now: number): number | undefined {
  return nextDue(schedule, Math.max(dueAt, now))
}

async function startNext(core: Core, pipeline: Pipeline): Promise<void> {
  const next = nextOf(pipeline, core.clock.now())
  if (next === undefined) return
  const why = next.isMissed === true ? 'missed' : standstill(pipeline)
  if (why !== undefined) return await skip(core, pipeline, next, why)
  const type = core.types.named(pipeline.type)
  const owned = await ownerOf(core, pipeline, type)
  if (owned === undefined) return await skip(core, pipeline, next, 'forbidden')
  try {
    await start(core, pipeline, next, type, owned)
  } catch (error) {
    if (!(error instanceof JobchartError) || error.code !== 'ALREADY_RUNNING') throw error
    await skip(core, pipeline, next, 'running', error.jobId)
  }
}

/** The owner of a pipeline, and the facts of its next run. */
interface Owned {
  readonly who: Principal
  readonly facts: Facts
}

/** The pipeline's owner. `undefined`: the owner may not run it now, or the type cannot decide the facts of the run. */
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
  const { tenant, id, createdBy, priority, input } = run
  const { trigger, dueAt, overlap, after: runAfter } = next
  const seed = {
    id: newId(core),
    tenant,
    createdBy,
    trigger,
    pipeline: id,
    ...facts,
    priority,
    startAt: dueAt,
    ...(input === undefined ? {} : { input }),
  } as const
  const by = who.kind === 'system' ? ENGINE : { kind: who.kind, id: who.id }
  const rule = overlap === 'skip' ? 'reject' : overlap
  await insertRun(core, { who, by, type, seed, overlap: rule, run, runAfter, isUnasked: true })
}

async function skip(
  core: Core,
  before: Pipeline,
  { trigger, dueAt, after }: Next,
  reason: SkipReason,
  blocker?: string,
): Promise<void> {
  const named = blocker === undefined ? {} : { blocker }
  const event: PipelineEventDraft = { type: 'run.skipped', reason, trigger, dueAt: isoTime(dueAt), ...named }
  const pipelines = [{ before, after, events: [event], by: ENGINE }]
  await core.ticks.submit({ by: ENGINE, decide: () => ({ pipelines }), isAskedAgain: true })
}
