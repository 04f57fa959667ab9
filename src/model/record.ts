import type { ChartEnd, ChartEvent, StartAction, StateInfo } from './chart.ts'
import { jobError } from './error.ts'
import { errorRecord } from './error-event.ts'
import type { Job, Outcome } from './job.ts'
import type { AnyJobType } from './job-type.ts'
import { stepsOfChild } from './step-key.ts'
import { type Json, storableCopy } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'

/** What every new job's record begins with. */
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

/** The record of a job that another's chart invokes as `task`. */
export function childRecord(type: AnyJobType, parent: Job, task: Task, id: string, at: number): Job {
  const { tenant, createdBy, labels, priority, id: parentId } = parent
  const { id: parentInvoke, input } = task
  const own = { id, parentId, parentInvoke, trigger: 'parent', ...stepsOfChild(parent, task) } as const
  const inherited = { ...own, tenant, createdBy, labels, priority }
  return { ...newRecord(type, at), admittedAt: at, ...inherited, ...(input === undefined ? {} : { input }) }
}

/** The task of a child that starts. */
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
    ...codeOf(type, src),
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

/** The task with the code that another version of its type has for it. */
export function recoded(type: AnyJobType, task: Task): Task {
  const { function: called, version, ...rest } = task
  return type.tasks.has(task.src) ? { ...rest, ...codeOf(type, task.src) } : task
}

function codeOf(type: AnyJobType, src: string): Pick<Task, 'executor' | 'function' | 'version'> {
  const { executor = 'default', function: called, version } = type.tasks.get(src) ?? {}
  return {
    executor,
    ...(called === undefined ? {} : { function: called }),
    ...(version === undefined ? {} : { version }),
  }
}

/** How a job ended, by the tags of its final state. */
export function outcomeOf({ tags }: Pick<StateInfo, 'tags'>): Outcome {
  if (tags.has('failure')) return 'failure'
  return tags.has('cancelled') ? 'cancelled' : 'success'
}

/** XState's event for an actor that has ended well. */
export function doneEvent(id: string, output: Json | undefined): ChartEvent {
  return { type: `xstate.done.actor.${id}`, output, actorId: id }
}

/** XState's event for an actor that failed. */
export function errorEvent(id: string, error: Json): ChartEvent {
  return { type: `xstate.error.actor.${id}`, error, actorId: id }
}

/** XState's event for a machine that has ended. */
export function endEvent(id: string, end: ChartEnd): ChartEvent {
  return end.kind === 'done' ? doneEvent(id, end.output) : errorEvent(id, errorValue(end.error))
}

/** XState's event for an actor that has moved. */
export function snapshotEvent(id: string, snapshot: Json): ChartEvent {
  return { type: `xstate.snapshot.${id}`, snapshot }
}

/** Whatever was thrown, as a chart may keep it: as it is where it can be stored, each `Error` by its record. */
export function errorValue(thrown: unknown): Json {
  try {
    const replace = (each: object) => (each instanceof Error ? errorRecord(each) : undefined)
    if (thrown !== undefined) return storableCopy(thrown, 'error', true, replace)
  } catch {
    // Shown as well as it can be.
  }
  return { ...jobError(thrown) }
}

/** How a stored task is to be run. */
export function settingsOf(type: AnyJobType, task: Task): TaskSettings {
  const settings = type.tasks.get(task.src)
  if (settings === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
  return settings
}

/** A task that is offered again: it has no holder and no deadline; its token stays, so that no later one repeats it. */
export function offered(task: Task, change: Partial<Task>): Task {
  const { holder, stopBy, deadlineAt, again, isKillable, handle, ...rest } = task
  return { ...rest, ...change, status: 'available' }
}
