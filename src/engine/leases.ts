/** The leases under which agents hold tasks: what happens when they end. */
import type { Lease } from '../model/agent.ts'
import { lose } from '../model/decision.ts'
import { type Core, ENGINE } from './core.ts'

/** How many leases one query reads. */
const LEASES_AT_ONCE = 1_000

const REASON = 'its agent was lost: it sent no heartbeat in time'

/**
 * Takes back the tasks of agents whose lease has ended, and sets the alarm for leases that end before the next sweep.
 *
 * The lease of a task that has ended is removed here too, once its time is over: nobody renews it.
 */
export async function endLeases(core: Core): Promise<void> {
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

async function endLease(core: Core, { jobId, token }: Lease): Promise<void> {
  const job = await core.storage.get(jobId)
  const held = job?.tasks.find((task) => task.token === token && (task.holder ?? '') !== '')
  const recorded = held === undefined ? [] : await core.storage.recorded([jobId])
  const steps = recorded.find(({ invocation }) => invocation === held?.invocation)?.count ?? 0
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
            // The agent's process may have died of the task, so it counts as a crash: after three, the task is poison.
            const loss = { reason: REASON, isCrash: true, invocation: task.invocation, steps }
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
  const terms = [...executors.values()].flatMap(({ leaseMs = 0 }) => leaseMs)
  const longest = Math.max(0, ...terms)
  if (longest > 0) await storage.extendLeases(clock.steady() + longest)
}
