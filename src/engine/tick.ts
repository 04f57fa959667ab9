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
 * - Requests that build on each other form one changeset. If the storage refuses the changeset, each of its requests is
 *   decided again, alone.
 * - If another process changed a job first, the changeset of this job conflicts. It is then decided again on the current
 *   rows. If the id of its new job is taken, it fails instead.
 * - If a decision ends a job whose type has follow-ups, the decision waits while these are read and parsed. It is
 *   committed in a later tick if its jobs are unchanged; otherwise it is made again.
 * - Nothing is published, started or answered before it is committed.
 * - One tick runs at a time. Each begins in its own turn of the event loop; so does its commit, if the decisions took
 *   long.
 */

import type { Answer } from '../context/soon.ts'
import {
  admit,
  type Decision,
  type DecisionContext,
  type JobDecision,
  type PipelineDecision,
} from '../model/decision.ts'
import { JobchartError } from '../model/error.ts'
import type { Actor } from '../model/event.ts'
import { mayHaveConsequences } from '../model/follow-up.ts'
import { claimableTasks, hadOneAttempt, hasRelatives, holdsSlot, type Job } from '../model/job.ts'
import type { PipelineChange } from '../model/pipeline-change.ts'
import type { LoadQuery, PipelineKey, Write, WrittenRow } from '../port/storage.ts'
import { ChangesetDraft, type Decided, type JobChange, joined } from './changeset.ts'
import { type ClaimOfTick, claimOf, claimOne } from './claim.ts'
import { type CommitResult, type Committed, commit } from './commit.ts'
import { byEngine, type Core } from './core.ts'
import { runEffects } from './effects.ts'
import { followAll, prepareFollowUps } from './follow-ups.ts'
import type { Followed } from './followed.ts'
import { freesPlace } from './limits.ts'
import { notified } from './notifying.ts'
import { turn } from './pause.ts'
import { UniqueKeyHeldError } from './unique-key.ts'
import { nameOf, WorkingSet } from './working-set.ts'

/** One change of one or more jobs. */
export interface Change {
  readonly by: Actor
  /** The ids of the stored jobs that the change needs. Each is read with its tree. */
  readonly jobs?: readonly string[]
  /**
   * The record of one of these jobs, if the caller has it. If the job has no parent or children, it is then not read.
   */
  readonly known?: Job
  /**
   * True: the jobs are read even if this engine has them in memory. Needed for changes on behalf of another process: a
   * record in memory is only as new as the last poll.
   */
  readonly isReadAnew?: boolean
  /** Pipelines whose slot and next run the change depends on. */
  readonly pipelines?: readonly PipelineKey[]
  /**
   * Decides on the jobs of the working set, or throws a typed refusal. Returns `undefined` if there is nothing to
   * change.
   */
  readonly decide?: (jobs: WorkingSet, context: DecisionContext) => Decision | PipelineDecision | undefined
  /** Writes without a decision, e.g. log lines and steps of an attempt. */
  readonly writes?: readonly Write[]
  /** Further writes, which depend on the decision. */
  readonly writesFor?: (decision: Decision) => readonly Write[]
  /**
   * True: a caller submitted the new jobs, so they are refused while the queue of their type (`limits.queued`) is full.
   */
  readonly isAsked?: boolean
  /**
   * Makes the error for a change that exceeds a limit of the storage. Default: `STALE_CLAIM`, because no place is free
   * under the limit key of a task that the change claims.
   */
  readonly full?: (() => JobchartError) | undefined
  /** Called with each new or changed job, as committed. */
  readonly seen?: (job: Job) => void
  /**
   * True: if the change conflicts, it fails with {@link ChangedMeanwhile}, so that the caller can ask the policy again.
   * Default: it is decided again.
   */
  readonly isAskedAgain?: boolean
  /**
   * True: the change ends an attempt that has reported no progress. Then the record has all shown fields of the job:
   * only progress is stored elsewhere.
   */
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

/** A change in progress. It is answered exactly once, even if something fails later. */
class Request {
  readonly change: Change
  /** True: the request gets a tick of its own, because it was refused together with others. */
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

/** A decision, to which its follow-ups are added once they are known. */
class Draft implements Followed {
  /** `undefined`: the request is about pipelines alone. */
  readonly decision: Decision | undefined
  readonly jobs: JobDecision[]
  pipelines: readonly PipelineChange[]
  readonly turns: PipelineKey[] = []
  readonly owed: Write[] = []
  #asked: Followed['asked'] | undefined

