/**
 * The path of every change of every job:
 *
 * ```
 *  session call ─ authorize ─ parse ─┐
 *  report of a task ─────────────────┤
 *  timer, loss, admission, message ──┼─▶ queue ─▶ once per tick:  load ─ decide ─ commit ─ publish ─ start ─ answer
 *  what follows an end ──────────────┘            (one read)  (pure, in   (one
 *                                                              order)      transaction)
 * ```
 *
 * - A tick takes the waiting requests, up to a bound. It reads the jobs that they need, unless they are in memory. It
 *   decides the requests in order over one working set, so that each sees the ones before it. It commits them all in
 *   one transaction, which ends with the claim of ready tasks.
 * - Requests that build on each other form one changeset. If the storage refuses it, they are decided again, each
 *   alone.
 * - A changeset that conflicts with a faster process is decided again on the current rows.
 * - If a decision ends a job whose type has follow-ups, it waits while these are read and parsed. It is committed in a
 *   later tick if its jobs are unchanged; otherwise it is made again.
 * - Nothing is published, started or answered before it is committed.
 * - One tick runs at a time. Each begins in its own turn of the event loop.
 */
import { admit, type Decision, type DecisionContext, type JobDecision } from '../model/decision.ts'
import { JobchartError } from '../model/error.ts'
import type { Actor } from '../model/event.ts'
import { mayBeFollowed } from '../model/follow-up.ts'
import { claimableTasks, hadOneAttempt, hasRelatives, holdsSlot, type Job } from '../model/job.ts'
import type { PipelineChange } from '../model/pipeline.ts'
import type { LoadQuery, PipelineKey, Write, WrittenRow } from '../port/storage.ts'
import { ChangesetDraft, type Decided, type JobChange } from './changeset.ts'
import { type ClaimOfTick, claimOf, claimOne } from './claim.ts'
import { type CommitResult, type Committed, commit } from './commit.ts'
import { byEngine, type Core } from './core.ts'
import { runEffects } from './effects.ts'
import { type Followed, followAll, prepareFollowUps } from './follow-ups.ts'
import { freesPlace } from './limits.ts'
import type { Answer } from './soon.ts'
import { UniqueKeyHeldError } from './unique-key.ts'
import { nameOf, WorkingSet } from './working-set.ts'

/** One change of one or more jobs. */
export interface Change {
  readonly by: Actor
  /** The ids of the stored jobs that it needs. Each is read with its tree. */
  readonly jobs?: readonly string[]
  /** The record of one of these jobs, if known. Saves the read if the job has no parent or children. */
  readonly known?: Job
  /** Pipelines whose slot and next run it depends on. */
  readonly pipelines?: readonly PipelineKey[]
  /** Decides on the working set, or throws a typed refusal. `undefined`: nothing to change. */
  readonly decide?: (jobs: WorkingSet, context: DecisionContext) => Decision | undefined
  /** Writes without a decision: notes of an attempt, pipelines. */
  readonly writes?: readonly Write[]
  /** True: a caller asked for the new jobs, so a full queue refuses them. */
  readonly isAsked?: boolean
  /** The error if a limit of the storage is reached. Default: `STALE_CLAIM`, since a limit key has no free place. */
  readonly full?: (() => JobchartError) | undefined
  /** Called with each new or changed job, as committed. */
  readonly seen?: (job: Job) => void
  /** True: a conflict is answered with {@link ChangedMeanwhile} instead of deciding again. */
  readonly isAskedAgain?: boolean
  /** True: the attempt that ends has reported no progress. Progress is stored beside the record. */
  readonly withoutProgress?: boolean
}

/** Something that a change was based on has changed. The caller should read it again. */
export class ChangedMeanwhile extends Error {}

/** Repeats a call while it fails with {@link ChangedMeanwhile}. */
export async function untilUnchanged<Result>(ask: () => Promise<Result>): Promise<Result> {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if (!(error instanceof ChangedMeanwhile)) throw error
    }
  }
}

