/** What people do with agents. */

import type { AgentKey, Lease, StoredAgent } from '../../model/agent.ts'
import { agentNotFound } from '../../model/error.ts'
import { isRunning, nameOfAttempt } from '../../model/task-record.ts'
import { isoTime } from '../../model/time.ts'
import type { Principal } from '../../port/policy.ts'
import { hashOf, newCredential } from '../agent-credential.ts'
import { agentListSchema, enrollSchema } from '../agent-options.ts'
import { allowed, authorizeAgent } from '../authorization.ts'
import { type CallOptions, misfit, parseOptions, tenantOf } from '../call-options.ts'
import type { Core } from '../core.ts'
import { readCursor, writeCursor } from '../cursor.ts'
import { newId } from '../ids.ts'
import type { Page } from '../page.ts'

/** An agent as a session shows it. Times are ISO 8601. */
export interface AgentView {
  readonly id: string
  readonly name: string
  readonly tenant: string
  /** The person who enrolled the agent. For an agent that was not enrolled: the agent's own id. */
  readonly createdBy: string
  readonly pools: readonly string[]
  readonly functions: readonly { readonly name: string; readonly version?: string }[]
  readonly createdAt: string
  /** When the agent last said which functions it has. Absent: never. */
  readonly registeredAt?: string
  /** When the agent last called, to within a heartbeat of its engine. Absent: never. */
  readonly seenAt?: string
  /** How many tasks the agent holds. */
  readonly running: number
  /** The jobs of these tasks, as far as the caller may see them and their agent. */
  readonly jobs: readonly string[]
}

/** A pool: the agents that have registered in it. */
export interface PoolView {
  readonly name: string
  /** The ids of its agents. */
  readonly agents: readonly string[]
  /** The functions of its agents. */
  readonly functions: readonly { readonly name: string; readonly version?: string }[]
  /** When one of its agents last called, ISO 8601. */
  readonly seenAt?: string
  /** How many tasks its agents hold. */
  readonly running: number
}

/** The options of `agents.enroll`. */
export interface EnrollOptions extends CallOptions {
  /** Unique in the tenant: 1 to 200 characters. Default: a new one. */
  readonly id?: string
  /** A name for people. Default: the id. */
  readonly name?: string
  /** The pools that the agent may join. Default: none. */
  readonly pools?: readonly string[]
  /** Only for the engine's own session. */
  readonly tenant?: string
}

/** An enrolled agent. The credential is shown only once: the engine stores its hash. */
export interface EnrolledAgent {
  readonly id: string
  readonly credential: string
}

/** The options of `agents.list` and `agents.pools`. */
export interface AgentListOptions extends CallOptions {
  /** The size of a page: 1 to 100, default 20. */
  readonly limit?: number
  readonly cursor?: string | undefined
}

/** Enrolls an agent: stores it with a new credential. */
export async function enrollAgent(
  core: Core,
  who: Principal,
  { signal, ...options }: EnrollOptions = {},
): Promise<EnrolledAgent> {
  const { id = newId(core), name, pools, tenant: other } = await parseOptions(enrollSchema, options)
  const tenant = tenantOf(who, other)
  await authorizeAgent(core, who, 'enrollAgent', { tenant, id, createdBy: who.id }, signal)
  const credential = newCredential(core.clock)
  const mayJoin = [...new Set(pools)]
  const isStored = await core.storage.putAgent({
    tenant,
    id,
    name: name ?? id,
    pools: [],
    functions: [],
    createdBy: who.id,
    credential: await hashOf(credential),
    mayJoin,
    createdAt: core.clock.now(),
    revision: 1,
  })
  if (isStored) return { id, credential }
  throw misfit('id', `is taken: there is an agent "${id}". To enroll it anew, revoke it first; or choose another id`)
}

/** Revokes an agent: removes it, and ends its leases. */
export async function revokeAgent(
  core: Core,
  who: Principal,
  id: string,
  { signal, tenant }: CallOptions & { readonly tenant?: string } = {},
): Promise<void> {
  const key = { tenant: tenantOf(who, tenant), id }
  const agent = await core.storage.agent(key)
  const target = agent ?? { ...key, createdBy: '' }
  await authorizeAgent(core, who, 'revokeAgent', target, signal)
  if (agent === undefined) throw agentNotFound(id)
  await core.storage.removeAgent(key)
  // Its leases have ended now, so its tasks are taken back.
  core.alarm.set(core.clock.steady())
}

