/**
 * Limits of how many tasks run at once under one key.
 *
 * A task's key is fixed when the task becomes available, and stored in its job's row. The number of the limit is not
 * stored: an engine takes it from the code of its job types at each claim. So a changed number also applies to stored
 * tasks.
 */
import type { Job } from './job.ts'
import type { LogicKind } from './logic.ts'
import { callback, checkOptions, either, required, text, wholeNumber } from './option-checks.ts'
import type { Task } from './task-record.ts'
import { type LimitScope, textOf } from './task-scope.ts'

/** How many tasks of one key run at once, over all engines of one storage. */
export interface TaskLimits<Input = unknown> {
  /** A whole number from 1. A task counts from its claim until its code has stopped. Abandoned tasks do not count. */
  readonly concurrency: number
  /**
   * Tasks with the same key share the limit, across types and tenants. 1 to 200 characters. A function is called when
   * the task becomes available, and must be pure. If the function throws, or returns no valid key, the task ends with
   * an error event, code `INVALID_INPUT`. Default: tasks of the same name and job type share the limit.
   */
  readonly key?: string | ((of: LimitScope<Input>) => string)
}

/** The limits of a job type, over all engines of one storage. */
export interface JobLimits {
  /**
   * How many tasks of jobs of this type run at once. For a lifecycle, these do not count: tasks with their own limits,
   * callbacks and observables, and tasks of machines that it invokes.
   */
  readonly concurrency?: number
  /**
   * How many jobs of this type each tenant may have queued, i.e. stored with no task started yet. Waiting jobs count
   * too. A whole number from 1. Further submits, retries and runs fail with `QUEUE_FULL`. Child jobs and follow-ups are
   * never refused.
   */
  readonly queued?: number
}

/** {@link TaskLimits}, parsed. */
export interface TaskLimit {
  readonly concurrency: number
  readonly key: string | ((of: LimitScope) => unknown) | undefined
  /** True: the limit belongs to the job type, and all its tasks share it. False: each task name has its own limit. */
  readonly ofType: boolean
}

/** The settings of a task that decide its limit. */
interface Limited {
  readonly kind: LogicKind
  readonly takesJobInput: boolean
  readonly limit: TaskLimit | undefined
}

/**
 * Parses the limits of a task.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the concurrency is not a whole number from 1, or the key is not text.
 */
export function parseTaskLimits<Input>(limits: TaskLimits<Input> | undefined): TaskLimit | undefined {
  if (limits === undefined) return undefined
  checkOptions('limits', limits, TASK_LIMITS, { prefix: 'limits.' })
  const { concurrency, key } = limits
  // The cast is safe: the function is called only with inputs of the task that it was typed for.
  return { concurrency, key: key as TaskLimit['key'], ofType: false }
}

/**
 * Adds the limit of a job type to those of its tasks that share it: outside work that ends and has no limit of its own.
 * Returns all tasks.
 */
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
 * How many tasks may run under a task's key, according to the current code of their type. `undefined`: any number.
 *
 * @param tasks  the tasks of the job type, by name.
 */
export function concurrencyOf(tasks: ReadonlyMap<string, Limited>, { src, limitKey }: Task): number | undefined {
  return limitKey === undefined ? undefined : tasks.get(src)?.limit?.concurrency
}

/**
 * The limit key of a task of a job. `undefined`: the task has no limit.
 *
 * @throws {JobchartError} `INVALID_INPUT` the limit's `key` threw, or returned no valid key.
 */
export function limitKeyOf({ limit, takesJobInput }: Limited, job: Job, task: Task): string | undefined {
  if (limit === undefined) return undefined
  if (limit.key === undefined) return JSON.stringify(limit.ofType ? [job.type] : [job.type, task.src])
  // A key that the user gave is stored as JSON text of a string. A default key is stored as JSON text of a list. So the
  // two are never equal.
  return JSON.stringify(textOf({ task, job, takesJobInput }, 'limits.key', limit.key))
}

const TASK_LIMITS = { concurrency: required(wholeNumber(1)), key: either(text(), callback) }
