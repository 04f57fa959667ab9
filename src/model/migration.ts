/**
 * Moves a stored job from one version of its type to another.
 *
 * A job type allows this by its options `previous` and `migrate`. A job migrates when a request is about to change it,
 * if none of its tasks runs. The migration and the change are in the same changeset, the migration first.
 *
 * In the new chart's state, invokes that the job already had continue; other invokes of the state start; other tasks
 * stop. The `after` timers of the state are set. Timers that existed before under the same name keep their time.
 */
import type { ChartAction, ChartScope, ChartSnapshot, SendAction, StartAction, StateInfo } from './chart.ts'
import { JobchartError } from './error.ts'
import type { Job, Timer } from './job.ts'
import type { AnyJobType, Migrated, MigratingJob, MigratingTimer } from './job-type.ts'
import { type Offered, recoded } from './offered-task.ts'
import { isLeft } from './stop.ts'
import { type Json, storableCopy } from './storable.ts'
import type { Task } from './task-record.ts'

/** The result of a migration. */
export interface Migration {
  readonly snapshot: ChartSnapshot
  readonly info: StateInfo
  readonly timers: readonly Timer[]
  /** A start action for each invoke of the new state, whether the invoke continues or is new. */
  readonly starts: readonly StartAction[]
  /** Timers of the new state to set: those that are neither pending nor already fired. */
  readonly delays: readonly SendAction[]
}

/**
 * Returns the tasks of a job that continue in the new chart (`kept`, with the code of the new version), and the invokes
 * that start there (`begun`).
 */
export function keptAndBegun(
  to: AnyJobType,
  job: Job,
  starts: readonly StartAction[],
  isInvoke: (id: string) => boolean,
): { readonly kept: readonly Offered[]; readonly begun: readonly StartAction[] } {
  const { ended = [] } = job
  const kept = job.tasks.filter((task) => !isLeft(task) && isKept(to, task, starts, isInvoke(task.id)))
  const isKnown = ({ id, src }: StartAction) =>
    kept.some((task) => task.id === id) ||
    // An invoke that has already ended in this state is not started again.
    ended.some((each) => each.id === id && each.src === src && each.left !== true)
  return { kept: kept.map((task) => recoded(to, job, task)), begun: starts.filter((start) => !isKnown(start)) }
}

// Whether a task continues. An invoke continues if the new state has it too. A spawned actor continues if its logic has
// a name in the new version.
function isKept(to: AnyJobType, task: Task, starts: readonly StartAction[], isInvoke: boolean): boolean {
  const { id, src } = task
  if (isInvoke && !starts.some((start) => start.id === id && start.src === src)) return false
  // Only logic of the same kind continues: a promise cannot become a machine of the same name.
  if (task.child !== undefined) return to.children.has(src)
  return task.status === 'inline' ? to.inline.has(src) : to.tasks.has(src)
}

/**
 * Whether none of the job's tasks runs, and no report of a lost task is awaited. Only then may the job migrate, because
 * running code and its reports fit only the version that they began with.
 */
export function isAtRest({ phase, tasks }: Job): boolean {
  const isBusy = ({ status, child }: Task) => child === undefined && status !== 'available' && status !== 'inline'
  return phase !== 'settled' && !tasks.some(isBusy)
}

/**
 * Asks `migrate` of the version `to` about a job, and computes the result of the migration. `undefined`: the job stays
 * on its version.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` `migrate` threw, or returned a state that the new chart does not have. The job stays as it is, until a version can migrate it.
 */
export function migrationOf(from: AnyJobType, to: AnyJobType, job: Job, scope: ChartScope): Migration | undefined {
  const asked = askMigrate(to, job)
  return asked === undefined ? undefined : orRefused(to, job, () => applied(from, to, job, asked, scope))
}

function askMigrate(to: AnyJobType, job: Job): Migrated | undefined {
  return orRefused(to, job, () => to.migrate?.(migratingJob(job)))
}

function orRefused<Result>(to: AnyJobType, job: Job, run: () => Result): Result {
  try {
    return run()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new JobchartError(
      'INVALID_DEFINITION',
      `job "${job.id}" could not be migrated from version "${job.version}" of "${job.type}" to "${to.version}": ${why}`,
      { jobId: job.id, cause },
    )
  }
}

/**
 * The version that a job will have after its next change.
 *
 * @throws {JobchartError} as {@link migrationOf}.
 */
export function typeWhenTouched(type: AnyJobType, job: Job): AnyJobType {
  const { successor } = type
  if (successor === undefined || !isAtRest(job)) return type
  return askMigrate(successor, job) === undefined ? type : typeWhenTouched(successor, job)
}

function migratingJob({ id, version, state, context, input, labels, timers }: Job): MigratingJob {
  const given = { id, version, state, context, labels, timers, ...(input === undefined ? {} : { input }) }
  // A copy, because `migrate` is code of the app and may change what it receives.
  return structuredClone(given) as MigratingJob
}

function applied(from: AnyJobType, to: AnyJobType, job: Job, asked: Migrated, scope: ChartScope): Migration {
  const { context = job.context, timers = job.timers } = asked
  const { historyValue, hasRefs } = job
  const snapshot: ChartSnapshot = {
    // Not checked here: `resumed` below throws if the new chart has no such state.
    state: asked.state as Json,
    context: storableCopy(context, 'context', true),
    ...(historyValue === undefined ? {} : { historyValue }),
    ...(hasRefs === undefined ? {} : { hasRefs }),
  }
  const standing = to.chart.resumed(snapshot, scope)
  const delays = standing.actions.filter(isDelay)
  const fired = firedIn(from, job, scope)
  const kept = timers
    .map((timer) => timerOf(timer, job))
    .filter(({ id }) => !isAfter(id) || delays.some((each) => each.id === id))
  return {
    snapshot: standing.snapshot,
    info: standing.info,
    timers: kept,
    starts: standing.actions.filter((action) => action.kind === 'start'),
    delays: delays.filter(({ id }) => !kept.some((timer) => timer.id === id) && !fired.has(id)),
  }
}

// The ids of timers that the job's state sets and that are no longer pending: they have already fired.
function firedIn({ chart }: AnyJobType, job: Job, scope: ChartScope): ReadonlySet<string | undefined> {
  try {
    const had = chart.resumed(job, scope).actions.filter(isDelay)
    return new Set(had.map(({ id }) => id).filter((id) => !job.timers.some((timer) => timer.id === id)))
  } catch {
    // The old chart cannot be restored in this state, so its timers are unknown. None of them counts as fired.
    return new Set()
  }
}

function timerOf({ id, event, dueAt }: MigratingTimer, { timers }: Job): Timer {
  if (typeof id !== 'string' || typeof event?.type !== 'string' || !Number.isSafeInteger(dueAt)) {
    throw new TypeError('a timer should be { id, event: { type }, dueAt } with dueAt in whole milliseconds')
  }
  const to = timers.find((timer) => timer.id === id)?.to
  const copy = storableCopy(event, `event of timer "${id}"`, true) as Timer['event']
  return { id, event: copy, dueAt, ...(to === undefined ? {} : { to }) }
}

function isAfter(id: string): boolean {
  return id.startsWith('xstate.after.')
}

function isDelay(action: ChartAction): action is SendAction {
  return action.kind === 'send' && action.to === 'self' && action.delayMs !== undefined
}
