import type { AgentKey, Lease, StoredAgent } from '../model/agent.ts'
import type { AgentPage, SeenAgent } from '../port/agent-storage.ts'
import type { Write } from '../port/storage.ts'
import { byCodePoints, byTenantAndId } from './code-points.ts'
import { pairKey } from './pair-key.ts'
import { SortedList } from './sorted-list.ts'

type LeaseWrite = Extract<Write, { readonly op: 'lease' }>
type ExpireWrite = Extract<Write, { readonly op: 'expire' }>

/** The end of a lease whose agent was removed. */
const REMOVED = 0

/** The agents, and the leases under which they hold tasks. */
export class MemoryAgents {
  readonly #agents = new Map<string, StoredAgent>()
  readonly #byCredential = new Map<string, StoredAgent>()
  /** The leases of each job, by token. */
  readonly #leases = new Map<string, Map<number, Lease>>()
  /** The leases by their ends. */
  readonly #ending = new SortedList<Lease, Lease>((a, b) => a.until - b.until || byTask(a, b))
  readonly #ofAgent = new Map<string, Set<Lease>>()

  /** Stores a lease. Returns a function that undoes this. */
  grant(lease: Lease): () => void {
    return this.#replace(this.#lease(lease), lease)
  }

  /**
   * Moves the end of a lease, if the write says so. Returns a function that undoes this. `stale`: the agent has no such
   * lease, or it has ended.
   */
  renew({ agent, at, until, ...task }: LeaseWrite): (() => void) | undefined | 'stale' {
    const lease = this.#lease(task)
    if (lease === undefined || lease.until <= at || agentKey(lease.agent) !== agentKey(agent)) return 'stale'
    return until === undefined || until <= lease.until ? undefined : this.#replace(lease, { ...lease, until })
  }

  /** Removes a lease that has ended. Returns a function that undoes this; `stale`: the lease has not ended. */
  expire({ at, ...task }: ExpireWrite): (() => void) | 'stale' {
    const lease = this.#lease(task)
    return lease === undefined || lease.until > at ? 'stale' : this.#replace(lease, undefined)
  }

  #lease({ jobId, token }: Pick<Lease, 'jobId' | 'token'>): Lease | undefined {
    return this.#leases.get(jobId)?.get(token)
  }

  #replace(before: Lease | undefined, after: Lease | undefined): () => void {
    if (before !== undefined) this.#forget(before)
    if (after !== undefined) {
      const key = agentKey(after.agent)
      this.#leases.set(after.jobId, (this.#leases.get(after.jobId) ?? new Map()).set(after.token, after))
      this.#ending.add(after)
      this.#ofAgent.set(key, (this.#ofAgent.get(key) ?? new Set()).add(after))
    }
    return () => this.#replace(after, before)
  }

  #forget(lease: Lease): void {
    const key = agentKey(lease.agent)
    const [ofJob, ofAgent] = [this.#leases.get(lease.jobId), this.#ofAgent.get(key)]
    ofJob?.delete(lease.token)
    if (ofJob?.size === 0) this.#leases.delete(lease.jobId)
    ofAgent?.delete(lease)
    if (ofAgent?.size === 0) this.#ofAgent.delete(key)
    this.#ending.remove(lease)
  }

  /** Removes the leases of a job. Returns a function that undoes this. */
  removeOfJob(jobId: string): (() => void) | undefined {
    const leases = [...(this.#leases.get(jobId)?.values() ?? [])]
    for (const lease of leases) this.#forget(lease)
    return leases.length === 0 ? undefined : () => void leases.map((lease) => this.grant(lease))
  }

  /** Leases that have ended by `at`: at most `limit`, after the first `skip`. Those that ended first come first. */
  expired(at: number, limit: number, skip: number): readonly Lease[] {
    const found: Lease[] = []
    for (const lease of this.#ending.after()) {
      if (lease.until > at || found.length >= skip + limit) break
      found.push(lease)
    }
    return found.slice(skip)
  }

  /** Lets every lease last until this time at least, except those of removed agents. */
  extend(until: number): void {
    const earlier = [...this.#ending.after()].filter((lease) => lease.until > REMOVED && lease.until < until)
    for (const lease of earlier) this.#replace(lease, { ...lease, until })
  }

  /** The leases of one agent, by job id and token. */
  leasesOf(agent: AgentKey): readonly Lease[] {
    return [...(this.#ofAgent.get(agentKey(agent)) ?? [])].sort(byTask)
  }

  /** The agent. `undefined`: there is none. */
  get(key: AgentKey): StoredAgent | undefined {
    return this.#agents.get(agentKey(key))
  }

  /** The agent with this hash of its credential. */
  withCredential(hash: string): StoredAgent | undefined {
    return this.#byCredential.get(hash)
  }

  /** One page of the agents. */
  page({ tenant, limit, after }: AgentPage): readonly StoredAgent[] {
    return [...this.#agents.values()]
      .filter((each) => tenant === undefined || each.tenant === tenant)
      .filter((each) => after === undefined || byTenantAndId(after, each) < 0)
      .sort(byTenantAndId)
      .slice(0, limit)
  }

  /** Stores an agent. Returns `false` if the stored revision is not the one before. */
  put(agent: StoredAgent): boolean {
    const before = this.get(agent)
    if ((before?.revision ?? 0) !== agent.revision - 1) return false
    this.#set(before, seenBy(agent, before?.seenAt))
    return true
  }

  /** Removes an agent, and ends its leases. */
  remove(key: AgentKey): void {
    this.#set(this.get(key), undefined)
    for (const lease of this.leasesOf(key)) this.#replace(lease, { ...lease, until: REMOVED })
  }

  /** Stores when agents last called. */
  seen(seen: readonly SeenAgent[]): void {
    for (const { at, ...key } of seen) {
      const agent = this.get(key)
      if (agent !== undefined) this.#set(agent, seenBy(agent, at))
    }
  }

  #set(before: StoredAgent | undefined, after: StoredAgent | undefined): void {
    if (before !== undefined) this.#agents.delete(agentKey(before))
    if (before?.credential !== undefined) this.#byCredential.delete(before.credential)
    if (after !== undefined) this.#agents.set(agentKey(after), after)
    if (after?.credential !== undefined) this.#byCredential.set(after.credential, after)
  }
}

// The agent with the later one of two times.
function seenBy(agent: StoredAgent, at: number | undefined): StoredAgent {
  return at === undefined || at <= (agent.seenAt ?? Number.NEGATIVE_INFINITY) ? agent : { ...agent, seenAt: at }
}

function agentKey({ tenant, id }: AgentKey): string {
  return pairKey(tenant, id)
}

function byTask(a: Lease, b: Lease): number {
  return byCodePoints(a.jobId, b.jobId) || a.token - b.token
}
