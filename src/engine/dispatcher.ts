import { claim, end, isSuspect, release, type TaskEnd } from '../model/decision.ts'
import { isUnreadable, JobchartError, jobError } from '../model/error.ts'
import type { Job } from '../model/job.ts'
import type { Executor, Work } from '../port/executor.ts'
import type { Route } from '../port/storage.ts'
import { advance, type Change, dispatch } from './advance.ts'
import { Attempt } from './attempt.ts'
import { ClaimRound } from './claim-round.ts'
import { type Core, ENGINE } from './core.ts'
import { isStorageFailure } from './health.ts'
import { routeOf } from './limits.ts'
import { pause, STORAGE_RETRY_MS } from './pause.ts'

/** Tasks claimed in one transaction at most, so that a large executor does not hold the store's lock for long. */
const CLAIMS_MAX = 100

/**
 * Starts what was claimed, stops what the chart has left, and reports ends.
 *
 * ```
 *  ready in storage ── claim, as many as there is room ──▶ executor ── end ──▶ advance
 *                                                             ▲
 *                     observe(job): no longer held ── abort ──┘
 * ```
 *
 * What must be running is what the job's row holds under this instance. Ids are never queued here: the backlog stays
 * in storage, and memory is what runs.
 */
export class Dispatcher {
  readonly #core: () => Core
  readonly #attempts = new Map<string, Attempt>()
  /** The same, by their jobs. */
  readonly #byJob = new Map<string, Set<Attempt>>()
  readonly #void = new Set<Attempt>()
  readonly #reserved = new Map<string, number>()
  readonly #backlog = new Set<string>()
  #isClaiming = false
  #isWanted = false
  /** Nothing is claimed before the engine has started, and after it stops. */
  #isOpen = false
  #mustReconcile = false
  readonly #unobserved = new Set<string>()
  readonly #ended = new Set<string>()
  /** Jobs whose claim was refused, as one over relatives can be: they are left until the next sweep, and block no other. */
  readonly #refused = new Set<string>()
  #waiters: (() => void)[] = []

  constructor(core: () => Core) {
    this.#core = core
  }

  /** Nothing runs, and nothing is about to be claimed. Abandoned code does not count. */
  get isIdle(): boolean {
    return this.#attempts.size === this.#void.size && !this.#isClaiming && !this.#mustReconcile
  }