  constructor(decided: Decision | PipelineDecision) {
    this.decision = 'job' in decided ? decided : undefined
    this.jobs = []
    this.pipelines = decided.pipelines ?? NONE
    if (this.decision === undefined) return
    // Other jobs of the tree may have changed although this one did not. Unchanged jobs are not written.
    if (isChanged(this.decision)) this.jobs.push(this.decision)
    for (const other of this.decision.others) if (isChanged(other)) this.jobs.push(other)
  }

  // Created on demand, because most decisions have no follow-ups.
  get asked(): Followed['asked'] {
    this.#asked ??= new Map()
    return this.#asked
  }
}

/** The most requests per tick. More would block the event loop, and delay the first ones. */
const REQUESTS_MAX = 512
/** How long one tick decides, in milliseconds. Requests that are left wait for the next tick. */
const DECIDE_MS_MAX = 8

/** Accepts changes, and runs the ticks that make them. */
export class Ticks {
  readonly #core: Core
  #queue: Request[] = []
  #isRunning = false
  #mustClaim = false
  #isOver = false
  #preparing = 0
  /** Called after the next claim. */
  #afterClaim = new Set<() => void>()
  #changesets = 0
  /** The highest log number that this engine knows. */
  #sequence: number

  constructor(core: Core, sequence: number) {
    this.#core = core
    this.#sequence = sequence
  }

  /** Whether nothing waits to be written or claimed. A change that waits for its follow-ups counts as waiting. */
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

  /** Makes the next tick claim ready tasks. */
  claimSoon(): void {
    this.#mustClaim = true
    this.#runSoon()
  }

  /** Calls back after the next tick that claims ready tasks. Returns a function that cancels this. */
  afterClaim(run: () => void): () => void {
    this.#afterClaim.add(run)
    this.claimSoon()
    return () => this.#afterClaim.delete(run)
  }

