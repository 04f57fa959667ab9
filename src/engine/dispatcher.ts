import { whenKnown } from '../context/soon.ts'
import type { TaskEnd } from '../model/attempt-end.ts'
import { end, release } from '../model/decision.ts'
import { isFinalError, isUnreadable, jobError, notHeld } from '../model/error.ts'
import { claimableTasks, isWaiting, type Job, wakeAt } from '../model/job.ts'
import { isSuspect } from '../model/loss.ts'
import type { StampedProgress, Task } from '../model/task.ts'
import { isRunning, nameOfAttempt } from '../model/task-record.ts'
import { isoTime } from '../model/time.ts'
import type { Executor } from '../port/executor.ts'
import { Attempt } from './attempt.ts'
import { type Core, ENGINE, ofJob } from './core.ts'
import { type ExecutorHealth, isStorageFailure, type UnendedAttempt } from './health.ts'
import { STORAGE_RETRY_MS } from './pause.ts'
import type { Change } from './tick.ts'

/** A job with running tasks in this engine. */
interface Held {
  /** The newest known record of the job. */
  job: Job
  /** True: another engine has changed the job since. */
  isStale: boolean
  readonly attempts: Attempt[]
}

/**
 * Starts and stops the attempts of this engine. It reacts to commits:
 *
 * ```
 *  committed(job):
 *    a task is claimed here, but not in the table ─▶ start its code. Its end becomes a request of the next tick
 *    an attempt's task is no longer claimed ───────▶ stop its code. Once the job has given the code up: abandoned
 *    an attempt has ended, and left the row ───────▶ remove it from the table
 * ```
 *
 * The table holds each attempt from its start until its end is committed. Each attempt has one status:
 *
 * | status | its code | counted |
 * |---|---|---|
 * | running | runs | as running |
 * | ended | has returned; its end is not committed yet | as running |
 * | abandoned | ignored its stop, was given up, and still runs | as abandoned; at `maxAbandoned`, no task is claimed |
 *
 * Ready tasks stay in the storage. They are not queued in memory.
 */
export class Dispatcher {
  readonly #core: () => Core
  readonly #held = new Map<string, Held>()
  #running = 0
  #abandoned = 0
  /** True between start and stop. Tasks are claimed only then. */
  #isOpen = false
  /** True: a write may have been stored although its answer was lost, so the table must be compared with the rows. */
  #isUncertain = false
  /** Attempts whose end was committed while `reconcile` read the rows. The rows may still list them as claimed. */
  #endedMeanwhile: Set<string> | undefined
  /** True: more tasks are ready than there was room for. */
  #hasBacklog = false
  /** How many places of each executor are promised to tasks that requests of their own claim. */
  readonly #promised = new Map<string, number>()
  /** Jobs whose claim was refused. Skipped until the next sweep, so that they do not delay others. */
  readonly #refused = new Set<string>()
  #waiters: (() => void)[] = []

  constructor(core: () => Core) {
    this.#core = core
  }

  /** Whether nothing runs here. Abandoned code does not count. */
  get isIdle(): boolean {
    return this.#running === 0 && !this.#isUncertain
  }

  /** How many attempts run here, without abandoned ones. */
  get running(): number {
    return this.#running
  }

  /** How many attempts each executor runs, and how many more it takes. */
  get executors(): { readonly [name: string]: ExecutorHealth } {
    const { attempts } = this
    const running = (name: string) => attempts.filter(({ task }) => task.executor === name).length
    const own = [...this.#core().executors].filter(([, { leaseMs }]) => leaseMs === undefined)
    const each = own.map(([name, executor]) => {
      return [name, { running: running(name), room: Math.max(0, roomOf(executor)) }] as const
    })
    return Object.fromEntries(each)
  }

  /** Attempts whose code was told to end by force more than 5 s ago, and still runs. */
  get unended(): readonly UnendedAttempt[] {
    const { clock } = this.#core()
    return [...this.#held.values()].flatMap(({ attempts }) =>
      attempts.flatMap(({ job, task, status, killedMs = 0 }) => {
        if (task.isKillable !== true || status === 'ended' || killedMs < UNENDED_MS) return []
        const killedAt = isoTime(clock.now() - Math.round(killedMs))
        return [{ executor: task.executor, jobId: job.id, task: task.id, killedAt }]
      }),
    )
  }

  /** How many in-process functions were given up and have not returned. */
  get abandoned(): number {
    return this.#abandoned
  }

  /** All attempts in the table except abandoned ones: those that run, and those whose end is not committed yet. */
  get attempts(): readonly Attempt[] {
    return [...this.#held.values()].flatMap(({ attempts }) => attempts.filter(({ status }) => status !== 'abandoned'))
  }

  /** Whether a task that has repeatedly crashed its process runs here now. */
  get isSuspectRunning(): boolean {
    return this.attempts.some(({ task }) => isSuspect(task))
  }

  /** Resolves at the next end of an attempt or a tick, or at the next `wake`. */
  nextChange(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve))
  }