  /** Resolves when an attempt or a round of claims has ended, or `wake` was called. */
  nextChange(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Wakes whoever waits for a change. */
  wake(): void {
    const waiters = this.#waiters
    this.#waiters = []
    for (const resolve of waiters) resolve()
  }

  /** Attempts whose end has not been reported, without abandoned ones. */
  get attempts(): readonly Attempt[] {
    return [...this.#attempts.values()].filter((attempt) => !this.#void.has(attempt))
  }

  /** In-process functions that were given up and have not returned. */
  get abandoned(): number {
    return this.#void.size
  }

  /** Takes a place for a task that is about to be claimed. */
  reserve(executor: string): boolean {
    if (this.room(executor) < 1) return false
    this.#reserved.set(executor, (this.#reserved.get(executor) ?? 0) + 1)
    return true
  }

  /** Gives a reserved place back: its task starts now, or was not claimed. */
  giveBack(executor: string, places = 1): void {
    this.#reserved.set(executor, (this.#reserved.get(executor) ?? 0) - places)
  }

  /** Looks for ready tasks in the next turn. */
  claimSoon(): void {
    if (!this.#isOpen || !this.#core().settings.work) return
    this.#isWanted = true
    if (this.#isClaiming) return
    this.#isClaiming = true
    this.#core().clock.turn(() => void this.#claimAll())
  }

  /** Runs a task that this engine has claimed. */
  start(job: Job, invocation: number): void {
    const core = this.#core()
    const task = job.tasks.find(
      (each) => each.invocation === invocation && (each.status === 'claimed' || each.status === 'stopping'),
    )
    if (task === undefined || this.#attempts.has(attemptKey(job.id, task.token))) return
    const attempt = new Attempt(core, core.types.require(job), job, task)
    this.#attempts.set(attemptKey(job.id, task.token), attempt)
    this.#byJob.set(job.id, (this.#byJob.get(job.id) ?? new Set()).add(attempt))
    void this.#run(core, attempt)
  }

  /** Stops the attempts that the job, as it is now, no longer holds. */
  observe(job: Job): void {
    for (const attempt of this.#byJob.get(job.id) ?? []) {
      // A row that was read before the attempt was claimed knows nothing of it.
      if (job.revision < attempt.job.revision) continue
      const task = job.tasks.find(({ token, status }) => token === attempt.task.token && status !== 'available')
      if (job.revision >= (attempt.held?.revision ?? 0)) attempt.held = task?.status === 'claimed' ? job : undefined
      // Code that has ended has nothing to stop, and is not abandoned.
      if (attempt.hasEnded) continue
      if (task?.status === 'claimed') {
        attempt.deliver(task)
        continue
      }
      attempt.obey(task ?? attempt.task)
      if (task === undefined) this.#void.add(attempt)
    }
  }

  /**
   * The job as it was last seen, while work of it is held here: whatever happens to it next is heard of, be it of this
   * engine or of another's. Undefined: its row tells.
   */
  heldHere(jobId: string): Job | undefined {
    if (this.#mustReconcile || this.#unobserved.has(jobId) || this.#core().health.isDegraded) return undefined
    for (const { held } of this.#byJob.get(jobId) ?? []) if (held !== undefined) return held
    return undefined
  }

  /** Something happened to the job elsewhere. */
  heard(jobId: string): void {
    if (this.#byJob.has(jobId)) this.#unobserved.add(jobId)
  }

  /** Reads again the jobs that something happened to elsewhere, where this engine runs something of them. */
  async observeElsewhere(): Promise<void> {
    for (const id of this.#unobserved) {
      const job = this.#byJob.has(id) ? await this.#core().storage.get(id).catch(goOnIfBroken) : undefined
      if (job !== undefined) this.observe(job)
      else for (const attempt of this.#byJob.get(id) ?? []) attempt.held = undefined
      // Only now: a read that fails leaves it for the next poll.
      this.#unobserved.delete(id)
    }
  }

  /** A write may have landed unheard: the next sweep compares what runs with the rows. */
  suspect(): void {
    this.#mustReconcile = true
  }

  /**
   * After an error it is not known what was written: starts what the storage says is held here and does not run, stops
   * what it does not hold, and wakes whoever waits.
   */
  async reconcile(): Promise<void> {
    const core = this.#core()
    // After a failure those behind the refused go first: one whose reads fail again and again would keep them waiting.
    if (!core.health.isDegraded) this.#refused.clear()
    if (!this.#mustReconcile) return
    this.#ended.clear()
    const held = await core.storage.held(core.instance)
    for (const job of held) {
      for (const { holder, token, invocation } of job.tasks) {
        // What has ended while the rows were read is not started again by what they said before.
        if (holder === core.instance && !this.#ended.has(attemptKey(job.id, token))) this.start(job, invocation)
      }
    }
    for (const id of this.#byJob.keys()) this.#unobserved.add(id)
    await this.observeElsewhere()
    this.#mustReconcile = false
    core.publisher.wakeAll()
    this.wake()
  }

  /** From now on work is claimed. */
  open(): void {
    this.#isOpen = true
    this.claimSoon()
  }

  /** Claims nothing more. */
  close(): void {
    this.#isOpen = false
  }

  /** Gives back what still runs: offered again without counting the attempt, whose reports are stale from now on. */
  async releaseAll(): Promise<void> {
    const core = this.#core()
    for (const attempt of this.attempts) {
      const { job, task } = attempt
      const decide: Change['decide'] = (type, stored, at, relatives) => release(type, stored, task.token, at, relatives)
      await advance(core, { jobId: job.id, by: ENGINE, notes: attempt.lastNotes(), decide }).catch(() => undefined)
      attempt.stop('the engine stops', 'ENGINE_STOPPED')
    }
  }

  async #claimAll(): Promise<void> {
    while (this.#isWanted && this.#isOpen) {
      this.#isWanted = false
      for (const executor of this.#core().executors.keys()) await this.#claimFor(executor)
    }
    this.#isClaiming = false
    this.wake()
  }

  async #claimFor(executor: string): Promise<void> {
    const core = this.#core()
    const limit = Math.min(this.room(executor), CLAIMS_MAX)
    const routes = routesOf(core, executor)
    if (routes.length === 0) return
    // More may wait than there is room for now; whoever ends next looks again.
    this.#backlog.add(executor)
    if (limit < 1) return
    this.#reserved.set(executor, (this.#reserved.get(executor) ?? 0) + limit)
    try {
      const query = { routes, at: core.clock.now() }
      const round = new ClaimRound(core, this.#isSuspectRunning, this.#refused)
      const claimed = await core.storage.claim(query, limit, (job, task) => round.claim(job, task))
      const mayWait = claimed.length === limit || round.related !== undefined || round.hasLeft
      if (!mayWait) this.#backlog.delete(executor)
      // A suspect that was left waits for another one's end, and is not asked for before.
      else if (round.related !== undefined || (claimed.length === limit && this.room(executor) > 0))
        this.#isWanted = true
      for (const { job, events, invocation, sequence } of claimed) {
        core.publisher.publish(events, sequence)
        this.start(job, invocation)
        dispatch(core, job)
      }
      round.runEffects()
      const { related } = round
      if (related !== undefined) await this.#claimWithRelatives(core, related.job, related.invocation)
    } catch {
      // What was claimed is in the rows; the next sweep looks there.
      this.#mustReconcile = true
    } finally {
      this.giveBack(executor, limit)
    }
  }

  // A chart that sends to its relatives when its task starts: its claim is a unit over all of them.
  async #claimWithRelatives(core: Core, { id }: Job, invocation: number): Promise<void> {
    const decide: Change['decide'] = (type, stored, at, relatives) =>
      claim(type, stored, invocation, core.instance, at, relatives)
    try {
      this.start(await advance(core, { jobId: id, by: ENGINE, decide }), invocation)
    } catch (error) {
      // Another engine took the last place of its limit key meanwhile: storage shows the task again when one is free.
      if (isFull(error)) return
      this.#refused.add(id)
      if (!isFinal(error)) this.#mustReconcile = true
    }
  }

  get #isSuspectRunning(): boolean {
    return this.attempts.some(({ task }) => isSuspect(task))
  }

  /** So many more tasks an executor takes now. */
  room(executor: string): number {
    const { settings, executors, health } = this.#core()
    // What is claimed while the storage fails could be lost without a trace of why.
    if (!this.#isOpen || !settings.work || health.isDegraded || this.#void.size >= settings.maxAbandoned) return 0
    return roomOf(executors.get(executor)) - (this.#reserved.get(executor) ?? 0)
  }

  async #run(core: Core, attempt: Attempt): Promise<void> {
    const { job, task } = attempt
    const executor = core.executors.get(task.executor)
    if (executor === undefined) throw new Error(`no executor "${task.executor}"`)
    const work = {
      jobId: job.id,
      jobType: job.type,
      task: task.id,
      function: task.function,
      version: task.version,
      // Copied for whoever reads it.
      get input() {
        return attempt.input
      },
      attempt: task.attempt,
      token: task.token,
      get signal() {
        return attempt.signal
      },
      run: () => attempt.run(),
    }
    // Its claim was not heard of before it was told to stop: its code never began, and does not now.
    const isLate = task.status === 'stopping'
    const result = isLate ? ({ ok: true } as const) : await startSafely(executor, work)
    await this.#report(core, attempt, result)
    this.#forget(attempt)
    this.#void.delete(attempt)
    if (this.#mustReconcile) this.#ended.add(attemptKey(job.id, task.token))
    if (this.#backlog.has(task.executor)) this.claimSoon()
    this.wake()
  }

  #forget(attempt: Attempt): void {
    const { id } = attempt.job
    this.#attempts.delete(attemptKey(id, attempt.task.token))
    const ofJob = this.#byJob.get(id)
    ofJob?.delete(attempt)
    if (ofJob?.size === 0) this.#byJob.delete(id)
  }

  async #report(core: Core, attempt: Attempt, result: TaskEnd): Promise<void> {
    const { job, task } = attempt
    const change = {
      jobId: job.id,
      by: ENGINE,
      withoutSteps: attempt.isWithoutSteps,
      withoutProgress: attempt.isWithoutProgress,
      decide: (...[type, stored, at, relatives]: Parameters<Change['decide']>) => {
        const decision = end(type, stored, task.token, result, at, relatives)
        if (decision === undefined) throw new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task')
        return decision
      },
    }
    let known: Job | undefined = attempt.known
    let notes = attempt.lastNotes()
    for (;;) {
      try {
        await advance(core, { ...change, notes, ...(known === undefined ? {} : { known }) })
        return
      } catch (error) {
        if (core.stopped.aborted) return
        const isFirst = known !== undefined
        known = undefined
        if (!isFinal(error)) await pause(core, STORAGE_RETRY_MS)
        else if (isFirst || notes.length > 0) {
          // A stopping task's reports are stale, but its end is not: once more, with the job as it is and without them.
          notes = []
        } else {
          // It may have ended by a write of this report that was not heard: whoever waits looks again.
          core.publisher.wakeAll()
          return
        }
      }
    }
  }
}

function attemptKey(jobId: string, token: number): string {
  return `${jobId}/${token}`
}

// An executor is a user's code, and may not hold to E1: one that cannot say what room it has is given nothing.
function roomOf(executor: Executor | undefined): number {
  try {
    const room = executor?.room() ?? 0
    return Number.isFinite(room) ? Math.floor(room) : 0
  } catch {
    return 0
  }
}

// Nor to E3.
async function startSafely(executor: Executor, work: Work): Promise<TaskEnd> {
  try {
    return await executor.start(work)
  } catch (error) {
    return { ok: false, error: { ...jobError(error) } }
  }
}

function isFull(error: unknown): boolean {
  return error instanceof JobchartError && error.code === 'STALE_CLAIM'
}

// What runs of a job whose record is broken runs on: its end tells what became of it.
function goOnIfBroken(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
}

// Whatever is no error of the storage is an answer: asking again would give the same.
function isFinal(error: unknown): boolean {
  return !isStorageFailure(error)
}

function routesOf({ types }: Core, executor: string): readonly Route[] {
  return types
    .all()
    .filter(({ tasks }) => [...tasks.values()].some((settings) => settings.executor === executor))
    .map((type) => routeOf(type, executor))
}
