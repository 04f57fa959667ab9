/** Explains why a job does not run, without revealing what the caller may not see. */
import { type AgentRef, type Assignment, agentOf, neededOf, queuesOf, type StoredAgent } from '../../model/agent.ts'
import { canHandle, typeThatHandles } from '../../model/can-handle.ts'
import type { JobTree } from '../../model/decision.ts'
import type { AnyJobType } from '../../model/definition.ts'
import type { Job, JobId } from '../../model/job.ts'
import { claimableTasks, holdsSlot, type Outcome } from '../../model/job.ts'
import { concurrencyOf } from '../../model/limits.ts'
import { isOfPaused } from '../../model/paused-type.ts'
import type { Task } from '../../model/task.ts'
import { isoTime } from '../../model/time.ts'
import type { Principal } from '../../port/policy.ts'
import { allowed } from '../authorization.ts'
import type { CallOptions } from '../call-options.ts'
import { type Core, contextOf } from '../core.ts'
import { masked } from '../field-mask.ts'
import { treeOf } from '../load.ts'
import { allowedCommands } from './actions.ts'
import { agentsOfTenant } from './agents.ts'
import { readable } from './reads.ts'

/** Why a job is in its current state. `task` is the id of an invoke; times are ISO 8601. */
export type Reason =
  /**
   * The job is a retry. `continued`: it uses the recorded steps of the retried job, under the keys of the first try.
   * `fresh`: it uses none.
   */
  | { readonly kind: 'retry'; readonly retryOf?: string; readonly steps: 'continued' | 'fresh' }
  /** The job has ended. */
  | { readonly kind: 'settled'; readonly outcome?: Outcome }
  /** The job does not start before this time. */
  | { readonly kind: 'startAt'; readonly at: string }
  /**
   * Another run holds the slot of the job's pipeline. If the job is not admitted, it waits for the slot. Otherwise its
   * current state needs no slot (tag `vacates`), but a command that leads to a state that needs the slot is refused as
   * `ALREADY_RUNNING`. `job`: the id of the other run, if the caller may see it.
   */
  | { readonly kind: 'slot'; readonly pipeline?: string; readonly job?: string }
  /** The slot of the job's pipeline is free, but other runs come first, or the job is about to be admitted. */
  | { readonly kind: 'turn'; readonly pipeline?: string }
  /** This engine does not know this version of the job's type. An engine that knows it must run. */
  | { readonly kind: 'unknownVersion'; readonly type?: string; readonly version?: string }
  /** An agent has taken the task, and has not said yet that its code runs. */
  | { readonly kind: 'claimed'; readonly task: string; readonly attempt: number; readonly agent?: AgentRef }
  /** The task's code runs. `agent`: the agent that holds the task. */
  | { readonly kind: 'running'; readonly task: string; readonly attempt: number; readonly agent?: AgentRef }
  /** The chart has left the task, whose code has not stopped yet. At `until` the code is given up. */
  | { readonly kind: 'stopping'; readonly task: string; readonly until?: string }
  /** The process of the task's attempt died. A report of that attempt is still awaited. */
  | { readonly kind: 'lost'; readonly task: string; readonly attempt: number }
  /**
   * The engine of the task's attempt died, but a process that it started for the task still runs. The task is not
   * started again before that process has ended.
   */
  | { readonly kind: 'stillRuns'; readonly task: string; readonly attempt: number }
  /** An attempt of the task failed. The next attempt has the number `attempt`, and starts at `until` or later. */
  | { readonly kind: 'backoff'; readonly task: string; readonly attempt: number; readonly until: string }
  /** The task starts when the earlier invocation of the same invoke has stopped. */
  | { readonly kind: 'blocked'; readonly task: string }
  /** The task waits for other tasks with its limit key: as many run as the limit allows. */
  | { readonly kind: 'limit'; readonly task: string; readonly concurrency: number }
  /** The type of the task's job is paused: no task of it is started until the type is resumed. */
  | { readonly kind: 'typePaused'; readonly task: string; readonly reason: string }
  /** This engine has no executor with the name that the task needs. */
  | { readonly kind: 'noExecutor'; readonly task: string; readonly executor: string }
  /** This engine claims no more tasks: the code of `maxAbandoned` tasks ignored its stop and still runs. */
  | { readonly kind: 'exhausted'; readonly task: string }
  /**
   * The engine that runs the task has sent no heartbeat since the time `since`, though its process lives: its event
   * loop is busy, or the process is suspended.
   */
  | { readonly kind: 'silent'; readonly task: string; readonly since: string }
  /** The task's executor has no free place in this engine. */
  | { readonly kind: 'busy'; readonly task: string; readonly executor: string }
  /** This engine runs no tasks now: its `work` option is false, or its storage fails. */
  | { readonly kind: 'notHere'; readonly task: string }
  /**
   * No registered agent has the function in this version, among the agents to whom the job is assigned. Without a
   * `version`, any version will do; without an `assignment`, any agent. A function or version that is computed from the
   * input is absent for callers who may not see the input, unless the job type lists `reason` as safe.
   */
  | {
      readonly kind: 'noAgent'
      readonly task: string
      readonly function?: string
      readonly version?: string
      readonly assignment?: Assignment
    }
  /**
   * One of these agents may take the task, and none has done so yet. At most 100 are named. `agents` is absent for
   * callers to whom it would reveal an assignment, function or version that they may not see.
   */
  | { readonly kind: 'waitsForAgent'; readonly task: string; readonly agents?: readonly WaitedAgent[] }
  /** The task is about to be claimed. */
  | { readonly kind: 'ready'; readonly task: string }
  /** A child job still runs. `job`: its id, if the caller may see it. */
  | { readonly kind: 'child'; readonly task: string; readonly job?: string }
  /** A timer of the job is due at this time. */
  | { readonly kind: 'timer'; readonly at: string }
  /**
   * Nothing runs: the chart waits for a command. `commands`: those that the caller may send. `assignee`: the person who is
   * to send one, if the job is assigned.
   */
  | { readonly kind: 'command'; readonly commands: readonly string[]; readonly assignee?: string }
  /**
   * Only a deletion can change the job: it has no task, timer, child job or command, and no parent whose chart could
   * act.
   */
  | { readonly kind: 'stuck' }

