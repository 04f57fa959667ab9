/** Explains why a job does not run, without revealing what the caller may not see. */
import { canHandle, typeThatHandles } from '../../model/can-handle.ts'
import type { JobTree } from '../../model/decision.ts'
import type { AnyJobType } from '../../model/definition.ts'
import type { Job, JobId } from '../../model/job.ts'
import { claimableTasks, holdsSlot, type Outcome } from '../../model/job.ts'
import { concurrencyOf } from '../../model/limits.ts'
import type { Task } from '../../model/task.ts'
import { isoTime } from '../../model/time.ts'
import type { Principal } from '../../port/policy.ts'
import { allowed } from '../authorization.ts'
import type { CallOptions } from '../call-options.ts'
import { type Core, contextOf } from '../core.ts'
import { masked } from '../field-mask.ts'
import { treeOf } from '../load.ts'
import { allowedCommands } from './actions.ts'
import { readable } from './reads.ts'

/** Why a job is in its current state. `task` is the id of an invoke; times are ISO 8601. */
export type Reason =
  /**
   * It retries another job. `continued`: it uses the steps recorded there, under the keys of the first try. `fresh`: it
   * uses none.
   */
  | { readonly kind: 'retry'; readonly retryOf?: string; readonly steps: 'continued' | 'fresh' }
  /** It has ended. */
  | { readonly kind: 'settled'; readonly outcome?: Outcome }
  /** It does not start before this time. */
  | { readonly kind: 'startAt'; readonly at: string }
  /**
   * Another run holds its pipeline's slot. The job waits for it, or its state does not hold the slot (`vacates`): then
   * what leads to a state that holds it has to wait, and such a command is `ALREADY_RUNNING`. `job` is present if the
   * caller may see that run.
   */
  | { readonly kind: 'slot'; readonly pipeline?: string; readonly job?: string }
  /** Its pipeline's slot is free, but other runs are first, or it is about to be admitted. */
  | { readonly kind: 'turn'; readonly pipeline?: string }
  /** This engine does not know the version of its type. An engine that knows it must run. */
  | { readonly kind: 'unknownVersion'; readonly type?: string; readonly version?: string }
  | { readonly kind: 'running'; readonly task: string; readonly attempt: number }
  /** The chart has left the task, whose code has not stopped yet. At `until` the code is given up. */
  | { readonly kind: 'stopping'; readonly task: string; readonly until?: string }
  /** The process of its attempt died, and a report of that attempt is still awaited. */
  | { readonly kind: 'lost'; readonly task: string; readonly attempt: number }
  /** The engine of its attempt died, and the process that it had started still runs: nothing is started beside it. */
  | { readonly kind: 'stillRuns'; readonly task: string; readonly attempt: number }
  /** Its attempt failed. It is retried at `until`. */
  | { readonly kind: 'backoff'; readonly task: string; readonly attempt: number; readonly until: string }
  /** It starts when the earlier invocation of the same invoke has stopped. */
  | { readonly kind: 'blocked'; readonly task: string }
  /** As many tasks with its limit key run as its limit allows. */
  | { readonly kind: 'limit'; readonly task: string; readonly concurrency: number }
  /** This engine has no executor with that name. */
  | { readonly kind: 'noExecutor'; readonly task: string; readonly executor: string }
  /** This engine claims no more tasks: the code of `maxAbandoned` tasks ignored its stop and still runs. */
  | { readonly kind: 'exhausted'; readonly task: string }
  /**
   * The engine that runs it has sent no heartbeat since then, though its process lives: its event loop is busy, or the
   * process is suspended.
   */
  | { readonly kind: 'silent'; readonly task: string; readonly since: string }
  /** Its executor has no free place in this engine. */
  | { readonly kind: 'busy'; readonly task: string; readonly executor: string }
  /** This engine runs no tasks now: its `work` option is false, or its storage fails. */
  | { readonly kind: 'notHere'; readonly task: string }
  /** It is about to be claimed. */
  | { readonly kind: 'ready'; readonly task: string }
  /** A child job still runs. `job` is present if the caller may see it. */
  | { readonly kind: 'child'; readonly task: string; readonly job?: string }
  /** A timer is due then. */
  | { readonly kind: 'timer'; readonly at: string }
  /** Nothing runs: the chart waits for one of these commands, which the caller may send. */
  | { readonly kind: 'command'; readonly commands: readonly string[] }
  /**
   * Only a deletion can change it: it has no task, timer, child job or command, and no parent's chart that could act.
   */
  | { readonly kind: 'stuck' }

