/** The calls of agents, but for their reports. */

import type { AgentKey, StoredAgent } from '../../model/agent.ts'
import { queuesOf } from '../../model/agent.ts'
import { batchStart, isDrained } from '../../model/batch-record.ts'
import { hasCode, JobchartError, jobNotFound } from '../../model/error.ts'
import { claimableTasks, type Job } from '../../model/job.ts'
import { isOfPaused } from '../../model/paused-type.ts'
import { settingsOf } from '../../model/record.ts'
import { invocationKey, stepAddress } from '../../model/step-key.ts'
import { jsonCopy } from '../../model/storable.ts'
import { countsOf } from '../../model/task.ts'
import { taskJobOf } from '../../model/task-job.ts'
import { nameOfAttempt } from '../../model/task-record.ts'
import type {
  AgentRegistration,
  ClaimAnswer,
  ClaimedTask,
  ClaimKey,
  ClaimOptions,
  Heartbeat,
  HeartbeatAnswer,
  RegisteredAgent,
} from '../../port/agent.ts'
import type { Principal } from '../../port/policy.ts'
import type { ClaimedForAgent, WaitingAgent } from '../agent-desk.ts'
import { claimSchema, heartbeatSchema, registrationSchema } from '../agent-options.ts'
import { answerOf, giveBack, goneAnswer, renew } from '../agent-reports.ts'
import { authorizeAgent } from '../authorization.ts'
import { type CallOptions, parseOptions } from '../call-options.ts'
import { cannotBeClaimed, claimFor } from '../claim.ts'
import type { Core } from '../core.ts'
import type { AgentPrincipal } from '../principal.ts'
import { stopped } from './result.ts'

/** The time between the last heartbeat of an agent and the end of its leases. */
function leaseMsOf({ executors }: Core, executor?: string): number {
  const all = [...executors].filter(([name]) => executor === undefined || name === executor)
  return Math.min(...all.flatMap(([, { leaseMs }]) => leaseMs ?? []), LEASE_MS_MAX)
}

const LEASE_MS_MAX = 86_400_000

// Executors for agents may have leases of different length. Only then the claims' jobs say how long a claim lasts.
async function termsOf(core: Core, claims: Heartbeat['claims']): Promise<(claim: ClaimKey) => number> {
  const { executors, storage } = core
  const terms = new Set([...executors.values()].flatMap(({ leaseMs }) => leaseMs ?? []))
  if (terms.size < 2 || claims.length === 0) return () => leaseMsOf(core)
  const jobs = await storage.many([...new Set(claims.map(({ job }) => job))])
  const byClaim = new Map(
    jobs.flatMap(({ id, tasks }) =>
      tasks.map(({ token, executor }) => [nameOfAttempt(id, token), leaseMsOf(core, executor)]),
    ),
  )
  return (claim) => byClaim.get(nameOfAttempt(claim.job, claim.token)) ?? leaseMsOf(core)
}

/** Says which functions an agent has. */
export async function registerAgent(
  core: Core,
  who: Principal,
  registration: AgentRegistration,
  { signal }: CallOptions = {},
): Promise<RegisteredAgent> {
  requireAgent(who)
  const { name, pools, functions } = await parseOptions(registrationSchema, registration, 'registration')
  for (;;) {
    const before = await storedAgent(core, who)
    await authorizeAgent(core, who, 'registerAgent', before ?? { ...keyOf(who), createdBy: who.id }, signal)
    const foreign = pools.find((pool) => before?.mayJoin !== undefined && !before.mayJoin.includes(pool))
    if (foreign !== undefined) throw new JobchartError('FORBIDDEN', `agent "${who.id}" may not join pool "${foreign}"`)
    const at = core.clock.now()
    const stored: StoredAgent = {
      ...(before ?? { ...keyOf(who), createdBy: who.id, createdAt: at }),
      name: name ?? before?.name ?? who.id,
      pools: [...new Set(pools)],
      functions,
      registeredAt: at,
      seenAt: at,
      revision: (before?.revision ?? 0) + 1,
    }
    if (!(await core.storage.putAgent(stored))) continue
    // Such a claim may be of an earlier process of the agent, which has died, and would take tasks for nobody.
    core.desk.end(stored)
    return { id: stored.id, name: stored.name, pools: stored.pools, leaseMs: leaseMsOf(core) }
  }
}

