/** What comes after a job that has ended, made part of the unit that ends it. */
import { create, type Decision, type JobDecision, type NewJob } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError, jobError, pipelineNotFound } from '../model/error.ts'
import { endedJob, type FollowUp, mayBeFollowed } from '../model/follow-up.ts'
import { holdsSlot, type Job } from '../model/job.ts'
import { type Pipeline, type PipelineChange, pausedAs, unpaused } from '../model/pipeline.ts'
import type { Json } from '../model/storable.ts'
import { durationMs } from '../model/time.ts'
import { type Core, ENGINE } from './core.ts'
import { byEngine, decideWith, moment, nextInTurn } from './deciding.ts'
import { newId } from './ids.ts'
import { followUpsSchema } from './options.ts'
import { parseInput, parseWith } from './parse.ts'

/** Jobs of one unit: beyond, each ends as it begins, and its end asks for the next one without end. */
const JOBS_MAX = 100

/** How long the schemas of what follows may take together: the end waits for them, and its slot and a sweep with it. */
const PARSING_MS_MAX = 5_000

/** A decision with what the types of the jobs that it ends say should follow them. */
export async function withFollowUps(core: Core, decision: Decision): Promise<Decision> {
  const decided = [decision, ...decision.others]
  if (!decided.some(isFollowed)) return decision
  const unit = new Following(core, decided)
  const [first = decision, ...others] = await unit.all()
  return { ...decision, ...first, others, pipelines: [...(decision.pipelines ?? []), ...unit.pipelines] }
}

function isFollowed({ type, before, job }: JobDecision): boolean {
  return mayBeFollowed(type, before, job)
}

/** The decisions of one unit, while what follows is added to them. */
class Following {
  readonly #core: Core
  readonly #until: number
  readonly #decided: JobDecision[]
  readonly #pipelines = new Map<string, PipelineChange>()
  #isUnread = false

  constructor(core: Core, decided: readonly JobDecision[]) {
    this.#core = core
    this.#until = core.clock.now() + PARSING_MS_MAX
    this.#decided = [...decided]
  }

