import type { ChartEvent, StateInfo, TransitionResult } from './chart.ts'
import { describeMove } from './description.ts'
import { jobError } from './error.ts'
import type { EventDraft } from './event.ts'
import type { Job, OpenJob } from './job.ts'
import type { AnyJobType, Description } from './job-type.ts'
import type { Migration } from './migration.ts'
import { outcomeOf } from './record.ts'

/** Stores the chart's new snapshot in the job. */
export function setSnapshot(
  job: OpenJob,
  { snapshot, info, end }: Pick<TransitionResult, 'snapshot' | 'info' | 'end'>,
): void {
  job.state = snapshot.state
  job.context = snapshot.context
  if (snapshot.historyValue === undefined) delete job.historyValue
  else job.historyValue = snapshot.historyValue
  if (snapshot.hasRefs === true) job.hasRefs = true
  else delete job.hasRefs
  job.vacates = info.tags.has('vacates')
  job.phase = phaseOf(job, info)
  if (end?.kind === 'done') {
    job.outcome = outcomeOf(info)
    if (end.output !== undefined) job.output = end.output
  } else if (end?.kind === 'error') job.outcome = 'failure'
}

/** The phase of a job that has not settled. */
function phaseOf({ admittedAt }: Job, { tags }: StateInfo): Job['phase'] {
  if (admittedAt === undefined) return 'waiting'
  return tags.has('indeterminate') ? 'indeterminate' : 'active'
}

/**
 * Writes the label, message, exit code and error of a transition into the job's record. Returns the event for the
 * transition.
 */
export function recordTransition(
  type: AnyJobType,
  job: OpenJob,
  move: TransitionResult,
  event: ChartEvent,
  by: 'start' | 'command' | 'event',
): EventDraft {
  const from = job.status
  job.status = move.end?.kind === 'error' ? type.endLabels.error : labelOf(type, job, move)
  const { message, error, exitCode, reason } = describe(type, job, move, event)
  if (message !== undefined) job.message = message
  if (exitCode !== undefined) job.exitCode = exitCode
  // The record gets an error only if the job has ended. Otherwise only the event has the error.
  if (error !== undefined && move.end !== undefined) job.error = jobError(error)
  const facts = {
    to: job.status,
    ...(job.outcome === undefined ? {} : { outcome: job.outcome }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  }
  const failure = error === undefined ? {} : { error: jobError(error) }
  if (by === 'start') return { type: 'job.created', ...facts, ...failure }
  const command = by === 'command' ? { command: event.type } : {}
  return { type: 'job.transitioned', from, ...facts, ...command, ...failure }
}

// A job that is not admitted yet has the label of waiting jobs, not the label of its chart's state.
function labelOf(
  { endLabels }: AnyJobType,
  { admittedAt }: Job,
  { info, end }: Pick<TransitionResult, 'info' | 'end'>,
): string {
  return admittedAt === undefined && end === undefined ? endLabels.waiting : info.label
}

/**
 * Admits a waiting job. Its timers hold delays until now; they become times, counted from `steadyAt`. Returns the event
 * `job.admitted`.
 */
export function recordAdmission(job: OpenJob, info: StateInfo, at: number, steadyAt: number): EventDraft {
  const { status: from } = job
  job.admittedAt = at
  job.phase = phaseOf(job, info)
  job.status = info.label
  job.timers = job.timers.map((timer) => ({ ...timer, dueAt: timer.dueAt + steadyAt }))
  return { type: 'job.admitted', from, to: job.status }
}

/** Stores the job's state under another version of its type. Returns the event `job.migrated`. */
export function recordMigration(
  job: OpenJob,
  to: AnyJobType,
  { snapshot, info, timers, starts }: Migration,
): EventDraft {
  const { version: previous, status: from } = job
  setSnapshot(job, { snapshot, info })
  job.version = to.version
  job.status = labelOf(to, job, { info })
  job.timers = timers
  // Each invoke of the new state has taken a new invocation number, even if its old task continues.
  job.counter += starts.length
  return { type: 'job.migrated', version: to.version, previous, from, to: job.status }
}

function describe(type: AnyJobType, job: Job, { end }: TransitionResult, event: ChartEvent): Description {
  const failed = job.outcome === 'failure' && event.type.startsWith('xstate.error.')
  // A chart may throw `undefined`. That is an error too, so the value is converted.
  const error = end?.kind === 'error' ? jobError(end.error) : failed ? event.error : undefined
  return describeMove(type, job, event, error, end !== undefined)
}
