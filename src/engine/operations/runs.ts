import { typeThatHandles } from '../../model/can-handle.ts'
import type { ChartEvent } from '../../model/chart.ts'
import {
  create,
  type Decision,
  type DecisionContext,
  type NewJob,
  remove,
  send as sendEvent,
} from '../../model/decision.ts'
import type { AnyJobType } from '../../model/definition.ts'
import { hasCode, isUnreadable, JobchartError } from '../../model/error.ts'
import type { Actor } from '../../model/event.ts'
import { holdsSlot, type Job, type JobId, type Overlap } from '../../model/job.ts'
import { typeWhenTouched } from '../../model/migration.ts'
import type { Pipeline, PipelineOverlap } from '../../model/pipeline.ts'
import type { Principal, Target } from '../../port/policy.ts'
import type { PipelineKey } from '../../port/storage.ts'
import { authorizeJob, commandOf, reach } from '../authorization.ts'
import type { CallOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { type FieldMask, maskedError } from '../field-mask.ts'
import { jobFor, load } from '../load.ts'
import { parseCommand } from '../parse.ts'
import { actorOf } from '../principal.ts'
import { type Change, ChangedMeanwhile, untilUnchanged } from '../tick.ts'
import { UniqueKeyHeldError } from '../unique-key.ts'
import type { WorkingSet } from '../working-set.ts'
import { statusWithout } from './on-define.ts'

/** A job to be stored. */
export interface Arrival {
  readonly who: Principal
  readonly by: Actor
  readonly type: AnyJobType
  readonly seed: NewJob
  readonly overlap: Overlap
  /** The job that the new job retries. It must still exist. */
  readonly retried?: JobId
  /** The stored pipeline of the new job. It must be unchanged since it was read. */
  readonly run?: Pipeline
  /** The pipeline as the changeset writes it. Absent: unchanged. */
  readonly runAfter?: Pipeline
  /** True: no caller asked for it, so a full queue does not refuse it. */
  readonly isUnasked?: true
}

/** The most waiting runs that one new run with `overlap: 'replace'` replaces. */
const SUPERSEDED_MAX = 100

/**
 * Stores a new job. It is admitted at once, or waits for its start time or for its pipeline's slot.
 *
 * @throws {JobchartError} `ALREADY_RUNNING` and other refusals of the storage; for `replace` also `FORBIDDEN` and `INVALID_STATE`. The error may name a job that the caller may not see.
 * @throws {ChangedMeanwhile} the stored pipeline was changed since it was read.
 */
export function insertRun(core: Core, arrival: Arrival): Promise<Job> {
  return arrival.overlap === 'reject' ? core.ticks.change(insertion(arrival)) : arrive(core, arrival)
}

// Tries again if another run takes the slot between the read and the write.
async function arrive(core: Core, arrival: Arrival): Promise<Job> {
  for (;;) {
    try {
      return await core.ticks.change(insertion(arrival))
    } catch (error) {
      const isSlotTaken = hasCode(error, 'ALREADY_RUNNING')
      if (!isSlotTaken || error instanceof UniqueKeyHeldError) throw error
      const replaced = arrival.overlap === 'replace' ? await replace(core, arrival, error) : undefined
      if (replaced !== undefined) return replaced
    }
  }
}

/** The change that stores a new job. For its errors see {@link insertRun}. */
export function insertion(arrival: Arrival): Change {
  const { by, type, seed, overlap, run, retried } = arrival
  return {
    by,
    ...(retried === undefined ? {} : { jobs: [retried] }),
    ...(overlap === 'reject' ? {} : { pipelines: pipelinesOf(seed) }),
    isAsked: arrival.isUnasked !== true,
    ...(type.queuedMax === null ? {} : { full: () => queueFull(type, type.queuedMax) }),
    isAskedAgain: run !== undefined,
    decide: (jobs, context) => {
      const looked = retriedNow(jobs, arrival)
      const created = create(type, seedNow(jobs, context, arrival), context, jobs)
      if (run === undefined && looked.length === 0) return created
      return { ...created, ...lookedAt(arrival), looked: [...created.looked, ...looked] }
    },
  }
}

// The retried job must still exist at the write, because its steps are copied in that transaction.
function retriedNow(jobs: WorkingSet, { retried, who }: Arrival): Decision['looked'] {
  if (retried === undefined) return []
  const { id, revision } = jobFor(jobs, retried, who.kind)
  return [{ id, revision }]
}

function seedNow(jobs: WorkingSet, context: DecisionContext, arrival: Arrival): NewJob {
  const { seed } = arrival
  const isLater = seed.startAt !== undefined && seed.startAt > context.at
  return isLater || mustQueue(jobs, arrival) ? waitingSeed(arrival) : seed
}

// With `overlap: 'queue'`, a run waits while another run holds the slot or waits for it.
function mustQueue(jobs: WorkingSet, { seed, overlap }: Arrival): boolean {
  const [key] = pipelinesOf(seed)
  if (overlap !== 'queue' || key === undefined) return false
  const { holder, next } = jobs.turn(key)
  return holder !== undefined || next !== undefined
}

function pipelinesOf({ tenant, pipeline: id }: NewJob): readonly PipelineKey[] {
  return id === undefined ? [] : [{ tenant, id }]
}

function waitingSeed({ seed, overlap }: Pick<Arrival, 'seed' | 'overlap'>): NewJob {
  return { ...seed, isWaiting: true, ...(seed.pipeline === undefined ? {} : { overlap }) }
}

function lookedAt({ run, runAfter = run }: Arrival): Pick<Decision, 'pipelines'> {
  return run === undefined || runAfter === undefined ? {} : { pipelines: [{ before: run, after: runAfter }] }
}

function queueFull({ type }: AnyJobType, max: number | null): JobchartError {
  return new JobchartError(
    'QUEUE_FULL',
    `${max} jobs of type "${type}" are queued, the most that limits.queued allows; try later`,
  )
}

/**
 * Stores new jobs in one commit, or none of them. Returns them by id.
 *
 * @throws {JobchartError} the refusal of one of them.
 * @throws {ChangedMeanwhile} the pipeline of one of them was changed meanwhile.
 */
export async function insertTogether(core: Core, arrivals: readonly Arrival[]): Promise<ReadonlyMap<string, Job>> {
  const [first, ...others] = arrivals
  if (first === undefined) return new Map()
  const stored = new Map<string, Job>()
  await core.ticks.change({
    ...insertion(first),
    pipelines: arrivals.flatMap(({ seed }) => pipelinesOf(seed)),
    isAskedAgain: true,
    full: () =>
      new JobchartError(
        'QUEUE_FULL',
        'these jobs would exceed limits.queued of their type, so none was stored; try later',
      ),
    seen: (job) => stored.set(job.id, job),
    decide: (jobs, context) => {
      const created = create(first.type, seedNow(jobs, context, first), context, jobs)
      jobs.apply([created, ...created.others])
      const more = others.map((each) => {
        const decision = create(each.type, seedNow(jobs, context, each), context, jobs)
        jobs.apply([decision, ...decision.others])
        return decision
      })
      const all = more.flatMap((each) => [each, ...each.others])
      const pipelines = new Map(arrivals.flatMap(({ run }) => (run === undefined ? [] : [[run.id, run] as const])))
      const looked = [...pipelines.values()].map((run) => ({ before: run, after: run }))
      return { ...created, pipelines: looked, others: [...created.others, ...all] }
    },
  })
  return stored
}

/** A run to cancel, and the event that cancels it. */
interface Cancellation {
  readonly job: Job
  readonly event: ChartEvent
  readonly mask: FieldMask
}

/**
 * Cancels the run that holds the slot, and the runs that wait to replace it, but for those whose start time has not
 * come. `undefined`: one of them has ended or changed meanwhile, so try again.
 */
async function replace(core: Core, arrival: Arrival, refusal: JobchartError): Promise<Job | undefined> {
  const { seed, type } = arrival
  const id = refusal.jobId
  const holder = id === undefined ? undefined : await core.storage.get(id).catch(brokenAs(refusal))
  if (holder === undefined || !holdsSlot(holder)) return undefined
  const cancelled: Cancellation[] = []
  for (const job of [holder, ...(await superseded(core, seed))]) {
    // A run that has ended, but whose code is still stopping, needs no cancel.
    if (job.phase === 'settled' || job.deletedAt !== undefined) continue
    cancelled.push(await cancellationOf(core, arrival, job, refusal))
  }
  const change: Change = {
    ...insertion(arrival),
    jobs: [...new Set([holder, ...cancelled.map(({ job }) => job)].map((job) => job.id))],
    isAskedAgain: true,
    decide: (jobs, context) => {
      const decisions = cancelled.map((each) => cancel(jobs, each))
      const others = decisions.flatMap((each) => [each, ...each.others])
      const isFree = others.some(({ job }) => job.id === holder.id && !holdsSlot(job))
      const isNext = isFree && pipelinesOf(seed).every((key) => jobs.turn(key).next === undefined)
      const created = create(type, isNext ? seed : waitingSeed(arrival), context, jobs)
      return { ...created, ...lookedAt(arrival), others: [...created.others, ...others] }
    },
  }
  try {
    return await core.ticks.change(change)
  } catch (error) {
    if (error instanceof ChangedMeanwhile && arrival.run === undefined) return undefined
    throw error
  }
}

async function superseded(core: Core, { tenant, pipeline }: NewJob): Promise<readonly Job[]> {
  if (pipeline === undefined) return []
  const filter = { scopes: [{ tenant }], pipeline, phase: 'waiting' } as const
  const { jobs } = await core.storage.find(filter, { limit: SUPERSEDED_MAX })
  const now = core.clock.now()
  return jobs.filter(({ overlap, startAt = now }) => overlap === 'replace' && startAt <= now)
}

// If the job migrates first, the new version of its type handles the command. So the policy is asked with the `by` rule
// of that version, which says who may send the command.
async function cancellationOf(core: Core, { who }: Arrival, job: Job, refusal: JobchartError): Promise<Cancellation> {
  const mask = await authorizeCancel(core, who, job, refusal)
  const type = typeWhenTouched(core.types.require(job), job)
  try {
    if (type.cancel === null) throw notReplaced(job, 'its type has no cancel command')
    const event = await parseCommand(type, { type: type.cancel }).catch(() => {
      throw notReplaced(job, 'its cancel command has required fields')
    })
    return { job, event, mask }
  } catch (error) {
    throw maskedError(error, mask)
  }
}

function cancel(jobs: WorkingSet, { job, event, mask }: Cancellation): Decision {
  const now = jobs.require(job.id)
  if (now.revision !== job.revision) throw new ChangedMeanwhile()
  const decision = sendEvent(jobs.typeOf(now), now, event, jobs.context(), jobs)
  if (decision.handled) return decision
  throw maskedError(notReplaced(job, `it is ${job.status}, and "${event.type}" is not taken in this state`), mask)
}

// A refused caller learns that a run exists, but gets its id only if the caller may see that run.
async function authorizeCancel(core: Core, who: Principal, job: Job, refusal: JobchartError): Promise<FieldMask> {
  const known = core.types.of(job)
  // If the job migrates first, the `by` rule of the new version says who may send the command.
  const type = known === undefined ? undefined : typeThatHandles(known, job)
  const name = type?.cancel ?? 'cancel'
  try {
    return await authorizeJob(core, who, job, { action: 'command', command: commandOf(type, name, true) })
  } catch (error) {
    const isHidden = hasCode(error, 'JOB_NOT_FOUND')
    throw isHidden ? new JobchartError('ALREADY_RUNNING', refusal.message) : error
  }
}

// A run whose record cannot be read cannot be cancelled. The caller gets the error that the slot is taken.
function brokenAs(refusal: JobchartError) {
  return (error: unknown): undefined => {
    throw isUnreadable(error) ? refusal : error
  }
}

function notReplaced({ id }: Job, why: string): JobchartError {
  return new JobchartError('INVALID_STATE', `the run cannot be replaced: ${why}`, { jobId: id })
}

/** A pipeline's rule for a run that a caller waits for: a skipped run is refused. */
export function asked(rule: PipelineOverlap): Overlap {
  return rule === 'skip' ? 'reject' : rule
}

/** {@inheritDoc Session.delete} */
export async function deleteJob(core: Core, who: Principal, id: JobId, { signal }: CallOptions = {}): Promise<void> {
  await untilUnchanged(async () => {
    const { summary } = await reach(core, who, id, () => ({ action: 'delete', signal }))
    const known = await load(core, id, who.kind)
    const cancel = cancelOfUnsettled(core, known)
    if (cancel !== undefined) await authorizeJob(core, who, summary, { action: 'command', command: cancel, signal })
    const pipeline = await statusPipelineOf(core, known)
    await core.ticks.submit({
      by: actorOf(who),
      jobs: [id],
      isAskedAgain: pipeline !== undefined,
      decide: (jobs, context) => {
        const job = jobFor(jobs, id, who.kind)
        // The policy was asked about the job with an older status, so it must be asked again.
        if (job.status !== summary.status) throw new ChangedMeanwhile()
        if (job.parentId !== undefined) throw ofParent(job)
        const pipelines = job.phase === 'settled' ? [] : statusWithout(pipeline, id, context.at)
        return { ...remove(jobs.typeOf(job), job, context, jobs), pipelines }
      },
    })
  })
}

async function statusPipelineOf({ storage }: Core, { id, tenant, pipeline }: Job): Promise<Pipeline | undefined> {
  const stored = pipeline === undefined ? undefined : await storage.pipeline(tenant, pipeline)
  return stored?.statusJob === id ? stored : undefined
}

/**
 * The cancel command of a job that has not ended; `undefined`: none. Deleting such a job needs the right to cancel it.
 */
export function cancelOfUnsettled(core: Core, job: Job): Target['command'] {
  const known = core.types.of(job)
  const type = known === undefined || job.phase === 'settled' ? undefined : typeThatHandles(known, job)
  return type === undefined || type.cancel === null ? undefined : commandOf(type, type.cancel)
}

/** The error for an act on a child job that is only for its parent. */
export function ofParent({ id }: Job): JobchartError {
  return new JobchartError('INVALID_STATE', 'the job is a child job; act on its parent instead', { jobId: id })
}