/** A change in progress. It is answered exactly once, even if something fails after that. */
class Request {
  readonly change: Change
  /** True: it is not combined with other requests, because together they were refused. */
  readonly isAlone: boolean
  /** True: its jobs are read again, because records in memory may be outdated. */
  readonly isStale: boolean
  draft: Draft | undefined
  /** Called with the committed job; `undefined`: the change was not about a job. */
  #answer: Answer<Job | undefined> | undefined

  constructor(change: Change, answer: Answer<Job | undefined> | undefined, isAlone = false, isStale = false) {
    this.change = change
    this.#answer = answer
    this.isAlone = isAlone
    this.isStale = isStale
  }

  done(job: Job | undefined): void {
    const answer = this.#answer
    this.#answer = undefined
    answer?.done(job)
  }

  failed(error: unknown): void {
    const answer = this.#answer
    this.#answer = undefined
    answer?.failed(error)
  }

  /** The same change, to be decided again on the current rows. */
  again(isAlone: boolean): Request {
    const request = new Request(this.change, this.#answer, isAlone, true)
    this.#answer = undefined
    return request
  }
}

/** A decision, with its follow-ups once they are known. */
class Draft implements Followed {
  readonly decision: Decision
  readonly jobs: JobDecision[]
  readonly pipelines: PipelineChange[]
  readonly turns: PipelineKey[] = []
  #asked: Followed['asked'] | undefined

  constructor(decision: Decision) {
    this.decision = decision
    // Other jobs of the tree may have changed although this one did not. Unchanged jobs are not written.
    this.jobs = isChanged(decision) ? [decision] : []
    for (const other of decision.others) if (isChanged(other)) this.jobs.push(other)
    this.pipelines = decision.pipelines === undefined ? [] : [...decision.pipelines]
  }

  // Created on demand, because most decisions have no follow-ups.
  get asked(): Followed['asked'] {
    this.#asked ??= new Map()
    return this.#asked
  }
}

/** The most requests per tick. More would block the event loop, and delay the first ones. */
const REQUESTS_MAX = 512
/** How long one tick decides. The rest waits for the next tick. */
const DECIDE_MS_MAX = 8

/** Accepts changes, and runs the ticks that make them. */
export class Ticks {
  readonly #core: Core
  #queue: Request[] = []
  #isRunning = false
  #mustClaim = false
  #isOver = false
  #preparing = 0
  #changesets = 0
  /** The highest log number that this engine knows. */
  #sequence: number

  constructor(core: Core, sequence: number) {
    this.#core = core
    this.#sequence = sequence
  }

  /** Whether nothing waits to be written or claimed. */
  get isIdle(): boolean {
    return this.#queue.length === 0 && !this.#isRunning && this.#preparing === 0
  }

  /**
   * Makes a change, along the whole path.
   *
   * @returns the committed job, if the change was about one.
   * @throws {JobchartError} the refusal of the decision or of the storage; `STORAGE_UNAVAILABLE`, `OUTCOME_UNKNOWN`.
   */
  submit(change: Change): Promise<Job | undefined> {
    return new Promise((done, failed) => this.add(change, { done, failed }))
  }

  /** As {@link submit}, for a change that is always about a job. */
  change(change: Change): Promise<Job> {
    return new Promise((done, failed) => this.addChange(change, { done, failed }))
  }

  /** As {@link change}, for callers that need no promise. */
  addChange(change: Change, { done, failed }: Answer<Job>): void {
    this.add(change, {
      done: (job) => {
        if (job === undefined) failed(new Error('a change of a job was committed without one'))
        else done(job)
      },
      failed,
    })
  }

  /** As {@link submit}, for callers that need no promise. */
  add(change: Change, answer: Answer<Job | undefined>): void {
    this.#enqueue(new Request(change, answer))
  }

  /** Claims ready tasks with the next tick. */
  claimSoon(): void {
    this.#mustClaim = true
    this.#runSoon()
  }

