/**
 * How many tasks run at once under one key.
 *
 * A task's key is fixed when it is offered, and stands in its job's row; how many run under it is read from the code
 * that claims, so that a changed number holds for what was stored before.
 */
import type { Job } from './job.ts'
import type { LogicKind } from './logic.ts'
import { callback, checkOptions, either, required, text, wholeNumber } from './option-checks.ts'
import type { Json } from './storable.ts'
import type { Task } from './task-record.ts'

/** What the key of a limit may be made of. */
export interface LimitScope<Input = unknown> {
  /**
   * What the chart gives the task, before its own schema has parsed it; of a job type with `execute`, the job's parsed
   * input.
   */
  readonly input: Input
  /** The type of its job. */
  readonly type: string
  readonly tenant: string
  readonly createdBy: string
  readonly labels: { readonly [name: string]: string }
  readonly pipeline?: string
}

/** How many tasks of one key are worked on at once, in all engines of one storage. */
export interface TaskLimits<Input = unknown> {
  /** A whole number from 1. A task counts from its claim until its code has stopped; one that was abandoned does not. */
  readonly concurrency: number
  /**
   * Tasks with the same key share the limit, whatever their type and tenant. 1 to 200 characters. A function is called when the
   * task is offered, and must be pure; where it throws or gives no such text, the task ends with an error event, code
   * `INVALID_INPUT`. Default: the tasks of this name of this job type.
   */
  readonly key?: string | ((of: LimitScope<Input>) => string)
}

/** The limits of a job type, in all engines of one storage. */
export interface JobLimits {
  /**
   * How many of its tasks run at once. Of a lifecycle, left out are those that declare limits of their own, callbacks and
   * observables, and those of machines that it invokes.
   */
  readonly concurrency?: number
  /**
   * How many of a tenant's jobs of the type may be stored that have not begun, waiting ones included; a whole number from
   * 1. A submit, a retry or a run beyond is `QUEUE_FULL`. Child jobs and follow-ups are never refused.
   */
  readonly queued?: number
}

/** {@link TaskLimits}, read once. */
export interface TaskLimit {
  readonly concurrency: number
  readonly key: string | ((of: LimitScope) => unknown) | undefined
  /** Where no key was given: all tasks of the job type share one, not each name its own. */
  readonly ofType: boolean
}

/** What of a task's settings its limit follows from. */
interface Limited {
  readonly kind: LogicKind
  readonly takesJobInput: boolean
  readonly limit: TaskLimit | undefined
}

/**
 * Reads the limits of a task.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the concurrency is no whole number from 1, or the key no text.
 */
export function parseTaskLimits<Input>(limits: TaskLimits<Input> | undefined): TaskLimit | undefined {
  if (limits === undefined) return undefined
  checkOptions('limits', limits, TASK_LIMITS, { prefix: 'limits.' })
  const { concurrency, key } = limits
  // The function is given what its own type says, by whoever offers the task.
  return { concurrency, key: key as TaskLimit['key'], ofType: false }
}

/**
 * Reads how many jobs of a type may be queued; null: any number.
 */
export function parseQueued({ queued }: JobLimits = {}): number | null {
  return queued ?? null
}

/** The tasks of a job type by its own limits: those of work that ends and that declares none of its own. */
export function limitedTasks<Settings extends Limited>(
  tasks: ReadonlyMap<string, Settings>,
  { concurrency }: JobLimits = {},
): ReadonlyMap<string, Settings> {
  if (concurrency === undefined) return tasks
  const limit: TaskLimit = { concurrency, key: undefined, ofType: true }
  return new Map(
    [...tasks].map(([src, settings]) => {
      const isFree = settings.kind === 'promise' && settings.limit === undefined
      return [src, isFree ? { ...settings, limit } : settings]
    }),
  )
}

/**
 * How many tasks may run under one key by the code of their type now; undefined: any number.
 *
 * @param tasks  those of the type.
 */
export function concurrencyOf(tasks: ReadonlyMap<string, Limited>, { src, limitKey }: Task): number | undefined {
  return limitKey === undefined ? undefined : tasks.get(src)?.limit?.concurrency
}

/** A task as it is offered: with its key, where it has a limit, or with why it cannot have one. */
export interface Keyed {
  readonly task: Task
  readonly error?: Json
}

/** Gives a task of a job its key. It never throws. */
export function keyed(settings: Limited | undefined, job: Job, task: Task): Keyed {
  const limit = settings?.limit
  if (limit === undefined) return { task }
  if (limit.key === undefined) return { task: { ...task, limitKey: ownKey(limit, job, task) } }
  try {
    const input = settings?.takesJobInput === true ? job.input : task.input
    const key = typeof limit.key === 'string' ? limit.key : limit.key(scopeOf(job, input))
    // As JSON text, a key that was given is never one that was made.
    return isKey(key)
      ? { task: { ...task, limitKey: JSON.stringify(key) } }
      : { task, error: keyError(task, 'found', key) }
  } catch (error) {
    return { task, error: keyError(task, 'it threw', error) }
  }
}

function ownKey({ ofType }: TaskLimit, { type }: Job, { src }: Task): string {
  return JSON.stringify(ofType ? [type] : [type, src])
}

// Copied, since what a user's function does to it is its own affair.
function scopeOf({ type, tenant, createdBy, labels, pipeline }: Job, input: Json | undefined): LimitScope {
  const given = { input: structuredClone(input), type, tenant, createdBy, labels: { ...labels } }
  return pipeline === undefined ? given : { ...given, pipeline }
}

const KEY_RULE = 'text of 1 to 200 characters'

const TASK_LIMITS = { concurrency: required(wholeNumber(1)), key: either(text(), callback) }

function isKey(key: unknown): key is string {
  return typeof key === 'string' && key !== '' && key.length <= 200
}

function keyError({ id }: Task, how: string, what: unknown): Json {
  const message = `"${id}": the key of its limit should be ${KEY_RULE}; ${how} ${shown(what)}`
  return { name: 'JobchartError', code: 'INVALID_INPUT', message }
}

// Whatever a user's function gave or threw.
function shown(value: unknown): string {
  try {
    return String(value).slice(0, 200).toWellFormed()
  } catch {
    return 'something that cannot be shown'
  }
}
