import type { ClaimQuery, KeyLimit, Route } from '../port/storage.ts'
import type { KeyWithRoom, LimitKeys } from './limits.ts'
import { routeKey } from './rows.ts'
import type { Statements } from './statements.ts'

/** A task that may be claimed, and its place in the order. */
export interface Ready {
  readonly n: number
  readonly invocation: number
  readonly priority: number
  readonly readyAt: number
  /** How many of its key may run at once, where it has one. */
  readonly limit?: KeyLimit
}

/** The ready tasks, as one transaction sees them. */
export class ReadyTasks {
  readonly #statements: Statements
  readonly #keys: LimitKeys

  constructor(statements: Statements, keys: LimitKeys) {
    this.#statements = statements
    this.#keys = keys
  }

  /**
   * The first `limit` in their order, without those of full keys.
   *
   * @param left  so many were looked at before and may be among them.
   * @param hasOffers  some job has more than one offered task.
   */
  first({ routes, at }: ClaimQuery, limit: number, left: number, hasOffers: boolean): readonly Ready[] {
    const most = limit + left
    const ready = routes.flatMap((route) => [
      ...this.#jobs(routeKey(route), at, most),
      ...(hasOffers ? this.#offers(routeKey(route), at, most) : []),
      ...this.#keyed('jobs', route, at, most, left),
      ...(hasOffers ? this.#keyed('offers', route, at, most, left) : []),
    ])
    return ready.sort(inOrder).slice(0, most)
  }

  #jobs(route: string, at: number, limit: number): readonly Ready[] {
    const ready: Ready[] = []
    let below = Number.MAX_SAFE_INTEGER
    // One range of the index for each priority in use, so that tasks which are not due yet are never walked over.
    while (ready.length < limit) {
      const top = this.#statements.topPriority.get(route, below)?.priority
      if (typeof top !== 'number') break
      ready.push(...this.#statements.readyJobs.all(route, top, at, limit - ready.length).map(readyOf))
      below = top
    }
    return ready
  }

  #offers(route: string, at: number, limit: number): readonly Ready[] {
    return this.#statements.readyOffers.all(route, at, limit).map(readyOf)
  }

  // Key after key, until no further one could have a task that comes before those that were found.
  #keyed(table: 'jobs' | 'offers', route: Route, at: number, most: number, left: number): readonly Ready[] {
    let found: Ready[] = []
    for (const key of this.#keys.withRoom(table, route)) {
      const last = found[most - 1]
      if (last !== undefined && !mayComeBefore(key, last)) continue
      const limit = Math.min(most, key.room + left)
      const ready = table === 'jobs' ? this.#jobs(key.route, at, limit) : this.#offers(key.route, at, limit)
      found = [...found, ...ready.map((each) => ({ ...each, limit: key.limit }))].sort(inOrder).slice(0, most)
    }
    return found
  }
}

function mayComeBefore(key: KeyWithRoom, last: Ready): boolean {
  return key.priority > last.priority || (key.priority === last.priority && key.readyAt <= last.readyAt)
}

function inOrder(a: Ready, b: Ready): number {
  return b.priority - a.priority || a.readyAt - b.readyAt || a.n - b.n
}

function readyOf(row: { readonly [column: string]: unknown }): Ready {
  return {
    n: Number(row.n),
    invocation: Number(row.invocation),
    priority: Number(row.priority),
    readyAt: Number(row.ready_at),
  }
}
