import type { Actor, EventDraft } from '../model/event.ts'
import type { Outcome } from '../model/job.ts'

/** The most common events, stored as short lists. All other events are stored unchanged. */
type ShortEvent =
  | readonly [kind: 1, to: string]
  | readonly [kind: 2, from: string, to: string, outcome?: Outcome]
  | readonly [kind: 3, task: string, attempt: number, byKind?: Actor['kind'], byId?: string]

/** Encodes the events of a row as text. */
export function eventsRecordOf(events: readonly EventDraft[]): string {
  return JSON.stringify(events.map(shortened))
}

/** Decodes the events of a row. @throws {Error} the text is broken. */
export function eventsOfRecord(text: string): readonly EventDraft[] {
  const events = JSON.parse(text) as readonly (ShortEvent | EventDraft)[] | null
  if (!Array.isArray(events)) throw new Error('the text is not a list of events')
  return events.map(lengthened)
}

function shortened(event: EventDraft): ShortEvent | EventDraft {
  switch (event.type) {
    case 'job.created':
      return isExactly(event, 2) ? [1, event.to] : event
    case 'job.transitioned':
      if (isExactly(event, 3)) return [2, event.from, event.to]
      return event.outcome !== undefined && isExactly(event, 4) ? [2, event.from, event.to, event.outcome] : event
    case 'task.started':
      if (isExactly(event, 3)) return [3, event.task, event.attempt]
      return event.by !== undefined && isExactly(event, 4)
        ? [3, event.task, event.attempt, event.by.kind, event.by.id]
        : event
    default:
      return event
  }
}

function isExactly(event: EventDraft, fields: number): boolean {
  let count = 0
  for (const _ in event) count++
  return count === fields
}

function lengthened(event: ShortEvent | EventDraft): EventDraft {
  if (!isShort(event)) return event
  switch (event[0]) {
    case 1:
      return { type: 'job.created', to: event[1] }
    case 2: {
      const [, from, to, outcome] = event
      return { type: 'job.transitioned', from, to, ...(outcome === undefined ? {} : { outcome }) }
    }
    case 3: {
      const [, task, attempt, kind, id] = event
      const by = kind === undefined || id === undefined ? {} : { by: { kind, id } }
      return { type: 'task.started', task, attempt, ...by }
    }
  }
}

function isShort(event: ShortEvent | EventDraft): event is ShortEvent {
  return Array.isArray(event)
}
