import type { ChartEnd, ChartEvent, StartAction, StateInfo } from './chart.ts'
import { jobError } from './error.ts'
import { errorRecord } from './error-event.ts'
import type { Job, Outcome } from './job.ts'
import type { AnyJobType } from './job-type.ts'
import { stepsOfChild } from './step-key.ts'
import { type Json, storableCopy } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'

/** The first values of every new job's record. */
export function newRecord(type: AnyJobType, at: number) {
  return {
    type: type.type,
    version: type.version,
    state: {},
    context: {},
    status: '',
    phase: 'active',
    vacates: false,
    timers: [],
    tasks: [],
    counter: 0,
    createdAt: at,
    updatedAt: at,
    revision: 0,
    eventCount: 0,
  } as const satisfies Partial<Job>
}

/** The record of a new child job, invoked as `task`. */
export function childRecord(type: AnyJobType, parent: Job, task: Task, id: string, at: number): Job {
  const { tenant, createdBy, assignee, assignment, labels, priority, id: parentId } = parent
  const { id: parentInvoke, input } = task
  const own = { id, parentId, parentInvoke, trigger: 'parent', ...stepsOfChild(parent, task) } as const
  const assigned = {
    ...(assignee === undefined ? {} : { assignee }),
    ...(assignment === undefined ? {} : { assignment }),
  }
  const inherited = { ...own, tenant, createdBy, ...assigned, labels, priority }
  return { ...newRecord(type, at), admittedAt: at, ...inherited, ...(input === undefined ? {} : { input }) }
}

/** The record of a new task, for a child that the chart starts. */
export function newTask(
  type: AnyJobType,
  { invocation, id, src, input, sync, systemId }: StartAction,
  ordinal: number,
  at: number,
): Task {
  return {
    id,
    invocation,
    ordinal,
    src,
    executor: type.tasks.get(src)?.executor ?? 'default',
    ...(input === undefined ? {} : { input }),
    ...(sync ? { sync } : {}),
    ...(systemId === undefined ? {} : { systemId }),
    status: 'available',
    token: 0,
    availableAt: at,
    attempt: 0,
    claims: 0,
    crashes: 0,
    losses: 0,
    steps: 0,
    inbox: [],
  }
}

/** The outcome of a job, from the tags of its final state. */
export function outcomeOf({ tags }: Pick<StateInfo, 'tags'>): Outcome {
  if (tags.has('failure')) return 'failure'
  return tags.has('cancelled') ? 'cancelled' : 'success'
}

/** XState's event when an actor has completed. */
export function doneEvent(id: string, output: Json | undefined): ChartEvent {
  return { type: `xstate.done.actor.${id}`, output, actorId: id }
}

/** XState's event for an actor that failed. */
export function errorEvent(id: string, error: Json): ChartEvent {
  return { type: `xstate.error.actor.${id}`, error, actorId: id }
}

/** XState's event when a machine has ended. */
export function endEvent(id: string, end: ChartEnd): ChartEvent {
  return end.kind === 'done' ? doneEvent(id, end.output) : errorEvent(id, errorValue(end.error))
}

/** XState's event when an actor has a new snapshot. */
export function snapshotEvent(id: string, snapshot: Json): ChartEvent {
  return { type: `xstate.snapshot.${id}`, snapshot }
}

/**
 * Converts any thrown value to JSON for an event of the chart. A storable value is kept, with each `Error` in it
 * converted to its record. Any other value is replaced by its name and message.
 */
export function errorValue(thrown: unknown): Json {
  try {
    const replace = (each: object) => (each instanceof Error ? errorRecord(each) : undefined)
    if (thrown !== undefined) return storableCopy(thrown, 'error', true, replace)
  } catch {
    // The value cannot be stored: return a readable summary.
  }
  return { ...jobError(thrown) }
}

/** The settings with which a stored task runs. */
export function settingsOf(type: AnyJobType, task: Task): TaskSettings {
  const settings = type.tasks.get(task.src)
  if (settings === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
  return settings
}

/**
 * Makes a task available again: without holder, deadlines and handle. The task keeps its token, because the attempt of
 * a lost task may still report with it.
 */
export function madeAvailable(task: Task, change: Partial<Task>): Task {
  const { holder, stopBy, deadlineAt, again, isKillable, handle, ...rest } = task
  return { ...rest, ...change, status: 'available' }
}