/** An agent that may take a task. */
export interface WaitedAgent extends AgentRef {
  /** When the agent last called, to within a heartbeat of its engine. ISO 8601. Absent: never. */
  readonly seenAt?: string
}

/** {@inheritDoc Session.explain} */
export async function explain(
  core: Core,
  who: Principal,
  id: JobId,
  { signal }: CallOptions = {},
): Promise<readonly Reason[]> {
  const { job, mask } = await readable(core, who, id, { action: 'explain', signal })
  const name: Asker['name'] = async (other) => {
    const summary = await core.storage.summary(other)
    const isSeen = summary !== undefined && (await allowed(core, who, summary, { action: 'get', signal })) !== undefined
    return isSeen ? { job: other } : {}
  }
  const may: Asker['may'] = (type, commands) => allowedCommands(core, who, job, type, commands, signal)
  const { hidden } = mask
  const reasons = [...(await reasonsOf(core, job, { name, may, hidden })), ...ofRetry(job)]
  // The reasons would reveal the status, so a caller who may not see it gets none.
  if (hidden.has('status')) return []
  const told = reasons.filter(({ kind }) => kind !== 'startAt' || !hidden.has('startAt'))
  // Fields of a reason have the same names as those of the job.
  return told.map((reason) => masked(reason, mask, (field) => (field === 'kind' ? undefined : field)))
}

/** Questions to the policy about what the caller may be told. */
interface Asker {
  /** `{ job: id }` for another job that the caller may see; otherwise `{}`. */
  readonly name: (id: string) => Promise<{ readonly job?: string }>
  /** Returns those of the given commands that the caller may send. */
  readonly may: (type: AnyJobType, commands: readonly string[]) => Promise<readonly string[]>
  /** The parts of the job that are hidden from the caller. */
  readonly hidden: ReadonlySet<string>
}

function ofRetry({ retryOf, stepOrigin }: Job): readonly Reason[] {
  if (retryOf === undefined) return []
  return [{ kind: 'retry', retryOf, steps: stepOrigin === undefined ? 'fresh' : 'continued' }]
}

