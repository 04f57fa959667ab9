/**
 * Changes without a caller: timers that fall due, waiting jobs that can be admitted, tasks whose process died. Each
 * kind is found by one query, and decided by requests of the next ticks. Safe to run in any number of engines at once:
 * if two make the same change, the second finds it done.
 */

import { admit, due, lose } from '../model/decision.ts'
import { type Job, wakeAt } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import { nameOfAttempt } from '../model/task-record.ts'
import { isoTime } from '../model/time.ts'
import type { OtherInstance, Recorded } from '../port/storage.ts'
import { type Core, ENGINE, ofJob } from './core.ts'
import { failuresOf, handleDue, ROWS_AT_ONCE } from './due-rows.ts'

/**
 * Handles jobs for which something is due (a timer, a timeout, the end of a grace), the longest due first. Sets the
 * alarm for what falls due before the next sweep.
 */
export async function fireDue(core: Core): Promise<void> {
  const { storage, types } = core
  await handleDue(core, {
    time: 'steady',
    read: (at, limit, skip) => storage.due(types.all(), at, limit, skip),
    dueAt: wakeAt,
    handle: (known) => core.ticks.submit({ by: ENGINE, known, ...ofJob(known.id, due) }),
  })
}

/**
 * Admits waiting jobs whose start time has come and whose slot is free, and sets the alarm for those that may start
 * before the next sweep.
 */
export async function admitWaiting(core: Core): Promise<void> {
  const { storage, types, clock, settings, alarm } = core
  for (let skip = 0; ; ) {
    const jobs = await storage.admissible(types.all(), clock.now(), ROWS_AT_ONCE, skip)
    skip += await failuresOf(jobs, async (known) => {
      const job = await core.ticks.submit({ by: ENGINE, known, ...ofJob(known.id, admit) })
      if (job?.phase === 'waiting') throw new Error('the job is still waiting')
    })
    if (jobs.length < ROWS_AT_ONCE) break
  }
  // A separate query: in the first one, a job with higher priority that is not due yet could hide a due job of its
  // pipeline.
  const now = clock.now()
  for (const { startAt } of await storage.admissible(types.all(), now + settings.sweepMs, ROWS_AT_ONCE, 0)) {
    if (startAt !== undefined && startAt > now) alarm.setByWall(startAt)
  }
}

/** An engine with a living process is reported as silent after this time without a heartbeat, in milliseconds. */
const SILENT_MS = 10_000
/** If this many heartbeat intervals are longer than `SILENT_MS`, an engine is reported only after them. */
const SILENT_BEATS = 3

/** An engine with a living process and no heartbeat: its event loop is busy, or its process is suspended. */
export interface SilentInstance {
  readonly instance: string
  /** When its last heartbeat was seen, ISO 8601. */
  readonly since: string
}

/** The ways to lose an attempt, by what happened to its engine. */
const LOSS = {
  died: { reason: 'its process died', isCrash: true, said: 'the process of an engine ended' },
  // Ended by SIGINT or SIGTERM: the task did not cause it, so it is not a crash.
  ended: { reason: 'its process was ended', isCrash: false, said: 'the process of an engine was ended' },
  silent: {
    reason: 'its engine was silent for longer than deadAfter',
    isCrash: false,
    said: 'an engine has been silent for too long',
  },
} as const
type Lost = (typeof LOSS)[keyof typeof LOSS]

/**
 * Finds dead instances, and takes back their tasks.
 *
 * An instance is dead as soon as its process has ended. An instance with a living process keeps its tasks, however busy
 * its event loop is; if its heartbeat has not changed for 10 s, `health` and `explain` report it as silent. With the
 * option `deadAfter`, it loses its tasks after that time. All times are measured by our own clock since the last change
 * seen here, so wrong or changed clocks do not matter.
 *
 * A chart that names the event `task.lost` gets it. The task's `recovery` option decides whether the task becomes
 * available again, ends, or is awaited. An instance is forgotten when it holds no tasks any more. Tasks of unknown job
 * types stay for an engine that knows them.
 */
export class LossWatch {
  readonly #seen = new Map<string, { readonly heartbeat: number; readonly since: number }>()
  /** The lost instances of the last run, so that each is logged once. */
  #lost: ReadonlySet<string> = new Set()
  #silent: readonly SilentInstance[] = []
  /** Lost tasks whose code still ran at the last run of the check. */
  #stillRunning: ReadonlySet<string> = new Set()

  /** The silent engines, from the last run. */
  get silent(): readonly SilentInstance[] {
    return this.#silent
  }

