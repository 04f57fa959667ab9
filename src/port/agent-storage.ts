import type { AgentKey, Lease, StoredAgent } from '../model/agent.ts'

/**
 * Stores agents, and the leases under which they hold tasks. A part of {@link StorageConnection}; its guarantees are
 * numbered with the others.
 *
 * - S51 A `grant` stores a lease, in place of the one with the same job and token. A `lease` write checks, in the
 *   transaction that writes, that the agent has the lease of this job and token, and that the lease ends after `at`;
 *   otherwise the changeset is `stale`. With `until`, it also moves the end of the lease, but never to an
 *   earlier time. None of these writes changes a job or a revision. The leases of a job are removed with its row.
 * - S52 An `expire` write removes a lease that has ended by `at`. If the lease ends later, or there is none, the
 *   changeset is `stale`. So a renewal and a loss never both take effect.
 * - S53 `expiredLeases` returns leases that have ended by `at`: those that ended first come first, those that ended at
 *   the same time by job id and token. `extendLeases` moves the end of each lease that ends earlier to the given time,
 *   but not of leases that `removeAgent` has ended.
 * - S54 An agent is written by compare-and-set on its revision. `agentsSeen` changes no revision. No write makes the
 *   `seenAt` of a stored agent earlier. `removeAgent` also ends the leases of the agent: their `until` becomes 0.
 *   `agents` pages by (tenant, id).
 */
export interface AgentStorage {
  /** Leases that have ended by `at`: at most `limit`, after the first `skip`. */
  readonly expiredLeases: (at: number, limit: number, skip: number) => Promise<readonly Lease[]>
  /** Lets every lease last until this time at least, except those of removed agents. */
  readonly extendLeases: (until: number) => Promise<void>
  /** The leases of one agent, by job id and token. */
  readonly leasesOf: (agent: AgentKey) => Promise<readonly Lease[]>
  /** The agent. `undefined`: there is none. */
  readonly agent: (key: AgentKey) => Promise<StoredAgent | undefined>
  /** The agent with this hash of its credential. */
  readonly agentByCredential: (hash: string) => Promise<StoredAgent | undefined>
  /** One page of the agents. */
  readonly agents: (page: AgentPage) => Promise<readonly StoredAgent[]>
  /**
   * Stores an agent. Resolves with `false`, and stores nothing, unless the stored revision is `agent.revision - 1` (0:
   * the agent must not exist).
   */
  readonly putAgent: (agent: StoredAgent) => Promise<boolean>
  /** Removes an agent, and ends its leases. If there is no such agent, only the leases end. */
  readonly removeAgent: (key: AgentKey) => Promise<void>
  /** Stores when agents last called, in milliseconds UTC. Unknown agents are ignored. */
  readonly agentsSeen: (seen: readonly SeenAgent[]) => Promise<void>
}

/**
 * A page of agents: the first `limit` after `after`, by (tenant, id). `tenant`: only agents of this tenant; `after` is
 * one of them.
 */
export interface AgentPage {
  readonly tenant?: string
  readonly limit: number
  readonly after?: AgentKey
}

/** When an agent last called, in milliseconds UTC. */
export interface SeenAgent extends AgentKey {
  readonly at: number
}
