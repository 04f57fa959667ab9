import { admit } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import { advance } from './advance.ts'
import { type Core, ENGINE } from './core.ts'

/** Jobs looked at in one read. */
const WAITING_MAX = 100

/**
 * Admits the waiting jobs whose time and turn have come, and sets the alarm for those that may start before the next
 * sweep. Safe to run in any number of engines at once: of two that admit one job, the second finds it admitted.
 */
export async function admitWaiting(core: Core): Promise<void> {
  const types = core.types.all()
  // Those that could not be admitted wait on, and are passed over (I36); the next sweep tries them again.
  for (let skip = 0; ; ) {
    const now = core.clock.now()
    const jobs = await core.storage.admissible(types, now + core.settings.sweepMs, WAITING_MAX, skip)
    for (const known of jobs) {
      if ((known.startAt ?? now) > now) {
        core.alarm.set(known.startAt ?? now)
        skip++
      } else if (!(await admitted(core, known))) skip++
    }
    if (jobs.length < WAITING_MAX) return
  }
}

async function admitted(core: Core, known: Job): Promise<boolean> {
  try {
    const job = await advance(core, { jobId: known.id, by: ENGINE, known, decide: admit })
    return job.phase !== 'waiting'
  } catch {
    return false
  }
}
