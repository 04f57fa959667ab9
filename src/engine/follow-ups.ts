/**
 * Follow-ups of a job that has ended, and the runs that pipelines must start because they depend on it (`owed`). They
 * are committed with the job's end or not at all.
 *
 * ```
 *  a decision ends the job ─▶ call its type's followUp ─▶ read and parse each result ─▶ add them in a later tick
 *                             └────────────── outside the tick ───────────────────┘
 * ```
 *
 * A follow-up that fails becomes a `job.followUpFailed` event of the job. The job's end and the other follow-ups are
 * committed all the same. A job that a follow-up creates may end at once, and then has follow-ups itself.
 */

import { parseWith } from '../context/parse-with.ts'
import type { ItemsToRetry } from '../model/batch-piece.ts'
import type { JobDecision, NewJob } from '../model/decision.ts'
import { defined } from '../model/defined.ts'
import type { AnyJobType } from '../model/definition.ts'
import { hasCode, JobchartError, jobError, pipelineNotFound } from '../model/error.ts'
import { endedJob, type FollowUp, mayBeFollowed, mayCauseRuns } from '../model/follow-up.ts'
import type { Job } from '../model/job.ts'
import { type Pipeline, startable } from '../model/pipeline.ts'
import { continued } from '../model/step-key.ts'
import type { Json } from '../model/storable.ts'
import { durationMs } from '../model/time.ts'
import type { Principal } from '../port/policy.ts'
import { absentPrincipal } from './absent-principal.ts'
import { authorizePipeline } from './authorization.ts'
import { retriedItems } from './batch-items.ts'
import { type Core, ENGINE } from './core.ts'
import { dependantsOf, owedTo } from './dependants.ts'
import { authorizeNew, type FactsScope, factsOf, factsOfRetry } from './facts.ts'
import { followUpsSchema } from './follow-up-options.ts'
import {
  blockerOf,
  changeStatus,
  createIn,
  type Followed,
  failUnfollowed,
  look,
  passStatus,
  pause,
  type Step,
  skipRun,
} from './followed.ts'
import { newId } from './ids.ts'
import { parseInput } from './parse.ts'
import type { WorkingSet } from './working-set.ts'

/**
 * The longest time for the schemas of all follow-ups together, in milliseconds. The job's end waits for them, and keeps
 * its slot meanwhile.
 */
const PARSING_MS_MAX = 5_000

/**
 * The longest time for all questions to the policy, in milliseconds. It is longer than the 5 s for one answer, so that
 * a policy that never answers counts as a denial.
 */
const ASKING_MS_MAX = 6_000

/**
 * Adds the follow-ups that are prepared to the decision.
 *
 * @returns the ended jobs whose follow-ups are not prepared yet.
 */
export function followAll(core: Core, jobs: WorkingSet, followed: Followed): readonly JobDecision[] {
  const unasked: JobDecision[] = []
  for (let index = 0; index < followed.jobs.length; index++) {
    const decided = followed.jobs[index]
    if (decided === undefined || !hasConsequences(jobs, decided)) continue
    const steps = followed.asked.get(decided.job.id)
    if (steps === undefined) unasked.push(decided)
    else {
      followed.asked.set(decided.job.id, [])
      let ended = decided
      for (const step of steps) {
        ended = added(core, jobs, followed, ended, step)
        followed.jobs[index] = ended
      }
    }
  }
  return unasked
}

function hasConsequences(jobs: WorkingSet, { type, before, job }: JobDecision): boolean {
  return mayBeFollowed(type, before, job) || (mayCauseRuns(before, job) && jobs.mayHaveDependants(job, type))
}

function added(core: Core, jobs: WorkingSet, followed: Followed, ended: JobDecision, step: Step): JobDecision {
  try {
    step.add(core, jobs, followed)
    return ended
  } catch (error) {
    return withFailure(ended, step.kind, error)
  }
}

