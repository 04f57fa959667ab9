/** Events as a session is told them: what `publicEvents` gives, without what a grant hides. */
import type { JobError } from '../model/error.ts'
import { type Actor, type EventRow, type JobEvent, publicEvents } from '../model/event.ts'
import type { Grant } from './grant.ts'
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
  outcome: 'outcome',
  reason: 'reason',
  message: 'message',
  error: 'error',
  progress: 'progress',
  version: 'version',
  previous: 'version',
  event: 'emitted',
}

/** Whether a grant hides a field of an event, or of an invocation of the history. */
export function isHiddenOf(
  { hidden }: Grant,
  field: string,
  { createdBy }: Pick<EventRow, 'createdBy'>,
  by: Actor,
): boolean {
  // Who did the first thing is who created the job.
  if (field === 'by') return hidden.has('createdBy') && by.id === createdBy
  const told = TELLS[field]
  return told !== undefined && hidden.has(told)
}

// Rows that many follow are shown to most of them alike.
const shownRows = new WeakMap<EventRow, Map<string, readonly ShownEvent[]>>()

/** The events of a row as a grant shows them. They are frozen, and shared by all who are shown the same. */
export function shownEvents(row: EventRow, sequence: number, grant: Grant): readonly ShownEvent[] {
  const known = shownRows.get(row) ?? new Map<string, readonly ShownEvent[]>()
  const found = known.get(grant.key)
  if (found !== undefined) return found
  const shown = publicEvents(row, sequence).map((event) => shownEvent(event, row, grant))
  shownRows.set(row, known.set(grant.key, shown))
  return shown
}

function shownEvent(event: JobEvent, row: EventRow, grant: Grant): ShownEvent {
  const fields: [string, unknown][] = []
  for (const [field, value] of Object.entries(event)) {
    if (isHiddenOf(grant, field, row, event.by)) continue
    if (field === 'error') fields.push([field, errorIn(event, value as JobError)])
    // What an action emits may be anything that the chart knows.
    else if (field !== 'event' || grant.open.has('emitted')) fields.push([field, value])
  }
  if (grant.redacted.length > 0) fields.push(['redacted', Object.freeze([...grant.redacted])])
  // All that an event always has stands in it, but for what was redacted.
  return Object.freeze(Object.fromEntries(fields)) as unknown as ShownEvent
}

// Why something could not follow may name what is not the reader's to see.
function errorIn({ type }: JobEvent, error: JobError): Omit<JobError, 'stack'> {
  const shown = shownError(error)
  return Object.freeze(
    type === 'job.followUpFailed' ? { ...shown, message: 'what should have followed could not' } : shown,
  )
}
