/** The claim of ready tasks: the last part of a tick's commit. */
import { type AgentRef, holderOf } from '../model/agent.ts'
import { type Claimant, claim } from '../model/decision.ts'
import type { Decision, JobDecision, JobTree, TreeJob } from '../model/decision-data.ts'
import { hasCode, JobchartError } from '../model/error.ts'
import type { Actor } from '../model/event.ts'
import { mayHaveConsequences } from '../model/follow-up.ts'
import { holdsSlot, type Job } from '../model/job.ts'
import { isSuspect } from '../model/loss.ts'
import type { Claim, ClaimDecision, Claimed, ReadyTask, Route, Write } from '../port/storage.ts'
import type { ClaimedForAgent, WaitingAgent } from './agent-desk.ts'
import { joined, writesOf } from './changeset.ts'
import { type Core, contextOf, ENGINE, isFull, ofJob } from './core.ts'
import { newId } from './ids.ts'
import { routeOf } from './limits.ts'
import { notifies } from './notifying.ts'
import { readable } from './working-set.ts'

/** The most tasks per executor that one commit claims, so that it does not hold the write lock for long. */
const CLAIMS_MAX = 100
/** The longest time for the claim of one commit, in milliseconds; the next tick claims the rest. */
const CLAIM_MS_MAX = 10

/**
 * A ready task whose claim would end a job that may have follow-ups, or free a pipeline's slot. It is claimed by a
 * request of its own, which can also add the follow-ups and the next run.
 */
export interface RelatedClaim {
  readonly jobId: string
  readonly invocation: number
  readonly executor: string
  /** The waiting agent for which the task is claimed. Absent: it is claimed for this engine. */
  readonly waiting?: WaitingAgent
}

/**
 * Returns the claim for one tick. `undefined`: no executor has room. The next end of an attempt then triggers a claim.
 */
export function claimOf(core: Core, id: string): ClaimOfTick | undefined {
  const room = core.dispatcher.room()
  const routes = [...room.keys()].flatMap((executor) => routesOf(core, executor))
  if (routes.length > 0) return new ClaimOfTick(core, id, room, routes)
  core.dispatcher.backlog(true)
  return undefined
}

/** The claim of one tick: which tasks its commit claims, and what was decided on them. */
export class ClaimOfTick {
  readonly claim: Claim
  readonly related: RelatedClaim[] = []
  readonly #core: Core
  readonly #room: ReadonlyMap<string, number>
  /** By task: the decisions that contain custom actions of machines. These actions run after the commit. */
  readonly #decisions = new Map<string, readonly JobDecision[]>()
  #context: ReturnType<typeof contextOf> | undefined
  #hasSuspect: boolean
  #hasLeft = false
  #until: number | undefined
  #isStopped = false
  /** How many places of each executor this claim has filled or promised. The storage knows only of those it fills. */
  readonly #places = new Map<string, number>()
  /** How many tasks each waiting agent gets by this claim. */
  readonly #taken = new Map<WaitingAgent, number>()
  /** By task: the agent for which it is claimed. */
  readonly #agents = new Map<string, WaitingAgent>()