async function reasonsOf(core: Core, job: Job, asker: Asker): Promise<readonly Reason[]> {
  const { name, may } = asker
  const type = core.types.of(job)
  if (job.phase === 'settled') {
    const left = await Promise.all(job.tasks.map((task) => ofTask(core, type, job, task, asker)))
    return [{ kind: 'settled', ...(job.outcome === undefined ? {} : { outcome: job.outcome }) }, ...left.flat()]
  }
  const unknown: readonly Reason[] =
    type === undefined ? [{ kind: 'unknownVersion', type: job.type, version: job.version }] : []
  if (job.phase === 'waiting') return [...unknown, ...(await ofWaiting(core, job, name))]
  const tasks = (await Promise.all(job.tasks.map((task) => ofTask(core, type, job, task, asker)))).flat()
  const slot = holdsSlot(job) ? [] : await ofSlot(core, job, name)
  const timer = Math.min(...job.timers.map(({ dueAt }) => dueAt))
  const due: readonly Reason[] = Number.isFinite(timer) ? [{ kind: 'timer', at: shown(core, timer) }] : []
  const resting = tasks.length > 0 || type === undefined ? [] : await ofResting(core, type, job, may)
  return [...unknown, ...slot, ...tasks, ...due, ...resting]
}

async function ofWaiting(core: Core, job: Job, name: Asker['name']): Promise<readonly Reason[]> {
  const { pipeline, startAt } = job
  const isLater = startAt !== undefined && startAt > core.clock.now()
  const time: readonly Reason[] = isLater ? [{ kind: 'startAt', at: isoTime(startAt) }] : []
  if (pipeline === undefined) return time
  const slot = await ofSlot(core, job, name)
  if (slot.length > 0) return [...time, ...slot]
  return isLater ? time : [{ kind: 'turn', pipeline }]
}

/** The run that holds the slot of the job's pipeline, if the job does not hold it itself. */
async function ofSlot(core: Core, { id, tenant, pipeline }: Job, name: Asker['name']): Promise<readonly Reason[]> {
  const holder = pipeline === undefined ? undefined : await core.storage.slotHolder(tenant, pipeline)
  if (pipeline === undefined || holder === undefined || holder === id) return []
  return [{ kind: 'slot', pipeline, ...(await name(holder)) }]
}

async function ofTask(
  core: Core,
  type: AnyJobType | undefined,
  job: Job,
  task: Task,
  { name, hidden }: Asker,
): Promise<readonly Reason[]> {
  const { id, status, attempt, child, stopBy } = task
  if (child !== undefined) return [{ kind: 'child', task: id, ...(await name(child)) }]
  if (core.losses.stillRuns(job, task)) return [{ kind: 'stillRuns', task: id, attempt }]
  switch (status) {
    case 'claimed':
      return [
        { kind: isBegun(task) ? 'running' : 'claimed', task: id, attempt, ...agentOfTask(job, task) },
        ...ofHolder(core, task),
      ]
    case 'stopping':
      return [
        { kind: 'stopping', task: id, ...(stopBy === undefined ? {} : { until: shown(core, stopBy) }) },
        ...ofHolder(core, task),
      ]
    case 'lost':
      return [{ kind: 'lost', task: id, attempt }]
    case 'inline':
      return []
    case 'available':
      return type === undefined ? [] : [await ofAvailable(core, type, job, task, hidden)]
  }
}

// Code in this process and its executors begins at the claim, or a moment later. An agent says when its code begins.
function isBegun({ queue, handle }: Task): boolean {
  return queue === undefined || handle !== undefined
}

// A job shows one agent; this task may be held by another, if the chart has several invokes.
function agentOfTask({ agent }: Job, { holder = '' }: Task): { readonly agent?: AgentRef } {
  return agent !== undefined && agentOf(holder)?.id === agent.id ? { agent } : {}
}

/** A deadline, converted to wall-clock time. */
function shown({ clock }: Core, steadyAt: number): string {
  return isoTime(steadyAt - clock.skewMs)
}

function ofHolder({ losses }: Core, { id, holder }: Task): readonly Reason[] {
  return losses.silent.flatMap(({ instance, since }): readonly Reason[] =>
    instance === holder ? [{ kind: 'silent', task: id, since }] : [],
  )
}

