import { due } from '../model/decision.ts'
import { wakeAt } from '../model/job.ts'
import { advance, type Change } from './advance.ts'
import { type Core, ENGINE } from './core.ts'

/** Jobs looked at in one read. */
const DUE_MAX = 100

/**
 * Fires what has fallen due, oldest first, and sets the alarm for what falls due before the next sweep. Safe to run in
 * any number of engines at once: of two that fire one timer, the second finds it gone.
 */
export async function fireDue(core: Core): Promise<void> {
  const types = core.types.all()
  // Those that could not be moved stay due, and are passed over (I36); the next sweep tries them again.
  for (let skip = 0; ; ) {
    const now = core.clock.now()
    const jobs = await core.storage.due(types, now + core.settings.sweepMs, DUE_MAX, skip)
    const ready = jobs.filter((job) => (wakeAt(job) ?? now) <= now)
    const next = jobs[ready.length]
    if (next !== undefined) core.alarm.set(wakeAt(next) ?? now)
    for (const known of ready) {
      const decide: Change['decide'] = (type, job, at, relatives) => due(type, job, at, relatives)
      await advance(core, { jobId: known.id, by: ENGINE, known, decide }).catch(() => {
        skip++
      })
    }
    if (ready.length < DUE_MAX) return
  }
}
