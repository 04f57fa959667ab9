import type { AnyJobType } from './definition.ts'
import { type Description, describeMove } from './description.ts'
import { jobError } from './error.ts'
import type { EventDraft } from './event.ts'
import type { Job } from './job.ts'
import type { Migration } from './migration.ts'
import { outcomeOf } from './record.ts'
import type { ChartEvent, Meaning, Move } from './transition.ts'

/** A job's record while it is written. */
export type OpenJob = { -readonly [Key in keyof Job]: Job[Key] }

/** Puts the job where the chart now stands. */
export function standAt(job: OpenJob, { place, meaning, end }: Pick<Move, 'place' | 'meaning' | 'end'>): void {
  job.state = place.state
  job.context = place.context
  if (place.historyValue === undefined) delete job.historyValue
  else job.historyValue = place.historyValue
  if (place.hasRefs === true) job.hasRefs = true
  else delete job.hasRefs
  job.vacates = meaning.tags.has('vacates')
  job.phase = phaseOf(job, meaning)
  if (end?.kind === 'done') {
    job.outcome = outcomeOf(meaning)
    if (end.output !== undefined) job.output = end.output
  } else if (end?.kind === 'error') job.outcome = 'failure'
}

/** The phase of a job that has not settled. */
function phaseOf({ admittedAt }: Job, { tags }: Meaning): Job['phase'] {
  if (admittedAt === undefined) return 'waiting'
  return tags.has('indeterminate') ? 'indeterminate' : 'active'
}

/** Writes what the record should carry of a move, and gives the event that tells of it. */
export function recordMove(type: AnyJobType, job: OpenJob, move: Move, event: ChartEvent, isNew: boolean): EventDraft {
  const from = job.status
  job.status = move.end?.kind === 'error' ? type.endLabels.error : move.meaning.label
  const { message, error, exitCode, reason } = describe(type, job, move, event)
  if (message !== undefined) job.message = message
  if (exitCode !== undefined) job.exitCode = exitCode
  if (error !== undefined) job.error = jobError(error)
  const facts = {
    to: job.status,
    ...(job.outcome === undefined ? {} : { outcome: job.outcome }),
    ...(reason === undefined ? {} : { reason }),
    ...(message === undefined ? {} : { message }),
  }
  if (isNew) return { type: 'job.created', ...facts }
  return { type: 'job.transitioned', from, ...facts, ...(error === undefined ? {} : { error: jobError(error) }) }
}

/** Admits a waiting job: its tasks may be claimed, and its timers, until now delays, count from `at`. */
export function admitted(job: OpenJob, meaning: Meaning, at: number): void {
  job.admittedAt = at
  job.phase = phaseOf(job, meaning)
  job.timers = job.timers.map((timer) => ({ ...timer, dueAt: timer.dueAt + at }))
  job.tasks = job.tasks.map((task) => (task.status === 'available' ? { ...task, availableAt: at } : task))
}

/** Puts the job where it stands under another version, and gives the event that tells of it. */
export function recordMigration(
  job: OpenJob,
  to: AnyJobType,
  { place, meaning, timers, starts }: Migration,
): EventDraft {
  const { version: previous, status: from } = job
  standAt(job, { place, meaning })
  job.version = to.version
  job.status = meaning.label
  job.timers = timers
  // Each has taken an invocation, also where the task of before goes on.
  job.counter += starts.length
  return { type: 'job.migrated', version: to.version, previous, from, to: job.status }
}

function describe(type: AnyJobType, job: Job, { end }: Move, event: ChartEvent): Description {
  const failed = job.outcome === 'failure' && event.type.startsWith('xstate.error.')
  // What was thrown may be nothing at all, and is a failure all the same.
  const error = end?.kind === 'error' ? jobError(end.error) : failed ? event.error : undefined
  return describeMove(type, job, event, error, end !== undefined)
}