  /** Whether the engine that held the task has died, but the process that it had started for the task still runs. */
  stillRuns({ id }: Job, { token }: Task): boolean {
    return this.#stillRunning.has(nameOfAttempt(id, token))
  }

  /** Runs the check once. */
  async run(core: Core): Promise<void> {
    const asked = core.clock.elapsed()
    const others = await core.storage.others()
    const listed = new Set(others.map(({ id }) => id))
    for (const id of this.#seen.keys()) if (!listed.has(id)) this.#seen.delete(id)
    const { deadAfterMs, heartbeatMs } = core.settings
    const living = others.filter(({ isGone }) => !isGone)
    const silences = living.map((other) => ({ id: other.id, ms: this.#silenceMs(core, other, asked) }))
    const silent = silences.filter(({ ms }) => ms > Math.max(SILENT_MS, SILENT_BEATS * heartbeatMs))
    this.#silent = silent.map(({ id, ms }) => ({ instance: id, since: isoTime(core.clock.now() - Math.round(ms)) }))
    const lost = new Map<string, Lost>()
    for (const { id, isGone, isEnded } of others) if (isGone) lost.set(id, isEnded === true ? LOSS.ended : LOSS.died)
    for (const { id, ms } of silences) if (deadAfterMs !== null && ms > deadAfterMs) lost.set(id, LOSS.silent)
    for (const [instance, { said }] of lost) if (!this.#lost.has(instance)) core.logger.warn({ instance }, said)
    this.#lost = new Set(lost.keys())
    const stillRunning = new Set<string>()
    for (const [id, how] of lost) await takeBack(core, id, how, stillRunning)
    this.#stillRunning = stillRunning
  }

  // The silence is measured up to `asked`, the time before the read. Our own process may have been suspended after it,
  // and that time must not count as silence.
  #silenceMs({ clock }: Core, { id, heartbeat }: OtherInstance, asked: number): number {
    const seen = this.#seen.get(id)
    if (seen?.heartbeat === heartbeat) return asked - seen.since
    this.#seen.set(id, { heartbeat, since: clock.elapsed() })
    return 0
  }
}

async function takeBack(core: Core, instance: string, how: Lost, stillRunning: Set<string>): Promise<void> {
  const jobs = await core.storage.held(instance)
  const recorded = jobs.length === 0 ? [] : await core.storage.recorded(jobs.map(({ id }) => id))
  // If a job cannot be changed, the others go on; the next sweep tries it again.
  let mayForget = true
  const failures = await failuresOf(jobs, async (job) => {
    const running = await stillRunningOf(core, job, instance)
    for (const { token } of running) stillRunning.add(nameOfAttempt(job.id, token))
    if (running.length === 0) await loseAll(core, job, { instance, recorded, how })
    else mayForget = false
  })
  if (failures === 0 && mayForget) await core.storage.forget(instance)
}

// Processes that a dead engine has started may outlive it for a moment. While they run, the task is not started again;
// the next sweep looks again.
async function stillRunningOf(core: Core, job: Job, instance: string): Promise<readonly Task[]> {
  const started = job.tasks.filter(({ holder, handle }) => holder === instance && handle !== undefined)
  const gone = await Promise.all(
    started.map(async ({ handle = null, executor }) => (await core.executors.get(executor)?.isGone?.(handle)) ?? true),
  )
  return started.filter((_, index) => gone[index] === false)
}

interface TakenBack {
  readonly instance: string
  readonly recorded: readonly Recorded[]
  readonly how: Lost
}

async function loseAll(core: Core, job: Job, { instance, recorded, how }: TakenBack): Promise<void> {
  core.types.require(job)
  // The lost attempt may have written progress that the record in memory lacks, so the job is read again.
  core.dispatcher.heard(job.id)
  const lost = job.tasks.filter(({ holder }) => holder === instance)
  await Promise.all(
    lost.map(({ invocation, executor }) => {
      // A task in a process of its own cannot have crashed its engine's process.
      const isCrash = how.isCrash && core.executors.get(executor)?.isGone === undefined
      const own = recorded.find((each) => each.jobId === job.id && each.invocation === invocation)
      return core.ticks.submit({
        by: ENGINE,
        ...ofJob(job.id, (type, now, context, jobs) => {
          // Between the query and now, another engine may have taken the task back, and a third may hold it.
          const isHeld = now.tasks.some((task) => task.invocation === invocation && task.holder === instance)
          if (!isHeld) return undefined
          const { reason } = how
          const loss = { reason, isCrash, invocation, steps: own?.count ?? 0 }
          return lose(type, now, loss, context, jobs)
        }),
      })
    }),
  )
}