async function ofAvailable(
  core: Core,
  type: AnyJobType,
  job: Job,
  task: Task,
  hidden: ReadonlySet<string>,
): Promise<Reason> {
  const { id, executor, availableAt, attempt, limitKey } = task
  const { clock, executors, dispatcher, settings, health, storage } = core
  if (!claimableTasks(job).includes(task)) return { kind: 'blocked', task: id }
  if (availableAt > clock.steady())
    return { kind: 'backoff', task: id, attempt: attempt + 1, until: shown(core, availableAt) }
  const paused = (await storage.pausedTypes()).find((each) => isOfPaused(job.type, each.type))
  if (paused !== undefined) return { kind: 'typePaused', task: id, reason: paused.reason }
  const concurrency = concurrencyOf(type.tasks, task)
  if (concurrency !== undefined && limitKey !== undefined && (await storage.heldUnder(limitKey)) >= concurrency) {
    return { kind: 'limit', task: id, concurrency }
  }
  if (!executors.has(executor)) return { kind: 'noExecutor', task: id, executor }
  if (task.queue !== undefined) return await ofQueued(core, type, task, task.queue, hidden)
  if (!settings.work || health.isDegraded) return { kind: 'notHere', task: id }
  if (health.isExhausted) return { kind: 'exhausted', task: id }
  return !dispatcher.room().has(executor) ? { kind: 'busy', task: id, executor } : { kind: 'ready', task: id }
}

const AGENTS_NAMED_MAX = 100

// Why no agent has taken a task yet.
async function ofQueued(
  core: Core,
  type: AnyJobType,
  { id: task, src }: Task,
  queue: string,
  hidden: ReadonlySet<string>,
): Promise<Reason> {
  const { tenant, function: called, version, assignment } = neededOf(queue)
  const able: StoredAgent[] = []
  for await (const agent of agentsOfTenant(core, tenant)) if (queuesOf(agent).has(queue)) able.push(agent)
  const settings = type.tasks.get(src)
  // What is computed from the input may repeat it.
  const [showsFunction, showsVersion] = [settings?.function, settings?.version].map(
    (option) => typeof option !== 'function' || !hidden.has('reason'),
  )
  if (able.length > 0) {
    const isTold = showsFunction && showsVersion && !hidden.has('assignment')
    return { kind: 'waitsForAgent', task, ...(isTold ? { agents: able.slice(0, AGENTS_NAMED_MAX).map(waited) } : {}) }
  }
  return {
    ...{ kind: 'noAgent', task },
    ...(showsFunction ? { function: called } : {}),
    ...(version === undefined || !showsVersion ? {} : { version }),
    ...(assignment === undefined ? {} : { assignment }),
  }
}

function waited({ id, name, seenAt }: StoredAgent): WaitedAgent {
  return seenAt === undefined ? { id, name } : { id, name, seenAt: isoTime(seenAt) }
}

// Why a job does not go on, if its tasks give no reason: it waits for a command, or is stuck.
async function ofResting(core: Core, known: AnyJobType, job: Job, may: Asker['may']): Promise<readonly Reason[]> {
  const tree = await treeOf(core, job)
  const [type, commands] = commandsTaken(core, known, job, tree)
  if (type !== undefined && commands.length > 0) {
    const assigned = job.assignee === undefined ? {} : { assignee: job.assignee }
    return [{ kind: 'command', commands: await may(type, commands), ...assigned }]
  }
  return isStuck(core, known, job, tree) ? [{ kind: 'stuck' }] : []
}

function commandsTaken(core: Core, known: AnyJobType, job: Job, tree: JobTree) {
  const type = typeThatHandles(known, job)
  const names = Object.keys(type?.commands ?? {})
  return [type, names.filter((name) => canHandle(known, job, name, contextOf(core), tree))] as const
}

/**
 * Whether only a deletion can change the job.
 *
 * @param from  a child of the job that cannot go on by itself. So this child does not count as something that can
 * change the job.
 */
function isStuck(core: Core, known: AnyJobType, job: Job, tree: JobTree, from?: string): boolean {
  const { tasks, timers, parentId } = job
  const others = tasks.filter(({ status, child }) => status !== 'inline' && (from === undefined || child !== from))
  if (others.length + timers.length > 0 || commandsTaken(core, known, job, tree)[1].length > 0) return false
  // The parent's chart may still send events to the job, or leave it.
  const parent = parentId === undefined ? undefined : tree.get(parentId)
  return parent === undefined || isStuck(core, parent.type, parent.job, tree, job.id)
}
