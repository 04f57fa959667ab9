/** Submits one new job, or many at once. */
import type { z } from 'zod'
import { type Answer, type Soon, whenKnown } from '../../context/soon.ts'
import type { Assignment } from '../../model/agent.ts'
import type { NewJob } from '../../model/decision.ts'
import type { AnyJobType } from '../../model/definition.ts'
import { hasCode, isUnreadable, JobchartError } from '../../model/error.ts'
import { holdsUniqueKey, type JobId, type Overlap } from '../../model/job.ts'
import { overlapFor, type Pipeline } from '../../model/pipeline.ts'
import { canonicalText, type Json } from '../../model/storable.ts'
import type { Principal } from '../../port/policy.ts'
import { allowed, maskOfAnswer, withoutHiddenJob } from '../authorization.ts'
import { type CallOptions, misfit, parseOptions, refuseUnknown, tenantOf } from '../call-options.ts'
import type { Core } from '../core.ts'
import { authorizeNew, factsOf } from '../facts.ts'
import { type FieldMask, narrower } from '../field-mask.ts'
import { newId } from '../ids.ts'
import { submitOptionsSchema } from '../options.ts'
import { parseInput } from '../parse.ts'
import { enteredPipeline, intoPipeline } from '../pipeline-entry.ts'
import { actorOf } from '../principal.ts'
import { untilUnchanged } from '../tick.ts'
import { UniqueKeyHeldError } from '../unique-key.ts'
import { type JobView, viewOf } from '../view.ts'
import { type Arrival, insertion, insertRun, insertTogether, asked as ruleOf } from './runs.ts'

/** The options of `submit`. */
export interface SubmitOptions extends CallOptions {
  /** The name of the pipeline that this job is a run of. At most one run of a pipeline runs at a time. */
  readonly pipeline?: string
  /**
   * What happens if another run holds the pipeline's slot. Default: the rule of the stored pipeline for manual runs, or
   * `'reject'` if none is stored. `'reject'`: this submit fails. `'queue'`: this job
   * waits for the slot. `'replace'`: the other run is cancelled as by `cancel`, and this job starts once the tasks of
   * that run have stopped. Only with `pipeline`.
   */
  readonly overlap?: Overlap
  /**
   * The earliest start: milliseconds UTC, ISO 8601, or a `Date`. Until then, and until it gets its slot, the job is
   * `waiting`.
   */
  readonly startAt?: number | string | { readonly getTime: () => number }
  /** A whole number; higher runs first. Default 0. */
  readonly priority?: number
  /** Set once. Policies and lists may read them. */
  readonly labels?: { readonly [name: string]: string }
  /**
   * The person who is to act on the job. Set once. Ignored if the type has an `assignee` of its own. Default: nobody.
   */
  readonly assignee?: string
  /**
   * Which agents may run the tasks of the job: the agent with this id, or the agents of this pool. Set once; a child job
   * has that of its parent. Default: any agent that is able.
   */
  readonly assignment?: Assignment
  /** Repeating a submit with the same key and input returns the first job, as long as that job's row exists. */
  readonly idempotencyKey?: string
  /**
   * If a running or waiting job of the same tenant and type has this key, that job is returned, even if its input
   * differs. If the caller may not see it, the submit fails with `ALREADY_RUNNING`. A job that ends frees its key. 1 to
   * 200 characters.
   */
  readonly uniqueKey?: string
  /** Only for the engine's own session: the job's tenant. */
  readonly tenant?: string
}

/** Cached, because most submits have no options. */
const NO_OPTIONS = submitOptionsSchema.parse({})

/** A requested job, before its pipeline's overlap rule is applied. */
interface Asked {
  readonly arrival: Arrival
  readonly mask: FieldMask
  /** True: the caller named no overlap rule, so that of a stored pipeline counts. */
  readonly isByPipeline: boolean
}

