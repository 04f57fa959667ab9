import type { ItemReport } from '../model/item.ts'
import { storableCopy } from '../model/storable.ts'
import type { TaskMessage } from '../port/executor.ts'

/**
 * Checks the output of an item before it is sent to an engine: a value that is not JSON may be changed on its way.
 *
 * @throws {JobchartError} `NOT_STORABLE`, `PAYLOAD_TOO_LARGE`
 */
export function storableItem(key: string, { output, ...rest }: ItemReport): ItemReport {
  return output === undefined ? rest : { ...rest, output: storableCopy(output, `output of item "${key}"`, true) }
}

/** Checks an event in the same way. @throws {JobchartError} `NOT_STORABLE`, `PAYLOAD_TOO_LARGE` */
export function storableEvent(event: TaskMessage): TaskMessage {
  // The cast is safe: a copy of an event is an event.
  return storableCopy(event, 'event', true) as unknown as TaskMessage
}
