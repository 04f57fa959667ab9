import { JobchartError, type SessionEvent } from 'jobchart'

/** The events of a stream so far, read in the background without pause. */
export interface Followed {
  readonly events: SessionEvent[]
  /** How it ended: `open` until then, else `done` or the code of its error. */
  readonly end: () => string
  readonly stop: () => Promise<void>
}

/** Reads a stream to its end. */
export function follow(stream: AsyncIterableIterator<SessionEvent>): Followed {
  const events: SessionEvent[] = []
  let end = 'open'
  void (async () => {
    try {
      for await (const event of stream) events.push(event)
      end = 'done'
    } catch (error) {
      end = error instanceof JobchartError ? error.code : `not typed: ${String(error)}`
    }
  })()
  return { events, end: () => end, stop: async () => void (await stream.return?.()) }
}

/** Events in short form: the event and its job. */
export function told(
  events: readonly SessionEvent[],
  names: ReadonlyMap<string, string> = new Map(),
): readonly string[] {
  return events.map((event) => {
    if (event.type === 'reset') return 'reset'
    const to = 'to' in event ? ` ${event.to}` : ''
    return `${names.get(event.jobId ?? '') ?? event.jobType}: ${event.type}${to}`
  })
}
