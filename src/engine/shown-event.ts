/** Events as a session is told them: what `publicEvents` gives, through a mask. */
import type { JobError } from '../model/error.ts'
import { type Actor, type EventRow, type JobEvent, publicEvents } from '../model/event.ts'
import type { Outcome } from '../model/job.ts'
import { type FieldMask, namingMasked } from './field-mask.ts'
import { shownError } from './view.ts'

/** An event as a session is told it. */
export type ShownEvent = JobEvent & {
  /** The fields of the job that were left out for who asks; absent where none were. */
  readonly redacted?: readonly string[]
}

/** What of a job's view a field of its events tells. */
const TELLS: { readonly [field: string]: string } = {
  jobType: 'type',
  tenant: 'tenant',
  createdBy: 'createdBy',
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
}

/** What of a job's view a field of one of its events, or of an entry of its history, tells; undefined: nothing. */
export function toldBy(
  event: { readonly by: Actor; readonly outcome?: Outcome | undefined },
  { createdBy }: Pick<EventRow, 'createdBy'>,
): (field: string) => string | undefined {
  return (field) => {
    // Who did the first thing is who created the job.
    if (field === 'by') return event.by.id === createdBy ? 'createdBy' : undefined
    // The event that settles a job is of the time of its end.
    if (field === 'at') return event.outcome === undefined ? undefined : 'endedAt'
    return Object.hasOwn(TELLS, field) ? TELLS[field] : undefined
  }
}

// Rows that many follow are shown to most of them alike.
const shownRows = new WeakMap<EventRow, Map<string, readonly ShownEvent[]>>()

/** The events of a row through a mask. They are frozen, and shared by all who are shown the same. */
export function shownEvents(row: EventRow, sequence: number, mask: FieldMask): readonly ShownEvent[] {
  const known = shownRows.get(row) ?? new Map<string, readonly ShownEvent[]>()
  const found = known.get(mask.key)
  if (found !== undefined) return found
  const shown = publicEvents(row, sequence).map((event) => shownEvent(event, row, mask))
  shownRows.set(row, known.set(mask.key, shown))
  return shown
}

function shownEvent(event: JobEvent, row: EventRow, mask: FieldMask): ShownEvent {
  const told = toldBy({ by: event.by, outcome: 'outcome' in event ? event.outcome : undefined }, row)
  return Object.freeze(namingMasked<ShownEvent>(withoutPrivate(event, mask), mask, told))
}

function withoutPrivate(event: JobEvent, mask: FieldMask): JobEvent {
  if ('error' in event && event.error !== undefined) return { ...event, error: errorIn(event, event.error, mask) }
  if (event.type !== 'job.emitted' || mask.open.has('emitted')) return event
  // What an action emits may be anything that the chart knows.
  const { event: emitted, ...shown } = event
  return shown as JobEvent
}

// Why something could not follow may name what is not the reader's to see.
function errorIn({ type }: JobEvent, error: JobError, mask: FieldMask): JobError {
  if (type !== 'job.followUpFailed') return Object.freeze(shownError(error, mask))
  const { stack, ...shown } = error
  return Object.freeze({ ...shown, message: 'what should have followed could not' })
}