/** {@inheritDoc Session.explain} */
export async function explain(
  core: Core,
  who: Principal,
  id: JobId,
  { signal }: CallOptions = {},
): Promise<readonly Reason[]> {
  signal?.throwIfAborted()
  const { job, mask } = await readable(core, who, id, { action: 'explain', signal })
  const name: Asker['name'] = async (other) => {
    const summary = await core.storage.summary(other)
    const isSeen = summary !== undefined && (await allowed(core, who, summary, { action: 'get', signal })) !== undefined
    return isSeen ? { job: other } : {}
  }
  const may: Asker['may'] = (type, commands) => allowedCommands(core, who, job, type, commands, signal)
  const reasons = [...(await reasonsOf(core, job, { name, may })), ...ofRetry(job)]
  // The reasons would reveal the status, so a caller who may not see it gets none.
  if (mask.hidden.has('status')) return []
  const told = reasons.filter(({ kind }) => kind !== 'startAt' || !mask.hidden.has('startAt'))
  // Fields of a reason have the same names as those of the job.
  return told.map((reason) => masked(reason, mask, (field) => (field === 'kind' ? undefined : field)))
}

/** What the caller may be told. */
interface Asker {
  /** Names another job, if the caller may see it. */
  readonly name: (id: string) => Promise<{ readonly job?: string }>
  /** The commands among these that the caller may send. */
  readonly may: (type: AnyJobType, commands: readonly string[]) => Promise<readonly string[]>
}

function ofRetry({ retryOf, stepOrigin }: Job): readonly Reason[] {
  if (retryOf === undefined) return []
  return [{ kind: 'retry', retryOf, steps: stepOrigin === undefined ? 'fresh' : 'continued' }]
}

async function reasonsOf(core: Core, job: Job, { name, may }: Asker): Promise<readonly Reason[]> {
  const type = core.types.of(job)
  if (job.phase === 'settled') {
    const left = await Promise.all(job.tasks.map((task) => ofTask(core, type, job, task, name)))
    return [{ kind: 'settled', ...(job.outcome === undefined ? {} : { outcome: job.outcome }) }, ...left.flat()]
  }
  const unknown: readonly Reason[] =
    type === undefined ? [{ kind: 'unknownVersion', type: job.type, version: job.version }] : []
  if (job.phase === 'waiting') return [...unknown, ...(await ofWaiting(core, job, name))]
  const tasks = (await Promise.all(job.tasks.map((task) => ofTask(core, type, job, task, name)))).flat()
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

/** The run that holds the slot of the job's pipeline, if that is another one. */
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
  name: Asker['name'],
): Promise<readonly Reason[]> {
  const { id, status, attempt, child, stopBy } = task
  if (child !== undefined) return [{ kind: 'child', task: id, ...(await name(child)) }]
  if (core.losses.stillRuns(job, task)) return [{ kind: 'stillRuns', task: id, attempt }]
  switch (status) {
    case 'claimed':
      return [{ kind: 'running', task: id, attempt }, ...ofHolder(core, task)]
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
      return type === undefined ? [] : [await ofAvailable(core, type, job, task)]
  }
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

async function ofAvailable(core: Core, type: AnyJobType, job: Job, task: Task): Promise<Reason> {
  const { id, executor, availableAt, attempt, limitKey } = task
  const { clock, executors, dispatcher, settings, health, storage } = core
  if (!claimableTasks(job).includes(task)) return { kind: 'blocked', task: id }
  if (availableAt > clock.steady())
    return { kind: 'backoff', task: id, attempt: attempt + 1, until: shown(core, availableAt) }
  const concurrency = concurrencyOf(type.tasks, task)
  if (concurrency !== undefined && limitKey !== undefined && (await storage.heldUnder(limitKey)) >= concurrency) {
    return { kind: 'limit', task: id, concurrency }
  }
  if (!settings.work || health.isDegraded) return { kind: 'notHere', task: id }
  if (!executors.has(executor)) return { kind: 'noExecutor', task: id, executor }
  if (health.isExhausted) return { kind: 'exhausted', task: id }
  return !dispatcher.room().has(executor) ? { kind: 'busy', task: id, executor } : { kind: 'ready', task: id }
}

// The reasons of a job without running tasks.
async function ofResting(core: Core, known: AnyJobType, job: Job, may: Asker['may']): Promise<readonly Reason[]> {
  const tree = await treeOf(core, job)
  const [type, commands] = commandsTaken(core, known, job, tree)
  if (type !== undefined && commands.length > 0) return [{ kind: 'command', commands: await may(type, commands) }]
  return isStuck(core, known, job, tree) ? [{ kind: 'stuck' }] : []
}

function commandsTaken(core: Core, known: AnyJobType, job: Job, tree: JobTree) {
  const type = typeThatHandles(known, job)
  const names = Object.keys(type?.commands ?? {})
  return [type, names.filter((name) => canHandle(known, job, name, contextOf(core), tree))] as const
}

/** @param from  the child job that waits for something this job might do. */
function isStuck(core: Core, known: AnyJobType, job: Job, tree: JobTree, from?: string): boolean {
  const { tasks, timers, parentId } = job
  const others = tasks.filter(({ status, child }) => status !== 'inline' && (from === undefined || child !== from))
  if (others.length + timers.length > 0 || commandsTaken(core, known, job, tree)[1].length > 0) return false
  // The parent's chart may still send events to the job, or leave it.
  const parent = parentId === undefined ? undefined : tree.get(parentId)
  return parent === undefined || isStuck(core, parent.type, parent.job, tree, job.id)
}