/** Lists the agents of the caller's tenant, by id. */
export async function listAgents(
  core: Core,
  who: Principal,
  { signal, ...options }: AgentListOptions = {},
): Promise<Page<AgentView>> {
  const { limit, cursor } = await parseOptions(agentListSchema, options)
  await authorizeAgent(core, who, 'listAgents', { tenant: who.tenant, id: '', createdBy: '' }, signal)
  const after = cursor === undefined ? undefined : readCursor(cursor, who, ['string', 'string'])
  const found = await core.storage.agents({
    ...(who.kind === 'system' ? {} : { tenant: who.tenant }),
    limit: limit + 1,
    ...(after === undefined ? {} : { after: { tenant: String(after[0]), id: String(after[1]) } }),
  })
  const shown = found.slice(0, limit)
  const items = await Promise.all(shown.map((agent) => viewOf(core, who, agent)))
  const last = found.length > limit ? shown.at(-1) : undefined
  return last === undefined ? { items } : { items, nextCursor: writeCursor([last.tenant, last.id], who) }
}

/** How many agents one read returns. */
const AGENTS_AT_ONCE = 1_000

/** All agents of a tenant, by id. */
export async function* agentsOfTenant({ storage }: Core, tenant: string): AsyncGenerator<StoredAgent> {
  for (let after: AgentKey | undefined; ; ) {
    const page = { tenant, limit: AGENTS_AT_ONCE, ...(after === undefined ? {} : { after }) }
    const agents = await storage.agents(page)
    yield* agents
    after = agents.at(-1)
    if (agents.length < AGENTS_AT_ONCE) return
  }
}

/** Lists the pools of the caller's tenant, by name. */
export async function listPools(
  core: Core,
  who: Principal,
  { signal }: CallOptions = {},
): Promise<readonly PoolView[]> {
  await authorizeAgent(core, who, 'listAgents', { tenant: who.tenant, id: '', createdBy: '' }, signal)
  const pools = new Map<string, StoredAgent[]>()
  for await (const agent of agentsOfTenant(core, who.tenant)) {
    for (const pool of new Set([...agent.pools, ...(agent.mayJoin ?? [])])) {
      pools.set(pool, [...(pools.get(pool) ?? []), agent])
    }
  }
  const views = [...pools].map(async ([pool, all]): Promise<PoolView> => {
    const agents = all.filter((agent) => agent.pools.includes(pool))
    const leases = (await Promise.all(agents.map((agent) => core.storage.leasesOf(agent)))).flat()
    const functions = new Map(agents.flatMap((agent) => agent.functions.map((each) => [JSON.stringify(each), each])))
    const seen = Math.max(...agents.map(({ seenAt = 0 }) => seenAt), 0)
    return {
      name: pool,
      agents: agents.map(({ id }) => id),
      functions: [...functions.values()],
      ...(seen === 0 ? {} : { seenAt: isoTime(seen) }),
      running: (await heldNow(core, leases)).length,
    }
  })
  return (await Promise.all(views)).sort((a, b) => (a.name < b.name ? -1 : 1))
}

async function viewOf(core: Core, who: Principal, agent: StoredAgent): Promise<AgentView> {
  const { id, name, tenant, createdBy, pools, functions, createdAt, registeredAt, seenAt } = agent
  const held = await heldNow(core, await core.storage.leasesOf(agent))
  const summaries = held.length === 0 ? [] : await core.storage.summaries([...new Set(held.map(({ jobId }) => jobId))])
  const visible = await Promise.all(
    summaries.map(async (job) => {
      const mask = await allowed(core, who, job, { action: 'get' })
      return mask === undefined || mask.hidden.has('agent') ? [] : [job.id]
    }),
  )
  return {
    ...{ id, name, tenant, createdBy, pools, functions, createdAt: isoTime(createdAt) },
    ...(registeredAt === undefined ? {} : { registeredAt: isoTime(registeredAt) }),
    ...(seenAt === undefined ? {} : { seenAt: isoTime(seenAt) }),
    running: held.length,
    jobs: visible.flat().sort(),
  }
}

// The leases of tasks that are held now. The lease of a task that has ended is kept until its time is over.
async function heldNow({ storage, clock }: Core, leases: readonly Lease[]): Promise<readonly Lease[]> {
  const living = leases.filter(({ until }) => until > clock.steady())
  if (living.length === 0) return []
  const jobs = await storage.many([...new Set(living.map(({ jobId }) => jobId))].slice(0, 1_000))
  const tokens = new Set(
    jobs.flatMap(({ id, tasks }) => tasks.filter(isRunning).map(({ token }) => nameOfAttempt(id, token))),
  )
  return living.filter(({ jobId, token }) => tokens.has(nameOfAttempt(jobId, token)))
}
