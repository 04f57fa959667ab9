/** A decision to which follow-ups are added: the jobs that they create, and the pipelines that they change. */
import { create, type JobDecision, type NewJob } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { holdsSlot } from '../model/job.ts'
import {
  overlapFor,
  type Pipeline,
  type PipelineStatus,
  pausedByFollowUp,
  standstill,
  withStatus,
} from '../model/pipeline.ts'
import { combined, type PipelineChange } from '../model/pipeline-change.ts'
import type { PipelineKey, Write } from '../port/storage.ts'
import { byEngine, type Core, ENGINE } from './core.ts'
import { pastStandstill, runSkipped } from './schedule-times.ts'
import type { WorkingSet } from './working-set.ts'

/**
 * The most jobs in one changeset. With more, the engine assumes that jobs which end at once follow each other for ever.
 */
const JOBS_MAX = 100

/** A decision to which follow-ups are added. */
export interface Followed {
  readonly jobs: JobDecision[]
  pipelines: readonly PipelineChange[]
  /** By the id of each ended job: its follow-ups that must still be added. Empty once they are added. */
  readonly asked: Map<string, readonly Step[]>
  /** Pipelines whose slot and next run the decision depends on. */
  readonly turns: PipelineKey[]
  /** The writes that add runs to the `owed` of pipelines, because of the decision. They come last. */
  readonly owed: Write[]
}

/** A follow-up, read and parsed. `add` adds it to the decision, or throws an error that says why it cannot. */
export interface Step {
  readonly kind: string
  readonly add: (core: Core, jobs: WorkingSet, followed: Followed) => void
}

/** Adds a new job to the decision. @throws {JobchartError} `INVALID_DEFINITION` too many jobs follow each other. */
export function createIn(core: Core, jobs: WorkingSet, followed: Followed, type: AnyJobType, seed: NewJob): void {
  if (followed.jobs.length > JOBS_MAX) {
    throw new JobchartError('INVALID_DEFINITION', `more than ${JOBS_MAX} jobs followed each other in one changeset`)
  }
  const decision = create(type, { ...seed, ...turnOf(core, jobs, followed, seed) }, jobs.context(), jobs)
  followed.jobs.push(...[decision, ...decision.others].map(byEngine))
}

/**
 * Says whether the new job must wait, and for what. It runs at once if this changeset frees its pipeline's slot and no
 * other run is next.
 */
function turnOf(core: Core, jobs: WorkingSet, followed: Followed, seed: NewJob): Pick<NewJob, 'isWaiting' | 'overlap'> {
  const { tenant, pipeline, startAt } = seed
  const isLater = startAt !== undefined && startAt > core.clock.now()
  if (pipeline === undefined) return isLater ? { isWaiting: true } : {}
  const isNext = !isLater && isFreed(followed, pipeline) && jobs.turn({ tenant, id: pipeline }).next === undefined
  return isNext ? {} : { isWaiting: true, overlap: 'queue' }
}

/**
 * The job that blocks a new run now, if the pipeline's rule is `reject` or `skip`: the job that holds the slot, or the
 * one that gets the slot next. `undefined`: no job blocks the run; or the run waits, because it has another rule or a
 * delay.
 */
export function blockerOf(
  core: Core,
  jobs: WorkingSet,
  followed: Followed,
  seed: NewJob,
  run: Pipeline,
): string | undefined {
  // The retry of the job that the pipeline's status belongs to is no run of it, and waits as that job did.
  if (run.statusJob !== undefined && run.statusJob === seed.retryOf) return undefined
  const rule = overlapFor(run, seed.trigger === 'retry' ? 'retry' : 'dependency')
  const isLater = seed.startAt !== undefined && seed.startAt > core.clock.now()
  if (rule === 'queue' || rule === 'replace' || isLater) return undefined
  const { holder, next } = jobs.turn({ tenant: run.tenant, id: run.id })
  return next?.id ?? (isFreed(followed, run.id) ? undefined : holder)
}

/** Adds the event that a new run was skipped because of the job `blocker`. */
export function skipRun(core: Core, followed: Followed, before: Pipeline, { trigger }: NewJob, blocker: string): void {
  const now = core.clock.now()
  const why = trigger === 'retry' ? 'retry' : 'dependency'
  const event = runSkipped({ reason: 'running', trigger: why, dueAt: now, blocker })
  const after = look(followed, before)
  followed.pipelines = combined(followed.pipelines, { before, after, events: [event], by: ENGINE })
}

function isFreed({ jobs }: Followed, pipeline: string): boolean {
  const own = jobs.filter(({ job }) => job.pipeline === pipeline)
  return own.some(({ before }) => before !== undefined && holdsSlot(before)) && !own.some(({ job }) => holdsSlot(job))
}

/** The pipeline as the decision changes it. The changeset checks that the stored one is unchanged. */
export function look(followed: Followed, pipeline: Pipeline): Pipeline {
  const known = followed.pipelines.find(({ before, after }) => (before ?? after)?.id === pipeline.id)
  if (known === undefined) followed.pipelines = [...followed.pipelines, { before: pipeline, after: pipeline }]
  return known?.after ?? pipeline
}

/** Pauses a pipeline, or without a reason resumes it. */
export function pause(core: Core, followed: Followed, found: Pipeline, reason: string | undefined): void {
  const before = look(followed, found)
  const now = core.clock.now()
  const paused = pausedByFollowUp(before, reason, now)
  if (paused === before) return
  const { after, events } =
    reason === undefined
      ? pastStandstill(paused, { event: { type: 'pipeline.resumed' }, reason: 'paused', now })
      : { after: paused, events: [{ type: 'pipeline.paused', reason } as const] }
  followed.pipelines = combined(followed.pipelines, { before: found, after, events, by: ENGINE })
}

/** Gives a pipeline another status. */
export function changeStatus(core: Core, followed: Followed, found: Pipeline, to: PipelineStatus): void {
  const before = look(followed, found)
  const now = core.clock.now()
  const from = before.status ?? 'ready'
  if (from === to) return
  const changed = withStatus(before, to, now)
  const event = { type: 'pipeline.statusChanged', from, to } as const
  const isReady = from !== 'ready' && standstill(changed) === undefined
  const { after, events } = isReady
    ? pastStandstill(changed, { event, reason: from, now })
    : { after: changed, events: [event] }
  followed.pipelines = combined(followed.pipelines, { before: found, after, events, by: ENGINE })
}

/** If the pipeline's status belongs to a job, it belongs to the retry of the job from now on. */
export function passStatus(followed: Followed, found: Pipeline, jobId: string, retryId: string): void {
  if (found.statusJob !== jobId) return
  const now = look(followed, found)
  const after = { ...now, statusJob: retryId, revision: now.revision + 1 }
  followed.pipelines = combined(followed.pipelines, { before: found, after })
}

/**
 * If a follow-up of a pipeline's `statusJob` failed, and the pipeline still waits for that job, the pipeline becomes
 * `failed`. Otherwise it would be `provisioning` for ever.
 */
export function failUnfollowed(core: Core, followed: Followed, found: Pipeline, jobId: string): void {
  const ended = followed.jobs.find(({ job }) => job.id === jobId)
  if (ended?.events.every(({ type }) => type !== 'job.followUpFailed')) return
  const { status, statusJob } = look(followed, found)
  if (status === 'provisioning' && statusJob === jobId) changeStatus(core, followed, found, 'failed')
}
