/** Decodes the records of schemas 1 and 2. */
import { defined } from '../model/defined.ts'
import type { EventDraft } from '../model/event.ts'
import type { EndedChild, Job, Phase } from '../model/job.ts'
import type { Json } from '../model/storable.ts'
import type { StampedProgress, Task, TaskStatus } from '../model/task-record.ts'
import { labelsIn } from './json-text.ts'

/** A row of an old table, by column name. */
export type OldRow = { readonly [column: string]: unknown }

type OldStatus = Exclude<TaskStatus, 'available' | 'claimed'> | 'offered' | 'held'
type OldTask = Omit<Task, 'status' | 'invocation' | 'ordinal'> & { readonly status: OldStatus; readonly entry: number }
type OldEnded = Omit<EndedChild, 'invocation'> & { readonly entry: number }
type OldBody = Partial<Omit<Job, 'tasks' | 'ended'>> & {
  readonly tasks?: readonly OldTask[]
  readonly ended?: readonly OldEnded[]
}

/**
 * The job that an old row describes.
 *
 * @throws {Error} the row is broken.
 */
export function oldJob(row: OldRow): Job {
  const { tasks = [], ended, ...body } = JSON.parse(String(row.body)) as OldBody
  if (typeof body.trigger !== 'string' || !Array.isArray(tasks)) throw new Error('the text is not a job')
  const optional = {
    pipeline: textIn(row.pipeline),
    parentId: textIn(row.parent_id),
    idempotencyKey: textIn(row.idempotency_key),
    input: jsonIn(row.input) as Json | undefined,
    progress: jsonIn(row.progress) as StampedProgress | undefined,
    ended: ended?.map(({ entry, ...child }) => ({ ...child, invocation: entry })),
  }
  return {
    vacates: false,
    timers: [],
    ...body,
    tasks: tasks.map((task) => taskOf(task, tasks)),
    id: String(row.id),
    tenant: String(row.tenant),
    type: String(row.type),
    version: String(row.version),
    createdBy: String(row.created_by),
    labels: labelsIn(row.labels),
    priority: Number(row.priority),
    createdAt: Number(row.created_at),
    status: String(row.status),
    phase: row.phase as Phase,
    revision: Number(row.revision),
    ...defined(optional),
    // The cast is safe, because the code of the old schema wrote the row.
  } as Job
}

// Old tasks have no stored ordinal. It is counted among the tasks that the job still has. `RowMover` counts the
// ordinals of recorded steps in the same way.
function taskOf({ entry, status, ...task }: OldTask, all: readonly OldTask[]): Task {
  const now = status === 'offered' ? 'available' : status === 'held' ? 'claimed' : status
  const earlier = all.filter((each) => each.id === task.id && each.entry < entry)
  return { ...task, invocation: entry, ordinal: earlier.length + 1, status: now }
}

/**
 * The events of an old row of the log.
 *
 * @throws {Error} the text is broken.
 */
export function oldEvents(text: string): readonly EventDraft[] {
  return (JSON.parse(text) as readonly (EventDraft | OldAbandoned)[]).map((event) => {
    return event.type === 'task.leaked' ? { ...event, type: 'task.abandoned' } : event
  })
}

type OldAbandoned = Omit<Extract<EventDraft, { type: 'task.abandoned' }>, 'type'> & { readonly type: 'task.leaked' }

/** The value as text. `undefined`: the column is null. */
export function textIn(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value)
}

function jsonIn(value: unknown): unknown {
  const text = textIn(value)
  return text === undefined ? undefined : JSON.parse(text)
}
