import type { SessionEvent } from '../../src/index.ts'
import type { StoredEvents } from '../../src/port/index.ts'

/** An event in the file. */
export interface StoredEvent {
  readonly sequence: number
  /** Undefined for progress, which is not history. */
  readonly jobSequence: number | undefined
  readonly jobId: string
  readonly createdBy: string
  readonly type: string
}

/** Every event in rows of the log. */
export function eventsOf(rows: readonly StoredEvents[]): readonly StoredEvent[] {
  return rows.flatMap(({ sequence, jobSequence, jobId, createdBy, events }) =>
    events.map(({ type }, index) => ({
      sequence: sequence + index,
      jobSequence: jobSequence === 0 ? undefined : jobSequence + index,
      jobId,
      createdBy,
      type,
    })),
  )
}

/** Faults of a stream, compared with the expected events; empty if there are none. */
export function faultsOfStream(given: readonly SessionEvent[], expected: readonly StoredEvent[]): readonly string[] {
  const bySequence = new Map(expected.map((event) => [event.sequence, event]))
  const faults: string[] = []
  let last = 0
  for (const event of given) {
    if (event.sequence <= last) faults.push(`${event.sequence} comes after ${last}`)
    last = event.sequence
    const stored = bySequence.get(event.sequence)
    if (event.type === 'reset') faults.push(`a reset at ${event.sequence}`)
    else if (event.jobId === undefined) faults.push(`${event.sequence} is of a pipeline`)
    else if (stored === undefined) faults.push(`${event.sequence} is foreign: ${event.type} of ${event.jobId}`)
    else if (nameOf(event) !== nameOf(stored)) faults.push(`${nameOf(event)} stands there as ${nameOf(stored)}`)
  }
  const told = new Set(given.map(({ sequence }) => sequence))
  for (const ofJob of Map.groupBy(expected, ({ jobId }) => jobId).values()) {
    for (const [index, event] of ofJob.entries()) {
      // Newer progress may replace older progress. The last value comes before any other event of the job.
      const isOvertaken = event.type === 'job.progress' && ofJob[index + 1]?.type === 'job.progress'
      if (!told.has(event.sequence) && !isOvertaken) faults.push(`${nameOf(event)} is missing`)
    }
  }
  return faults
}

function nameOf({
  sequence,
  jobSequence,
  jobId,
  createdBy,
  type,
}: Omit<StoredEvent, 'jobSequence'> & { readonly jobSequence?: number | undefined }) {
  return `${sequence} ${jobId}/${jobSequence} ${type} of ${createdBy}`
}
