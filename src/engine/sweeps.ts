/**
 * What happens without anyone asking: timers that fall due, waiting jobs whose turn comes, tasks whose process died. Each is
 * found by one query and made by requests of the next ticks. Safe to run in any number of engines at once: of two that
 * make one change, the second finds it made.
 */
import { admit, due, lose } from '../model/decision.ts'
import { type Job, wakeAt } from '../model/job.ts'
import { isoTime } from '../model/time.ts'
import type { OtherInstance, Recorded } from '../port/storage.ts'
import { type Core, ENGINE } from './core.ts'

/** Jobs that are read at once. */
const JOBS_AT_ONCE = 1_000

/** Fires what has fallen due, oldest first, and sets the alarm for what falls due before the next sweep. */
export async function fireDue(core: Core): Promise<void> {
  const { storage, types, clock, settings, alarm } = core
  // Those that could not be moved stay due, and are passed over; the next sweep tries them again.
  for (let skip = 0; ; ) {
    const now = clock.steady()
    const jobs = await storage.due(types.all(), now + settings.sweepMs, JOBS_AT_ONCE, skip)
    const ready = jobs.filter((job) => (wakeAt(job) ?? now) <= now)
    const next = jobs[ready.length]
    if (next !== undefined) alarm.set(wakeAt(next) ?? now)
    skip += await failuresOf(ready, (known) =>
      core.ticks.submit({
        by: ENGINE,
        jobs: [known.id],
        known,
        decide: (stored, context) => {
          const job = stored.require(known.id)
          return due(stored.typeOf(job), job, context, stored)
        },
      }),
    )
    if (ready.length < JOBS_AT_ONCE) return
  }
}

/** Admits the waiting jobs whose time and turn have come, and sets the alarm for those that may start before the next sweep. */
export async function admitWaiting(core: Core): Promise<void> {
  const { storage, types, clock, settings, alarm } = core
  for (let skip = 0; ; ) {
    const jobs = await storage.admissible(types.all(), clock.now(), JOBS_AT_ONCE, skip)
    skip += await failuresOf(jobs, async (known) => {
      const job = await core.ticks.submit({
        by: ENGINE,
        jobs: [known.id],
        known,
        decide: (stored, context) => {
          const waiting = stored.require(known.id)
          return admit(stored.typeOf(waiting), waiting, context, stored)
        },
      })
      if (job?.phase === 'waiting') throw new Error('it waits on')
    })
    if (jobs.length < JOBS_AT_ONCE) break
  }
  // Looked at apart: one that is more urgent and not due yet would hide one of its pipeline that is.
  const now = clock.now()
  for (const { startAt } of await storage.admissible(types.all(), now + settings.sweepMs, JOBS_AT_ONCE, 0)) {
    if (startAt !== undefined && startAt > now) alarm.setByWall(startAt)
  }
}

/** An engine whose process lives, and that has not said so for longer than this, is told of. */
const SILENT_MS = 10_000
/** So many of its heartbeats, where that is longer. */
const SILENT_BEATS = 3

/** An engine whose process lives, and that does not say so: its event loop is busy, or its process is stopped. */
export interface SilentInstance {
  readonly instance: string
  /** It was not seen to say so since then, ISO 8601. */
  readonly since: string
}

/** How an attempt was lost, by what became of its engine. */
const LOSS = {
  died: { reason: 'its process died', isCrash: true, said: 'the process of an engine ended' },
  // By SIGINT or SIGTERM: its work is not what it died of.
  ended: { reason: 'its process was ended', isCrash: false, said: 'the process of an engine was ended' },
  silent: {
    reason: 'its engine was silent for longer than deadAfter',
    isCrash: false,
    said: 'an engine has been silent for too long',
  },
} as const
type Lost = (typeof LOSS)[keyof typeof LOSS]

/**
 * Finds dead instances, and takes back what they held.
 *
 * One whose process has ended is dead at once. One whose process lives keeps its work, however busy its event loop is;
 * `health` and `explain` tell of it when its heartbeat has not changed for 10 s. With `deadAfter`, it loses its work after
 * that time. All by the time that passed *here*: what its clock says, and whether ours was set, plays no part.
 *
 * The chart that names `task.lost` gets it, and the task is available again or ends, by its `recovery`. An instance is
 * forgotten when nothing of it is left; jobs of unknown types stay for an engine that knows them.
 */
export class LossWatch {
  readonly #seen = new Map<string, { readonly heartbeat: number; readonly since: number }>()
  /** Those that are lost and still listed. */
  #lost: ReadonlySet<string> = new Set()
  #silent: readonly SilentInstance[] = []

  /** The silent engines, as they were found last. */
  get silent(): readonly SilentInstance[] {
    return this.#silent
  }

  /** Looks once. */
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
    for (const [id, how] of lost) await takeBack(core, id, how)
  }

  // This process may itself have stood still between the look and now: what was seen says nothing of the time since.
  #silenceMs({ clock }: Core, { id, heartbeat }: OtherInstance, asked: number): number {
    const seen = this.#seen.get(id)
    if (seen?.heartbeat === heartbeat) return asked - seen.since
    this.#seen.set(id, { heartbeat, since: clock.elapsed() })
    return 0
  }
}

async function takeBack(core: Core, instance: string, how: Lost): Promise<void> {
  const jobs = await core.storage.held(instance)
  const recorded = jobs.length === 0 ? [] : await core.storage.recorded(jobs.map(({ id }) => id))
  // One job that cannot be moved blocks no other; the next sweep tries it again.
  let stillRuns = false
  const failures = await failuresOf(jobs, async (job) => {
    if (await isAllGone(core, job, instance)) await loseAll(core, job, { instance, recorded, how })
    else stillRuns = true
  })
  if (failures === 0 && !stillRuns) await core.storage.forget(instance)
}

// What a dead engine has started may outlive it for a moment: nothing is started beside it. The next sweep looks again.
async function isAllGone(core: Core, job: Job, instance: string): Promise<boolean> {
  const gone = job.tasks.map(async ({ holder, handle, executor }) => {
    if (holder !== instance || handle === undefined) return true
    return (await core.executors.get(executor)?.isGone?.(handle)) ?? true
  })
  return (await Promise.all(gone)).every((each) => each)
}

interface TakenBack {
  readonly instance: string
  readonly recorded: readonly Recorded[]
  readonly how: Lost
}

async function loseAll(core: Core, job: Job, { instance, recorded, how }: TakenBack): Promise<void> {
  core.types.require(job)
  const lost = job.tasks.filter(({ holder }) => holder === instance)
  await Promise.all(
    lost.map(({ invocation }) => {
      const own = recorded.find((each) => each.jobId === job.id && each.invocation === invocation)
      return core.ticks.submit({
        by: ENGINE,
        jobs: [job.id],
        decide: (stored, context) => {
          const now = stored.require(job.id)
          // Between the list and this, another engine may have taken it back, and a third may hold it now.
          const isHeld = now.tasks.some((task) => task.invocation === invocation && task.holder === instance)
          if (!isHeld) return undefined
          const { reason, isCrash } = how
          const loss = { reason, isCrash, invocation, steps: own?.count ?? 0 }
          return lose(stored.typeOf(now), now, loss, context, stored)
        },
      })
    }),
  )
}

async function failuresOf(jobs: readonly Job[], change: (job: Job) => Promise<unknown>): Promise<number> {
  let failures = 0
  const count = () => {
    failures++
  }
  await Promise.all(jobs.map((job) => change(job).catch(count)))
  return failures
}
