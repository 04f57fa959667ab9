/** The leases under which agents hold tasks: what happens when they end. */

import type { Lease } from '../model/agent.ts'
import { lose } from '../model/decision.ts'
import { type Core, ENGINE, ofJob } from './core.ts'
import { handleDue } from './due-rows.ts'

/** After so many heartbeats, all engines have followed one that is ahead. */
const FOLLOWED_BEATS = 2
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
 *
 * The ends of leases are compared by all engines, so all must have the same `steady`. Each starts with its own wall clock,
 * which may be far ahead, and each follows the latest heartbeat:
 *
 * ```
 *  an engine starts an hour ahead    all leases last for a whole term of its time; its heartbeat is an hour ahead
 *  the next heartbeat of another     all leases last for a whole term of that time; then it takes over the time
 * ```
 *
 * Until then the other engine may grant leases of its earlier time. So the one that is ahead ends no lease for a while.
 */
export class LeaseWatch {
  /** When this engine last wrote a heartbeat, in milliseconds of `elapsed`. */
  #beatAt: number | undefined
  /** No lease is ended before this time, in milliseconds of `elapsed`. */
  #patientUntil = 0

  /**
   * Called when this engine starts, with the latest heartbeat that was stored before. If no engine has sent one for a
   * while by the time of this engine, agents could not renew their leases, or the clocks of the engines differ.
   */
  async joined(core: Core, latest: number, isAlone: boolean): Promise<void> {
    const { clock, settings } = core
    const isLater = clock.steady() - latest > renewalMsOf(core)
    if (isLater && !isAlone) this.#patientUntil = clock.elapsed() + FOLLOWED_BEATS * settings.heartbeatMs
    if (isLater || isAlone) await renewAllLeases(core, clock.steady())
  }

  /** Takes over the time of the latest heartbeat, if that is later. Called before each heartbeat of this engine. */
  async follow(core: Core): Promise<void> {
    const { clock, storage, settings } = core
    const latest = await storage.lastBeat()
    if (latest - clock.steady() > renewalMsOf(core)) {
      this.#patientUntil = clock.elapsed() + FOLLOWED_BEATS * settings.heartbeatMs
      await renewAllLeases(core, latest)
    }
    clock.atLeast(latest)
  }

  /** Called when this engine has written a heartbeat. */
  async beaten(core: Core): Promise<void> {
    await this.#renewAfterAbsence(core)
    this.#beatAt = core.clock.elapsed()
  }

  /** Runs the check once. */
  async run(core: Core): Promise<void> {
    await this.#renewAfterAbsence(core)
    if (core.clock.elapsed() >= this.#patientUntil) await endLeases(core)
  }

  async #renewAfterAbsence(core: Core): Promise<void> {
    const { clock, settings } = core
    const absentMs = clock.elapsed() - (this.#beatAt ?? clock.elapsed())
    if (absentMs > Math.max(renewalMsOf(core), 2 * settings.heartbeatMs)) await renewAllLeases(core, clock.steady())
  }
}

/** Agents renew a lease about three times in its term. */
function renewalMsOf({ executors }: Core): number {
  return Math.min(...termsOf(executors)) / 3
}

function termsOf(executors: Core['executors']): readonly number[] {
  return [...executors.values()].flatMap(({ leaseMs }) => leaseMs ?? [])
}

// The lease of a task that has ended is removed here too, once its time is over: nobody renews it.
async function endLeases(core: Core): Promise<void> {
  await handleDue(core, {
    time: 'steady',
    read: (at, limit, skip) => core.storage.expiredLeases(at, limit, skip),
    dueAt: ({ until }) => until,
    handle: (lease) => endLease(core, lease),
  })
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
          isReadAnew: true,
          ...ofJob(jobId, (type, now, context, jobs) => {
            const task = now.tasks.find((each) => each.token === token)
            if (task === undefined) return undefined
            const how = until === REVOKED ? LOSS.revoked : LOSS.silent
            // Code that has not begun cannot have crashed the agent.
            const begun = task.handle === undefined ? { isCrash: false } : {}
            const loss = { ...how, ...begun, invocation: task.invocation, steps }
            return lose(type, now, loss, context, jobs)
          }),
        }),
  })
}

/** Lets every lease last for a whole term from this time on. */
async function renewAllLeases({ storage, executors }: Core, from: number): Promise<void> {
  const longest = Math.max(0, ...termsOf(executors))
  if (longest > 0) await storage.extendLeases(from + longest)
}
