import type { SQLInputValue } from 'node:sqlite'
import { dueAt, holdsSlot, holdsUniqueKey, type Job, wakeAt } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import { isRunning } from '../model/task-record.ts'
import type { Route } from '../port/storage.ts'
import type { Kinds } from './kinds.ts'
import type { Names } from './names.ts'

/**
 * The columns of a job's row that an update may change. {@link JobColumnsWriter.moving} gives their values in this
 * order.
 */
export const MOVING_COLUMNS = [
  'kind',
  'version',
  'key',
  'unique_key',
  'slot',
  'wake_at',
  'waits_since',
  'route',
  'ready_at',
  'task',
  'token',
  'holder',
  'limit_key',
  'child',
  'further',
] as const

/** The columns of a row in `tasks`, besides the key of the row, its place and its text. */
export const TASK_COLUMNS = ['route', 'priority', 'ready_at', 'token', 'holder', 'limit_key', 'child'] as const

/** Computes column values from records. It may add new codes, so call it only inside a transaction that writes. */
export class JobColumnsWriter {
  readonly #names: Names
  readonly #kinds: Kinds
  #lastRoute: (Route & { readonly name: string }) | undefined

  constructor(names: Names, kinds: Kinds) {
    this.#names = names
    this.#kinds = kinds
  }

  /** The values of {@link MOVING_COLUMNS}. */
  moving(job: Job): SQLInputValue[] {
    const { version, idempotencyKey, uniqueKey, pipeline, deletedAt, tasks, ended } = job
    const [task] = tasks
    const route = task === undefined ? null : this.route(job, task)
    return [
      this.#kinds.codeOf(job),
      this.#names.codeOf(version),
      idempotencyKey === undefined || deletedAt !== undefined ? null : this.key(job.type, idempotencyKey),
      uniqueKey !== undefined && holdsUniqueKey(job) ? this.key(job.type, uniqueKey) : null,
      pipeline !== undefined && holdsSlot(job) ? this.#names.codeOf(pipeline) : null,
      wakeAt(job) ?? null,
      job.phase === 'waiting' && deletedAt === undefined ? dueAt(job) : null,
      route,
      task === undefined || route === null ? null : task.availableAt,
      task?.invocation ?? null,
      task !== undefined && isRunning(task) ? task.token : null,
      this.#codeOf(task?.holder),
      this.#codeOf(task?.limitKey),
      task?.child ?? null,
      tasks.length > 1 || ended !== undefined ? 1 : null,
    ]
  }

  /** The values of {@link TASK_COLUMNS}. */
  ofTask(job: Job, task: Task): SQLInputValue[] {
    const route = this.route(job, task)
    return [
      route,
      route === null ? null : job.priority,
      route === null ? null : task.availableAt,
      isRunning(task) ? task.token : null,
      this.#codeOf(task.holder),
      this.#codeOf(task.limitKey),
      task.child ?? null,
    ]
  }

  /** The code of a task's route. `null`: the task cannot be claimed, not even once its `availableAt` has come. */
  route(job: Job, task: Task): number | null {
    return isClaimable(job, task) ? this.#names.codeOf(this.#routeOf(job, task)) : null
  }

  // The name of the last route is cached, because most jobs of a commit have the same route.
  #routeOf({ type, version }: Job, { executor, limitKey, src, queue }: Task): string {
    if (limitKey !== undefined) return routeName({ executor, type, version }, src, queue)
    if (queue !== undefined) return routeName({ executor, type, version }, undefined, queue)
    const last = this.#lastRoute
    if (last?.executor === executor && last.type === type && last.version === version) return last.name
    const route = { executor, type, version }
    const name = routeName(route)
    this.#lastRoute = { ...route, name }
    return name
  }

  /**
   * The text that stores an idempotency key or a unique key: the code of the job's type, a space, and the key. Keys
   * must be unique only within a type, but the unique indexes have no column for the type, so the text contains it.
   */
  key(type: string, key: string): string {
    return `${this.#names.codeOf(type)} ${key}`
  }

  #codeOf(text: string | undefined): number | null {
    return text === undefined ? null : this.#names.codeOf(text)
  }
}

/** The idempotency key in the text of its column: the part after the type's code and a space. */
export function idempotencyKeyOf(key: string): string {
  return key.slice(key.indexOf(' ') + 1)
}

/**
 * Whether the task may be claimed once its `availableAt` has come. It must be available, its job must not be waiting or
 * blocked, and no other invocation of the same invoke may be stopping (S10).
 */
export function isClaimable(job: Job, task: Task): boolean {
  if (task.status !== 'available' || job.phase === 'waiting' || job.blocked === true) return false
  return job.tasks.length === 1 || !stoppingIds(job.tasks).has(task.id)
}

const stoppingOf = new WeakMap<readonly Task[], ReadonlySet<string>>()
const NONE: ReadonlySet<string> = new Set()

// The ids of the invokes that are stopping. Cached for each list of tasks, because `isClaimable` asks for every task,
// and a job may have many.
function stoppingIds(tasks: readonly Task[]): ReadonlySet<string> {
  const known = stoppingOf.get(tasks)
  if (known !== undefined) return known
  const stopping = tasks.filter(({ status }) => status === 'stopping')
  const ids = stopping.length === 0 ? NONE : new Set(stopping.map(({ id }) => id))
  stoppingOf.set(tasks, ids)
  return ids
}

/**
 * The name under which the ready tasks of a route are indexed. For tasks with a limit key, the name also contains the
 * name of the task (`src`); for tasks of a queue, the queue.
 */
export function routeName({ executor, type, version }: Route, src?: string, queue?: string): string {
  const parts: (string | null)[] = [executor, type, version]
  if (queue !== undefined) parts.push(src ?? null, queue)
  else if (src !== undefined) parts.push(src)
  return JSON.stringify(parts)
}