  /** The pipelines that were looked at or changed. */
  get pipelines(): readonly PipelineChange[] {
    return [...this.#pipelines.values()]
  }

  async all(): Promise<readonly JobDecision[]> {
    // What follows may end as it begins, and be followed in its turn.
    for (let index = 0; index < this.#decided.length; index++) {
      const decided = this.#decided[index]
      if (decided !== undefined && isFollowed(decided)) this.#decided[index] = await this.#follow(decided)
    }
    return this.#decided
  }

  async #follow(decided: JobDecision): Promise<JobDecision> {
    const failed: { readonly kind: string; readonly error: unknown }[] = []
    const attempt = async <Result>(kind: string, run: () => Promise<Result>): Promise<Result | undefined> => {
      try {
        return await run()
      } catch (error) {
        // The end itself is tried again, and what follows with it. Told by where it came from: a type's own code may throw
        // an error of the same code each time that it is asked.
        if (this.#isUnread) throw error
        failed.push({ kind, error })
        return undefined
      }
    }
    const asked = await attempt('followUp', () => said(decided))
    for (const followUp of asked ?? []) await attempt(followUp.kind, () => this.#do(decided, followUp))
    return failed.reduce(withFailure, decided)
  }

  async #do({ type, job }: JobDecision, followUp: FollowUp): Promise<void> {
    const { types } = this.#core
    switch (followUp.kind) {
      case 'retry': {
        if (job.outcome === 'cancelled') throw new JobchartError('INVALID_STATE', 'a cancelled job is not tried again')
        const { createdBy, labels, priority, pipeline, retries = 0, id: retryOf } = job
        const retried = { createdBy, labels, priority, retryOf, retries: retries + 1, trigger: 'retry' } as const
        await this.#add(job, type, followUp, { ...retried, ...inPipeline(pipeline), ...inputOf(job) })
        return
      }
      case 'submit': {
        const { createdBy, priority } = job
        const seed = {
          createdBy,
          priority,
          labels: {},
          trigger: 'dependency',
          ...inPipeline(followUp.pipeline),
        } as const
        await this.#add(job, types.require(followUp.job), { input: undefined, ...followUp }, seed)
        return
      }
      case 'run': {
        const run = await this.#pipeline(job.tenant, followUp.pipeline)
        const { createdBy, labels, priority, id } = unpaused(run)
        const seed = { createdBy, labels, priority, pipeline: id, trigger: 'dependency', ...inputOf(run) } as const
        await this.#add(job, types.named(run.type), followUp, seed)
        return
      }
      case 'pause':
      case 'resume': {
        const before = await this.#pipeline(job.tenant, followUp.pipeline)
        const reason = followUp.kind === 'pause' ? followUp.reason : undefined
        if (before.paused !== reason) this.#change(pausedAs(before, reason, this.#core.clock.now()))
      }
    }
  }

  async #add(ended: Job, type: AnyJobType, followUp: Made, fixed: Fixed): Promise<void> {
    if (this.#decided.length > JOBS_MAX) {
      throw new JobchartError('INVALID_DEFINITION', `more than ${JOBS_MAX} jobs followed each other in one unit`)
    }
    const { delay, priority = fixed.priority, labels } = followUp
    const { input: kept, ...rest } = fixed
    const input = Object.hasOwn(followUp, 'input') ? await this.#parsed(type, followUp.input) : kept
    const startAt = delay === undefined ? undefined : (ended.endedAt ?? 0) + durationMs(delay, 'delay')
    const seed: NewJob = {
      ...rest,
      id: newId(this.#core),
      tenant: ended.tenant,
      priority,
      labels: { ...fixed.labels, ...labels },
      ...(input === undefined ? {} : { input }),
      ...(startAt === undefined ? {} : { startAt }),
      ...(await this.#turnOf(ended.tenant, fixed.pipeline, startAt)),
    }
    const decision = await decideWith(this.#core, (relatives) => create(type, seed, moment(this.#core), relatives))
    this.#decided.push(...[decision, ...decision.others].map(byEngine))
  }

  /** It waits for its time and its turn, but takes the slot that this very unit frees: nobody slips in between. */
  async #turnOf(
    tenant: string,
    pipeline: string | undefined,
    startAt: number | undefined,
  ): Promise<Pick<NewJob, 'isWaiting' | 'overlap'>> {
    const isLater = startAt !== undefined && startAt > this.#core.clock.now()
    if (pipeline === undefined) return isLater ? { isWaiting: true } : {}
    const isFree = !isLater && this.#isFreed(pipeline)
    const isNext = isFree && (await this.#read(nextInTurn(this.#core, tenant, pipeline))) === undefined
    return isNext ? {} : { isWaiting: true, overlap: 'queue' }
  }

  #isFreed(pipeline: string): boolean {
    const own = this.#decided.filter(({ job }) => job.pipeline === pipeline)
    return own.some(({ before }) => before !== undefined && holdsSlot(before)) && !own.some(({ job }) => holdsSlot(job))
  }

  async #read<Result>(read: Promise<Result>): Promise<Result> {
    try {
      return await read
    } catch (error) {
      this.#isUnread = true
      throw error
    }
  }

  // A schema may be asynchronous, and never answer.
  async #parsed(type: AnyJobType, input: unknown): Promise<Json | undefined> {
    const { clock } = this.#core
    let cancel = () => {}
    const silence = new Promise<never>((_, refuse) => {
      const late = () => refuse(new JobchartError('TIMEOUT', `the input of "${type.type}" was not parsed in time`))
      cancel = clock.timer(Math.max(0, this.#until - clock.now()), late)
    })
    try {
      return await Promise.race([parseInput(type, input), silence])
    } finally {
      cancel()
    }
  }

  async #pipeline(tenant: string, id: string): Promise<Pipeline> {
    const known = this.#pipelines.get(id)
    const found = known === undefined ? await this.#read(this.#core.storage.pipeline(tenant, id)) : known.after
    if (found === undefined) throw pipelineNotFound(id)
    // Looked at in the unit too: it may be paused, or gone, by then.
    if (known === undefined) this.#pipelines.set(id, { before: found, after: found })
    return found
  }

  #change(after: Pipeline): void {
    const before = this.#pipelines.get(after.id)?.before
    // One unit raises a revision once, however often it changes the row.
    const revision = (before?.revision ?? 0) + 1
    this.#pipelines.set(after.id, { ...(before === undefined ? {} : { before }), after: { ...after, revision } })
  }
}

type Made =
  Exclude<FollowUp, { readonly kind: 'pause' | 'resume' }> extends infer Each
    ? Omit<Each & { readonly input?: unknown }, 'kind' | 'job' | 'pipeline'>
    : never
type Fixed = Omit<NewJob, 'id' | 'tenant'>

async function said({ type, job }: JobDecision): Promise<readonly FollowUp[]> {
  const given: unknown = type.followUp?.(endedJob(job)) ?? []
  // No list, as is said below; that it rejects as well is no news, and must not end the process.
  if (given instanceof Promise) given.catch(() => {})
  return (await parseWith(followUpsSchema, given, 'what followUp gives')) as readonly FollowUp[]
}

function withFailure(decided: JobDecision, { kind, error }: { readonly kind: string; readonly error: unknown }) {
  const { stack, ...shown } = jobError(error)
  const event = { type: 'job.followUpFailed', kind, error: shown, by: ENGINE } as const
  const job = { ...decided.job, eventCount: decided.job.eventCount + 1 }
  return { ...decided, job, events: [...decided.events, event] }
}

function inPipeline(pipeline: string | undefined): { readonly pipeline?: string } {
  return pipeline === undefined ? {} : { pipeline }
}

function inputOf({ input }: { readonly input?: Json }): { readonly input?: Json } {
  return input === undefined ? {} : { input }
}