  /** Starts no more ticks. Waiting requests fail with `ENGINE_STOPPED`. */
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
    const waiting = this.#afterClaim
    try {
      await this.#tick([...requests])
    } catch (error) {
      // After an error in the tick itself, its requests must still be answered. It is unknown what was written, so the
      // next sweep compares running tasks with the rows.
      this.#core.dispatcher.suspect()
      for (const request of requests) request.failed(error)
    }
    // `#claim` has replaced the set if this tick has claimed.
    if (waiting !== this.#afterClaim) for (const run of waiting) run()
    this.#isRunning = false
    if (this.#queue.length > 0 || this.#mustClaim) this.#runSoon()
    else this.#core.dispatcher.wake()
  }

  async #tick(requests: Request[]): Promise<void> {
    const jobs = await this.#load(requests)
    const begun = this.#core.clock.elapsed()
    const drafts = this.#decide(jobs, requests)
    // One decision may take long, e.g. if it begins a thousand child jobs. Then other work goes on before the commit.
    if (this.#core.clock.elapsed() - begun > DECIDE_MS_MAX) await turn(this.#core)
    const claim = this.#claim(drafts)
    if (drafts.length === 0 && claim === undefined) return
    const at = this.#core.clock.now()
    const changesets = drafts.map((draft) => ({ id: this.#newId(), writes: draft.writes(at) }))
    const committed = await commit(this.#core.storage, changesets, claim?.claim, this.#sequence)
    const seen = committed.isUncertain ? await this.#readBack(drafts) : claimedJobs(committed)
    this.#tell(drafts, claim, committed, seen)
  }

  // If the answer of the commit was lost, the claim of this tick may also have been committed, and may have changed
  // these jobs once more. So read them again.
  async #readBack(drafts: readonly ChangesetDraft<Request>[]): Promise<ReadonlyMap<string, Job>> {
    this.#core.dispatcher.suspect()
    try {
      const jobs = await this.#core.storage.many(drafts.flatMap((draft) => draft.jobs.map(({ job }) => job.id)))
      return new Map(jobs.map((job) => [job.id, job]))
    } catch {
      // The rows could not be read, so the callers get the jobs as this tick decided them. The next sweep compares
      // running tasks with the rows.
      return new Map()
    }
  }

  // Takes the requests of the next tick from the queue. A request that must be alone gets its own tick.
  #take(): Request[] {
    if (this.#queue[0]?.isAlone === true) return this.#queue.splice(0, 1)
    const alone = this.#queue.findIndex(({ isAlone }) => isAlone)
    return this.#queue.splice(0, alone < 0 ? REQUESTS_MAX : Math.min(alone, REQUESTS_MAX))
  }

  #newId(): string {
    return `${this.#core.instance}/${++this.#changesets}`
  }

  // Reads only the jobs that are not in memory. If the read fails, the requests that needed it fail, and the others go
  // on.
  async #load(requests: Request[]): Promise<WorkingSet> {
    const core = this.#core
    const known = requests.map((request) => this.#known(request))
    const query = queryOf(core, requests, known)
    if (query === undefined) return holding(new WorkingSet(core), known)
    try {
      return holding(new WorkingSet(core, await core.storage.load(query), query.pipelines), known)
    } catch (error) {
      const needing = requests.filter(({ change }, index) => needsRead(change, known[index]))
      requests.splice(0, requests.length, ...requests.filter((each) => !needing.includes(each)))
      for (const request of needing) request.failed(error)
      return holding(new WorkingSet(core), known)
    }
  }

  #known({ change, isStale }: Request): Job | undefined {
    const [id] = change.jobs ?? []
    if (id === undefined || isStale || change.isReadAnew === true) return undefined
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

  /** Decides one request. `undefined`: it needs no write, it was refused, or it waits for its follow-ups. */
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
      const changed = draft === undefined ? NONE : this.#withNextRuns(jobs, draft)
      const { pipelines = NONE, decision } = draft ?? {}
      const asked = { decided: changed, pipelines, by: change.by }
      const { jobs: decided, writes: notifications } = notified(this.#core, jobs, asked)
      if (decided.length === 0 && change.writes === undefined && pipelines.length === 0) {
        if (decision !== undefined) runEffects(this.#core, decision)
        request.done(decision?.job)
        return undefined
      }
      jobs.apply(decided)
      const { writes = NONE, isAsked = false } = change
      jobs.note(writes)
      const further = decision === undefined ? NONE : (change.writesFor?.(decision) ?? NONE)
      return {
        by: change.by,
        jobs: decided,
        pipelines,
        owed: draft?.owed ?? NONE,
        looked: decision?.looked ?? NONE,
        writes: joined(joined(writes, further), notifications),
        isAsked,
      }
    } catch (error) {
      if (error instanceof ChangedMeanwhile) this.#readAgain(change)
      request.failed(error)
      return undefined
    }
  }

  // Makes later ticks read the jobs of a change again. The engine keeps the records of jobs whose tasks run here in
  // memory, and such a record may be older than its row until the next poll.
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
    this.#outside(
      request,
      prepareFollowUps(this.#core, draft, unasked).then(() => this.#enqueue(request)),
    )
  }

  // Lets a request wait for work outside the tick. If the work fails, so does the request.
  #outside(request: Request, work: Promise<void>): void {
    this.#preparing++
    work
      .catch((error: unknown) => request.failed(error))
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
      // A run that this request itself changes, e.g. cancels, must not be admitted here.
      if (next === undefined || decided.some(({ job }) => job.id === next.id)) return this.#lookLater()
      const admitted = admit(jobs.typeOf(next), next, jobs.context(), jobs)
      const all = [admitted, ...admitted.others]
      // The follow-ups of this request are decided by now, and so are the runs that it causes. Those of a run that ends
      // as soon as it is admitted would be missed, so such a run is admitted by a later request of its own.
      return all.some(mayHaveConsequences) ? this.#lookLater() : all.map(byEngine)
    } catch {
      // If the admission fails, the other job must still end. The next sweep tries the admission again.
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
    // The place of abandoned code is free only after the commit, so let the next tick claim.
    if (!this.#mustClaim || drafts.some(({ jobs }) => jobs.some(abandons))) return undefined
    this.#mustClaim = false
    this.#afterClaim = new Set()
    return claimOf(this.#core, this.#newId())
  }

  /**
   * Handles the results of a commit. `seen`: records that count instead of those of the drafts, by job id. The claim of
   * this tick wrote them; or, if the answer of the commit was lost, all were read again.
   */
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
    claim.give(committed.claimed)
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
      if (change.events.length === 0) core.publisher.changed(change.job.id)
      if (freesPlace(change)) this.claimSoon()
    }
    for (const at of draft.dueTimes) if (at < core.clock.now() + core.settings.sweepMs) core.alarm.setByWall(at)
    for (const request of draft.requests) {
      const own = request.draft?.decision?.job
      const tell = request.change.seen
      if (tell !== undefined)
        for (const { job } of request.draft?.jobs ?? NONE) tell(seen.get(job.id) ?? draft.job(job.id) ?? job)
      request.done(own === undefined ? undefined : (seen.get(own.id) ?? draft.job(own.id) ?? own))
    }
  }

  // Returns the job's record if it is the whole row, so that callers who wait for the job need not read it. Progress is
  // not stored in the record, so only a job that has reported none qualifies.
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
      const ids = newIds(first.draft)
      if (ids.length > 0) this.#outside(first, this.#unlessTaken(first, ids))
      else if (first.change.isAskedAgain === true) first.failed(new ChangedMeanwhile())
      else this.#queue.unshift(first.again(first.isAlone))
    }
  }

