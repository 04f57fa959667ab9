import type { KeyLimit, Route } from '../port/storage.ts'
import { routeName } from './job-columns.ts'
import type { Names } from './names.ts'
import type { Prepare, Row, Statement } from './statement.ts'

/** The fields that claims are ordered by: higher priority first, then earlier `readyAt`. */
export interface ClaimOrder {
  readonly priority: number
  readonly readyAt: number
}

/** Where a ready task is stored, and its place in the claim order. */
export interface ReadyPlace extends ClaimOrder {
  readonly n: number
  readonly invocation: number
  readonly executor: string
  /** The limit key of the task and its limit, if it has one. */
  readonly limit?: KeyLimit
}

/**
 * A group of ready tasks in the index: those of one route. Tasks with limit keys have a group of their own for each
 * task name (`src`).
 */
interface Waiting {
  readonly code: number
  readonly route: Route
  readonly src?: string
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
  readonly #routesOf = new WeakMap<readonly Route[], ReadonlyMap<string, Route>>()
  readonly #parts = new Map<number, { readonly base: string; readonly src: string | undefined }>()

  constructor(prepare: Prepare, names: Names) {
    this.#names = names
    this.#tables = [tableQueries(prepare, 'jobs', 'task'), tableQueries(prepare, 'tasks', 'invocation')]
  }

  /**
   * The first tasks that are ready by `at`, in claim order, without tasks of full keys.
   *
   * @param room  how many tasks each executor can take.
   * @param more  how many tasks to return beyond that, for each executor.
   */
  first(routes: readonly Route[], at: number, room: ReadonlyMap<string, number>, more: number): readonly ReadyPlace[] {
    const found = new Map<string, ReadyPlace[]>()
    for (const table of this.#tables) {
      for (const waiting of this.#waitingIn(table, routes)) {
        const { executor } = waiting.route
        const most = room.get(executor) ?? 0
        if (most <= 0) continue
        const ready = this.#firstOf(table, waiting, at, most + more, more)
        found.set(executor, [...(found.get(executor) ?? []), ...ready])
      }
    }
    // Only the first tasks of each route were read. So only the first `room + more` tasks of an executor are certainly
    // its earliest. The rest is dropped.
    const first = [...found].flatMap(([executor, ready]) => {
      return ready.sort(inOrder).slice(0, (room.get(executor) ?? 0) + more)
    })
    return first.sort(inOrder)
  }

  #firstOf(table: TableQueries, waiting: Waiting, at: number, most: number, more: number): readonly ReadyPlace[] {
    return waiting.src === undefined
      ? this.#range(table, waiting, null, at, most)
      : this.#keyed(table, waiting, waiting.src, at, most, more)
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
  #range(table: TableQueries, { code, route }: Waiting, key: number | null, at: number, most: number): ReadyPlace[] {
    const ready: ReadyPlace[] = []
    for (let below = Number.MAX_SAFE_INTEGER; ready.length < most; ) {
      const top = table.topPriority.get(code, key, below)?.[0]
      if (typeof top !== 'number') break
      const rows = table.ready.all(code, key, top, at, most - ready.length)
      ready.push(...rows.map((row) => placeOf(row, route.executor)))
      below = top
    }
    return ready
  }

  // Finds each route that has ready tasks. Takes one step in the index for each route, instead of reading all its rows.
  *#waitingIn(table: TableQueries, routes: readonly Route[]): Iterable<Waiting> {
    const byName = this.#byName(routes)
    for (const [code] of table.routes.all()) {
      const { base, src } = this.#partsOf(Number(code))
      const route = byName.get(base)
      if (route !== undefined) yield { code: Number(code), route, ...(src === undefined ? {} : { src }) }
    }
  }

  #partsOf(code: number): { readonly base: string; readonly src: string | undefined } {
    const known = this.#parts.get(code)
    if (known !== undefined) return known
    const [executor = '', type = '', version = '', src] = JSON.parse(this.#names.textOf(code)) as readonly string[]
    const parts = { base: routeName({ executor, type, version }), src }
    this.#parts.set(code, parts)
    return parts
  }

  #byName(routes: readonly Route[]): ReadonlyMap<string, Route> {
    const known = this.#routesOf.get(routes)
    if (known !== undefined) return known
    const byName = new Map(routes.map((route) => [routeName(route), route]))
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

function inOrder(a: ReadyPlace, b: ReadyPlace): number {
  return b.priority - a.priority || a.readyAt - b.readyAt || a.n - b.n || a.invocation - b.invocation
}

function placeOf([n, invocation, priority, readyAt]: Row, executor: string): ReadyPlace {
  return {
    n: Number(n),
    invocation: Number(invocation),
    priority: Number(priority),
    readyAt: Number(readyAt),
    executor,
  }
}
