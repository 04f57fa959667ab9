import { end, release, type TaskEnd } from '../model/decision.ts'
import { isFinalError, isUnreadable, JobchartError, jobError } from '../model/error.ts'
import { claimableTasks, isWaiting, type Job, wakeAt } from '../model/job.ts'
import { isSuspect } from '../model/loss.ts'
import type { StampedProgress, Task } from '../model/task.ts'
import type { Executor } from '../port/executor.ts'
import { Attempt } from './attempt.ts'
import { type Core, ENGINE } from './core.ts'
import { isStorageFailure } from './health.ts'
import { STORAGE_RETRY_MS } from './pause.ts'
import { whenKnown } from './soon.ts'
import type { Change } from './tick.ts'

/** A job of which something runs here. */
interface Held {
  /** The newest record that is known. */
  job: Job
  /** Something happened to it elsewhere since. */
  isStale: boolean
  readonly attempts: Attempt[]
}

/**
 * Runs what is claimed here. It reacts to what was committed, and never commits by itself:
 *
 * ```
 *  committed(job) ─ claimed here, and not in the table ──▶ start ─▶ code ends ─▶ its end is a request of the next tick
 *                 ─ in the table, and no longer claimed ─▶ stop; given up ─▶ abandoned
 *                 ─ ended, and no longer in the row ─────▶ out of the table
 * ```
 *
 * An attempt stands in one table from its start until its end is committed, and has one status:
 *
 * | status | its code | counts |
 * |---|---|---|
 * | running | runs | as running |
 * | ended | has returned; its end is on its way to the storage | as running |
 * | abandoned | ignored its stop and was given up; it still runs | as abandoned: at `maxAbandoned` nothing is claimed |
 *
 * Ids are never queued here: the backlog stays in storage, and memory is what runs.
 */
export class Dispatcher {
  readonly #core: () => Core
  readonly #held = new Map<string, Held>()
  #running = 0
  #abandoned = 0
  /** Nothing is claimed before the engine has started, and after it stops. */
  #isOpen = false
  /** Something may have been written unheard: the table is compared with the rows. */
  #isUncertain = false
  /** Attempts whose end was committed while the rows were read for that. */
  #endedMeanwhile: Set<string> | undefined
  /** More is ready than there was room for. */
  #hasBacklog = false
  /** Jobs whose claim was refused, left until the next sweep so that they hold up no other. */
  readonly #refused = new Set<string>()
  #waiters: (() => void)[] = []

  constructor(core: () => Core) {
    this.#core = core
  }

  /** Nothing runs here. Abandoned code does not count. */
  get isIdle(): boolean {
    return this.#running === 0 && !this.#isUncertain
  }

  /** Attempts that run here, without abandoned ones. */
  get running(): number {
    return this.#running
  }

  /** In-process functions that were given up and have not returned. */
  get abandoned(): number {
    return this.#abandoned
  }

