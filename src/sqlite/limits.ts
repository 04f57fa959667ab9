/**
 * Limit keys in the tables.
 *
 * A task with a key waits on a route of its own, `type, version, executor, src, key`, so that the waiting of one key are
 * one range of the index of ready tasks, and the keys are found by stepping from one range to the next. A key's held and
 * stopping tasks are counted in an index of their own.
 */
import type { StatementSync } from 'node:sqlite'
import { type HeldKey, heldKeys, type Job } from '../model/job.ts'
import type { KeyLimit, Route } from '../port/storage.ts'
import { AFTER_SEPARATOR, routeKey, SEPARATOR } from './rows.ts'

type Table = 'jobs' | 'offers'

// The routes of one name of task, each found by one step in the index and not by its rows.
const routesOf = (table: Table) => `
  WITH RECURSIVE bounds (first, last) AS (SELECT ?, ?), next (route) AS (
    SELECT * FROM (
      SELECT route FROM ${table} WHERE route > (SELECT first FROM bounds) AND route < (SELECT last FROM bounds)
      ORDER BY route LIMIT 1)
    UNION ALL
    SELECT (SELECT route FROM ${table} WHERE route > next.route AND route < (SELECT last FROM bounds)
            ORDER BY route LIMIT 1)
    FROM next WHERE next.route IS NOT NULL)`

const HELD = `(
  (SELECT count(*) FROM jobs AS held WHERE held.held_key = substr(next.route, length((SELECT first FROM bounds)) + 1))
  + (SELECT count(*) FROM holds WHERE holds.key = substr(next.route, length((SELECT first FROM bounds)) + 1)))`

/** The statements of this file, prepared on a database that has the schema. */
export function limitStatements(prepare: (sql: string) => StatementSync) {
  return {
    hasHolds: prepare(`SELECT EXISTS (SELECT 1 FROM holds) AS found`),
    dropHolds: prepare(`DELETE FROM holds WHERE n = (SELECT n FROM jobs WHERE id = ?)`),
    insertHold: prepare(`INSERT INTO holds (n, entry, key) SELECT n, ?, ? FROM jobs WHERE id = ?`),
    held: prepare(`
      SELECT (SELECT count(*) FROM jobs WHERE held_key = ?) + (SELECT count(*) FROM holds WHERE key = ?) AS held`),
    heldElsewhere: prepare(`
      SELECT (SELECT count(*) FROM jobs WHERE held_key = ? AND id <> ?)
        + (SELECT count(*) FROM holds WHERE key = ? AND n IS NOT (SELECT n FROM jobs WHERE id = ?)) AS held`),
    jobs: keyedStatements(prepare, 'jobs'),
    offers: keyedStatements(prepare, 'offers'),
  }
}

function keyedStatements(prepare: (sql: string) => StatementSync, table: Table) {
  return {
    nextRoute: prepare(`SELECT route FROM ${table} WHERE route > ? AND route < ? ORDER BY route LIMIT 1`),
    // What a key's first task may be at best: of its highest priority, the earliest, which may not be due yet.
    keysWithRoom: prepare(`${routesOf(table)}
      SELECT route, room, priority,
        (SELECT min(ready_at) FROM ${table} WHERE route = open.route AND priority = open.priority) AS ready_at
      FROM (
        SELECT route, ? - ${HELD} AS room,
          (SELECT max(priority) FROM ${table} AS top WHERE top.route = next.route) AS priority
        FROM next WHERE route IS NOT NULL) AS open
      WHERE room > 0 ORDER BY priority DESC, ready_at`),
    keyBefore: prepare(`${routesOf(table)}
      SELECT EXISTS (
        SELECT 1 FROM next WHERE route IS NOT NULL AND ${HELD} < ? AND EXISTS (
          SELECT 1 FROM ${table} AS waits WHERE waits.route = next.route AND priority >= ? AND ready_at <= ?)) AS found`),
  }
}

/** One name of task under one route: its keys' routes begin with the prefix. */
interface Source {
  readonly first: string
  /** After all that begin with `first`. */
  readonly last: string
  readonly src: string
}

/** A key that has room, and the first of its tasks at best. */
export interface KeyWithRoom {
  readonly route: string
  readonly limit: KeyLimit
  readonly room: number
  readonly priority: number
  readonly readyAt: number
}

/** Limit keys, as one transaction sees them. */
export class LimitKeys {
  readonly #statements: ReturnType<typeof limitStatements>
  #hasHolds: boolean | undefined

  constructor(statements: ReturnType<typeof limitStatements>) {
    this.#statements = statements
  }

  /** Keeps the keys of the tasks that count beside the one whose key stands in the job's row. */
  keep({ id }: Job, further: readonly HeldKey[]): void {
    this.#hasHolds ??= this.#statements.hasHolds.get()?.found === 1
    if (this.#hasHolds) this.#statements.dropHolds.run(id)
    for (const { invocation, key } of further) {
      this.#statements.insertHold.run(invocation, key, id)
      this.#hasHolds = true
    }
  }

  /** One more task of the key may be held. */
  hasRoom({ key, concurrency }: KeyLimit): boolean {
    return Number(this.#statements.held.get(key, key)?.held) < concurrency
  }

  /** With the job as it is to be written, more tasks of the key would count than may. */
  isOver({ key, concurrency }: KeyLimit, job: Job): boolean {
    const others = Number(this.#statements.heldElsewhere.get(key, job.id, key, job.id)?.held)
    return others + heldKeys(job).filter((each) => each.key === key).length > concurrency
  }

  /** Something that is due goes before a task of the route, whose key has room. */
  anyBefore(table: Table, route: Route, src: string, concurrency: number, priority: number, at: number): boolean {
    const { first, last } = sourceOf(route, src)
    return this.#statements[table].keyBefore.get(first, last, concurrency, priority, at)?.found === 1
  }

  /** The keys of a route that have room, those whose first task may come first before the others. */
  *withRoom(table: Table, route: Route): Iterable<KeyWithRoom> {
    for (const { first, last, src } of this.#sources(table, route)) {
      const concurrency = route.limits?.get(src) ?? Number.MAX_SAFE_INTEGER
      for (const row of this.#statements[table].keysWithRoom.all(first, last, concurrency)) {
        yield {
          route: String(row.route),
          limit: { key: String(row.route).slice(first.length), concurrency },
          room: Number(row.room),
          priority: Number(row.priority),
          readyAt: Number(row.ready_at),
        }
      }
    }
  }

  *#sources(table: Table, route: Route): Iterable<Source> {
    const base = routeKey(route)
    for (let after = base + SEPARATOR; ; ) {
      const found = this.#statements[table].nextRoute.get(after, base + AFTER_SEPARATOR)?.route
      if (typeof found !== 'string') return
      // A key is JSON text, which holds no control character.
      const source = sourceOf(route, found.slice(base.length + 1, found.lastIndexOf(SEPARATOR)))
      yield source
      after = source.last
    }
  }
}

function sourceOf(route: Route, src: string): Source {
  const prefix = routeKey(route) + SEPARATOR + src
  return { first: prefix + SEPARATOR, last: prefix + AFTER_SEPARATOR, src }
}
