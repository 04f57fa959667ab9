import { isUnreadable, jobNotFound } from '../model/error.ts'
import type { Actor } from '../model/event.ts'
import { hasRelatives, type Job } from '../model/job.ts'
import type { Core } from './core.ts'
import { WorkingSet } from './working-set.ts'

/**
 * Reads a job.
 *
 * @throws {JobchartError} `JOB_NOT_FOUND`; `JOB_UNREADABLE` only if `by` is the system.
 */
export async function load(core: Core, id: string, by: Actor['kind'] = 'system'): Promise<Job> {
  return shown(id, by, await core.storage.get(id).catch(hiddenFrom(id, by)))
}

/**
 * Reads the tree of a job, so that the job's chart can be asked what it would do, e.g. which commands it would take.
 */
export async function treeOf(core: Core, job: Job): Promise<WorkingSet> {
  if (!hasRelatives(job)) return new WorkingSet(core)
  const query = { jobs: [job.id], pipelines: [], types: core.types.all(), at: core.clock.now() }
  return new WorkingSet(core, await core.storage.load(query))
}

/** As {@link load}, but takes the job from the working set of a tick. */
export function jobFor(jobs: WorkingSet, id: string, by: Actor['kind']): Job {
  try {
    return shown(id, by, jobs.job(id))
  } catch (error) {
    return hiddenFrom(id, by)(error)
  }
}

function shown(id: string, by: Actor['kind'], job: Job | undefined): Job {
  if (job === undefined || (by !== 'system' && job.deletedAt !== undefined)) throw jobNotFound(id)
  return job
}

// A job that cannot be read is hidden from persons, because it is unknown whether they may see it.
function hiddenFrom(id: string, by: Actor['kind']): (error: unknown) => never {
  return (error) => {
    throw isUnreadable(error) && by !== 'system' ? jobNotFound(id) : error
  }
}
