/** The agents that wait for tasks at this engine. */
import { type AgentKey, queuesOf, type StoredAgent } from '../model/agent.ts'
import type { Job } from '../model/job.ts'
import type { SeenAgent } from '../port/agent-storage.ts'

/** A task that was claimed for an agent. */
export interface ClaimedForAgent {
  readonly job: Job
  readonly invocation: number
}

/** An agent that waits for tasks. */
export interface WaitingAgent {
  readonly agent: StoredAgent
  /** How many tasks it takes. */
  readonly max: number
  /** Called if a request of its own will claim a task for the agent. Its result comes to `keep`. */
  readonly promise: () => void
  /** Called with the tasks that were claimed for it in one commit. If none is promised, the agent no longer waits. */
  readonly give: (claimed: readonly ClaimedForAgent[]) => void
  /** Ends the wait without a task. */
  readonly end: () => void
  /** Called with a promised task. `undefined`: it could not be claimed. */
  readonly keep: (claimed: ClaimedForAgent | undefined) => void
}

/**
 * Lists the waiting agents by the queues from which they may take tasks. The agent that has waited longest is served
 * first.
 */
export class AgentDesk {
  readonly #waiting = new Set<WaitingAgent>()
  readonly #byQueue = new Map<string, Set<WaitingAgent>>()
  readonly #seen = new Map<string, SeenAgent>()

  /** The queues from which waiting agents may take tasks. */
  readonly queues = { has: (queue: string) => this.#byQueue.has(queue) }

  /** How many tasks the waiting agents take, all together. */
  get room(): number {
    let room = 0
    for (const { max } of this.#waiting) room += max
    return room
  }

  /** Lists an agent as waiting. Returns a function that ends the wait. */
  wait(waiting: WaitingAgent): () => void {
    this.#waiting.add(waiting)
    const queues = queuesOf(waiting.agent)
    for (const queue of queues) this.#byQueue.set(queue, (this.#byQueue.get(queue) ?? new Set()).add(waiting))
    return () => {
      if (!this.#waiting.delete(waiting)) return
      for (const queue of queues) {
        const others = this.#byQueue.get(queue)
        others?.delete(waiting)
        if (others?.size === 0) this.#byQueue.delete(queue)
      }
    }
  }

  /** Ends the waits of an agent, which then brings no task. */
  end(agent: AgentKey): void {
    for (const waiting of [...this.#waiting]) {
      if (waiting.agent.id === agent.id && waiting.agent.tenant === agent.tenant) waiting.end()
    }
  }

  /**
   * The agent that takes the next task of a queue. `undefined`: none has room.
   *
   * @param taken  how many tasks each agent has already been given in this commit.
   */
  next(queue: string, taken: ReadonlyMap<WaitingAgent, number>): WaitingAgent | undefined {
    for (const waiting of this.#byQueue.get(queue) ?? []) if ((taken.get(waiting) ?? 0) < waiting.max) return waiting
    return undefined
  }

  /** Notes that an agent has called. The time is stored at the engine's next heartbeat. */
  saw({ tenant, id }: AgentKey, at: number): void {
    this.#seen.set(JSON.stringify([tenant, id]), { tenant, id, at })
  }

  /** When agents last called, as far as that is not stored yet. The caller stores it. */
  takeSeen(): readonly SeenAgent[] {
    const seen = [...this.#seen.values()]
    this.#seen.clear()
    return seen
  }
}