  // A new job whose id is taken would conflict for ever.
  async #unlessTaken(request: Request, ids: readonly string[]): Promise<void> {
    const [taken] = await this.#core.storage.many(ids)
    if (taken !== undefined) request.failed(idTaken(taken.id))
    else if (request.change.isAskedAgain === true) request.failed(new ChangedMeanwhile())
    else this.#enqueue(request.again(request.isAlone))
  }
}

interface Drafts {
  readonly all: ChangesetDraft<Request>[]
  /** By job id: the draft that writes the job. */
  readonly byJob: Map<string, ChangesetDraft<Request>>
}

/**
 * Adds a decision to the drafts. If the decision touches jobs of earlier drafts, these drafts and the decision become
 * one.
 */
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

/**
 * The ids of the new jobs of a change that stores a new job. The ids of follow-ups and child jobs of a stored job are
 * drawn again with each decision, so none of them is returned.
 */
function newIds(draft: Draft | undefined): readonly string[] {
  if (draft?.decision === undefined || draft.decision.before !== undefined) return NONE
  return draft.jobs.filter(({ before }) => before === undefined).map(({ job }) => job.id)
}

function idTaken(id: string): JobchartError {
  return new JobchartError(
    'INVALID_DEFINITION',
    `the new job has the id ${id}, which another job has: two engines draw the same ids, e.g. because each has a virtualClock() of its own with the same seed. Give both one clock, or clocks with different seeds`,
  )
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
        draft?.decision?.before === undefined ? SLOT_TAKEN_FOR_NEW : SLOT_TAKEN,
        result.by === undefined ? {} : { jobId: result.by },
      )
    case 'not-unique':
      return new UniqueKeyHeldError(result.by)
    case 'duplicate':
      return new JobchartError('INVALID_INPUT', 'the idempotency key was used before', { jobId: result.id })
  }
}
