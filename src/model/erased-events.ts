import type { JobError } from './error.ts'
import type { EventDraft, EventRow } from './event.ts'

const ERASED_ERROR: JobError = { name: 'Error', message: '' }

/**
 * A row of the log as it stays after its job was deleted. It still says what happened, when and by whom. It has no
 * inputs, reasons, messages, errors or emitted values. If every event of a type has such a field, the field stays, with
 * an empty value.
 */
export function withoutPayloads(row: EventRow): EventRow {
  return { ...row, events: row.events.map(withoutPayload), inputs: [] }
}

/** An event without its payload. */
export function withoutPayload(event: EventDraft): EventDraft {
  switch (event.type) {
    case 'job.created': {
      const { reason: _, message: __, ...rest } = event
      return rest
    }
    case 'job.transitioned': {
      const { reason: _, message: __, error: ___, ...rest } = event
      return rest
    }
    case 'job.emitted':
      return { ...event, event: null }
    case 'job.followUpFailed':
    case 'task.retried':
      return { ...event, error: ERASED_ERROR }
    case 'task.lost':
    case 'pipeline.paused':
      return { ...event, reason: '' }
    default:
      return event
  }
}