/** The job as a run of the stored pipeline that it enters, if there is one. */
function entering({ arrival, isByPipeline }: Asked, run: Pipeline | undefined): Arrival {
  if (run === undefined) return arrival
  return isByPipeline ? { ...arrival, run, overlap: ruleOf(overlapFor(run, 'manual')) } : { ...arrival, run }
}

/** Asks the policy about a new job, and parses its input. */
function askedJob(
  core: Core,
  who: Principal,
  asked: AnyJobType | string,
  input: unknown,
  submitOptions: SubmitOptions,
): Soon<Asked> {
  const { signal } = submitOptions
  signal?.throwIfAborted()
  return whenKnown(parseSubmitOptions(submitOptions), ({ tenant, pipeline, labels, assignee, overlap, ...options }) => {
    const type = typeof asked === 'string' ? core.types.named(asked) : core.types.require(asked)
    const where = { tenant: tenantOf(who, tenant), ...(pipeline === undefined ? {} : { pipeline }) }
    const fixed = { ...where, createdBy: who.id }
    return whenKnown(
      authorizeNew(
        core,
        who,
        type,
        fixed,
        (scope) => factsOf(type, scope, { labels, assignee }),
        () => parseInput(type, input),
        signal,
      ),
      ({ facts, mask, input: parsed }) => {
        const seed = seedOf(newId(core), { ...fixed, ...facts }, options, parsed)
        signal?.throwIfAborted()
        const arrival = { who, by: actorOf(who), type, seed, overlap: overlap ?? 'reject' } as const
        return { arrival, mask, isByPipeline: overlap === undefined }
      },
    )
  })
}

/** {@inheritDoc Session.submit} */
export function submit(
  core: Core,
  who: Principal,
  { type, input }: Pick<SubmittedJob, 'type' | 'input'>,
  options: SubmitOptions,
  answer: Answer<JobView>,
): void {
  const asked = askedJob(core, who, type, input, options)
  const go = (each: Asked) => store(core, each, options.signal, answer)
  if (asked instanceof Promise) asked.then(go).catch(answer.failed)
  else go(asked)
}

function store(core: Core, asked: Asked, signal: AbortSignal | undefined, { done, failed }: Answer<JobView>): void {
  const { arrival, mask } = asked
  const { who, seed, overlap } = arrival
  if (seed.pipeline !== undefined || overlap !== 'reject') {
    const insert = ({ run }: Pick<Arrival, 'run'>) => insertFirst(core, entering(asked, run), mask)
    intoPipeline(core, who, seed, signal, insert).then(done, failed)
    return
  }
  core.ticks.addChange(insertion(arrival), {
    done: (job) => done(viewOf(job, mask)),
    failed: (error) => otherInstead(core, arrival, mask, error).then(done, failed),
  })
}

/** One of the jobs of `submitMany`. */
export interface SubmittedJob extends Omit<SubmitOptions, 'signal'> {
  /** The job type, or its name. */
  readonly type: AnyJobType | string
  /** Parsed by the type's input schema. */
  readonly input?: unknown
}

/** The options of `submitMany`. */
export interface SubmitManyOptions extends CallOptions {
  /** True: all jobs are stored in one commit, or none; at most 1,000. Default false. */
  readonly atomic?: boolean
}

/** The result for one job of `submitMany`. */
export type SubmitOutcome =
  | { readonly job: JobView; readonly error?: never }
  | { readonly error: unknown; readonly job?: never }

/** The most jobs that one commit may store together. */
const ATOMIC_MAX = 1_000
/**
 * The most jobs of `submitMany` that are in progress at once. With more, so much of their data is in memory at the same
 * time that its garbage collection takes longer than the commits that are saved.
 */
const AT_ONCE = 250

