import { lose } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import type { OtherInstance } from '../port/storage.ts'
import { advance } from './advance.ts'
import { type Core, ENGINE } from './core.ts'

/**
 * Finds dead instances, and takes back what they held.
 *
 * One whose process has ended is dead at once. One that is only silent is dead when its heartbeat has not changed for as
 * long as `deadAfter`, by the time that passed *here*: what its clock says, and whether ours was set, plays no part.
 *
 * Each loss is one commit: the chart that names `task.lost` gets it, and the task is offered again or ends, by its
 * `recovery`. An instance is forgotten when nothing of it is left; jobs of unknown types stay for an engine that knows
 * them.
 */
export class Recovery {
  readonly #seen = new Map<string, { readonly heartbeat: number; readonly since: number }>()

  /** Looks once. */
  async run(core: Core): Promise<void> {
    const asked = core.clock.elapsed()
    const others = await core.storage.others()
    const listed = new Set(others.map(({ id }) => id))
    for (const id of this.#seen.keys()) if (!listed.has(id)) this.#seen.delete(id)
    for (const other of others) {
      if (other.isGone || this.#isSilent(core, other, asked)) await recoverInstance(core, other.id)
    }
  }

  // This process may itself have stood still between the look and now: what was seen says nothing of the time since.
  #isSilent({ clock, settings }: Core, { id, heartbeat }: OtherInstance, asked: number): boolean {
    const seen = this.#seen.get(id)
    if (seen?.heartbeat === heartbeat) return asked - seen.since > settings.deadAfterMs
    this.#seen.set(id, { heartbeat, since: clock.elapsed() })
    return false
  }
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
  for (const { holder, invocation } of job.tasks) {
    if (holder !== instance) continue
    const steps = (await core.storage.steps(job.id, invocation)).size
    await advance(core, {
      jobId: job.id,
      by: ENGINE,
      decide: (type, stored, at, relatives) => {
        // Between the list and this, another engine may have taken it back, and a third may hold it now.
        const isHeld = stored.tasks.some((task) => task.invocation === invocation && task.holder === instance)
        const loss = { invocation: isHeld ? invocation : -1, reason: 'its process died', steps }
        return lose(type, stored, loss, at, relatives)
      },
    })
  }
}
