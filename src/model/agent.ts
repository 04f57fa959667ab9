/**
 * Agents: programs, usually on other machines, that pull tasks from an engine, run them and report to it.
 *
 * An agent says which functions it has, and in which pools it is. A task for agents names the function that it needs.
 * Its job may be assigned to one agent or to one pool. All tasks that the same agents can run wait in one queue.
 */

/** Names an agent. */
export interface AgentKey {
  readonly tenant: string
  readonly id: string
}

/** The agent that holds a task, as its job shows it. `pool`: the pool to which the job was assigned. */
export interface AgentRef {
  readonly id: string
  readonly name: string
  readonly pool?: string
}

/** The agent that last claimed a task of a job, as the job stores it. */
export interface JobAgent extends AgentRef {
  /** True: the agent no longer holds a task of the job. Absent once the job has ended. */
  readonly isGone?: true
}

/** Which agents may run the tasks of a job: one agent, or the agents of a pool. */
export type Assignment =
  | { readonly agent: string; readonly pool?: never }
  | { readonly pool: string; readonly agent?: never }

/** A function that an agent can run. Without a version, the agent takes only tasks that ask for no version. */
export interface AgentFunction {
  readonly name: string
  readonly version?: string
}

/** An agent as it is stored. Times are milliseconds UTC. */
export interface StoredAgent extends AgentKey {
  readonly name: string
  readonly pools: readonly string[]
  readonly functions: readonly AgentFunction[]
  /** The person who enrolled the agent. For an agent that was not enrolled: the agent's own id. */
  readonly createdBy: string
  /** The hash of the agent's credential. Absent: the host authenticates the agent. */
  readonly credential?: string
  /** The pools that a person gave to the agent. The agent may register in these only. Absent: in any. */
  readonly mayJoin?: readonly string[]
  readonly createdAt: number
  /** When the agent last said which functions it has. Absent: never. */
  readonly registeredAt?: number
  /** When the agent last called. Absent: never. */
  readonly seenAt?: number
  /** Compared by compare-and-set: 1 at insert, raised by every write but that of `seenAt`. */
  readonly revision: number
}

/** The time until which an agent holds a task. */
export interface Lease {
  readonly jobId: string
  /** The token of the attempt. */
  readonly token: number
  readonly agent: AgentKey
  /** Milliseconds of the clock that deadlines use. From this time on, the agent no longer holds the task. */
  readonly until: number
}

/** What an agent must have to run a task. */
export interface Needed {
  readonly tenant: string
  readonly function: string
  readonly version?: string | undefined
  readonly assignment?: Assignment | undefined
}

/** The name of the queue in which a task for agents waits. */
export function queueOf({ tenant, function: called, version, assignment }: Needed): string {
  return JSON.stringify([tenant, called, version ?? null, assignment === undefined ? null : assignedTo(assignment)])
}

/**
 * Whether a claim takes the tasks of this queue. `queue` undefined: tasks without a queue, which only a claim takes that
 * names no queues.
 */
export function takesFrom(
  { queues }: { readonly queues?: { readonly has: (queue: string) => boolean } },
  queue: string | undefined,
): boolean {
  return queue === undefined ? queues === undefined : queues?.has(queue) === true
}

/** What a task of this queue needs. */
export function neededOf(queue: string): Needed {
  const [tenant, called, version, to] = JSON.parse(queue) as [string, string, string | null, [string, string] | null]
  return {
    tenant,
    function: called,
    ...(version === null ? {} : { version }),
    ...(to === null ? {} : { assignment: to[0] === 'agent' ? { agent: to[1] } : { pool: to[1] } }),
  }
}

/** The names of all queues from which an agent may take tasks. */
export function queuesOf({ tenant, id, pools, functions }: StoredAgent): ReadonlySet<string> {
  const assignments: readonly (Assignment | undefined)[] = [
    undefined,
    { agent: id },
    ...pools.map((pool) => ({ pool })),
  ]
  const queues = functions.flatMap(({ name, version }) => {
    const versions = version === undefined ? [undefined] : [undefined, version]
    return versions.flatMap((each) =>
      assignments.map((assignment) => queueOf({ tenant, function: name, version: each, assignment })),
    )
  })
  return new Set(queues)
}

function assignedTo({ agent, pool }: Assignment): readonly [kind: string, id: string] {
  return agent === undefined ? ['pool', pool] : ['agent', agent]
}

/** How the stored tasks of a job name an agent as their holder. Ids of engine instances never begin like this. */
export function holderOf({ tenant, id }: AgentKey): string {
  return `agent ${JSON.stringify([tenant, id])}`
}

/** The agent that a task's `holder` names. `undefined`: the holder is an engine instance. */
export function agentOf(holder: string): AgentKey | undefined {
  if (!holder.startsWith('agent ')) return undefined
  const [tenant, id] = JSON.parse(holder.slice('agent '.length)) as [string, string]
  return { tenant, id }
}
