import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { systemClock } from 'jobchart'
import type { Changeset } from 'jobchart/port'
import { sqliteStorage } from 'jobchart/sqlite'
import type { AddedItem, EndedItem } from '../src/model/batch-piece.ts'
import { changesetOf, insertClaimed } from '../src/testing/fixtures.ts'
import type { Measured } from './measure.ts'

/** How many items one transaction adds; it also ends those of the one before. */
const PIECE = 1_000
const WARM_UP = 20_000

/** Writes the items of a batch to a new file. Each call adds a piece, and ends another one. */
interface Writer {
  readonly write: (added: readonly AddedItem[], ended: readonly EndedItem[]) => Promise<void> | void
  readonly completed: () => Promise<number> | number
  readonly close: () => Promise<void> | void
}

interface ItemsRow {
  readonly label: string
  readonly open: (file: string) => Promise<Writer> | Writer
}

/** What writes the items. */
export const ITEM_WRITERS: { readonly [name: string]: ItemsRow } = {
  plain: { label: 'one insert and one update per item', open: plainWriter },
  storage: { label: 'the storage of jobchart', open: storageWriter },
}

/**
 * Measures how many items of a batch per second are stored on SQLite FULL: added as waiting, and ended, in transactions
 * of 1,000 items each.
 *
 * @throws {Error}  there is no row of this name, or items are missing afterwards.
 */
export async function storedItems(name: string, items: number, folder: string): Promise<Measured> {
  const row = ITEM_WRITERS[name]
  if (row === undefined) throw new Error(`no row "${name}"`)
  await run(row, WARM_UP, join(folder, 'warm-up.db'))
  const { seconds, cpuMs } = await run(row, items, join(folder, 'items.db'))
  return { figures: { itemsPerSecond: items / seconds, cpuUsPerItem: (cpuMs * 1_000) / items }, facts: {} }
}

async function run({ open }: ItemsRow, items: number, file: string) {
  const writer = await open(file)
  try {
    const [begin, cpu] = [performance.now(), process.cpuUsage()]
    let before: readonly EndedItem[] = []
    for (let first = 1; first <= items; first += PIECE) {
      const added = Array.from({ length: Math.min(PIECE, items - first + 1) }, (_, place) => {
        return { index: first + place, key: `${first + place}`, input: { page: first + place } }
      })
      await writer.write(added, before)
      before = added.map(({ index }) => ({ index, status: 'completed', attempts: 1 }))
    }
    await writer.write([], before)
    const seconds = (performance.now() - begin) / 1_000
    const { user, system } = process.cpuUsage(cpu)
    const completed = await writer.completed()
    if (completed !== items) throw new Error(`${completed} of ${items} items are completed`)
    return { seconds, cpuMs: (user + system) / 1_000 }
  } finally {
    await writer.close()
  }
}

function plainWriter(file: string): Writer {
  const db = new DatabaseSync(file)
  db.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL')
  db.exec(`
    CREATE TABLE items (
      job INTEGER NOT NULL, number INTEGER NOT NULL, key TEXT NOT NULL, status TEXT NOT NULL, at INTEGER NOT NULL,
      attempts INTEGER NOT NULL, input TEXT, output TEXT, error TEXT, PRIMARY KEY (job, number)
    ) STRICT, WITHOUT ROWID`)
  const insert = db.prepare(
    `INSERT INTO items (job, number, key, status, at, attempts, input) VALUES (?, ?, ?, 'waiting', ?, 0, ?)`,
  )
  const update = db.prepare(
    `UPDATE items SET status = ?, at = ?, attempts = ?, output = ?, error = ? WHERE job = ? AND number = ?`,
  )
  return {
    write: (added, ended) => {
      const at = Date.now()
      db.exec('BEGIN IMMEDIATE')
      for (const { index, key, input } of added) insert.run(1, index, key, at, JSON.stringify(input))
      for (const { index, status, attempts } of ended) update.run(status, at, attempts, null, null, 1, index)
      db.exec('COMMIT')
    },
    completed: () => Number(db.prepare(`SELECT count(*) AS c FROM items WHERE status = 'completed'`).get()?.c),
    close: () => db.close(),
  }
}

async function storageWriter(file: string): Promise<Writer> {
  const storage = await sqliteStorage(file).open({ clock: systemClock(), instance: 'bench' })
  const token = await insertClaimed(storage, Date.now(), 'batch')
  let completed = 0
  return {
    write: async (added, ended) => {
      completed += ended.length
      const at = Date.now()
      const progress = { completed, failed: 0, skipped: 0, running: 0, at, token, invocation: 1, begun: completed }
      const note = { kind: 'items', invocation: 1, added, ended, progress, at } as const
      const changeset: Changeset = changesetOf({ op: 'note', jobId: 'batch', token, note })
      const { results } = await storage.commit([changeset])
      if (results[0]?.status !== 'applied') throw new Error(`a piece is ${results[0]?.status}`)
    },
    completed: async () => {
      const query = { after: 0, limit: completed + 1, status: 'completed' } as const
      return (await storage.items('batch', query)).length
    },
    close: () => storage.close(),
  }
}