  /** Starts no more ticks. Waiting requests are told that the engine stopped. */
  end(): void {
    this.#isOver = true
    for (const request of this.#queue.splice(0)) request.failed(stopped())
  }

  #enqueue(request: Request): void {
    if (this.#isOver) request.failed(stopped())
    else {
      this.#queue.push(request)
      this.#runSoon()
    }
  }

  #runSoon(): void {
    if (this.#isRunning || this.#isOver) return
    this.#isRunning = true
    this.#core.clock.turn(() => void this.#run())
  }

  async #run(): Promise<void> {
    const requests = this.#take()
    try {
      await this.#tick([...requests])
    } catch (error) {
      // After an error in the tick itself, nobody must wait for ever. The rows tell what was written.
      this.#core.dispatcher.suspect()
      for (const request of requests) request.failed(error)
    }
    this.#isRunning = false
    if (this.#queue.length > 0 || this.#mustClaim) this.#runSoon()
    else this.#core.dispatcher.wake()
  }

  async #tick(requests: Request[]): Promise<void> {
    const jobs = await this.#load(requests)
    const drafts = this.#decide(jobs, requests)
    const claim = this.#claim(drafts)
    if (drafts.length === 0 && claim === undefined) return
    const at = this.#core.clock.now()
    const changesets = drafts.map((draft) => ({ id: this.#newId(), writes: draft.writes(at) }))
    const committed = await commit(this.#core.storage, changesets, claim?.claim, this.#sequence)
    const seen = committed.isUncertain ? await this.#readBack(drafts) : claimedJobs(committed)
    this.#tell(drafts, claim, committed, seen)
  }

  // If the answer of the commit was lost, its rows may also have been claimed; only reading them tells.
  async #readBack(drafts: readonly ChangesetDraft<Request>[]): Promise<ReadonlyMap<string, Job>> {
    this.#core.dispatcher.suspect()
    try {
      const jobs = await this.#core.storage.many(drafts.flatMap((draft) => draft.jobs.map(({ job }) => job.id)))
      return new Map(jobs.map((job) => [job.id, job]))
    } catch {
      // The next sweep compares running tasks with the rows, and finds it.
      return new Map()
    }
  }

  // The requests of the next tick. One that must be alone gets its own tick.
  #take(): Request[] {
    if (this.#queue[0]?.isAlone === true) return this.#queue.splice(0, 1)
    const alone = this.#queue.findIndex(({ isAlone }) => isAlone)
    return this.#queue.splice(0, alone < 0 ? REQUESTS_MAX : Math.min(alone, REQUESTS_MAX))
  }

  #newId(): string {
    return `${this.#core.instance}/${++this.#changesets}`
  }

  // Reads only what is not in memory. If the read fails, the requests that needed it fail, and the others go on.
  async #load(requests: Request[]): Promise<WorkingSet> {
    const core = this.#core
    const known = requests.map((request) => this.#known(request))
    const query = queryOf(core, requests, known)
    if (query === undefined) return holding(new WorkingSet(core), known)
    try {
      return holding(new WorkingSet(core, await core.storage.load(query)), known)
    } catch (error) {
      const needing = requests.filter(({ change }, index) => needsRead(change, known[index]))
      requests.splice(0, requests.length, ...requests.filter((each) => !needing.includes(each)))
      for (const request of needing) request.failed(error)
      return holding(new WorkingSet(core), known)
    }
  }

  #known({ change, isStale }: Request): Job | undefined {
    const [id] = change.jobs ?? []
    if (id === undefined || isStale) return undefined
    const known = this.#core.dispatcher.held(id) ?? change.known
    return known === undefined || hasRelatives(known) ? undefined : known
  }

  #decide(jobs: WorkingSet, requests: readonly Request[]): readonly ChangesetDraft<Request>[] {
    const drafts: Drafts = { all: [], byJob: new Map() }
    const until = this.#core.clock.elapsed() + DECIDE_MS_MAX
    let taken = 0
    for (const request of requests) {
      if (drafts.all.length > 0 && this.#core.clock.elapsed() > until) {
        this.#queue.unshift(...requests.slice(taken))
        break
      }
      taken++
      const decided = this.#decideOne(jobs, request)
      if (decided !== undefined) put(drafts, request, decided)
    }
    return drafts.all
  }

