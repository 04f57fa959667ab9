import { lose } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import { advance } from './advance.ts'
import { type Core, ENGINE } from './core.ts'

/**
 * Takes back what dead instances held. Each loss is one commit: the chart that names `task.lost` gets it, and the task
 * is offered again or ends, by its `recovery`. An instance is forgotten when nothing of it is left; jobs of unknown
 * types stay for an engine that knows them.
 */
export async function recover(core: Core): Promise<void> {
  for (const instance of await core.storage.dead(core.settings.deadAfterMs)) await recoverInstance(core, instance)
}

async function recoverInstance(core: Core, instance: string): Promise<void> {
  let isLeft = false
  for (const job of await core.storage.held(instance)) {
    try {
      await recoverJob(core, job, instance)
    } catch {
      // One job that cannot be moved blocks no other (I36); the next sweep tries it again.
      isLeft = true
    }
  }
  if (!isLeft) await core.storage.forget(instance)
}

async function recoverJob(core: Core, job: Job, instance: string): Promise<void> {
  core.types.require(job)
  for (const { holder, entry } of job.tasks) {
    if (holder !== instance) continue
    const steps = (await core.storage.steps(job.id, entry)).size
    await advance(core, {
      jobId: job.id,
      by: ENGINE,
      decide: (type, stored, at, relatives) => {
        // Between the list and this, another engine may have taken it back, and a third may hold it now.
        const isHeld = stored.tasks.some((task) => task.entry === entry && task.holder === instance)
        const loss = { entry: isHeld ? entry : -1, reason: 'its process died', steps }
        return lose(type, stored, loss, at, relatives)
      },
    })
  }
}