/** {@inheritDoc Session.submitMany} */
export async function submitMany(
  core: Core,
  who: Principal,
  jobs: readonly SubmittedJob[],
  options: SubmitManyOptions = {},
): Promise<readonly SubmitOutcome[]> {
  const { atomic = false, signal } = parseManyOptions(jobs, options)
  if (atomic) return (await submitTogether(core, who, jobs, signal)).map((job) => ({ job }))
  const outcomes: SubmitOutcome[] = []
  for (let start = 0; start < jobs.length; start += AT_ONCE) {
    signal?.throwIfAborted()
    const some = jobs.slice(start, start + AT_ONCE)
    outcomes.push(...(await eachAlone(core, who, some, signal === undefined ? {} : { signal })))
  }
  return outcomes
}

function eachAlone(
  core: Core,
  who: Principal,
  jobs: readonly SubmittedJob[],
  call: CallOptions,
): Promise<readonly SubmitOutcome[]> {
  return new Promise((resolve) => {
    const outcomes = new Array<SubmitOutcome>(jobs.length)
    let left = jobs.length
    for (const [index, job] of jobs.entries()) {
      const answered = (outcome: SubmitOutcome) => {
        outcomes[index] = outcome
        if (--left === 0) resolve(outcomes)
      }
      const failed = (error: unknown) => answered({ error })
      try {
        submit(core, who, job, optionsOf(job, call), { done: (view) => answered({ job: view }), failed })
      } catch (error) {
        failed(error)
      }
    }
  })
}

const JOB_OPTIONS = ['type', 'input', ...Object.keys(submitOptionsSchema.shape)]

// Returns `call` itself if the job has no options of its own, as most have none.
function optionsOf(job: SubmittedJob, call: CallOptions): SubmitOptions {
  for (const name in job) {
    if (name === 'type' || name === 'input') continue
    const { type, input, ...options } = job
    refuseUnknown(options, JOB_OPTIONS, 'is not a field of a job, which should be { type, input, … }; the fields are')
    return { ...options, ...call }
  }
  return call
}

async function submitTogether(
  core: Core,
  who: Principal,
  jobs: readonly SubmittedJob[],
  signal: AbortSignal | undefined,
): Promise<readonly JobView[]> {
  const asked: Asked[] = []
  const call = signal === undefined ? {} : { signal }
  for (const job of jobs) asked.push(await askedJob(core, who, job.type, job.input, optionsOf(job, call)))
  const stored = await untilUnchanged(async () => {
    const arrivals: Arrival[] = []
    for (const each of asked) {
      const entered = entering(each, await enteredPipeline(core, who, each.arrival.seed, signal))
      // Together with others, no run is replaced.
      arrivals.push(entered.overlap === 'replace' ? { ...entered, overlap: 'reject' } : entered)
    }
    return await insertTogether(core, arrivals)
  }).catch(async (error: unknown) => {
    throw await withoutHiddenJob(core, who, error)
  })
  return asked.flatMap(({ arrival, mask }) => {
    const job = stored.get(arrival.seed.id)
    return job === undefined ? [] : [viewOf(job, mask)]
  })
}

type Submitted = z.output<typeof submitOptionsSchema>

function parseSubmitOptions(options: SubmitOptions): Soon<Submitted> {
  for (const name in options) {
    if (name === 'signal') continue
    const { signal, ...given } = options
    return parseOptions(submitOptionsSchema, given)
  }
  return NO_OPTIONS
}

function seedOf(
  id: string,
  fixed: Pick<NewJob, 'tenant' | 'pipeline' | 'createdBy' | 'assignee' | 'labels'>,
  {
    priority,
    assignment,
    idempotencyKey,
    uniqueKey,
    startAt,
  }: Pick<Submitted, 'priority' | 'assignment' | 'idempotencyKey' | 'uniqueKey' | 'startAt'>,
  input: Json | undefined,
): NewJob {
  return {
    ...fixed,
    id,
    trigger: 'manual',
    priority,
    ...(input === undefined ? {} : { input }),
    ...(assignment === undefined ? {} : { assignment }),
    ...(idempotencyKey === undefined ? {} : { idempotencyKey }),
    ...(uniqueKey === undefined ? {} : { uniqueKey }),
    ...(startAt === undefined ? {} : { startAt }),
  }
}

