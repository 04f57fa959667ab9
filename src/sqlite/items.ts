import type { AddedItem, EndedItem } from '../model/batch-piece.ts'
import type { JobError } from '../model/error.ts'
import { BATCH_NUMBERS, batchNumber, type Item, type ItemStatus, indexKey } from '../model/item.ts'
import type { Json } from '../model/storable.ts'
import type { ItemQuery, Note, StoredItem, Write } from '../port/storage.ts'
import { jsonOrNull } from './json-text.ts'
import type { Prepare, Row, Statement } from './statement.ts'

const COLUMNS = 'number, invocation, key, status, at, message, output, attempts, input, error'
const ADDED_COLUMNS = 'n, invocation, at, number, key, input, status, attempts'
/** How many values of an added row are bound. */
const ADDED_VALUES = 6
/** How many rows of a batch one statement adds. Twenty rows at once take half the time of twenty statements. */
const ROWS_TOGETHER = 20
/** How many items are removed together with their job. The rest is left for `removeLeft`. */
const ROWS_AT_ONCE = 1_000
const NUMBER_MAX = Number.MAX_SAFE_INTEGER

type ItemsNote = Extract<Note, { kind: 'items' }>
type EndItems = Extract<Write, { op: 'endItems' }>

/**
 * The items of jobs: those that code reported, one for each job, invocation and key (S29), and those of batches (S55).
 *
 * The key of an item in a batch is often its index. Such a key is stored as an empty text, and is in no index.
 */
export class Items {
  readonly #replace: Statement
  readonly #last: Statement
  readonly #insert: Statement
  readonly #all: Statement
  readonly #ofStatus: Statement
  readonly #removeSome: Statement
  readonly #reported: Statement
  readonly #addOne: Statement
  readonly #addMany: Statement
  readonly #end: Statement
  readonly #endWaiting: Statement
  readonly #record: Statement
  readonly #recorded: Statement
  readonly #removeRecorded: Statement
  readonly #withKey: Statement
  readonly #withIndex: Statement
  readonly #leave: Statement
  readonly #left: Statement
  readonly #dropLeft: Statement

