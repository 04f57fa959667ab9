/** Events as a session shows them: the result of `publicEvents`, without the fields that a mask hides. */
import type { JobError } from '../model/error.ts'
import { type Actor, type EventOf, type EventRow, publicEvents } from '../model/event.ts'
import type { Outcome } from '../model/job.ts'
import { type FieldMask, namingMasked } from './field-mask.ts'
import { shownError } from './view.ts'

/** An event as a session shows it. */
export type ShownEvent = EventOf & {
  /** The hidden fields of the job or pipeline. Absent if none. */
  readonly redacted?: readonly string[]
}

/** For each field of an event: which field of the job it reveals. Both are hidden together. */
const TELLS: { readonly [field: string]: string } = {
  jobType: 'type',
  tenant: 'tenant',
  createdBy: 'createdBy',
  assignee: 'assignee',
  pipeline: 'pipeline',
  labels: 'labels',
  from: 'status',
  to: 'status',
  command: 'status',
  outcome: 'outcome',
  reason: 'reason',
  message: 'message',
  error: 'error',
  progress: 'progress',
  version: 'version',
  previous: 'version',
  event: 'emitted',
  blocker: 'blocker',
  agent: 'agent',
}

/**
 * Returns a function that maps each field of an event, or of a history entry, to the job's field that it reveals.
 * Example: `to` reveals `status`. `undefined`: it reveals none.
 */
export function toldBy(
  event: { readonly by: Actor; readonly outcome?: Outcome | undefined },
  { createdBy, assignee }: Pick<EventRow, 'createdBy' | 'assignee'>,
): (field: string) => string | undefined {
  return (field) => {
    // An event caused by an agent reveals who runs the job, one caused by the job's creator reveals the creator. One
    // caused by the assignee may reveal the assignee.
    if (field === 'by' && event.by.kind === 'agent') return 'agent'
    if (field === 'by')
      return event.by.id === createdBy ? 'createdBy' : event.by.id === assignee ? 'assignee' : undefined
    // The event that settles a job has the time of the job's end.
    if (field === 'at') return event.outcome === undefined ? undefined : 'endedAt'
    return Object.hasOwn(TELLS, field) ? TELLS[field] : undefined
  }
}

// Cached, because most followers of a row see the same.
const shownRows = new WeakMap<EventRow, Map<string, readonly ShownEvent[]>>()

/** The events of a row through a mask. Frozen, and shared by all readers who see the same. */
export function shownEvents(row: EventRow, sequence: number, mask: FieldMask): readonly ShownEvent[] {
  const known = shownRows.get(row) ?? new Map<string, readonly ShownEvent[]>()
  const found = known.get(mask.key)
  if (found !== undefined) return found
  const shown = publicEvents(row, sequence).map((event) => shownEvent(event, row, mask))
  shownRows.set(row, known.set(mask.key, shown))
  return shown
}

function shownEvent(event: EventOf, row: EventRow, mask: FieldMask): ShownEvent {
  const ofJob = toldBy({ by: event.by, outcome: outcomeOf(event) }, row)
  const told = (field: string) => (field === 'reason' ? ofReason(event) : ofJob(field))
  return Object.freeze(namingMasked<ShownEvent>(withoutPrivate(event, mask), mask, told))
}

// The reason of a pause is the field `paused` of the pipeline. That of a skipped run may be the pipeline's status.
function ofReason({ type }: EventOf): string {
  if (type === 'pipeline.paused') return 'paused'
  return type === 'run.skipped' ? 'status' : 'reason'
}

function outcomeOf(event: EventOf): Outcome | undefined {
  return 'outcome' in event ? event.outcome : undefined
}

function withoutPrivate(event: EventOf, mask: FieldMask): EventOf {
  if ('error' in event && event.error !== undefined) return { ...event, error: errorIn(event, event.error, mask) }
  if (event.type !== 'job.emitted' || mask.open.has('emitted')) return event
  // An emitted event may contain anything that the chart knows, so it is private.
  const { event: emitted, ...shown } = event
  return shown as EventOf
}

// The error of a follow-up may name things that the reader may not see.
function errorIn({ type }: EventOf, error: JobError, mask: FieldMask): JobError {
  if (type !== 'job.followUpFailed') return Object.freeze(shownError(error, mask))
  const { stack, ...shown } = error
  return Object.freeze({ ...shown, message: 'a follow-up failed' })
}