  /** Decides one request. `undefined`: nothing to write, or not yet. */
  #decideOne(jobs: WorkingSet, request: Request): Decided | undefined {
    const { change } = request
    try {
      const draft = this.#draftOf(jobs, request)
      request.draft = draft
      if (draft !== undefined) {
        const unasked = followAll(this.#core, jobs, draft)
        if (unasked.length > 0) {
          this.#prepare(request, draft, unasked)
          return undefined
        }
      }
      const decided = draft === undefined ? NONE : this.#withNextRuns(jobs, draft)
      if (decided.length === 0 && change.writes === undefined && (draft?.pipelines ?? NONE).length === 0) {
        if (draft !== undefined) runEffects(this.#core, draft.decision)
        request.done(draft?.decision.job)
        return undefined
      }
      jobs.apply(decided)
      const { writes = NONE, isAsked = false } = change
      jobs.note(writes)
      const { pipelines = NONE, decision } = draft ?? {}
      return { by: change.by, jobs: decided, pipelines, looked: decision?.looked ?? NONE, writes, isAsked }
    } catch (error) {
      if (error instanceof ChangedMeanwhile) this.#readAgain(change)
      request.failed(error)
      return undefined
    }
  }

  // Marks the jobs of a change to be read again. While their tasks run here, a record in memory may be older than its
  // row until the next poll.
  #readAgain({ jobs = [] }: Change): void {
    for (const id of jobs) this.#core.dispatcher.heard(id)
  }

  #draftOf(jobs: WorkingSet, { draft, change }: Request): Draft | undefined {
    if (draft !== undefined && jobs.isAsDecided(draft.jobs)) return draft
    const decision = change.decide?.(jobs, jobs.context())
    jobs.checkTypes()
    return decision === undefined ? undefined : new Draft(decision)
  }

  // Follow-ups are read and parsed outside the tick. The decision waits for them.
  #prepare(request: Request, draft: Draft, unasked: readonly JobDecision[]): void {
    this.#preparing++
    prepareFollowUps(this.#core, draft, unasked)
      .then(
        () => this.#enqueue(request),
        (error: unknown) => request.failed(error),
      )
      .finally(() => {
        this.#preparing--
        this.#core.dispatcher.wake()
      })
  }

  /** Adds the admission of the next run of each pipeline whose slot becomes free. */
  #withNextRuns(jobs: WorkingSet, { jobs: decided }: Draft): readonly JobDecision[] {
    let all: readonly JobDecision[] = decided
    for (const each of decided) {
      if (each.job.pipeline === undefined || !freesSlot(each)) continue
      if (!decided.some((other) => takesSlot(other, each))) all = [...all, ...this.#nextRun(jobs, decided, each.job)]
    }
    return all
  }

