import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Route } from '../port/storage.ts'

/** Where a ready task stands in its route's order. */
export interface ReadyKey {
  readonly route: string
  readonly id: string
  readonly entry: number
  readonly priority: number
  readonly availableAt: number
  readonly n: number
}

/** The key of a task of the `n`th job. */
export function readyKey(n: number, job: Job, task: Task): ReadyKey {
  const route = routeKey({ type: job.type, version: job.version, executor: task.executor })
  return { route, id: job.id, entry: task.entry, priority: job.priority, availableAt: task.availableAt, n }
}

/** The offered tasks of all jobs, each route's in the order of its claims. */
export class ReadyTasks {
  readonly #routes = new Map<string, ReadyKey[]>()

  add(key: ReadyKey): void {
    const tasks = this.#routes.get(key.route) ?? []
    tasks.splice(position(tasks, key), 0, key)
    this.#routes.set(key.route, tasks)
  }

  remove(key: ReadyKey): void {
    const tasks = this.#routes.get(key.route) ?? []
    const index = position(tasks, key)
    const found = tasks[index]
    if (found !== undefined && order(found, key) === 0) tasks.splice(index, 1)
  }

  /** The first `limit` that are due on any of the routes. */
  due(routes: readonly Route[], at: number, limit: number): readonly ReadyKey[] {
    const due = routes.flatMap((route) => {
      const tasks = this.#routes.get(routeKey(route)) ?? []
      const found: ReadyKey[] = []
      for (const task of tasks) {
        if (found.length >= limit) break
        if (task.availableAt <= at) found.push(task)
      }
      return found
    })
    return due.sort(order).slice(0, limit)
  }

  /** Something due on the task's route would be claimed before it. */
  anyBefore(job: Job, task: Task, at: number): boolean {
    const tasks = this.#routes.get(readyKey(0, job, task).route) ?? []
    return tasks.some(({ priority, availableAt }) => priority >= job.priority && availableAt <= at)
  }
}

function routeKey({ type, version, executor }: Route): string {
  return JSON.stringify([type, version, executor])
}

function order(a: ReadyKey, b: ReadyKey): number {
  return b.priority - a.priority || a.availableAt - b.availableAt || a.n - b.n || a.entry - b.entry
}

function position(tasks: readonly ReadyKey[], key: ReadyKey): number {
  let low = 0
  let high = tasks.length
  while (low < high) {
    const middle = (low + high) >> 1
    const task = tasks[middle]
    if (task !== undefined && order(task, key) < 0) low = middle + 1
    else high = middle
  }
  return low
}
