import { takesFrom } from '../model/agent.ts'
import type { KeyLimit, Route } from '../port/storage.ts'
import { routeName } from './job-columns.ts'
import type { Names } from './names.ts'
import type { Prepare, Row, Statement } from './statement.ts'

/** The fields that claims are ordered by: higher priority first, then earlier `readyAt`. */
export interface ClaimOrder {
  readonly priority: number
  readonly readyAt: number
}

/** The place of a task in the claim order. */
export interface TaskPlace extends ClaimOrder {
  /** The number of its job's row. */
  readonly n: number
  readonly invocation: number
}

/** Where a ready task is stored, and its place in the claim order. */
export interface ReadyPlace extends TaskPlace {
  readonly executor: string
  /** Names the route of the task and its queue. All tasks of the route that have no queue have the same name here. */
  readonly queue: string
  /** The limit key of the task and its limit, if it has one. */
  readonly limit?: KeyLimit
  /**
   * `true`: the search did not read the tasks that come after this one in its group. These may come before the places
   * that the search found behind this one.
   */
  readonly isCut?: true
}

/** The bounds of one search for ready tasks. */
export interface ReadySearch {
  /** Tasks that become available after this time are not found. */
  readonly at: number
  /** How many tasks each executor can take. The search reads that many tasks of each group of the executor. */
  readonly room: ReadonlyMap<string, number>
  /**
   * The search reads at most this many tasks of a queue, even if there is room for more. Usually a claim closes a queue
   * after a few tasks.
   */
  readonly ofQueue: number
  /** How many tasks the search reads of each group, in addition to the number that follows from `room` and `ofQueue`. */
  readonly more: number
  /** The queues of which no tasks are read, by their names in {@link ReadyPlace}. */
  readonly closed: ReadonlySet<string>
}

/**
 * A group of ready tasks in the index: those of one route without a queue, or those of one of its queues. Tasks with
 * limit keys have a group of their own for each task name (`src`).
 */
interface Waiting {
  readonly code: number
  readonly route: Route
  readonly parts: RouteParts
}

/** What the name of a group says. */
interface RouteParts {
  /** The name of the route, without a queue. */
  readonly route: string
  readonly src: string | undefined
  readonly queue: string | undefined
  /** The name of the route with the queue. */
  readonly place: string
}

/**
 * Finds the tasks that may be claimed, in claim order (S9, S20).
 *
 * The ready tasks of a route are one range of an index, sorted by priority and time. Tasks with a limit key are kept
 * apart, with one range for each key. A claim goes from key to key, so it never reads the tasks of a full key.
 */
export class ReadyTasks {
  readonly #names: Names
  readonly #tables: readonly TableQueries[]
  readonly #any: Statement
  readonly #routesOf = new WeakMap<readonly Route[], ReadonlyMap<string, readonly Route[]>>()
  readonly #parts = new Map<number, RouteParts>()