/**
 * Calls `followUp` of the types of ended jobs, and reads and parses the results.
 *
 * @throws {JobchartError} the storage could not be read. The request that ends the job then fails, and nothing is written.
 */
export async function prepareFollowUps(core: Core, followed: Followed, ends: readonly JobDecision[]): Promise<void> {
  const late = new AbortController()
  const tooLate = new JobchartError('TIMEOUT', 'the policy did not answer in time')
  const cancel = core.clock.timer(ASKING_MS_MAX, () => late.abort(tooLate))
  const until = core.clock.steady() + PARSING_MS_MAX
  try {
    for (const ended of ends) {
      const preparation = new Preparation(core, followed, ended, { until, signal: late.signal })
      const steps = [...(await stepsOf(preparation, ended))]
      const { id, tenant, pipeline } = ended.job
      const own = pipeline === undefined ? undefined : await core.storage.pipeline(tenant, pipeline)
      if (own?.statusJob === id) steps.push({ kind: 'status', add: (_, __, all) => failUnfollowed(core, all, own, id) })
      const found = await dependantsOf(core.storage, ended, own)
      const owe: Step = {
        kind: 'dependsOn',
        add: (_, __, { owed }) => owed.push(...owedTo(found, ended.job, core.clock.now())),
      }
      followed.asked.set(id, found.length === 0 ? steps : [...steps, owe])
    }
  } finally {
    cancel()
  }
}

async function stepsOf(preparation: Preparation, ended: JobDecision): Promise<readonly Step[]> {
  const asked = await said(ended).catch((error: unknown) => [failing('followUp', error)])
  const steps: Step[] = []
  for (const each of asked) {
    if ('add' in each) steps.push(each)
    else {
      const step = preparation.step(each)
      steps.push(await step.catch((error: unknown) => failing(each.kind, preparation.unlessOver(error))))
    }
  }
  return steps
}

async function said({ type, job }: JobDecision): Promise<readonly (FollowUp | Step)[]> {
  const given: unknown = type.followUp?.(endedJob(job)) ?? []
  // `parseWith` refuses a promise. Its rejection is ignored here, so that it does not end the process.
  if (given instanceof Promise) given.catch(() => {})
  return (await parseWith(followUpsSchema, given, 'what followUp gives')) as readonly FollowUp[]
}

function failing(kind: string, error: unknown): Step {
  return {
    kind,
    add: () => {
      throw error
    },
  }
}

/**
 * Marks a failed read of the storage. The code of the error is no proof, because `followUp` may throw an error with the
 * same code.
 */
class Unread extends Error {}

async function read<Result>(reading: Promise<Result>): Promise<Result> {
  return await reading.catch((cause: unknown) => {
    throw new Unread('the storage could not be read', { cause })
  })
}

/** Reads and parses one follow-up. */
class Preparation {
  readonly #core: Core
  readonly #followed: Followed
  readonly #ended: JobDecision
  readonly #until: number
  /**
   * Aborted when the time for all questions to the policy is over. Otherwise a policy that never answers would take 5 s
   * for each question.
   */
  readonly #signal: AbortSignal

  constructor(core: Core, followed: Followed, ended: JobDecision, bounds: { until: number; signal: AbortSignal }) {
    this.#core = core
    this.#followed = followed
    this.#ended = ended
    this.#until = bounds.until
    this.#signal = bounds.signal
  }

