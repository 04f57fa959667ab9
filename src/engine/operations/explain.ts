/** Why a job does not run, told without what who asks may not see. */
import { canHandle, typeThatHandles } from '../../model/can-handle.ts'
import type { JobTree } from '../../model/decision.ts'
import type { AnyJobType } from '../../model/definition.ts'
import type { Job, JobId } from '../../model/job.ts'
import { claimableTasks, type Outcome } from '../../model/job.ts'
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

/** Why a job stands where it stands. `task` is the id of an invoke; times are ISO 8601. */
export type Reason =
  /**
   * It tries another job again: it continues the steps that were recorded there, under the keys of the first try, or began
   * `fresh`.
   */
  | { readonly kind: 'retry'; readonly retryOf?: string; readonly steps: 'continued' | 'fresh' }
  /** It has ended. */
  | { readonly kind: 'settled'; readonly outcome?: Outcome }
  /** It is not to start before. */
  | { readonly kind: 'startAt'; readonly at: string }
  /** Another run holds its pipeline's slot: `job`, where it may be seen. */
  | { readonly kind: 'slot'; readonly pipeline?: string; readonly job?: string }
  /** Its pipeline's slot is free, and others go first, or it is about to be let in. */
  | { readonly kind: 'turn'; readonly pipeline?: string }
  /** This engine does not know the version of its type: one that does must run. */
  | { readonly kind: 'unknownVersion'; readonly type?: string; readonly version?: string }
  | { readonly kind: 'running'; readonly task: string; readonly attempt: number }
  /** The chart has left the work, whose code has not stopped yet; at `until` it is given up. */
  | { readonly kind: 'stopping'; readonly task: string; readonly until?: string }
  /** The process of its attempt died, and its report is still awaited. */
  | { readonly kind: 'lost'; readonly task: string; readonly attempt: number }
  /** It failed, and is tried again then. */
  | { readonly kind: 'backoff'; readonly task: string; readonly attempt: number; readonly until: string }
  /** It begins when the code of its invoke's earlier invocation has stopped. */
  | { readonly kind: 'blocked'; readonly task: string }
  /** As many tasks of its limit's key run as may. */
  | { readonly kind: 'limit'; readonly task: string; readonly concurrency: number }
  /** This engine has no executor of that name. */
  | { readonly kind: 'noExecutor'; readonly task: string; readonly executor: string }
  /** As much code as `maxAbandoned` allows ignored its stop and still runs in this engine, which claims nothing more. */
  | { readonly kind: 'exhausted'; readonly task: string }
  /**
   * The engine that runs it has not said since then that it lives, though its process does: its event loop is busy, or its
   * process is stopped.
   */
  | { readonly kind: 'silent'; readonly task: string; readonly since: string }
  /** All places of its executor in this engine are taken. */
  | { readonly kind: 'busy'; readonly task: string; readonly executor: string }
  /** This engine runs no tasks now: it was started so, or its storage fails. */
  | { readonly kind: 'notHere'; readonly task: string }
  /** It is about to be claimed. */
  | { readonly kind: 'ready'; readonly task: string }
  /** A job that its chart has invoked goes on: `job`, where it may be seen. */
  | { readonly kind: 'child'; readonly task: string; readonly job?: string }
  /** Something falls due then. */
  | { readonly kind: 'timer'; readonly at: string }
  /** Nothing of it runs, and its chart waits for a command: these the caller may send, as `actions` says. */
  | { readonly kind: 'command'; readonly commands: readonly string[] }
  /** Nothing can move it any more but a deletion: no task, no timer, no child job, no command, and no parent's chart. */
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
  // Why it stands there tells where it stands.
  if (mask.hidden.has('status')) return []
  const told = reasons.filter(({ kind }) => kind !== 'startAt' || !mask.hidden.has('startAt'))
  // Fields of a reason have the names of the job's own.
  return told.map((reason) => masked(reason, mask, (field) => (field === 'kind' ? undefined : field)))
}

/** What may be told to who asks. */
interface Asker {
  /** Names another job, where it may be seen. */
  readonly name: (id: string) => Promise<{ readonly job?: string }>
  /** Those of the job's commands that may be sent. */
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
  const timer = Math.min(...job.timers.map(({ dueAt }) => dueAt))
  const due: readonly Reason[] = Number.isFinite(timer) ? [{ kind: 'timer', at: shown(core, timer) }] : []
  const resting = tasks.length > 0 || type === undefined ? [] : await ofResting(core, type, job, may)
  return [...unknown, ...tasks, ...due, ...resting]
}

async function ofWaiting(
  core: Core,
  { tenant, pipeline, startAt }: Job,
  name: Asker['name'],
): Promise<readonly Reason[]> {
  const isLater = startAt !== undefined && startAt > core.clock.now()
  const time: readonly Reason[] = isLater ? [{ kind: 'startAt', at: isoTime(startAt) }] : []
  if (pipeline === undefined) return time
  const holder = await core.storage.slotHolder(tenant, pipeline)
  if (holder !== undefined) return [...time, { kind: 'slot', pipeline, ...(await name(holder)) }]
  return isLater ? time : [{ kind: 'turn', pipeline }]
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
      return type === undefined ? [] : [await ofOffered(core, type, job, task)]
  }
}

/** A deadline as the wall clock will show it. */
function shown({ clock }: Core, steadyAt: number): string {
  return isoTime(steadyAt - clock.skewMs)
}

function ofHolder({ losses }: Core, { id, holder }: Task): readonly Reason[] {
  return losses.silent.flatMap(({ instance, since }): readonly Reason[] =>
    instance === holder ? [{ kind: 'silent', task: id, since }] : [],
  )
}

async function ofOffered(core: Core, type: AnyJobType, job: Job, task: Task): Promise<Reason> {
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

// Nothing of the job runs.
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

/** @param from  the child job that waits for what this one may do. */
function isStuck(core: Core, known: AnyJobType, job: Job, tree: JobTree, from?: string): boolean {
  const { tasks, timers, parentId } = job
  const others = tasks.filter(({ status, child }) => status !== 'inline' && (from === undefined || child !== from))
  if (others.length + timers.length > 0 || commandsTaken(core, known, job, tree)[1].length > 0) return false
  // A chart may send to what it has invoked, and leave it.
  const parent = parentId === undefined ? undefined : tree.get(parentId)
  return parent === undefined || isStuck(core, parent.type, parent.job, tree, job.id)
}
