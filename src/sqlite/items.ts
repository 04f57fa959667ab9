import type { StatementSync } from 'node:sqlite'
import type { Item, ItemStatus } from '../model/item.ts'
import type { Json } from '../model/storable.ts'
import type { ItemQuery, StoredItem } from '../port/storage.ts'
import { jsonOrNull, type Row } from './rows.ts'

const ITEM_COLUMNS = 'number, key, outcome, at, message, output'

/** The statements of this file, prepared on a database that has the schema. */
export function itemStatements(prepare: (sql: string) => StatementSync) {
  return {
    replace: prepare(`UPDATE items SET outcome = ?, at = ?, message = ?, output = ? WHERE job_id = ? AND key = ?`),
    last: prepare(`SELECT coalesce(max(number), 0) AS number FROM items WHERE job_id = ?`),
    insert: prepare(`
      INSERT INTO items (job_id, number, key, outcome, at, message, output) VALUES (?, ?, ?, ?, ?, ?, ?)`),
    all: prepare(`
      SELECT ${ITEM_COLUMNS} FROM items INDEXED BY items_number
      WHERE job_id = ? AND number > ? ORDER BY number LIMIT ?`),
    ofOutcome: prepare(`
      SELECT ${ITEM_COLUMNS} FROM items INDEXED BY items_outcome
      WHERE job_id = ? AND outcome = ? AND number > ? ORDER BY number LIMIT ?`),
    remove: prepare(`DELETE FROM items WHERE job_id = ?`),
  }
}

/** The statements of items. */
export type ItemStatements = ReturnType<typeof itemStatements>

/** Keeps an item under its key, and answers that there was room for it (S29). */
export function putItem(statements: ItemStatements, jobId: string, item: Item, max: number): boolean {
  const values = [item.status, item.at, item.message ?? null, jsonOrNull(item.output)] as const
  if (statements.replace.run(...values, jobId, item.key).changes > 0) return true
  // Items go only with their job, so the last one's number says how many there are.
  const last = Number(statements.last.get(jobId)?.number)
  if (last >= max) return false
  statements.insert.run(jobId, last + 1, item.key, ...values)
  return true
}

/** Items of a job in the order of their numbers. */
export function itemsOf(statements: ItemStatements, jobId: string, query: ItemQuery): readonly StoredItem[] {
  const { after, limit, status } = query
  const rows =
    status === undefined
      ? statements.all.all(jobId, after, limit)
      : statements.ofOutcome.all(jobId, status, after, limit)
  return rows.map(itemOf)
}

function itemOf({ number, key, outcome, at, message, output }: Row): StoredItem {
  return {
    number: Number(number),
    key: String(key),
    // Written by putItem, so it is one of the two.
    status: outcome as ItemStatus,
    at: Number(at),
    ...(message === null ? {} : { message: String(message) }),
    ...(output === null ? {} : { output: JSON.parse(String(output)) as Json }),
  }
}