  /** Attempts whose end is not committed, without abandoned ones. */
  get attempts(): readonly Attempt[] {
    return [...this.#held.values()].flatMap(({ attempts }) => attempts.filter(({ status }) => status !== 'abandoned'))
  }

  /** Work that was lost with its process again and again runs here now. */
  get isSuspectRunning(): boolean {
    return this.attempts.some(({ task }) => isSuspect(task))
  }

  /** Resolves when an attempt or a tick has ended, or `wake` was called. */
  nextChange(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Wakes all who wait for a change. */
  wake(): void {
    if (this.#waiters.length === 0) return
    for (const resolve of this.#waiters.splice(0)) resolve()
  }

  /** From now on work is claimed. */
  open(): void {
    this.#isOpen = true
    this.#core().ticks.claimSoon()
  }

  /** Claims nothing more. */
  close(): void {
    this.#isOpen = false
  }

  /** How many more tasks each executor takes now; those that take none are left out. */
  room(): ReadonlyMap<string, number> {
    const { settings, executors, health } = this.#core()
    // What is claimed while the storage fails could be lost without a trace of why.
    const isClosed = !this.#isOpen || !settings.work || health.isDegraded || health.isExhausted
    if (isClosed) return new Map()
    return new Map([...executors].map(([name, executor]) => [name, roomOf(executor)] as const).filter(([, n]) => n > 0))
  }

  /** Says whether more is ready than there was room for: the next end looks for it. */
  backlog(hasBacklog: boolean): void {
    this.#hasBacklog = hasBacklog
  }

  /** The claim of a job was refused: it is left until the next sweep. */
  refuse(jobId: string): void {
    this.#refused.add(jobId)
  }

  /** Whether the claim of a job was refused since the last sweep. */
  isRefused(jobId: string): boolean {
    return this.#refused.has(jobId)
  }

  /**
   * The job as it was last seen, while work of it is held here: anything that happens to it is heard of, from this engine
   * or from another. Undefined: its row tells.
   */
  held(jobId: string): Job | undefined {
    const held = this.#held.get(jobId)
    if (held === undefined || held.isStale || this.#isUncertain || this.#core().health.isDegraded) return undefined
    return held.attempts.some(({ status }) => status !== 'abandoned') ? held.job : undefined
  }

  /** Makes sure that what a committed job asks for happens: its work starts, stops, or is looked for at its time. */
  committed(job: Job): void {
    this.observe(job)
    this.#startClaimed(job)
    const { alarm, clock } = this.#core()
    const wake = wakeAt(job)
    if (wake !== undefined) alarm.set(wake)
    if (isWaiting(job)) alarm.setByWall(job.startAt ?? clock.now())
    const now = clock.steady()
    for (const { availableAt } of claimableTasks(job)) if (availableAt > now) alarm.set(availableAt)
  }

  /** Takes a record for what the job is now: attempts that it no longer holds stop, or are forgotten if they have ended. */
  observe(job: Job): void {
    const held = this.#held.get(job.id)
    // A row that was read before the newest one says nothing.
    if (held === undefined || job.revision < held.job.revision) return
    held.job = job
    held.isStale = false
    const tasks = held.attempts.length < 8 ? undefined : new Map(job.tasks.map((task) => [task.token, task]))
    for (const attempt of [...held.attempts]) {
      const { token } = attempt.task
      const task = tasks === undefined ? job.tasks.find((each) => each.token === token) : tasks.get(token)
      this.#follow(attempt, task?.status === 'available' ? undefined : task)
    }
  }

  #follow(attempt: Attempt, task: Task | undefined): void {
    if (attempt.status === 'ended') {
      // Code that has ended has nothing to stop, and is not abandoned.
      if (task === undefined) this.#forget(attempt)
    } else if (task?.status === 'claimed') attempt.deliver(task)
    else {
      // What was sent in the move that left the task comes before its stop.
      if (task !== undefined) attempt.deliver(task)
      attempt.obey(task ?? attempt.task)
      // Its task is another's: it has no more grace.
      if (task === undefined) attempt.kill()
      if (task === undefined && attempt.status === 'running') {
        attempt.status = 'abandoned'
        this.#running--
        this.#countAbandoned(1)
      }
    }
  }

  #countAbandoned(more: 1 | -1): void {
    const { health, settings } = this.#core()
    this.#abandoned += more
    health.abandoned(this.#abandoned, settings.maxAbandoned)
  }

  #startClaimed(job: Job): void {
    const { instance, stopped } = this.#core()
    // After the stop no work begins. Another engine takes the task back when it finds this instance gone.
    if (stopped.aborted) return
    const claimed = job.tasks.filter(({ holder, status, child }) => {
      return holder === instance && (status === 'claimed' || status === 'stopping') && child === undefined
    })
    if (claimed.length === 0) return
    const attempts = this.#held.get(job.id)?.attempts
    const known = attempts === undefined ? undefined : new Set(attempts.map(({ task }) => task.token))
    for (const task of claimed) if (known?.has(task.token) !== true) this.#start(job, task)
  }

  #start(job: Job, task: Task): void {
    const core = this.#core()
    const held = this.#held.get(job.id) ?? { job, isStale: false, attempts: [] }
    if (this.#endedMeanwhile?.has(attemptKey(job.id, task.token)) === true) return
    const attempt = new Attempt(core, core.types.require(job), job, task)
    held.attempts.push(attempt)
    this.#held.set(job.id, held)
    this.#running++
    this.#run(core, attempt)
  }

  #run(core: Core, attempt: Attempt): void {
    const executor = core.executors.get(attempt.task.executor)
    if (executor === undefined) throw new Error(`no executor "${attempt.task.executor}"`)
    // Its claim was not heard of before it was told to stop: its code never began, and does not now.
    if (attempt.task.status === 'stopping') this.#ended(core, attempt, { ok: true })
    else startSafely(executor, attempt, (result) => this.#ended(core, attempt, result))
  }

  #ended(core: Core, attempt: Attempt, result: TaskEnd): void {
    const wasAbandoned = attempt.status === 'abandoned'
    attempt.status = 'ended'
    if (wasAbandoned) {
      this.#running++
      this.#countAbandoned(-1)
    }
    if (this.#hasBacklog) core.ticks.claimSoon()
    const known = attempt.isWithoutProgress ? attempt.job : undefined
    // What its engine's stop has ended is given back, and has not failed.
    if (attempt.isReleasing && !result.ok) void this.#release(core, attempt)
    else this.#report(core, attempt, result, attempt.lastNotes(), known)
  }

  // Tried until it is written. What is refused is tried once more with the job as it is now and without notes: a task that
  // was lost, and is awaited, takes its end and no notes.
  #report(core: Core, attempt: Attempt, result: TaskEnd, notes: Change['writes'] = [], known?: Job): void {
    const change = endOf(attempt, result, notes, known)
    core.ticks.add(change, {
      done: () => this.#reported(core, attempt),
      failed: (error) => {
        if (core.stopped.aborted) return this.#reported(core, attempt)
        if (isStorageFailure(error)) {
          core.clock.timer(STORAGE_RETRY_MS, () => this.#report(core, attempt, result, notes))
        } else if (known !== undefined || notes.length > 0) this.#report(core, attempt, result)
        else {
          // It may have ended by a write of this report that was not heard: those who wait look again.
          this.#reported(core, attempt)
          core.publisher.wakeAll()
        }
      },
    })
  }

  #reported(core: Core, attempt: Attempt): void {
    this.#forget(attempt)
    if (this.#hasBacklog) core.ticks.claimSoon()
    this.wake()
  }

  #forget(attempt: Attempt): void {
    const { id } = attempt.job
    const held = this.#held.get(id)
    const index = held?.attempts.indexOf(attempt) ?? -1
    if (held === undefined || index < 0) return
    held.attempts.splice(index, 1)
    if (held.attempts.length === 0) this.#held.delete(id)
    if (attempt.status === 'abandoned') this.#countAbandoned(-1)
    else this.#running--
    this.#endedMeanwhile?.add(attemptKey(id, attempt.task.token))
    if (this.#running === 0) this.wake()
  }

  /** An attempt's progress was stored, beside the record. */
  progressed(jobId: string, progress: StampedProgress): void {
    const held = this.#held.get(jobId)
    if (held !== undefined) held.job = { ...held.job, progress }
  }

  /** Something happened to the job elsewhere. */
  heard(jobId: string): void {
    const held = this.#held.get(jobId)
    if (held !== undefined) held.isStale = true
  }

  /** Reads again the jobs that something happened to elsewhere. A read that fails leaves it for the next time. */
  async observeElsewhere(): Promise<void> {
    const stale = [...this.#held.values()].filter(({ isStale }) => isStale)
    for (const held of stale) {
      const job = await this.#core().storage.get(held.job.id).catch(goOnIfBroken)
      if (job !== undefined) this.committed(job)
    }
  }

  /** A write may have landed unheard: the next sweep compares what runs with the rows. */
  suspect(): void {
    this.#isUncertain = true
  }

  /**
   * After an error it is not known what was written: starts what the rows say is held here and does not run, stops what
   * they do not hold, and wakes all who wait.
   */
  async reconcile(): Promise<void> {
    const core = this.#core()
    // After a failure those behind the refused go first: one whose reads fail again and again would keep them waiting.
    if (!core.health.isDegraded) this.#refused.clear()
    if (!this.#isUncertain) return
    this.#endedMeanwhile = new Set()
    try {
      for (const job of await core.storage.held(core.instance)) this.#startClaimed(job)
      for (const held of this.#held.values()) held.isStale = true
      await this.observeElsewhere()
    } finally {
      this.#endedMeanwhile = undefined
    }
    this.#isUncertain = false
    core.publisher.wakeAll()
    this.wake()
  }

  /** Gives back what still runs: available again without counting the attempt, whose reports are stale from now on. */
  async releaseAll(): Promise<void> {
    const core = this.#core()
    const attempts = this.attempts.map((attempt) => {
      attempt.stop('the engine stops', 'ENGINE_STOPPED')
      return attempt.task.isKillable === true ? this.#endAndRelease(core, attempt) : this.#release(core, attempt)
    })
    await Promise.all(attempts)
  }

  // What can be ended is ended first, so that no other engine starts it beside.
  async #endAndRelease(core: Core, attempt: Attempt): Promise<void> {
    attempt.isReleasing = true
    const { killGraceMs } = attempt.settings
    const cancel = core.clock.timer(Math.min(killGraceMs ?? RELEASE_GRACE_MS, RELEASE_GRACE_MS), () => attempt.kill())
    while (this.attempts.includes(attempt)) await this.nextChange()
    cancel()
  }

  async #release(core: Core, attempt: Attempt): Promise<void> {
    const { job, task } = attempt
    const released: Change = {
      by: ENGINE,
      jobs: [job.id],
      writes: attempt.lastNotes(),
      decide: (jobs, context) => {
        const stored = jobs.require(job.id)
        return release(jobs.typeOf(stored), stored, task.token, context, jobs)
      },
    }
    await core.ticks.submit(released).catch(() => undefined)
    if (attempt.isReleasing) this.#reported(core, attempt)
  }
}

/** At a stop of the engine, what can be killed is waited for no longer. */
const RELEASE_GRACE_MS = 3_000

function endOf(attempt: Attempt, result: TaskEnd, writes: Change['writes'] = [], known: Job | undefined): Change {
  const { job, task } = attempt
  return {
    by: ENGINE,
    jobs: [job.id],
    ...(known === undefined ? {} : { known }),
    ...(writes.length === 0 ? {} : { writes }),
    withoutProgress: attempt.isWithoutProgress,
    decide: (jobs, context) => {
      const stored = jobs.require(job.id)
      const decision = end(jobs.typeOf(stored), stored, task.token, result, context, jobs)
      if (decision !== undefined) return decision
      throw new JobchartError('STALE_CLAIM', 'this attempt no longer holds its task')
    },
  }
}

function attemptKey(jobId: string, token: number): string {
  return `${jobId}/${token}`
}

// An executor is a user's code, and may not hold to E1: one that cannot say what room it has is given nothing.
function roomOf(executor: Executor): number {
  try {
    const room = executor.room()
    return Number.isFinite(room) ? Math.floor(room) : 0
  } catch {
    return 0
  }
}

// Nor to E3.
function startSafely(executor: Executor, attempt: Attempt, ended: (result: TaskEnd) => void): void {
  // What was reported on the way is written before the end.
  const over = (result: TaskEnd) => void whenKnown(attempt.over(result), ended)
  const failed = (error: unknown) => over({ ok: false, error: { ...jobError(error) }, isFinal: isFinalError(error) })
  try {
    executor.start(attempt.work).then(over, failed)
  } catch (error) {
    failed(error)
  }
}

// What runs of a job whose record is broken runs on: its end tells what became of it.
function goOnIfBroken(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
}
