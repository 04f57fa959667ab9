/**
 * How a stored job is moved from one version of its type to another.
 *
 * A job type says so by `previous` and `migrate`. A job moves when it is next touched and nothing of it runs: in the
 * changeset of the request that touched it, before that. What the new chart asks for where the job then stands is made so: its invokes
 * run, others are left; its `after` timers stand, those of the same name with the time that they had.
 */
import type { ChartAction, ChartScope, ChartSnapshot, SendAction, StartAction, StateInfo } from './chart.ts'
import { JobchartError } from './error.ts'
import type { Job, Timer } from './job.ts'
import type { AnyJobType, Migrated, MigratingJob, MigratingTimer } from './job-type.ts'
import { recoded } from './record.ts'
import { isLeft } from './stop.ts'
import { type Json, storableCopy } from './storable.ts'
import type { Task } from './task-record.ts'

/** What a job becomes under the new version. */
export interface Migration {
  readonly snapshot: ChartSnapshot
  readonly info: StateInfo
  readonly timers: readonly Timer[]
  /** What runs there, kept or new. */
  readonly starts: readonly StartAction[]
  /** Timers that the new place has and the old one had not. */
  readonly delays: readonly SendAction[]
}

/** What of a job goes on in the new chart, by the code that it has for that, and what begins there. */
export function keptAndBegun(
  to: AnyJobType,
  { tasks, ended = [] }: Job,
  starts: readonly StartAction[],
  isInvoke: (id: string) => boolean,
): { readonly kept: readonly Task[]; readonly begun: readonly StartAction[] } {
  const kept = tasks.filter((task) => !isLeft(task) && isKept(to, task, starts, isInvoke(task.id)))
  const isKnown = ({ id, src }: StartAction) =>
    kept.some((task) => task.id === id) ||
    // What has ended where the chart still stands is not done again.
    ended.some((each) => each.id === id && each.src === src && each.left !== true)
  return { kept: kept.map((task) => recoded(to, task)), begun: starts.filter((start) => !isKnown(start)) }
}

// An invoke that it has there as well, or an actor that was spawned by a name that it knows.
function isKept(to: AnyJobType, task: Task, starts: readonly StartAction[], isInvoke: boolean): boolean {
  const { id, src } = task
  if (isInvoke && !starts.some((start) => start.id === id && start.src === src)) return false
  // Of the same kind: what was a promise cannot go on as a machine of its name.
  if (task.child !== undefined) return to.children.has(src)
  return task.status === 'inline' ? to.inline.has(src) : to.tasks.has(src)
}

/** Nothing of the job runs, and nothing that ran is awaited: its code, and what it reports, know only one version. */
export function isAtRest({ phase, tasks }: Job): boolean {
  const isBusy = ({ status, child }: Task) => child === undefined && status !== 'available' && status !== 'inline'
  return phase !== 'settled' && !tasks.some(isBusy)
}

/**
 * What `migrate` of `to` makes of a job; undefined: it stays under its version.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` it threw, or gave a place that the new chart does not have. The job is left
 *   as it is, for a version that can.
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
      `job "${job.id}" could not be moved from version "${job.version}" of "${job.type}" to "${to.version}": ${why}`,
      { jobId: job.id, cause },
    )
  }
}

/**
 * The version under which a job stands when it is touched next.
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
  // It was stored as JSON, and is the author's to change.
  return structuredClone(given) as MigratingJob
}

function applied(from: AnyJobType, to: AnyJobType, job: Job, asked: Migrated, scope: ChartScope): Migration {
  const { context = job.context, timers = job.timers } = asked
  const { historyValue, hasRefs } = job
  const snapshot: ChartSnapshot = {
    // The chart gives its own state for it, or refuses it.
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

// What the old chart has where the job stands, and the job not: it has rung, and the state has gone on.
function firedIn({ chart }: AnyJobType, job: Job, scope: ChartScope): ReadonlySet<string | undefined> {
  try {
    const had = chart.resumed(job, scope).actions.filter(isDelay)
    return new Set(had.map(({ id }) => id).filter((id) => !job.timers.some((timer) => timer.id === id)))
  } catch {
    // A place that the old chart itself cannot be in says nothing.
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