/** Claims tasks for an agent. */
export async function claimTasks(
  core: Core,
  who: Principal,
  options: ClaimOptions = {},
  { signal }: CallOptions = {},
): Promise<readonly ClaimedTask[]> {
  const { max, wait, job } = await parseOptions(claimSchema, options, 'claim')
  const agent = await registered(core, who, signal)
  const claimed = job === undefined ? await waited(core, agent, { max, wait }, signal) : [await ofJob(core, agent, job)]
  const tasks = await Promise.allSettled(claimed.map((each) => claimedTask(core, each)))
  const answer = tasks.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []))
  // The claim would stay until its lease ends, although nobody knows of it. So what cannot be told is given back.
  // So are the tasks of an agent that was revoked while its call waited.
  const refusal = claimed.length === 0 ? undefined : await refusalOf(core, who)
  if (signal?.aborted !== true && answer.length === claimed.length && refusal === undefined) return answer
  await Promise.all(claimed.map((each) => returned(core, agent, each)))
  signal?.throwIfAborted()
  if (refusal !== undefined) throw refusal
  const failed = tasks.find((each) => each.status === 'rejected')
  throw failed === undefined ? cannotBeClaimed() : failed.reason
}

// Waits until tasks are claimed for the agent, or the time is over.
function waited(
  core: Core,
  agent: StoredAgent,
  { max, wait }: { readonly max: number; readonly wait: number },
  signal: AbortSignal | undefined,
): Promise<readonly ClaimedForAgent[]> {
  return new Promise((resolve, reject) => {
    let isOver = false
    let isTimeOver = false
    let promised = 0
    const got: ClaimedForAgent[] = []
    const take = (claimed: readonly ClaimedForAgent[]) => {
      // The call has ended while the claim was committed.
      if (isOver) return claimed.forEach((each) => void returned(core, agent, each))
      got.push(...claimed)
      if (promised > 0) return
      if (got.length > 0 || isTimeOver) end(() => resolve(got))
      // The promised tasks could not be claimed, so the agent waits again.
      else leave = core.desk.wait(waiting)
    }
    const waiting: WaitingAgent = {
      agent,
      max,
      promise: () => {
        promised++
        leave()
      },
      give: take,
      keep: (claimed) => {
        promised--
        take(claimed === undefined ? [] : [claimed])
      },
      end: () => over(),
    }
    let leave = core.desk.wait(waiting)
    const over = () => {
      isTimeOver = true
      if (promised === 0) end(() => resolve(got))
    }
    const aborted = () => end(() => reject(signal?.reason))
    const engineStopped = () => end(() => reject(stopped()))
    const end = (answer: () => void) => {
      if (isOver) return
      isOver = true
      leave()
      cancel()
      signal?.removeEventListener('abort', aborted)
      core.stopped.removeEventListener('abort', engineStopped)
      answer()
    }
    // Without a wait, the call ends with the claim of the next tick.
    const cancel = wait === 0 ? core.ticks.afterClaim(over) : core.clock.timer(wait, over)
    signal?.addEventListener('abort', aborted)
    core.stopped.addEventListener('abort', engineStopped)
    // Both may have been aborted while the agent was read.
    if (signal?.aborted === true) return aborted()
    if (core.stopped.aborted) return engineStopped()
    core.ticks.claimSoon()
  })
}