  #nextRun(jobs: WorkingSet, decided: readonly JobDecision[], freed: Job): readonly JobDecision[] {
    const { tenant, pipeline } = freed
    if (pipeline === undefined) return []
    try {
      const { next } = jobs.turn({ tenant, id: pipeline })
      // A run that the request itself changes, e.g. cancels, needs no admission here.
      if (next === undefined || decided.some(({ job }) => job.id === next.id)) return this.#lookLater()
      const admitted = admit(jobs.typeOf(next), next, jobs.context(), jobs)
      const all = [admitted, ...admitted.others]
      // A run that ends at its admission may have follow-ups, so it needs its own request.
      return all.some((each) => mayBeFollowed(each.type, each.before, each.job)) ? this.#lookLater() : all.map(byEngine)
    } catch {
      // A failing admission must not stop the end of the other job. The next sweep tries it again.
      return []
    }
  }

  #lookLater(): readonly JobDecision[] {
    this.#core.alarm.set(this.#core.clock.steady())
    return []
  }

  #claim(drafts: readonly ChangesetDraft<Request>[]): ClaimOfTick | undefined {
    const now = this.#core.clock.steady()
    this.#mustClaim ||= drafts.some(({ jobs }) => jobs.some(({ job }) => hasReadyTask(job, now)))
    // Abandoned code frees its place only after the commit, so claim in the next tick.
    if (!this.#mustClaim || drafts.some(({ jobs }) => jobs.some(abandons))) return undefined
    this.#mustClaim = false
    return claimOf(this.#core, this.#newId())
  }

  /** `seen`: jobs that were written after the drafts, for example by the claim of this tick. */
  #tell(
    drafts: readonly ChangesetDraft<Request>[],
    claim: ClaimOfTick | undefined,
    committed: Committed,
    seen: ReadonlyMap<string, Job>,
  ): void {
    const { dispatcher } = this.#core
    for (const [index, draft] of drafts.entries()) {
      const result = committed.results[index]
      if (result?.status === 'applied') this.#applied(draft, result.rows, seen)
      else this.#refused(draft, result)
    }
    for (const { rows } of committed.claimed) for (const row of rows) this.#publish(row)
    for (const row of committed.unheard) this.#publish(row)
    for (const decision of claim?.decisionsOf(committed.claimed) ?? []) runEffects(this.#core, decision)
    for (const job of seen.values()) dispatcher.committed(job)
    if (claim === undefined) return
    this.#mustClaim ||= committed.isFailed || claim.isCut(committed.claimed)
    dispatcher.backlog(claim.mayWait(committed.claimed))
    for (const each of claim.related) claimOne(this.#core, each)
  }

  // In this order: publish in log order, run the machines' own actions, start and stop tasks, answer.
  #applied(draft: ChangesetDraft<Request>, rows: readonly WrittenRow[], seen: ReadonlyMap<string, Job>): void {
    const core = this.#core
    for (const row of rows) this.#publish(row, this.#knownWhole(draft, row))
    for (const change of draft.jobs) {
      runEffects(core, change)
      if (!seen.has(change.job.id)) core.dispatcher.committed(change.job)
      if (freesPlace(change)) this.claimSoon()
    }
    for (const request of draft.requests) {
      const own = request.draft?.decision.job
      const tell = request.change.seen
      if (tell !== undefined)
        for (const { job } of request.draft?.jobs ?? NONE) tell(seen.get(job.id) ?? draft.job(job.id) ?? job)
      request.done(own === undefined ? undefined : (seen.get(own.id) ?? draft.job(own.id) ?? own))
    }
  }

  // Waiters for a job need not read it, if its whole row is known here. Progress is written beside the record.
  #knownWhole(draft: ChangesetDraft<Request>, { events }: WrittenRow): Job | undefined {
    const [request, ...others] = draft.requests
    if (others.length > 0 || request?.change.withoutProgress !== true) return undefined
    const job = draft.job(events.jobId)
    return job !== undefined && hadOneAttempt(job) ? job : undefined
  }

  #publish({ events, sequence }: WrittenRow, written?: Job): void {
    this.#sequence = Math.max(this.#sequence, sequence)
    this.#core.publisher.publish(events, sequence, written)
  }

  #refused({ requests }: ChangesetDraft<Request>, result: Refused | undefined): void {
    const [first, ...others] = requests
    if (first === undefined) return
    if (result?.status === 'failed') for (const request of requests) request.failed(result.error)
    else if (others.length > 0) this.#queue.unshift(...requests.map((each) => each.again(true)))
    else if (result?.status !== 'conflict') first.failed(refusal(result, first))
    else {
      this.#readAgain(first.change)
      if (first.change.isAskedAgain === true) first.failed(new ChangedMeanwhile())
      else this.#queue.unshift(first.again(first.isAlone))
    }
  }
}

interface Drafts {
  readonly all: ChangesetDraft<Request>[]
  /** The draft that writes a job, by the job's id. */
  readonly byJob: Map<string, ChangesetDraft<Request>>
}

/** Adds a decision, combined with the changesets of all jobs that it touches. */
function put(drafts: Drafts, request: Request, decided: Decided): void {
  let own: ChangesetDraft<Request> | undefined
  for (const { job } of decided.jobs) own = fused(drafts, own, job.id)
  for (const { id } of decided.looked) own = fused(drafts, own, id)
  if (own === undefined) {
    own = new ChangesetDraft(request, decided)
    drafts.all.push(own)
  } else own.add(request, decided)
  for (const { job } of decided.jobs) drafts.byJob.set(job.id, own)
}