  constructor(prepare: Prepare, names: Names) {
    this.#names = names
    this.#tables = [tableQueries(prepare, 'jobs', 'task'), tableQueries(prepare, 'tasks', 'invocation')]
    this.#any = prepare(`
      SELECT EXISTS (SELECT 1 FROM jobs INDEXED BY jobs_ready WHERE route IS NOT NULL)
        OR EXISTS (SELECT 1 FROM tasks INDEXED BY tasks_ready WHERE route IS NOT NULL)`)
  }

  /** Whether no route has a task that may be claimed now or once its time has come. Faster than a search. */
  get isEmpty(): boolean {
    return this.#any.get()?.[0] === 0
  }

  /** The first ready tasks of each group, in claim order, without tasks of full keys. */
  first(routes: readonly Route[], search: ReadySearch): readonly ReadyPlace[] {
    const { room, ofQueue, more, closed } = search
    const found: ReadyPlace[] = []
    for (const table of this.#tables) {
      for (const waiting of this.#waitingIn(table, routes, closed)) {
        const { route, parts } = waiting
        const wanted = room.get(route.executor) ?? 0
        if (wanted <= 0) continue
        const most = (parts.queue === undefined ? wanted : Math.min(wanted, ofQueue)) + more
        const ready = this.#firstOf(table, waiting, search, most)
        const last = ready.length < most ? undefined : ready.at(-1)
        for (const place of ready) found.push(place === last ? { ...place, isCut: true } : place)
      }
    }
    return found.sort(inOrder)
  }

  #firstOf(table: TableQueries, waiting: Waiting, { at, more }: ReadySearch, most: number): readonly ReadyPlace[] {
    const { src } = waiting.parts
    return src === undefined
      ? this.#range(table, waiting, null, at, most)
      : this.#keyed(table, waiting, src, at, most, more)
  }

  // Reads keys that have room, in the order of their first tasks. Stops when no further key can have a task that comes
  // before those already found.
  #keyed(
    table: TableQueries,
    waiting: Waiting,
    src: string,
    at: number,
    most: number,
    more: number,
  ): readonly ReadyPlace[] {
    const concurrency = waiting.route.limits?.get(src) ?? Number.MAX_SAFE_INTEGER
    let found: readonly ReadyPlace[] = []
    for (const [code, room, priority, readyAt] of table.keys.all(waiting.code, concurrency)) {
      const last = found[most - 1]
      if (last !== undefined && goesBefore(last, { priority: Number(priority), readyAt: Number(readyAt) })) break
      const key = this.#names.textOf(code)
      const limit = { key, concurrency }
      const ready = this.#range(table, waiting, Number(code), at, Math.min(most, Number(room) + more))
      found = [...found, ...ready.map((each) => ({ ...each, limit }))].sort(inOrder).slice(0, most)
    }
    return found
  }

  // Reads the range one priority after the other, so that tasks that are not due yet are never read.
  #range(table: TableQueries, { code, route, parts }: Waiting, key: number | null, at: number, most: number) {
    const ready: ReadyPlace[] = []
    for (let below = Number.MAX_SAFE_INTEGER; ready.length < most; ) {
      const top = table.topPriority.get(code, key, below)?.[0]
      if (typeof top !== 'number') break
      const rows = table.ready.all(code, key, top, at, most - ready.length)
      ready.push(...rows.map((row) => placeOf(row, route.executor, parts.place)))
      below = top
    }
    return ready
  }

  // Finds each route that has ready tasks. Takes one step in the index for each route, instead of reading all its rows.
  *#waitingIn(table: TableQueries, routes: readonly Route[], closed: ReadonlySet<string>): Iterable<Waiting> {
    const byName = this.#byName(routes)
    for (const [code] of table.routes.all()) {
      const parts = this.#partsOf(Number(code))
      if (closed.has(parts.place)) continue
      const route = byName.get(parts.route)?.find((each) => takesFrom(each, parts.queue))
      if (route !== undefined) yield { code: Number(code), route, parts }
    }
  }

  #partsOf(code: number): RouteParts {
    const known = this.#parts.get(code)
    if (known !== undefined) return known
    const [executor, type, version, src, queue] = JSON.parse(this.#names.textOf(code)) as NameParts
    const route = { executor, type, version }
    const place = routeName(route, undefined, queue)
    const parts = { route: routeName(route), src: src ?? undefined, queue, place }
    this.#parts.set(code, parts)
    return parts
  }

  #byName(routes: readonly Route[]): ReadonlyMap<string, readonly Route[]> {
    const known = this.#routesOf.get(routes)
    if (known !== undefined) return known
    const byName = Map.groupBy(routes, (route) => routeName(route))
    this.#routesOf.set(routes, byName)
    return byName
  }
}

interface TableQueries {
  readonly routes: Statement
  readonly topPriority: Statement
  readonly ready: Statement
  readonly keys: Statement
}

function tableQueries(prepare: Prepare, table: 'jobs' | 'tasks', invocation: string): TableQueries {
  const rows = `${table} INDEXED BY ${table}_ready`
  const running = (of: string) => `(SELECT count(*) FROM ${of} WHERE token IS NOT NULL AND limit_key = held)`
  return {
    routes: prepare(`
      WITH RECURSIVE next (route) AS (
        SELECT min(route) FROM ${rows} WHERE route IS NOT NULL
        UNION ALL
        SELECT (SELECT min(route) FROM ${rows} WHERE route > next.route) FROM next WHERE next.route IS NOT NULL)
      SELECT route FROM next WHERE route IS NOT NULL`),
    topPriority: prepare(`SELECT max(priority) FROM ${rows} WHERE route = ? AND limit_key IS ? AND priority < ?`),
    ready: prepare(`
      SELECT n, ${invocation}, priority, ready_at FROM ${rows}
      WHERE route = ? AND limit_key IS ? AND priority = ? AND ready_at <= ? ORDER BY ready_at, n LIMIT ?`),
    // Finds the keys that have room. They are sorted by the highest priority of their tasks, then by the earliest time
    // at this priority. The first ready task of a key never comes before that place. It may come after it, because the
    // earliest task may not be due yet.
    keys: prepare(`
      WITH RECURSIVE bounds (code, most) AS (SELECT ?, ?), next (held) AS (
        SELECT (SELECT min(limit_key) FROM ${rows} WHERE route = code) FROM bounds
        UNION ALL
        SELECT (SELECT min(limit_key) FROM ${rows} WHERE route = code AND limit_key > held)
        FROM next, bounds WHERE held IS NOT NULL),
      open (code, held, room) AS MATERIALIZED (
        SELECT code, held, most - ${running('jobs')} - ${running('tasks')} FROM next, bounds WHERE held IS NOT NULL),
      first (code, held, room, top) AS MATERIALIZED (
        SELECT code, held, room, (SELECT max(priority) FROM ${rows} WHERE route = code AND limit_key = held)
        FROM open WHERE room > 0)
      SELECT held, room, top, (
        SELECT min(ready_at) FROM ${rows} WHERE route = code AND limit_key = held AND priority = top) AS best
      FROM first ORDER BY top DESC, best`),
  }
}

/** Whether `a` certainly comes before `b` in the claim order. */
function goesBefore(a: ClaimOrder, b: ClaimOrder): boolean {
  return a.priority > b.priority || (a.priority === b.priority && a.readyAt < b.readyAt)
}

/** Compares two tasks in the claim order. Below 0: `a` comes first. */
export function inOrder(a: TaskPlace, b: TaskPlace): number {
  return b.priority - a.priority || a.readyAt - b.readyAt || a.n - b.n || a.invocation - b.invocation
}

/** The name of a group, as `routeName` makes it. */
type NameParts = readonly [executor: string, type: string, version: string, src?: string | null, queue?: string]

function placeOf([n, invocation, priority, readyAt]: Row, executor: string, queue: string): ReadyPlace {
  return {
    n: Number(n),
    invocation: Number(invocation),
    priority: Number(priority),
    readyAt: Number(readyAt),
    executor,
    queue,
  }
}
