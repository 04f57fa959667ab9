/**
 * What happens without anyone asking: timers that fall due, waiting jobs whose turn comes, tasks whose process died. Each is
 * found by one query and made by requests of the next ticks. Safe to run in any number of engines at once: of two that
 * make one change, the second finds it made.
 */
import { admit, due, lose } from '../model/decision.ts'
import { type Job, wakeAt } from '../model/job.ts'
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

/**
 * Finds dead instances, and takes back what they held.
 *
 * One whose process has ended is dead at once. One that is only silent is dead when its heartbeat has not changed for as
 * long as `deadAfter`, by the time that passed *here*: what its clock says, and whether ours was set, plays no part.
 *
 * The chart that names `task.lost` gets it, and the task is available again or ends, by its `recovery`. An instance is
 * forgotten when nothing of it is left; jobs of unknown types stay for an engine that knows them.
 */
export class LossWatch {
  readonly #seen = new Map<string, { readonly heartbeat: number; readonly since: number }>()
  /** Those that are lost and still listed. */
  #lost: ReadonlySet<string> = new Set()

  /** Looks once. */
  async run(core: Core): Promise<void> {
    const asked = core.clock.elapsed()
    const others = await core.storage.others()
    const listed = new Set(others.map(({ id }) => id))
    for (const id of this.#seen.keys()) if (!listed.has(id)) this.#seen.delete(id)
    const lost = others.filter((other) => other.isGone || this.#isSilent(core, other, asked))
    for (const { id, isGone } of lost.filter(({ id }) => !this.#lost.has(id))) {
      core.logger.warn(
        { instance: id },
        isGone ? 'the process of an engine ended' : 'an engine has been silent for too long',
      )
    }
    this.#lost = new Set(lost.map(({ id }) => id))
    for (const { id } of lost) await takeBack(core, id)
  }

  // This process may itself have stood still between the look and now: what was seen says nothing of the time since.
  #isSilent({ clock, settings }: Core, { id, heartbeat }: OtherInstance, asked: number): boolean {
    const seen = this.#seen.get(id)
    if (seen?.heartbeat === heartbeat) return asked - seen.since > settings.deadAfterMs
    this.#seen.set(id, { heartbeat, since: clock.elapsed() })
    return false
  }
}

async function takeBack(core: Core, instance: string): Promise<void> {
  const jobs = await core.storage.held(instance)
  const recorded = jobs.length === 0 ? [] : await core.storage.recorded(jobs.map(({ id }) => id))
  // One job that cannot be moved blocks no other; the next sweep tries it again.
  const failures = await failuresOf(jobs, async (job) => await loseAll(core, job, instance, recorded))
  if (failures === 0) await core.storage.forget(instance)
}

async function loseAll(core: Core, job: Job, instance: string, recorded: readonly Recorded[]): Promise<void> {
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
          const loss = { invocation, reason: 'its process died', steps: own?.count ?? 0 }
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
