import type { Item, ItemStatus } from '../model/item.ts'
import type { Json } from '../model/storable.ts'
import type { ItemQuery, StoredItem } from '../port/storage.ts'
import { jsonOrNull } from './json-text.ts'
import type { Prepare, Row, Statement } from './statement.ts'

const COLUMNS = 'number, invocation, key, status, at, message, output'

/** The items that jobs reported. One is stored for each job, invocation and key (S29). */
export class Items {
  readonly #replace: Statement
  readonly #last: Statement
  readonly #insert: Statement
  readonly #all: Statement
  readonly #ofStatus: Statement
  readonly #remove: Statement
  readonly #removeSome: Statement
  readonly #count: Statement

  constructor(prepare: Prepare) {
    this.#replace = prepare(`
      UPDATE items SET status = ?, at = ?, message = ?, output = ? WHERE n = ? AND invocation = ? AND key = ?`)
    this.#last = prepare(`SELECT coalesce(max(number), 0) FROM items WHERE n = ?`)
    this.#insert = prepare(`INSERT INTO items (n, ${COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
    this.#all = prepare(`SELECT ${COLUMNS} FROM items WHERE n = ? AND number > ? ORDER BY number LIMIT ?`)
    this.#ofStatus = prepare(`
      SELECT ${COLUMNS} FROM items INDEXED BY items_status
      WHERE n = ? AND status = ? AND number > ? ORDER BY number LIMIT ?`)
    this.#remove = prepare(`DELETE FROM items WHERE n = ?`)
    this.#removeSome = prepare(`
      DELETE FROM items WHERE n = ? AND number IN (SELECT number FROM items WHERE n = ? ORDER BY number LIMIT ?)`)
    this.#count = prepare(`SELECT invocation, count(*) FROM items WHERE n = ? GROUP BY invocation`)
  }

  /**
   * Stores an item, replacing the one with the same key. Returns `false` if it is new and the job already has `max`
   * items.
   */
  put(n: number, invocation: number, item: Item, max: number): boolean {
    const values = [item.status, item.at, item.message ?? null, jsonOrNull(item.output)] as const
    if (this.#replace.run(...values, n, invocation, item.key).changes > 0) return true
    // Single items are never deleted, only all items of a job together. So the last number is also the count.
    const last = Number(this.#last.get(n)?.[0])
    if (last >= max) return false
    this.#insert.run(n, last + 1, invocation, item.key, ...values)
    return true
  }

  /** Items of a job, in the order of their numbers. */
  read(n: number, { after, limit, status }: ItemQuery): readonly StoredItem[] {
    const rows = status === undefined ? this.#all.all(n, after, limit) : this.#ofStatus.all(n, status, after, limit)
    return rows.map(itemOf)
  }

  /** How many items each invocation of a job has. */
  counts(n: number): readonly (readonly [invocation: number, count: number])[] {
    return this.#count.all(n).map(([invocation, count]) => [Number(invocation), Number(count)])
  }

  /** Removes at most `limit` items of a job. Returns how many it has removed. */
  removeSome(n: number, limit: number): number {
    return Number(this.#removeSome.run(n, n, limit).changes)
  }

  /** Removes all items of a job. */
  remove(n: number): void {
    this.#remove.run(n)
  }
}

function itemOf([number, invocation, key, status, at, message, output]: Row): StoredItem {
  return {
    number: Number(number),
    invocation: Number(invocation),
    key: String(key),
    // `put` wrote this column, so the cast is safe.
    status: status as ItemStatus,
    at: Number(at),
    ...(message === null ? {} : { message: String(message) }),
    ...(output === null ? {} : { output: JSON.parse(String(output)) as Json }),
  }
}