// Claims a task of one job.
async function ofJob(core: Core, agent: StoredAgent, id: string): Promise<ClaimedForAgent> {
  const job = await core.storage.get(id)
  const tasks = job?.tasks.filter(({ queue }) => queue !== undefined) ?? []
  const isKnown = job !== undefined && job.deletedAt === undefined && job.tenant === agent.tenant
  // A job that has ended has no task that would say whether it was for agents. So its type says it.
  if (!isKnown || (tasks.length === 0 && !(job.phase === 'settled' && isForAgents(core, job)))) throw jobNotFound(id)
  const queues = queuesOf(agent)
  const able = tasks.filter(({ queue = '' }) => queues.has(queue))
  if (tasks.length > 0 && able.length === 0) {
    throw new JobchartError('FORBIDDEN', `agent "${agent.id}" may not run the task of this job`, { jobId: id })
  }
  const now = core.clock.steady()
  const ready = claimableTasks(job).find((task) => able.includes(task) && task.availableAt <= now)
  if (ready === undefined || !core.dispatcher.mayClaim || (await isPaused(core, job))) throw cannotBeClaimed()
  return await claimFor(core, { jobId: id, invocation: ready.invocation, waiting: { agent } })
}

function isForAgents({ types }: Core, job: Job): boolean {
  return [...(types.of(job)?.tasks.values() ?? [])].some((task) => task.isForAgents)
}

async function isPaused({ storage }: Core, { type }: Job): Promise<boolean> {
  return (await storage.pausedTypes()).some((paused) => isOfPaused(type, paused.type))
}

async function returned(core: Core, agent: AgentKey, { job, invocation }: ClaimedForAgent): Promise<void> {
  const token = job.tasks.find((task) => task.invocation === invocation)?.token ?? 0
  await giveBack({ core, agent, claim: { job: job.id, token } }).catch(() => {})
}

async function claimedTask(core: Core, { job, invocation }: ClaimedForAgent): Promise<ClaimedTask> {
  const task = job.tasks.find((each) => each.invocation === invocation)
  if (task === undefined) throw cannotBeClaimed()
  const { killGraceMs, takesJobInput, batch } = settingsOf(core.types.require(job), task)
  const isFirst = task.claims === 1 && job.stepOrigin === undefined
  const steps = isFirst ? new Map() : await core.storage.steps(job.id, stepAddress(job, task), task.ordinal)
  const input = takesJobInput ? job.input : task.input
  const { version, attempt, token } = task
  return {
    job: taskJobOf(job),
    token,
    task: task.id,
    function: task.function ?? task.src,
    ...(version === undefined ? {} : { version }),
    ...(input === undefined ? {} : { input: jsonCopy(input) }),
    attempt,
    idempotencyKey: invocationKey(job, task),
    ...(job.progress === undefined ? {} : { reported: countsOf({ ...job.progress, running: 0 }) }),
    ...(isDrained(task) ? { draining: true as const } : {}),
    ...(batch === undefined ? {} : { batch: batchStart(job, task) }),
    steps: [...steps].map(([name, result]) => (result === undefined ? { name } : { name, result })),
    killGraceMs,
    leaseMs: leaseMsOf(core, task.executor),
  }
}

/** Renews the leases of an agent, and waits for news of its claims. */
export async function heartbeat(
  core: Core,
  who: Principal,
  beat: Heartbeat,
  { signal }: CallOptions = {},
): Promise<HeartbeatAnswer> {
  const { claims, wait } = await parseOptions(heartbeatSchema, beat, 'heartbeat')
  const agent = await registered(core, who, signal)
  const leaseMs = leaseMsOf(core)
  const termOf = await termsOf(core, claims)
  const gone = new Set<string>()
  await Promise.all(
    claims.map(async (claim) => {
      try {
        await renew({ core, agent, claim }, termOf(claim))
      } catch (error) {
        if (!hasCode(error, 'STALE_CLAIM')) throw error
        gone.add(nameOfAttempt(claim.job, claim.token))
      }
    }),
  )
  const read = async (): Promise<readonly ClaimAnswer[]> => {
    const jobs = claims.length === 0 ? [] : await core.storage.many([...new Set(claims.map(({ job }) => job))])
    const byId = new Map(jobs.map((job) => [job.id, job]))
    return claims.map((claim) => {
      if (gone.has(nameOfAttempt(claim.job, claim.token))) return goneAnswer({ job: claim.job, token: claim.token })
      return answerOf(agent, byId.get(claim.job), claim)
    })
  }
  const isNews = (answers: readonly ClaimAnswer[]) =>
    answers.some(({ state, messages }, index) => messages.length > 0 || state !== (claims[index]?.state ?? 'held'))
  const news = new News(core, claims, Math.min(wait, leaseMs / 3), signal)
  try {
    for (;;) {
      const answers = await read()
      if (news.isOver || isNews(answers)) return { leaseMs, claims: answers }
      await news.next()
      signal?.throwIfAborted()
      if (core.stopped.aborted) throw stopped()
    }
  } finally {
    news.end()
  }
}