function fused(
  { all, byJob }: Drafts,
  own: ChangesetDraft<Request> | undefined,
  id: string,
): ChangesetDraft<Request> | undefined {
  const other = byJob.get(id)
  if (other === undefined || other === own || own === undefined) return other ?? own
  for (const { job } of own.jobs) byJob.set(job.id, other)
  other.absorb(own)
  all.splice(all.indexOf(own), 1)
  return other
}

function claimedJobs({ claimed }: Committed): ReadonlyMap<string, Job> {
  return new Map(claimed.map(({ job }) => [job.id, job]))
}

type Refused = Exclude<CommitResult, { status: 'applied' }>

/** What to read for a tick. `undefined`: everything is in memory. */
function queryOf(core: Core, requests: readonly Request[], known: readonly (Job | undefined)[]): LoadQuery | undefined {
  const jobs = new Set<string>()
  const pipelines = new Map<string, PipelineKey>()
  let index = 0
  for (const { change, draft } of requests) {
    const job = known[index++]
    for (const id of change.jobs ?? NONE) if (id !== job?.id) jobs.add(id)
    for (const key of change.pipelines ?? NONE) pipelines.set(nameOf(key), key)
    for (const key of draft?.turns ?? NONE) pipelines.set(nameOf(key), key)
    if (job?.pipeline === undefined) continue
    const own = { tenant: job.tenant, id: job.pipeline }
    pipelines.set(nameOf(own), own)
  }
  if (jobs.size + pipelines.size === 0) return undefined
  return { jobs: [...jobs], pipelines: [...pipelines.values()], types: core.types.all(), at: core.clock.now() }
}

function needsRead({ jobs = [], pipelines = [] }: Change, known: Job | undefined): boolean {
  return pipelines.length > 0 || known?.pipeline !== undefined || jobs.some((id) => id !== known?.id)
}

function holding(jobs: WorkingSet, known: readonly (Job | undefined)[]): WorkingSet {
  for (const job of known) if (job !== undefined) jobs.hold(job)
  return jobs
}

function hasReadyTask(job: Job, now: number): boolean {
  return claimableTasks(job).some(({ availableAt }) => availableAt <= now)
}

const NONE: readonly never[] = []

function isChanged({ before, job }: JobDecision): boolean {
  return job.revision !== before?.revision
}

function abandons({ events }: JobChange): boolean {
  return events.some(({ type }) => type === 'task.abandoned')
}

function freesSlot({ before, job }: JobDecision): boolean {
  return before !== undefined && holdsSlot(before) && !holdsSlot(job)
}

// Whether a new job, such as a follow-up, already takes the freed slot.
function takesSlot({ before, job }: JobDecision, { job: freed }: JobDecision): boolean {
  return before === undefined && job.pipeline === freed.pipeline && holdsSlot(job)
}

const SLOT_TAKEN_FOR_NEW =
  "another run holds the pipeline's slot; try again when it has ended, or submit with overlap: 'queue' or 'replace'"
const SLOT_TAKEN =
  "the next state needs the pipeline's slot, which another run holds; try again when that run has ended"

function stopped(): JobchartError {
  return new JobchartError('ENGINE_STOPPED', 'the engine was stopped meanwhile')
}

function refusal(
  result: Exclude<Refused, { status: 'failed' | 'conflict' }> | undefined,
  { change, draft }: Request,
): Error {
  switch (result?.status) {
    case undefined:
      return new Error('the storage returned fewer results than changesets')
    case 'stale':
      return new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task, so its report was refused')
    case 'full':
      return (
        change.full?.() ??
        new JobchartError('STALE_CLAIM', 'the limit of its key is reached; the task waits for a free place')
      )
    case 'slot-taken':
      return new JobchartError(
        'ALREADY_RUNNING',
        draft?.decision.before === undefined ? SLOT_TAKEN_FOR_NEW : SLOT_TAKEN,
        result.by === undefined ? {} : { jobId: result.by },
      )
    case 'not-unique':
      return new UniqueKeyHeldError(result.by)
    case 'duplicate':
      return new JobchartError('INVALID_INPUT', 'the idempotency key was used before', { jobId: result.id })
  }
}