  constructor(prepare: Prepare) {
    this.#replace = prepare(`
      UPDATE items INDEXED BY items_key SET status = ?, at = ?, message = ?, output = ?
      WHERE n = ? AND invocation = ? AND key = ? AND key <> '' AND attempts IS NULL`)
    this.#last = prepare(`SELECT coalesce(max(number), 0) FROM items WHERE n = ? AND number < ${BATCH_NUMBERS}`)
    this.#insert = prepare(`
      INSERT INTO items (n, number, invocation, key, status, at, message, output) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`)
    this.#all = prepare(`
      SELECT ${COLUMNS} FROM items WHERE n = ? AND number > ? AND number <= ? ORDER BY number LIMIT ?`)
    this.#ofStatus = prepare(`
      SELECT ${COLUMNS} FROM items INDEXED BY items_status
      WHERE n = ? AND status = ? AND number > ? AND number <= ? ORDER BY number LIMIT ?`)
    this.#removeSome = prepare(`
      DELETE FROM items WHERE n = ? AND number IN (SELECT number FROM items WHERE n = ? ORDER BY number LIMIT ?)`)
    this.#reported = prepare(`
      SELECT invocation, count(*) FROM items WHERE n = ? AND number < ${BATCH_NUMBERS} GROUP BY invocation`)
    this.#addOne = prepare(addingSql(1))
    this.#addMany = prepare(addingSql(ROWS_TOGETHER))
    this.#end = prepare(`
      UPDATE items SET status = ?, at = ?, attempts = ?, output = ?, error = ?
      WHERE n = ? AND number = ? AND status = 'waiting'`)
    this.#endWaiting = prepare(`
      UPDATE items INDEXED BY items_status SET status = ?, at = ?, error = ?
      WHERE n = ? AND status = 'waiting' AND number > ? AND number <= ?`)
    // A `careful` mark counts as a recorded step, unless it was there before.
    this.#record = prepare(`
      INSERT INTO batches (n, invocation, recorded, careful) VALUES (?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET
        recorded = recorded + excluded.recorded - (excluded.careful IS NOT NULL AND excluded.careful IS careful),
        careful = excluded.careful`)
    this.#recorded = prepare(`SELECT invocation, recorded FROM batches WHERE n = ? AND recorded > 0`)
    this.#removeRecorded = prepare(`DELETE FROM batches WHERE n = ?`)
    this.#withKey = prepare(`
      SELECT number FROM items INDEXED BY items_key WHERE n = ? AND invocation = ? AND key = ? AND key <> '' LIMIT 1`)
    this.#withIndex = prepare(`SELECT 1 FROM items WHERE n = ? AND number = ? AND key = ''`)
    this.#leave = prepare(`INSERT INTO left_items (n) VALUES (?)`)
    this.#left = prepare(`SELECT min(n) FROM left_items`)
    this.#dropLeft = prepare(`DELETE FROM left_items WHERE n = ?`)
  }

  /**
   * Stores a reported item, replacing the one with the same key. Returns `false` if it is new and the job already has
   * `max` reported items.
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

  /** Adds items of a batch, and then ends items (S55). */
  putBatch(n: number, { invocation, added, ended, progress, at }: ItemsNote): void {
    this.#add(n, invocation, added, at)
    let count = 0
    for (const item of ended) count += this.#endOne(n, invocation, item, at)
    const { careful = null } = progress
    this.#record.run(n, invocation, careful === null ? count : count + 1, careful)
  }

  #add(n: number, invocation: number, added: readonly AddedItem[], at: number): void {
    for (let first = 0; first < added.length; ) {
      const isMany = added.length - first >= ROWS_TOGETHER
      const next = first + (isMany ? ROWS_TOGETHER : 1)
      const values = new Array<number | string | null>((next - first) * ADDED_VALUES)
      for (let place = 0; first < next; first++) {
        const item = added[first]
        if (item === undefined) break
        const { index, key, input } = item
        values[place++] = n
        values[place++] = invocation
        values[place++] = at
        values[place++] = batchNumber(invocation, index)
        values[place++] = key === indexKey(index) ? '' : key
        values[place++] = jsonOrNull(input)
      }
      const statement = isMany ? this.#addMany : this.#addOne
      statement.run(...values)
    }
  }

  #endOne(n: number, invocation: number, { index, status, attempts, output, error }: EndedItem, at: number): number {
    const number = batchNumber(invocation, index)
    return Number(this.#end.run(status, at, attempts, jsonOrNull(output), jsonOrNull(error), n, number).changes)
  }

  /** Ends all waiting items of a batch (S56). */
  endWaiting(n: number, { invocation, begun, error, at }: EndItems): void {
    const [first, last] = [batchNumber(invocation, 0), batchNumber(invocation, begun)]
    const failed = this.#endWaiting.run('failed', at, JSON.stringify(error), n, first, last).changes
    const skipped = this.#endWaiting.run('skipped', at, null, n, last, batchNumber(invocation + 1, 0)).changes
    if (failed > 0 || skipped > 0) this.#record.run(n, invocation, Number(failed) + Number(skipped), null)
  }

  /** Which of these keys the items of a batch have, with the index of the item (S57). */
  keys(n: number, invocation: number, keys: readonly string[]): readonly { key: string; index: number }[] {
    return keys.flatMap((key) => {
      const number = this.#withKey.get(n, invocation, key)?.[0]
      if (typeof number === 'number') return [{ key, index: indexOf(number) }]
      const index = Number(key)
      const isIndex = Number.isInteger(index) && index > 0 && index < BATCH_NUMBERS && String(index) === key
      return isIndex && this.#withIndex.get(n, batchNumber(invocation, index)) !== undefined ? [{ key, index }] : []
    })
  }

  /** Items of a job, in the order of their numbers. */
  read(n: number, { after, limit, status, to = NUMBER_MAX }: ItemQuery): readonly StoredItem[] {
    const rows =
      status === undefined ? this.#all.all(n, after, to, limit) : this.#ofStatus.all(n, status, after, to, limit)
    return rows.map(itemOf)
  }

  /**
   * How many items each invocation of a job has recorded. Waiting items of a batch do not count. An invocation may occur
   * twice.
   */
  counts(n: number): readonly (readonly [invocation: number, count: number])[] {
    const rows = [...this.#reported.all(n), ...this.#recorded.all(n)]
    return rows.map(([invocation, count]) => [Number(invocation), Number(count)])
  }

  /**
   * Removes the items of a job whose row is removed, and returns how many. If there are very many, the rest is left for
   * {@link removeLeft}: nobody can read them without the job's row, and no other job gets the number of that row.
   */
  remove(n: number): number {
    this.#removeRecorded.run(n)
    const removed = Number(this.#removeSome.run(n, n, ROWS_AT_ONCE).changes)
    if (removed === ROWS_AT_ONCE) this.#leave.run(n)
    return removed
  }

  /**
   * Removes at most `limit` of the items that `remove` has left, and returns how many. `undefined`: there are none of any
   * job.
   */
  removeLeft(limit: number): number | undefined {
    const n = this.#left.get()?.[0]
    if (typeof n !== 'number') return undefined
    const removed = Number(this.#removeSome.run(n, n, limit).changes)
    if (removed < limit) this.#dropLeft.run(n)
    return removed
  }
}

// Parameters have no numbers: Node 22 binds numbered ones by name only.
function addingSql(count: number): string {
  const rows = Array.from({ length: count }, () => `(?, ?, ?, ?, ?, ?, 'waiting', 0)`)
  return `INSERT INTO items (${ADDED_COLUMNS}) VALUES ${rows.join(', ')} ON CONFLICT DO NOTHING`
}

function indexOf(number: number): number {
  return number % BATCH_NUMBERS
}

function itemOf([number, invocation, key, status, at, message, output, attempts, input, error]: Row): StoredItem {
  return {
    number: Number(number),
    invocation: Number(invocation),
    key: key === '' ? indexKey(indexOf(Number(number))) : String(key),
    // Only this class writes these columns, so the casts are safe.
    status: status as ItemStatus,
    at: Number(at),
    ...(message === null ? {} : { message: String(message) }),
    ...(output === null ? {} : { output: JSON.parse(String(output)) as Json }),
    ...(attempts === null ? {} : { attempts: Number(attempts) }),
    ...(input === null ? {} : { input: JSON.parse(String(input)) as Json }),
    ...(error === null ? {} : { error: JSON.parse(String(error)) as JobError }),
  }
}