  constructor(core: Core, id: string, room: ReadonlyMap<string, number>, routes: readonly Route[]) {
    this.#core = core
    this.#room = room
    this.#hasSuspect = core.dispatcher.isSuspectRunning
    const bounded = new Map([...room].map(([executor, most]) => [executor, Math.min(most, CLAIMS_MAX)]))
    this.claim = { id, routes, at: core.clock.steady(), room: bounded, decide: (ready) => this.#decide(ready) }
  }

  // The storage calls this for each ready task. A task that cannot be claimed stays ready, and does not hinder others.
  #decide(ready: ReadyTask): ClaimDecision {
    const { job, task } = ready
    const core = this.#core
    this.#until ??= core.clock.elapsed() + CLAIM_MS_MAX
    if (core.clock.elapsed() > this.#until) {
      this.#isStopped = true
      return STOP
    }
    const type = core.types.of(job)
    if (type === undefined || core.dispatcher.isRefused(job.id)) return LEAVE
    const waiting = task.queue === undefined ? undefined : core.desk.next(task.queue, this.#taken)
    if (task.queue !== undefined && waiting === undefined) return CLOSE
    // The rest is claimed by the next tick, which knows how many places are promised.
    if (waiting === undefined && this.related.length > 0 && !this.#hasPlace(task.executor)) {
      this.#isStopped = true
      return STOP
    }
    // A suspect task in an agent cannot crash this process.
    if (waiting === undefined && isSuspect(task) && this.#hasSuspect) {
      this.#hasLeft = true
      return LEAVE
    }
    try {
      const context = contextOf(core, this.#context)
      this.#context = context
      const tree = new ClaimTree(core, ready)
      const claimant = waiting === undefined ? claimantOf(core, task.executor) : claimantFor(waiting, job)
      const decision = claim(type, job, task.invocation, claimant, context, tree)
      if (!decision.changed || tree.isUnknown) return LEAVE
      const decided: readonly JobDecision[] = decision.others.length === 0 ? [decision] : [decision, ...decision.others]
      if (waiting === undefined) {
        this.#places.set(task.executor, (this.#places.get(task.executor) ?? 0) + 1)
        this.#hasSuspect ||= isSuspect(task)
      }
      if (decided.some(takesMore)) {
        const { invocation, executor } = task
        this.related.push({ jobId: job.id, invocation, executor, ...(waiting === undefined ? {} : { waiting }) })
        if (waiting === undefined) return LEAVE
        this.#take(waiting)
        return LEAVE
      }
      if (decided.some(({ effects }) => effects.length > 0)) {
        this.#decisions.set(keyOf(job.id, task.invocation), decided)
      }
      if (waiting === undefined) return { kind: 'claim', writes: this.#writesOf(ENGINE, decision, decided) }
      const grant = grantOf(core, waiting, decision.job, task.invocation)
      if (grant.length > 0) {
        this.#take(waiting)
        this.#agents.set(keyOf(job.id, task.invocation), waiting)
      }
      return { kind: 'claim', writes: [...this.#writesOf(actorOf(waiting), decision, decided), ...grant] }
    } catch {
      return LEAVE
    }
  }

  #hasPlace(executor: string): boolean {
    return (this.#places.get(executor) ?? 0) < (this.#room.get(executor) ?? 0)
  }

  #take(waiting: WaitingAgent): void {
    this.#taken.set(waiting, (this.#taken.get(waiting) ?? 0) + 1)
  }

  #writesOf(by: Actor, { looked }: Decision, decided: readonly JobDecision[]): readonly Write[] {
    const expected: readonly Write[] = looked.map(({ id: jobId, revision }) => ({ op: 'expect', jobId, revision }))
    return decided.reduce((writes, decision) => {
      return joined(writes, writesOf({ ...decision, before: decision.before, by, queuedMax: undefined }, this.claim.at))
    }, expected)
  }

  /** The decisions on the claimed tasks whose machines have custom actions to run. */
  decisionsOf(claimed: readonly Claimed[]): readonly JobDecision[] {
    if (this.#decisions.size === 0) return []
    return claimed.flatMap(({ job, invocation }) => this.#decisions.get(keyOf(job.id, invocation)) ?? [])
  }

  /** Gives the claimed tasks to the agents for which they were claimed. Called after the commit. */
  give(claimed: readonly Claimed[]): void {
    // First, so that agents wait for their promised tasks too.
    for (const { waiting } of this.related) waiting?.promise()
    if (this.#agents.size === 0) return
    const given = new Map<WaitingAgent, ClaimedForAgent[]>()
    for (const { job, invocation } of claimed) {
      const waiting = this.#agents.get(keyOf(job.id, invocation))
      if (waiting !== undefined) given.set(waiting, [...(given.get(waiting) ?? []), { job, invocation }])
    }
    for (const [waiting, tasks] of given) waiting.give(tasks)
  }

  /**
   * Whether the claim stopped before it was complete: its time was over, the places of an executor were promised, an
   * executor with room for more already got the most tasks that one commit may claim for it (`CLAIMS_MAX`), or a place
   * that it counted as taken is free, because the chart has left the task in reaction to the claim.
   */
  isCut(claimed: readonly Claimed[]): boolean {
    if (this.#isStopped || claimed.some(isLeft)) return true
    return [...this.#room].some(([executor, room]) => room > CLAIMS_MAX && countOf(claimed, executor) >= CLAIMS_MAX)
  }

  /**
   * Whether ready tasks may be left: there was not enough room, or a suspect task was left. A suspect task has crashed
   * its process repeatedly, and runs only while no other suspect task runs here.
   */
  mayWait(claimed: readonly Claimed[]): boolean {
    const own = [...this.#core.executors].filter(([, { leaseMs }]) => leaseMs === undefined)
    const isFull = (executor: string) => countOf(claimed, executor) >= (this.#room.get(executor) ?? 0)
    return this.#hasLeft || own.some(([executor]) => isFull(executor))
  }
}

/**
 * Claims one task by its own request. If the claim ends the job, frees its slot or causes notifications, the request
 * also adds the follow-ups, the next run of the pipeline, or the notifications.
 */
export function claimOne(core: Core, { jobId, invocation, executor: promised, waiting }: RelatedClaim): void {
  if (waiting !== undefined) {
    claimFor(core, { jobId, invocation, waiting }).then(waiting.keep, (error: unknown) => {
      const isTaken = hasCode(error, 'INVALID_STATE')
      if (!isTaken) core.dispatcher.refuse(jobId)
      waiting.keep(undefined)
    })
    return
  }
  const free = core.dispatcher.promise(promised)
  core.ticks.add(
    {
      by: ENGINE,
      ...ofJob(jobId, (type, job, context, jobs) => {
        const executor = job.tasks.find((task) => task.invocation === invocation)?.executor ?? ''
        return claim(type, job, invocation, claimantOf(core, executor), context, jobs)
      }),
    },
    {
      done: free,
      failed: (error) => {
        // If another engine took the last place of the limit key, the task stays ready, and is claimed when a place is
        // free.
        if (!isFull(error)) core.dispatcher.refuse(jobId)
        free()
      },
    },
  )
}

/**
 * Claims one task for an agent, by a request of its own.
 *
 * @throws {JobchartError} `INVALID_STATE` the task cannot be claimed now.
 */
export async function claimFor(
  core: Core,
  {
    jobId,
    invocation,
    waiting,
  }: Pick<RelatedClaim, 'jobId' | 'invocation'> & { readonly waiting: Pick<WaitingAgent, 'agent'> },
): Promise<ClaimedForAgent> {
  const job = await core.ticks.change({
    by: actorOf(waiting),
    isReadAnew: true,
    full: cannotBeClaimed,
    ...ofJob(jobId, (type, stored, context, jobs) => {
      const decision = claim(type, stored, invocation, claimantFor(waiting, stored), context, jobs)
      if (!decision.changed) throw cannotBeClaimed()
      return decision
    }),
    writesFor: ({ job: claimed }) => grantOf(core, waiting, claimed, invocation),
  })
  if (grantOf(core, waiting, job, invocation).length === 0) throw cannotBeClaimed()
  return { job, invocation }
}

/** The error for a claim of a task that is not available. */
export function cannotBeClaimed(): JobchartError {
  return new JobchartError('INVALID_STATE', 'no task of this job can be claimed now')
}

function actorOf({ agent }: Pick<WaitingAgent, 'agent'>): Actor {
  return { kind: 'agent', id: agent.id }
}

// An agent reports when the code starts. A task that does not stop is never abandoned as long as its lease lasts.
function claimantFor({ agent }: Pick<WaitingAgent, 'agent'>, { assignment }: Job): Claimant {
  const { id, name } = agent
  const pool = assignment?.pool
  const ref: AgentRef = pool === undefined ? { id, name } : { id, name, pool }
  return { holder: holderOf(agent), startsLater: true, kills: true, agent: ref }
}

// The lease of a claimed task. There is none if the chart has left the task in reaction to the claim, or if the claim has
// only migrated the job to a version in which other agents run the task.
function grantOf(
  { executors, clock }: Core,
  { agent }: Pick<WaitingAgent, 'agent'>,
  { id: jobId, tasks }: Job,
  invocation: number,
): readonly Write[] {
  const holder = holderOf(agent)
  const task = tasks.find(
    (each) => each.invocation === invocation && each.status === 'claimed' && each.holder === holder,
  )
  if (task === undefined) return []
  const until = clock.steady() + (executors.get(task.executor)?.leaseMs ?? 0)
  return [{ op: 'grant', lease: { jobId, token: task.token, agent: { tenant: agent.tenant, id: agent.id }, until } }]
}

function claimantOf({ instance, executors }: Core, name: string): Claimant {
  const { reportsStart = false, kills = false } = executors.get(name) ?? {}
  return { holder: instance, startsLater: reportsStart, kills }
}

const LEAVE: ClaimDecision = { kind: 'leave' }
const CLOSE: ClaimDecision = { kind: 'close' }
const STOP: ClaimDecision = { kind: 'stop' }

function takesMore(decision: JobDecision): boolean {
  const { before, job } = decision
  const freesSlot = before !== undefined && holdsSlot(before) && !holdsSlot(job)
  return freesSlot || mayHaveConsequences(decision) || notifies(decision)
}

/** The jobs of a claim's tree, as read by the transaction that claims. */
class ClaimTree implements JobTree {
  /** True: a job of the tree has a type that this engine does not know. */
  isUnknown = false
  readonly #core: Core
  readonly #ready: ReadyTask

  constructor(core: Core, ready: ReadyTask) {
    this.#core = core
    this.#ready = ready
  }

  get(id: string): TreeJob | undefined {
    const job = readable(() => this.#ready.tree(id))
    const type = job === undefined ? undefined : this.#core.types.of(job)
    this.isUnknown ||= job !== undefined && type === undefined
    return job === undefined || type === undefined ? undefined : { type, job }
  }

  newId(): string {
    return newId(this.#core)
  }
}

function isLeft({ job, invocation }: Claimed): boolean {
  return !job.tasks.some((task) => task.invocation === invocation)
}

function countOf(claimed: readonly Claimed[], executor: string): number {
  let count = 0
  for (const { job, invocation } of claimed) {
    if (job.tasks.some((task) => task.invocation === invocation && task.executor === executor)) count++
  }
  return count
}

// The tasks that this engine can run: those of job types that it knows, with this executor.
function routesOf({ types, executors, desk }: Core, executor: string): readonly Route[] {
  const known = types.all().filter(({ tasks }) => [...tasks.values()].some((task) => task.executor === executor))
  const routes = known.map((type) => routeOf(type, executor))
  if (executors.get(executor)?.leaseMs === undefined) return routes
  return routes.map((route) => ({ ...route, queues: desk.queues }))
}

function keyOf(jobId: string, invocation: number): string {
  return `${invocation} ${jobId}`
}
