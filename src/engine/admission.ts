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
  const { storage, types, clock, settings, alarm } = core
  // Those that could not be admitted wait on, and are passed over (I36); the next sweep tries them again.
  for (let skip = 0; ; ) {
    const jobs = await storage.admissible(types.all(), clock.now(), WAITING_MAX, skip)
    for (const known of jobs) if (!(await admitted(core, known))) skip++
    if (jobs.length < WAITING_MAX) break
  }
  // Looked at apart: one that is more urgent and not due yet would hide one of its pipeline that is.
  const now = clock.now()
  for (const { startAt } of await storage.admissible(types.all(), now + settings.sweepMs, WAITING_MAX, 0)) {
    if (startAt !== undefined && startAt > now) alarm.set(startAt)
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