  /** Returns the error if it makes only this follow-up fail. @throws the error if it ends the whole preparation. */
  unlessOver(error: unknown): unknown {
    if (error instanceof Unread) throw error.cause
    if (this.#core.stopped.aborted) throw error
    return error
  }

  async step(followUp: FollowUp): Promise<Step> {
    const { type, job } = this.#ended
    this.#signal.throwIfAborted()
    const who = await absentPrincipal(this.#core, job, this.#signal)
    switch (followUp.kind) {
      case 'retry': {
        if (job.outcome === 'cancelled') throw new JobchartError('INVALID_STATE', 'a cancelled job is not tried again')
        const { createdBy, assignee, labels, priority, pipeline, uniqueKey, retries = 0, id: retryOf } = job
        const fresh = isFresh(followUp)
        const items = await this.#retriedItems(fresh, followUp.items)
        const own = { ...continued(job, fresh, followUp.items), ...items }
        const link = { retryOf, retries: retries + 1, trigger: 'retry', ...own } as const
        const { input, assignment } = job
        const kept = defined({ assignee, assignment, uniqueKey, pipeline, input })
        const retried = { createdBy, labels, priority, ...link, ...kept }
        return await this.#creation(who, type, followUp, retried, await this.#stored(pipeline))
      }
      case 'submit': {
        const { createdBy, priority } = job
        const own = { createdBy, priority, labels: {}, trigger: 'dependency' } as const
        const asked = { input: undefined, ...followUp }
        const entered = await this.#stored(followUp.pipeline)
        if (entered !== undefined) await this.#authorizePipeline(who, entered, 'runPipeline')
        const made = this.#core.types.require(followUp.job)
        return await this.#creation(who, made, asked, { ...own, ...defined({ pipeline: followUp.pipeline }) }, entered)
      }
      case 'run': {
        const run = await this.#pipeline(followUp.pipeline)
        await this.#authorizePipeline(who, run, 'runPipeline')
        const { createdBy, labels, priority, id } = run
        const given = defined({ input: run.input, assignment: run.assignment })
        const fixed = { createdBy, labels, priority, pipeline: id, trigger: 'dependency', ...given } as const
        return await this.#creation(who, this.#core.types.named(run.type), followUp, fixed, run)
      }
      case 'pause':
      case 'resume': {
        const found = await this.#pipeline(followUp.pipeline)
        await this.#authorizePipeline(who, found, 'pausePipeline')
        const reason = followUp.kind === 'pause' ? followUp.reason : undefined
        return { kind: followUp.kind, add: (core, _, followed) => pause(core, followed, found, reason) }
      }
      case 'status': {
        const found = await this.#pipeline(followUp.pipeline)
        await this.#authorizePipeline(who, found, 'pausePipeline')
        const { kind, status } = followUp
        return { kind, add: (core, _, followed) => changeStatus(core, followed, ofNow(found, job), status) }
      }
    }
  }

  async #creation(who: Principal, type: AnyJobType, followUp: Made, fixed: Fixed, run?: Pipeline): Promise<Step> {
    const { delay, priority = fixed.priority, labels, assignee, assignment = fixed.assignment } = followUp
    const { input: kept, assignee: assigned, assignment: _, ...rest } = fixed
    const { job } = this.#ended
    const { tenant, endedAt = 0 } = job
    // An end time later than now came from a wrong clock. Then the delay counts from now.
    const from = Math.min(endedAt, this.#core.clock.now())
    const parsed = async () => (Object.hasOwn(followUp, 'input') ? await this.#parsed(type, followUp.input) : kept)
    const asked = { labels: { ...fixed.labels, ...labels }, assignee }
    const decided = (scope: FactsScope) =>
      followUp.kind === 'retry' ? factsOfRetry(type, scope, { ...asked, kept: assigned }) : factsOf(type, scope, asked)
    const owned = { tenant, createdBy: fixed.createdBy, ...defined({ pipeline: fixed.pipeline }) }
    const { facts, input } = await authorizeNew(this.#core, who, type, owned, decided, parsed, this.#signal)
    const startAt = delay === undefined ? undefined : from + durationMs(delay, 'delay')
    if (fixed.pipeline !== undefined) this.#followed.turns.push({ tenant, id: fixed.pipeline })
    const seed: NewJob = {
      ...rest,
      id: newId(this.#core),
      tenant,
      priority,
      ...facts,
      ...defined({ input, assignment: assignment ?? undefined, startAt }),
    }
    return {
      kind: followUp.kind,
      add: (core, jobs, followed) => {
        if (run !== undefined) {
          // The pipeline as this changeset leaves it: an earlier follow-up may have paused or resumed it. A retry may be
          // that of the job which provisions it. If the pipeline was changed since it was read, the changeset is refused.
          const now = look(followed, run)
          const mayProvision = seed.trigger === 'retry' && !isOfEarlier(run, job)
          if (!mayProvision || now.paused !== undefined) startable(now)
          const blocker = blockerOf(core, jobs, followed, seed, run)
          if (blocker !== undefined) return skipRun(core, followed, run, seed, blocker)
          if (seed.retryOf !== undefined) passStatus(followed, run, seed.retryOf, seed.id)
        }
        createIn(core, jobs, followed, type, seed)
      },
    }
  }

  async #retriedItems(fresh: boolean, items: ItemsToRetry | undefined): Promise<Pick<NewJob, 'again'>> {
    try {
      return await retriedItems(this.#core.storage, this.#ended.job, fresh, items)
    } catch (error) {
      if (hasCode(error, 'INVALID_STATE')) throw error
      throw new Unread('the storage could not be read', { cause: error })
    }
  }

  async #pipeline(id: string): Promise<Pipeline> {
    const found = await this.#stored(id)
    if (found === undefined) throw pipelineNotFound(id)
    return found
  }

  async #stored(id: string | undefined): Promise<Pipeline | undefined> {
    if (id === undefined) return undefined
    return await read(this.#core.storage.pipeline(this.#ended.job.tenant, id))
  }

  async #authorizePipeline(who: Principal, pipeline: Pipeline, action: 'runPipeline' | 'pausePipeline'): Promise<void> {
    await authorizePipeline(this.#core, who, pipeline, action, this.#signal)
  }

  // A schema may be asynchronous, and may never answer.
  async #parsed(type: AnyJobType, input: unknown): Promise<Json | undefined> {
    const { clock } = this.#core
    let cancel = () => {}
    const silence = new Promise<never>((_, refuse) => {
      const late = () => refuse(new JobchartError('TIMEOUT', `the input of "${type.type}" was not parsed in time`))
      cancel = clock.timer(Math.max(0, this.#until - clock.steady()), late)
    })
    try {
      return await Promise.race([parseInput(type, input), silence])
    } finally {
      cancel()
    }
  }
}

type Made =
  Exclude<FollowUp, { readonly kind: 'pause' | 'resume' | 'status' }> extends infer Each
    ? Omit<Each & { readonly input?: unknown }, 'kind' | 'job' | 'pipeline'> & { readonly kind: string }
    : never
type Fixed = Omit<NewJob, 'id' | 'tenant'>

function withFailure(decided: JobDecision, kind: string, thrown: unknown): JobDecision {
  const { stack, ...error } = jobError(thrown)
  const event = { type: 'job.followUpFailed', kind, error, by: ENGINE } as const
  const job = { ...decided.job, eventCount: decided.job.eventCount + 1 }
  return { ...decided, job, events: [...decided.events, event] }
}

// Whether the job was submitted to an earlier pipeline with the same id, and another job decides the status of this one.
function isOfEarlier({ id, statusJob = '', createdAt }: Pipeline, job: Job): boolean {
  return job.pipeline === id && statusJob !== '' && statusJob !== job.id && job.createdAt < createdAt
}

function ofNow(pipeline: Pipeline, job: Job): Pipeline {
  if (!isOfEarlier(pipeline, job)) return pipeline
  const why = `pipeline "${pipeline.id}" was deleted and defined again after this job was submitted`
  throw new JobchartError('INVALID_STATE', `${why}, so its status belongs to another job`)
}

// Steps that were recorded for another input must not be reused.
function isFresh(followUp: Extract<FollowUp, { readonly kind: 'retry' }>): boolean {
  return followUp.fresh === true || Object.hasOwn(followUp, 'input')
}