function parseManyOptions(jobs: unknown, { atomic, signal }: SubmitManyOptions): SubmitManyOptions {
  if (atomic !== undefined && typeof atomic !== 'boolean') throw misfit('atomic', 'should be true or false')
  if (!Array.isArray(jobs)) throw misfit('jobs', 'should be a list of { type, input, … }')
  if (atomic === true && jobs.length > ATOMIC_MAX) {
    throw misfit('jobs', `should be at most ${ATOMIC_MAX} with atomic: true; found ${jobs.length}`)
  }
  for (const [index, job] of jobs.entries()) {
    if (typeof job !== 'object' || job === null) throw misfit(`jobs.${index}`, 'should be { type, input, … }')
    if (atomic === true && job.overlap === 'replace')
      throw misfit(`jobs.${index}.overlap`, "cannot be 'replace' with atomic: true")
  }
  return { ...(atomic === undefined ? {} : { atomic }), ...(signal === undefined ? {} : { signal }) }
}

/**
 * Stores a run. If its idempotency key was used before with the same input, or its unique key is held, returns that job
 * instead.
 */
export function insertFirst(core: Core, arrival: Arrival, mask: FieldMask): Promise<JobView> {
  return insertRun(core, arrival).then(
    (job) => viewOf(job, mask),
    (error: unknown) => otherInstead(core, arrival, mask, error),
  )
}

function otherInstead(core: Core, arrival: Arrival, mask: FieldMask, error: unknown): Promise<JobView> {
  if (error instanceof UniqueKeyHeldError) return holderInstead(core, arrival, mask, error)
  return firstInstead(core, arrival, mask, error)
}

async function holderInstead(
  core: Core,
  arrival: Arrival,
  mask: FieldMask,
  { jobId = '' }: UniqueKeyHeldError,
): Promise<JobView> {
  const holder = await core.storage.get(jobId).catch((error: unknown) => {
    throw isUnreadable(error) ? new UniqueKeyHeldError(undefined) : error
  })
  // The holder has ended meanwhile, so try again.
  if (holder === undefined || !holdsUniqueKey(holder)) return await insertFirst(core, arrival, mask)
  const shown = await allowed(core, arrival.who, holder, { action: 'get' })
  if (shown === undefined) throw new UniqueKeyHeldError(undefined)
  return viewOf(holder, narrower(mask, shown))
}

async function firstInstead(core: Core, arrival: Arrival, mask: FieldMask, error: unknown): Promise<JobView> {
  const { who, seed } = arrival
  const id = usedBy(error)
  if (seed.idempotencyKey === undefined || id === undefined) throw await withoutHiddenJob(core, who, error)
  const first = await core.storage.get(id)
  // The first job was deleted meanwhile, so try again.
  if (first === undefined || first.deletedAt !== undefined) return await insertFirst(core, arrival, mask)
  // With the same input, the first job is the answer. It shows no more than `get` would show.
  if (canonicalText(first.input) === canonicalText(seed.input)) {
    return viewOf(first, await maskOfAnswer(core, who, first, mask))
  }
  throw keyUsed((await allowed(core, who, first, { action: 'get' })) === undefined ? undefined : first.id)
}

/** The job that used the idempotency key before. `undefined`: the error has another cause. */
function usedBy(error: unknown): JobId | undefined {
  return hasCode(error, 'INVALID_INPUT') ? error.jobId : undefined
}

// `jobId`: the job that used the key before. Given only if the caller may see that job.
function keyUsed(jobId: string | undefined): JobchartError {
  return new JobchartError('INVALID_INPUT', 'the idempotency key was used before with another input', {
    issues: [{ message: 'used before with another input', path: ['idempotencyKey'] }],
    ...(jobId === undefined ? {} : { jobId }),
  })
}
