/** How a new job gets in where its pipeline has another, and how jobs go. */
import {
  create,
  type Decision,
  type JobDecision,
  type NewJob,
  remove,
  send as sendEvent,
} from '../../model/decision.ts'
import type { AnyJobType } from '../../model/definition.ts'
import { isUnreadable, JobchartError } from '../../model/error.ts'
import type { Actor } from '../../model/event.ts'
import { holdsSlot, type Job, type JobId, type Overlap } from '../../model/job.ts'
import { typeWhenTouched } from '../../model/migration.ts'
import type { Pipeline } from '../../model/pipeline.ts'
import type { Principal } from '../../port/policy.ts'
import { advance, land } from '../advance.ts'
import {
  authorizeJob,
  authorizeSubmit,
  commandOf,
  grantOfAnswer,
  reach,
  withoutHidden,
  wouldTell,
} from '../authorization.ts'
import type { CallOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { decideWith, moment, nextInTurn } from '../deciding.ts'
import { both, type Grant, withoutHiddenText } from '../grant.ts'
import { newId } from '../ids.ts'
import { parseCommand } from '../parse.ts'
import { asUnit } from '../turns.ts'
import { type JobView, viewOf } from '../view.ts'
import { readable } from './reads.ts'

/** A job on its way in. */
export interface Arrival {
  readonly who: Principal
  readonly by: Actor
  readonly type: AnyJobType
  readonly seed: NewJob
  readonly overlap: Overlap
  /** The stored pipeline that it is a run of: it must stand as it was read. */
  readonly run?: Pipeline
}

/** The pipeline of a run was changed between its reading and the write. */
export class PipelineChanged extends Error {}

function boundOf({ queuedMax }: AnyJobType): { readonly queuedMax?: number } {
  return queuedMax === null ? {} : { queuedMax }
}

function lookedAt(run: Pipeline | undefined): Pick<Decision, 'pipelines'> {
  return run === undefined ? {} : { pipelines: [{ before: run, after: run }] }
}

/** Waiting runs of one pipeline that a later one replaces at most. */
const SUPERSEDED_MAX = 100

/**
 * Stores a new job: admitted, or waiting for its time or its turn.
 *
 * @throws {JobchartError} `ALREADY_RUNNING` and what else storage refuses; for `replace`, `FORBIDDEN` and
 *   `INVALID_STATE` too. None names a job that the one who asks may not see.
 */
export async function insertRun(core: Core, arrival: Arrival): Promise<Job> {
  try {
    return await arrive(core, arrival)
  } catch (error) {
    throw await withoutHidden(core, arrival.who, error)
  }
}

async function arrive(core: Core, arrival: Arrival): Promise<Job> {
  const { seed, overlap } = arrival
  if (seed.startAt !== undefined && seed.startAt > core.clock.now()) return await insert(core, arrival, true)
  for (;;) {
    if (overlap === 'queue' && (await isQueued(core, seed))) return await insert(core, arrival, true)
    try {
      return await insert(core, arrival, false)
    } catch (error) {
      if (!(error instanceof JobchartError) || error.code !== 'ALREADY_RUNNING' || overlap === 'reject') throw error
      if (overlap === 'queue') return await insert(core, arrival, true)
      const replaced = await replace(core, arrival, error)
      if (replaced !== undefined) return replaced
    }
  }
}

// Whoever came before goes first.
async function isQueued(core: Core, { tenant, pipeline }: NewJob): Promise<boolean> {
  if (pipeline === undefined) return false
  return (await nextInTurn(core, tenant, pipeline)) !== undefined
}

async function insert(core: Core, arrival: Arrival, isWaiting: boolean): Promise<Job> {
  const { type, seed, by, overlap, run } = arrival
  const decision = await decideWith(core, (relatives) => {
    return create(type, isWaiting ? waitingSeed(seed, overlap) : seed, moment(core), relatives)
  })
  const job = await land(core, await asUnit(core, { ...decision, ...lookedAt(run) }), { by, ...boundOf(type) })
  if (job === 'conflict') {
    // Nothing of it is stored but what it looked at: the pipeline that it is a run of, or those of what follows it.
    if (run !== undefined) throw new PipelineChanged()
    return await insert(core, arrival, isWaiting)
  }
  if (isWaiting && job.startAt !== undefined) core.alarm.set(job.startAt)
  return job
}

function waitingSeed(seed: NewJob, overlap: Overlap): NewJob {
  return { ...seed, isWaiting: true, ...(seed.pipeline === undefined ? {} : { overlap }) }
}

/** Cancels the run that holds the slot, and those that wait to replace it; undefined: it has ended meanwhile. */
async function replace(core: Core, arrival: Arrival, refusal: JobchartError): Promise<Job | undefined> {
  const { seed, type, by, run } = arrival
  const holder =
    refusal.jobId === undefined ? undefined : await core.storage.get(refusal.jobId).catch(brokenAs(refusal))
  if (holder === undefined || !holdsSlot(holder)) return undefined
  const cancelled: JobDecision[] = []
  for (const job of [holder, ...(await superseded(core, seed))]) {
    // One whose code is still stopping has nothing to cancel.
    if (job.phase === 'settled' || job.deletedAt !== undefined) continue
    const decision = await cancelledBy(core, arrival, job, refusal)
    cancelled.push(decision, ...decision.others)
  }
  const freed = cancelled.some(({ job }) => job.id === holder.id && !holdsSlot(job))
  const isFree = freed && !(await isQueued(core, seed))
  const created = await decideWith(core, (relatives) => {
    return create(type, isFree ? seed : waitingSeed(seed, 'replace'), moment(core), relatives)
  })
  const unit: Decision = { ...created, ...lookedAt(run), others: [...created.others, ...cancelled] }
  const job = await land(core, await asUnit(core, unit), { by, ...boundOf(type) })
  if (job === 'conflict') return undefined
  // Where nobody could be let in with it, whoever is next now is looked for at once.
  if (freed) core.alarm.set(core.clock.now())
  return job
}

async function superseded(core: Core, { tenant, pipeline }: NewJob): Promise<readonly Job[]> {
  if (pipeline === undefined) return []
  const filter = { scopes: [{ tenant }], pipeline, phase: 'waiting' } as const
  const waiting = await core.storage.find(filter, { limit: SUPERSEDED_MAX })
  return waiting.filter(({ overlap }) => overlap === 'replace')
}

async function cancelledBy(core: Core, { who }: Arrival, job: Job, refusal: JobchartError): Promise<Decision> {
  const grant = await authorizeCancel(core, who, job, refusal)
  try {
    return await cancelOf(core, job)
  } catch (error) {
    throw withoutHiddenText(error, grant)
  }
}

async function cancelOf(core: Core, job: Job): Promise<Decision> {
  const known = core.types.require(job)
  const type = typeWhenTouched(known, job)
  if (type.cancel === null) throw notReplaced(job, 'its type has no cancel command')
  const event = await parseCommand(type, { type: type.cancel }).catch(() => {
    throw notReplaced(job, 'its cancel command asks for more than its name')
  })
  const decision = await decideWith(core, (relatives) => sendEvent(known, job, event, moment(core), relatives))
  if (!decision.handled) throw notReplaced(job, `it is ${job.status}, where "${event.type}" is not taken`)
  return decision
}

// That there is a run is known to whoever was refused; which one it is, only to who may see it.
async function authorizeCancel(core: Core, who: Principal, job: Job, refusal: JobchartError): Promise<Grant> {
  const type = core.types.of(job)
  const name = type?.cancel ?? 'cancel'
  try {
    return await authorizeJob(core, who, job, { action: 'command', command: commandOf(type, name, true) })
  } catch (error) {
    const isHidden = error instanceof JobchartError && error.code === 'JOB_NOT_FOUND'
    throw isHidden ? new JobchartError('ALREADY_RUNNING', refusal.message) : error
  }
}

// One that cannot be read cannot be cancelled, and is not named to who may not know of it.
function brokenAs(refusal: JobchartError) {
  return (error: unknown): undefined => {
    throw isUnreadable(error) ? refusal : error
  }
}

function notReplaced({ id }: Job, why: string): JobchartError {
  return new JobchartError('INVALID_STATE', `the run cannot be replaced: ${why}`, { jobId: id })
}

/** {@inheritDoc Session.retry} */
export async function retry(core: Core, who: Principal, id: JobId, { signal }: CallOptions = {}): Promise<JobView> {
  signal?.throwIfAborted()
  const { job, grant } = await readable(core, who, id, { action: 'retry', signal })
  try {
    return await retryOf(core, who, job, grant, signal)
  } catch (error) {
    throw withoutHiddenText(error, grant)
  }
}

async function retryOf(
  core: Core,
  who: Principal,
  job: Job,
  grant: Grant,
  signal: AbortSignal | undefined,
): Promise<JobView> {
  const { id, tenant, pipeline, labels, priority, input, parentId, retries = 0 } = job
  const shown = await grantOfAnswer(core, who, job, grant)
  if (await copiesHidden(core, who, job, shown)) throw copyRefused(who, id)
  const type = core.types.require(job)
  if (parentId !== undefined) throw ofParent(job)
  if (job.phase !== 'settled') {
    throw new JobchartError('INVALID_STATE', `the job is ${job.status}; only one that has ended is run again`, {
      jobId: id,
    })
  }
  const fixed = { tenant, createdBy: who.id, labels, ...(pipeline === undefined ? {} : { pipeline }) }
  const granted = await authorizeSubmit(core, who, { ...fixed, type: job.type }, signal)
  const given = input === undefined ? {} : { input }
  const link = { trigger: 'retry', retryOf: job.id, retries: retries + 1 } as const
  const seed: NewJob = { ...fixed, ...given, ...link, id: newId(core), priority }
  const by = { kind: who.kind, id: who.id }
  const again = await insertRun(core, { who, by, type, seed, overlap: 'reject' })
  return viewOf(again, await grantOfAnswer(core, who, again, both(shown, granted)))
}

/** What another try has from the job: whoever may not read that may not have it as a job of his own. */
const COPIED = ['type', 'input', 'labels', 'pipeline', 'priority']

/** Whether another try, as the principal's own job, would show what a grant on the job hides. */
export async function copiesHidden(core: Core, who: Principal, job: Job, grant: Grant): Promise<boolean> {
  return await wouldTell(core, who, { ...job, createdBy: who.id }, grant, COPIED)
}

function copyRefused(who: Principal, jobId: string): JobchartError {
  return new JobchartError('FORBIDDEN', `"${who.id}" may not read all of this job, and so not run it again`, { jobId })
}

/** {@inheritDoc Session.delete} */
export async function deleteJob(core: Core, who: Principal, id: JobId, { signal }: CallOptions = {}): Promise<void> {
  signal?.throwIfAborted()
  await advance(core, {
    jobId: id,
    by: { kind: who.kind, id: who.id },
    authorize: async () => (await reach(core, who, id, () => ({ action: 'delete', signal }))).head.status,
    prepare: async (job) => {
      if (job.parentId !== undefined) throw ofParent(job)
    },
    decide: remove,
  })
}

function ofParent({ id }: Job): JobchartError {
  return new JobchartError('INVALID_STATE', 'the job is a part of another, which stands for it', { jobId: id })
}
