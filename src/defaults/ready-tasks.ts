import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { KeyLimit, Route } from '../port/storage.ts'
import type { HeldKeys } from './held-keys.ts'

/** Where a ready task stands in its route's order. */
export interface ReadyKey {
  readonly route: string
  readonly src: string
  /** Tasks with a limit key stand in a line of their own. */
  readonly limitKey: string | undefined
  readonly id: string
  readonly invocation: number
  readonly priority: number
  readonly availableAt: number
  readonly n: number
}

/** A ready task, and how many of its key may run at once, where it has one. */
export interface Ready extends ReadyKey {
  readonly limit?: KeyLimit
}

/** The key of a task of the `n`th job. */
export function readyKey(n: number, job: Job, task: Task): ReadyKey {
  const route = routeKey({ type: job.type, version: job.version, executor: task.executor })
  const { src, limitKey, invocation, availableAt } = task
  return { route, src, limitKey, id: job.id, invocation, priority: job.priority, availableAt, n }
}

/** The tasks of one route that have no limit, or one limit key, in the order of their claims. */
type Line = ReadyKey[]

/** The offered tasks of all jobs, each route's in the order of its claims. */
export class ReadyTasks {
  readonly #free = new Map<string, Line>()
  /** By route, and then by name and limit key. */
  readonly #keyed = new Map<string, Map<string, Line>>()
  readonly #held: HeldKeys

  constructor(held: HeldKeys) {
    this.#held = held
  }

  add(key: ReadyKey): void {
    const line = this.#line(key)
    line.splice(position(line, key), 0, key)
  }

  remove(key: ReadyKey): void {
    const line = this.#line(key)
    const index = position(line, key)
    const found = line[index]
    if (found !== undefined && order(found, key) === 0) line.splice(index, 1)
    if (line.length === 0) this.#keyed.get(key.route)?.delete(lineName(key))
  }

  /**
   * The first `limit` that are due on any of the routes, without those of full keys.
   *
   * @param left  so many were looked at before and may be among them.
   */
  due(routes: readonly Route[], at: number, limit: number, left: number): readonly Ready[] {
    const most = limit + left
    const due = routes.flatMap((route) => [
      ...firstDue(this.#free.get(routeKey(route)) ?? [], at, most),
      ...this.#dueKeyed(route, at, most, left),
    ])
    return due.sort(order).slice(0, most)
  }

  /** Something due on the task's route would be claimed before it, of a key that has room if it has one. */
  anyBefore(job: Job, task: Task, concurrency: number, at: number): boolean {
    const key = readyKey(0, job, task)
    const isBefore = ({ priority, availableAt }: ReadyKey) => priority >= job.priority && availableAt <= at
    if (key.limitKey === undefined) return (this.#free.get(key.route) ?? []).some(isBefore)
    return [...(this.#keyed.get(key.route)?.values() ?? [])].some((line) => {
      const [first] = line
      if (first?.src !== key.src || first.limitKey === undefined) return false
      // Of its own key what is before it counts, whether or not there is room.
      const isOpen = first.limitKey === key.limitKey || this.#held.room({ key: first.limitKey, concurrency }) > 0
      return isOpen && line.some(isBefore)
    })
  }

  #dueKeyed(route: Route, at: number, most: number, left: number): readonly Ready[] {
    return [...(this.#keyed.get(routeKey(route))?.values() ?? [])].flatMap((line) => {
      const [first] = line
      if (first?.limitKey === undefined) return []
      const limit = { key: first.limitKey, concurrency: route.limits?.get(first.src) ?? Number.MAX_SAFE_INTEGER }
      const room = this.#held.room(limit)
      if (room < 1) return []
      return firstDue(line, at, Math.min(most, room + left)).map((each) => ({ ...each, limit }))
    })
  }

  #line(key: ReadyKey): Line {
    if (key.limitKey === undefined) return madeIn(this.#free, key.route, () => [])
    const lines = madeIn(this.#keyed, key.route, () => new Map<string, Line>())
    return madeIn(lines, lineName(key), () => [])
  }
}

function firstDue(line: Line, at: number, limit: number): readonly ReadyKey[] {
  const found: ReadyKey[] = []
  for (const task of line) {
    if (found.length >= limit) break
    if (task.availableAt <= at) found.push(task)
  }
  return found
}

function lineName({ src, limitKey }: ReadyKey): string {
  return JSON.stringify([src, limitKey])
}

function madeIn<Key, Value>(map: Map<Key, Value>, key: Key, make: () => Value): Value {
  const known = map.get(key)
  if (known !== undefined) return known
  const made = make()
  map.set(key, made)
  return made
}

function routeKey({ type, version, executor }: Route): string {
  return JSON.stringify([type, version, executor])
}

function order(a: ReadyKey, b: ReadyKey): number {
  return b.priority - a.priority || a.availableAt - b.availableAt || a.n - b.n || a.invocation - b.invocation
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