  /** Resolves all pending `nextChange` calls. */
  wake(): void {
    if (this.#waiters.length === 0) return
    for (const resolve of this.#waiters.splice(0)) resolve()
  }

  /** Allows claims. */
  open(): void {
    this.#isOpen = true
    this.#core().ticks.claimSoon()
  }

  /** Forbids further claims. */
  close(): void {
    this.#isOpen = false
  }

  /** Whether tasks may be claimed. Tasks claimed while the storage fails could be lost without a record of why. */
  get mayClaim(): boolean {
    return this.#isOpen && !this.#core().health.isDegraded
  }

  /**
   * How many more tasks each executor takes now. Executors without room are absent. For executors whose tasks agents
   * pull: how many tasks the waiting agents take.
   */
  room(): ReadonlyMap<string, number> {
    const { settings, executors, health, desk } = this.#core()
    if (!this.mayClaim) return new Map()
    const isWorking = settings.work && !health.isExhausted
    const rooms = [...executors].map(([name, executor]) => {
      if (executor.leaseMs !== undefined) return [name, desk.room] as const
      return [name, isWorking ? roomOf(executor) - (this.#promised.get(name) ?? 0) : 0] as const
    })
    return new Map(rooms.filter(([, room]) => room > 0))
  }

  /**
   * Promises a place of an executor to a task that a request of its own claims. Returns a function that ends the
   * promise: the task has been started, or was not claimed.
   */
  promise(executor: string): () => void {
    const count = (by: 1 | -1) => this.#promised.set(executor, (this.#promised.get(executor) ?? 0) + by)
    count(1)
    return () => {
      count(-1)
      this.#core().ticks.claimSoon()
    }
  }

  /** Sets whether more tasks are ready than there was room for. If so, the next end of an attempt triggers a claim. */
  backlog(hasBacklog: boolean): void {
    this.#hasBacklog = hasBacklog
  }

  /** Excludes a job from claims until the next sweep, because its claim was refused. */
  refuse(jobId: string): void {
    this.#refused.add(jobId)
  }

  /** Whether the claim of a job was refused since the last sweep. */
  isRefused(jobId: string): boolean {
    return this.#refused.has(jobId)
  }

  /**
   * The newest known record of a job with tasks running here. `undefined`: there is none, or it may be outdated; read
   * the row instead.
   */
  held(jobId: string): Job | undefined {
    const held = this.#held.get(jobId)
    if (held === undefined || held.isStale || this.#isUncertain || this.#core().health.isDegraded) return undefined
    return held.attempts.some(({ status }) => status !== 'abandoned') ? held.job : undefined
  }

  /**
   * Handles a committed job: starts its claimed tasks, stops the tasks that it has left, and sets the alarm for its
   * next due time.
   */
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

  /**
   * Takes over a record as the current state of its job. Attempts whose task is no longer claimed in the record are
   * told to stop. Ended attempts whose task is no longer in the record are removed from the table.
   */
  observe(job: Job): void {
    const held = this.#held.get(job.id)
    // Ignore rows that are older than the known record.
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
      // Code that has ended needs no stop, and is not abandoned.
      if (task === undefined) this.#forget(attempt)
    } else if (task?.status === 'claimed') attempt.deliver(task)
    else {
      // The chart may send messages in the same transition that leaves the task. They come before the stop.
      if (task !== undefined) attempt.deliver(task)
      attempt.obey(task ?? attempt.task)
      // The row no longer gives the task to this attempt, so its code gets no more time to stop.
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
    // No task starts after the engine's stop. Another engine takes the task back when this instance has
    // closed the storage.
    if (stopped.aborted) return
    const claimed = job.tasks.filter((task) => {
      return task.holder === instance && isRunning(task) && task.child === undefined
    })
    if (claimed.length === 0) return
    const attempts = this.#held.get(job.id)?.attempts
    const known = attempts === undefined ? undefined : new Set(attempts.map(({ task }) => task.token))
    for (const task of claimed) if (known?.has(task.token) !== true) this.#start(job, task)
  }

  #start(job: Job, task: Task): void {
    const core = this.#core()
    const held = this.#held.get(job.id) ?? { job, isStale: false, attempts: [] }
    if (this.#endedMeanwhile?.has(nameOfAttempt(job.id, task.token)) === true) return
    const attempt = new Attempt(core, core.types.require(job), job, task)
    held.attempts.push(attempt)
    this.#held.set(job.id, held)
    this.#running++
    this.#run(core, attempt)
  }

  #run(core: Core, attempt: Attempt): void {
    const executor = core.executors.get(attempt.task.executor)
    if (executor === undefined) throw new Error(`no executor "${attempt.task.executor}"`)
    // The task was told to stop before this engine learned of its claim, so its code does not start.
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
    // If the engine's stop has ended the code, the task has neither failed nor done its work, so it is given back.
    if (attempt.isReleasing) void this.#release(core, attempt)
    else this.#report(core, attempt, result, attempt.lastNotes(), known)
  }

  // Reports the attempt's end, again and again while the storage fails. If the report is refused, it is repeated once,
  // on the current record and without notes: a lost task with `recovery: 'await'` accepts its end, but no notes.
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
          // An earlier try of this report may have ended the job although its answer was lost. So wake all waiting
          // callers: they read the job again.
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
    this.#endedMeanwhile?.add(nameOfAttempt(id, attempt.task.token))
    if (this.#running === 0) this.wake()
  }

  /**
   * Called when an attempt's progress was stored. Progress is not stored in the record, so the record in memory gets it
   * here.
   */
  progressed(jobId: string, progress: StampedProgress): void {
    const held = this.#held.get(jobId)
    if (held !== undefined) held.job = { ...held.job, progress }
  }

  /** Called when another engine has changed the job. */
  heard(jobId: string): void {
    const held = this.#held.get(jobId)
    if (held !== undefined) held.isStale = true
  }

  /** Reads the jobs again that other engines have changed. If a read fails, the next call tries it again. */
  async observeElsewhere(): Promise<void> {
    const stale = [...this.#held.values()].filter(({ isStale }) => isStale)
    for (const held of stale) {
      const job = await this.#core().storage.get(held.job.id).catch(goOnIfBroken)
      if (job !== undefined) this.committed(job)
    }
  }

  /**
   * Called when a write may have been stored although its answer was lost. The next sweep then compares the table with
   * the rows.
   */
  suspect(): void {
    this.#isUncertain = true
  }

  /**
   * Called by each sweep. Lets refused jobs be claimed again. If a write may have been stored although its answer was
   * lost, also compares the table with the rows: starts tasks that are claimed here but do not run, stops attempts that
   * are not claimed here, and wakes all waiting callers.
   */
  async reconcile(): Promise<void> {
    const core = this.#core()
    // While the storage fails, refused jobs stay excluded: a job whose reads always fail must not delay the others.
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

  /**
   * Gives running tasks back to the storage: they become available again, and the attempt is not counted. Later reports
   * of these attempts are refused.
   */
  async releaseAll(): Promise<void> {
    const core = this.#core()
    const attempts = this.attempts.map((attempt) => {
      attempt.stop('the engine stops', 'ENGINE_STOPPED')
      return attempt.task.isKillable === true ? this.#endAndRelease(core, attempt) : this.#release(core, attempt)
    })
    await Promise.all(attempts)
  }

  // Code that can be ended is ended before its task is given back. Otherwise another engine could start the task while
  // the code still runs.
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
      writes: attempt.lastNotes(),
      ...ofJob(job.id, (type, stored, context, jobs) => {
        const isLeft = stored.tasks.some(({ token, status }) => token === task.token && status === 'stopping')
        // If the chart has left the task, the task ends with its code, and is not given back.
        const isOver = attempt.isReleasing && isLeft
        const over = isOver ? end(type, stored, task.token, { ok: true }, context, jobs) : undefined
        return over ?? release(type, stored, task.token, context, jobs)
      }),
    }
    await core.ticks.submit(released).catch(() => undefined)
    if (attempt.isReleasing) this.#reported(core, attempt)
  }
}

/** When the engine stops, code that can be killed gets at most this time before it is killed, in milliseconds. */
const RELEASE_GRACE_MS = 3_000
/** `health` lists killed code that still runs after this time, in milliseconds. */
const UNENDED_MS = 5_000

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
      throw notHeld(job.id)
    },
  }
}

// Executors are user code. An executor whose `room` throws, or returns no valid number, gets no tasks.
function roomOf(executor: Executor): number {
  try {
    const room = executor.room()
    return Number.isFinite(room) ? Math.floor(room) : 0
  } catch {
    return 0
  }
}

// Executors are user code, and `start` may throw. The attempt then ends with that error.
function startSafely(executor: Executor, attempt: Attempt, ended: (result: TaskEnd) => void): void {
  // The reports that the code made before its end are written before the end.
  const over = (result: TaskEnd) => void whenKnown(attempt.over(result), ended)
  const failed = (error: unknown) => over({ ok: false, error: { ...jobError(error) }, isFinal: isFinalError(error) })
  try {
    executor.start(attempt.work).then(over, failed)
  } catch (error) {
    failed(error)
  }
}

// If the record of a job cannot be decoded, its tasks run on, and their ends are reported as usual.
function goOnIfBroken(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
}
