/** The leases under which agents hold tasks: what happens when they end. */
import type { Lease } from '../model/agent.ts'
import { lose } from '../model/decision.ts'
import { type Core, ENGINE } from './core.ts'

/** How many leases one query reads. */
const LEASES_AT_ONCE = 1_000
/** The end of the leases of an agent that was revoked. */
const REVOKED = 0

/** The ways to lose a task of an agent, by what happened to the agent. */
const LOSS = {
  // The agent's process may have died of the task, so it counts as a crash: after three, the task is poison.
  silent: { reason: 'its agent was lost: it sent no heartbeat in time', isCrash: true },
  revoked: { reason: 'its agent was revoked', isCrash: false },
} as const

/**
 * Takes back the tasks of agents whose lease has ended.
 *
 * If this engine wrote no heartbeat for a while, its storage failed, or its process was suspended or busy. So agents could
 * not renew their leases either. All leases then last for a whole term from now.
 */
export class LeaseWatch {
  /** When this engine last wrote a heartbeat, in milliseconds of `elapsed`. */
  #beatAt: number | undefined

  /** Called when this engine has written a heartbeat. */
  async beaten(core: Core): Promise<void> {
    await this.#renewAfterAbsence(core)
    this.#beatAt = core.clock.elapsed()
  }

  /** Runs the check once. */
  async run(core: Core): Promise<void> {
    await this.#renewAfterAbsence(core)
    await endLeases(core)
  }

  async #renewAfterAbsence(core: Core): Promise<void> {
    const { clock, executors, settings } = core
    const absentMs = clock.elapsed() - (this.#beatAt ?? clock.elapsed())
    // Agents renew a lease about three times in its term.
    const renewalMs = Math.min(...termsOf(executors)) / 3
    if (absentMs > Math.max(renewalMs, 2 * settings.heartbeatMs)) await renewAllLeases(core)
  }
}

function termsOf(executors: Core['executors']): readonly number[] {
  return [...executors.values()].flatMap(({ leaseMs }) => leaseMs ?? [])
}

// Also sets the alarm for leases that end before the next sweep. The lease of a task that has ended is removed here too,
// once its time is over: nobody renews it.
async function endLeases(core: Core): Promise<void> {
  const { storage, clock, settings, alarm } = core
  for (let skip = 0; ; ) {
    const now = clock.steady()
    const leases = await storage.expiredLeases(now + settings.sweepMs, LEASES_AT_ONCE, skip)
    const ended = leases.filter(({ until }) => until <= now)
    const next = leases[ended.length]
    if (next !== undefined) alarm.set(next.until)
    const results = await Promise.allSettled(ended.map((lease) => endLease(core, lease)))
    // Leases that could not be ended stay, so this run skips them; the next sweep tries them again.
    skip += results.filter(({ status }) => status === 'rejected').length
    if (ended.length < LEASES_AT_ONCE) return
  }
}

async function endLease(core: Core, { jobId, token, until }: Lease): Promise<void> {
  const job = await core.storage.get(jobId)
  const held = job?.tasks.find((task) => task.token === token && (task.holder ?? '') !== '')
  const recorded = held === undefined ? [] : await core.storage.recorded([jobId])
  const steps = recorded.find(({ invocation }) => invocation === held?.invocation)?.count ?? 0
  // As in `sweeps.ts`: the record in memory may lack progress.
  core.dispatcher.heard(jobId)
  const expire = { op: 'expire', jobId, token, at: core.clock.steady() } as const
  await core.ticks.submit({
    by: ENGINE,
    writes: [expire],
    ...(job === undefined || held === undefined
      ? {}
      : {
          jobs: [jobId],
          isReadAnew: true,
          decide: (jobs, context) => {
            const now = jobs.require(jobId)
            const task = now.tasks.find((each) => each.token === token)
            if (task === undefined) return undefined
            const how = until === REVOKED ? LOSS.revoked : LOSS.silent
            // Code that has not begun cannot have crashed the agent.
            const begun = task.handle === undefined ? { isCrash: false } : {}
            const loss = { ...how, ...begun, invocation: task.invocation, steps }
            return lose(jobs.typeOf(now), now, loss, context, jobs)
          },
        }),
  })
}

/**
 * Lets every lease last for a whole term from now. Called when an engine starts and no other runs: agents could not
 * renew their leases meanwhile.
 */
export async function renewAllLeases({ storage, executors, clock }: Core): Promise<void> {
  const longest = Math.max(0, ...termsOf(executors))
  if (longest > 0) await storage.extendLeases(clock.steady() + longest)
}