/** Waits for changes of the jobs of some claims. */
class News {
  /** True: the time to wait is over. */
  isOver: boolean
  #isDue = false
  #wake = () => {}
  readonly #ends: (() => void)[]

  constructor({ publisher, clock, stopped }: Core, claims: Heartbeat['claims'], ms: number, signal?: AbortSignal) {
    this.isOver = ms === 0
    const wake = () => {
      this.#isDue = true
      this.#wake()
    }
    const over = () => {
      this.isOver = true
      wake()
    }
    const watched = [...new Set(claims.map(({ job }) => job))].map((job) => publisher.watch(job, wake))
    signal?.addEventListener('abort', wake)
    stopped.addEventListener('abort', wake)
    // Both may have been aborted while the leases were renewed.
    if (signal?.aborted === true || stopped.aborted) wake()
    this.#ends = [
      ...watched,
      this.isOver ? () => {} : clock.timer(ms, over),
      () => signal?.removeEventListener('abort', wake),
      () => stopped.removeEventListener('abort', wake),
    ]
  }

  /** Resolves after the next change, or when the time is over. Changes since the last call count. */
  async next(): Promise<void> {
    if (!this.#isDue) {
      await new Promise<void>((resume) => {
        this.#wake = resume
      })
    }
    this.#isDue = false
  }

  end(): void {
    for (const end of this.#ends) end()
  }
}

function keyOf({ tenant, id }: Principal): AgentKey {
  return { tenant, id }
}

/** Refuses a caller who is no agent. @throws {JobchartError} `FORBIDDEN` */
export function requireAgent({ kind, id }: Principal): void {
  if (kind !== 'agent') throw new JobchartError('FORBIDDEN', `"${id}" is no agent; use engine.asAgent()`)
}

/** Whether the credential of the caller is still valid. An agent that the host authenticates is always known. */
export async function isStillKnown({ storage }: Core, who: AgentPrincipal): Promise<boolean> {
  return who.credential === undefined || hasCredential(who, await storage.agent(keyOf(who)))
}

// A session that was opened by a credential ends with it, even if an agent with the same id is enrolled anew.
function hasCredential({ credential }: AgentPrincipal, agent: StoredAgent | undefined): boolean {
  return credential === undefined || credential === agent?.credential
}

async function storedAgent({ storage }: Core, who: AgentPrincipal): Promise<StoredAgent | undefined> {
  const agent = await storage.agent(keyOf(who))
  if (hasCredential(who, agent)) return agent
  throw new JobchartError('FORBIDDEN', `the credential of agent "${who.id}" is no longer valid`)
}

/** The stored agent of a caller. @throws {JobchartError} `FORBIDDEN` it is not registered, or was revoked. */
async function registeredAgent(core: Core, who: AgentPrincipal): Promise<StoredAgent> {
  const agent = await storedAgent(core, who)
  if (agent?.registeredAt !== undefined) return agent
  throw new JobchartError('FORBIDDEN', `agent "${who.id}" is not registered`)
}

/** The error if the caller is no longer a registered agent. */
async function refusalOf(core: Core, who: AgentPrincipal): Promise<unknown> {
  return await registeredAgent(core, who).then(
    () => undefined,
    (error: unknown) => error,
  )
}

/**
 * The stored agent of a call.
 *
 * @throws {JobchartError} `FORBIDDEN` the caller is no agent, is not registered, or was revoked.
 */
async function registered(core: Core, who: Principal, signal: AbortSignal | undefined): Promise<StoredAgent> {
  requireAgent(who)
  const agent = await registeredAgent(core, who)
  await authorizeAgent(core, who, 'claimTasks', agent, signal)
  core.desk.saw(agent, core.clock.now())
  return agent
}
