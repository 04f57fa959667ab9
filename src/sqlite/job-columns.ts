import type { SQLInputValue } from 'node:sqlite'
import { dueAt, holdsSlot, holdsUniqueKey, type Job, wakeAt } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Route } from '../port/storage.ts'
import type { Kinds } from './kinds.ts'
import type { Names } from './names.ts'

/** The columns of a job's row that a write may change, in the order of their values. */
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

/** The columns of a task's row, beside its number, its place and its text. */
export const TASK_COLUMNS = ['route', 'priority', 'ready_at', 'token', 'holder', 'limit_key', 'child'] as const

/** Makes the values of columns from records. Codes that are new are added: inside a transaction that writes. */
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

  /** The code of the route on which a task waits; null: it may not be claimed, whatever the time. */
  route(job: Job, task: Task): number | null {
    return isClaimable(job, task) ? this.#names.codeOf(this.#routeOf(job, task)) : null
  }

  // Most jobs of a commit wait on one route.
  #routeOf({ type, version }: Job, { executor, limitKey, src }: Task): string {
    if (limitKey !== undefined) return routeName({ executor, type, version }, src)
    const last = this.#lastRoute
    if (last?.executor === executor && last.type === type && last.version === version) return last.name
    const route = { executor, type, version }
    const name = routeName(route)
    this.#lastRoute = { ...route, name }
    return name
  }

  /** A key as its column holds it: unique in its tenant, or tenant and creator, so the type stands in it. */
  key(type: string, key: string): string {
    return `${this.#names.codeOf(type)} ${key}`
  }

  #codeOf(text: string | undefined): number | null {
    return text === undefined ? null : this.#names.codeOf(text)
  }
}

/** The idempotency key in its column. */
export function idempotencyKeyOf(key: string): string {
  return key.slice(key.indexOf(' ') + 1)
}

/** Code of the task may be running. */
function isRunning({ status }: Task): boolean {
  return status === 'claimed' || status === 'stopping'
}

/** The task may be claimed at its `availableAt`: of a job that is on, and nothing of its invoke is stopping (S10). */
export function isClaimable(job: Job, task: Task): boolean {
  if (task.status !== 'available' || job.phase === 'waiting' || job.blocked === true) return false
  return job.tasks.length === 1 || !stoppingIds(job.tasks).has(task.id)
}

const stoppingOf = new WeakMap<readonly Task[], ReadonlySet<string>>()
const NONE: ReadonlySet<string> = new Set()

// Asked for each task of a list: of a job with many tasks, it is made once.
function stoppingIds(tasks: readonly Task[]): ReadonlySet<string> {
  const known = stoppingOf.get(tasks)
  if (known !== undefined) return known
  const stopping = tasks.filter(({ status }) => status === 'stopping')
  const ids = stopping.length === 0 ? NONE : new Set(stopping.map(({ id }) => id))
  stoppingOf.set(tasks, ids)
  return ids
}

/** Where the tasks of a route wait, as a name: those with a limit key wait apart, each name of task for itself. */
export function routeName({ executor, type, version }: Route, src?: string): string {
  return JSON.stringify(src === undefined ? [executor, type, version] : [executor, type, version, src])
}
