// A program that does something to a file, reports it, and keeps the file until it is killed or its time ends.
import { closeSync, openSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, systemClock } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { InstanceLock } from '../../src/sqlite/instance-lock.ts'
import { migrate } from '../../src/sqlite/migration.ts'
import { ADDED, INDEXES, LASTING_TABLES, TABLES } from '../../src/sqlite/schema.ts'

const [, , what = '', file = '', argument = ''] = process.argv

/** Longer than any test waits. It ends by itself if its parent has died. */
const HOLD_MS_MAX = 30_000

const holds: { readonly [what: string]: () => void | Promise<void> } = {
  /** Holds the write lock for this many milliseconds. */
  write: () => {
    const db = new DatabaseSync(file)
    db.exec('BEGIN IMMEDIATE')
    hold(argument === '' ? HOLD_MS_MAX : Number(argument))
    db.exec('COMMIT')
  },
  /** Stops halfway through making a new file's tables. */
  make: () => {
    const db = new DatabaseSync(file)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA cache_size = 1; BEGIN IMMEDIATE')
    db.exec(TABLES + LASTING_TABLES + INDEXES + ADDED)
    hold(HOLD_MS_MAX)
  },
  /**
   * Migrates, and is killed before or after the commit of the piece with this number; otherwise prints the number of
   * pieces.
   */
  migrate: async () => {
    const db = new DatabaseSync(file)
    const [last, when] = argument.split(' ')
    const exec = db.exec.bind(db)
    let pieces = 0
    db.exec = (sql) => {
      if (sql === 'COMMIT' && ++pieces === Number(last)) {
        if (when === 'after') exec(sql)
        process.kill(process.pid, 'SIGKILL')
      }
      exec(sql)
    }
    await migrate(db, file, systemClock())
    writeSync(1, String(pieces))
  },
  /**
   * Stops halfway through its first write to a new file, before there is a WAL: a rollback journal holds the old
   * content.
   */
  journal: () => {
    const db = new DatabaseSync(file)
    // Switching to WAL mode and back writes what a first opening writes first: a header without a table.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN IMMEDIATE')
    db.exec(`CREATE TABLE filling (text TEXT); INSERT INTO filling VALUES (hex(zeroblob(100000)))`)
    hold(HOLD_MS_MAX)
  },
  /** Tries to take the file out of WAL mode, which fails while another connection has it open. Prints the result. */
  alone: () => {
    const db = new DatabaseSync(file)
    try {
      db.exec('PRAGMA journal_mode = DELETE')
      writeSync(1, 'alone')
    } catch (error) {
      writeSync(1, String((error as Error).message))
    }
    db.close()
  },
  /** Writes a WAL of some MiB without a checkpoint, and is killed. */
  log: async () => {
    const connection = await sqliteStorage(file).open({ clock: systemClock(), instance: argument })
    await connection.forget(argument)
    const db = new DatabaseSync(file)
    db.exec('PRAGMA wal_autocheckpoint = 0; CREATE TABLE filling (text TEXT)')
    for (let n = 0; n < 8; n++) db.exec('INSERT INTO filling VALUES (hex(zeroblob(500000)))')
    db.exec('DROP TABLE filling')
    process.kill(process.pid, 'SIGKILL')
  },
  /** Opens the file, then uses up all file handles of the process, and continues. */
  handles: async () => {
    const connection = await sqliteStorage(file).open({ clock: systemClock(), instance: argument })
    const other = await sqliteStorage(file).open({ clock: systemClock(), instance: 'other' })
    const told: unknown[] = []
    const tell = async (run: () => Promise<unknown>) => {
      told.push(await run().catch((error: { readonly code?: unknown }) => error.code))
    }
    const opened: number[] = []
    try {
      for (;;) opened.push(openSync('/dev/null', 'r'))
    } catch {
      // No handle is left.
    }
    await tell(() => connection.beat(0))
    await tell(async () => (await connection.others()).map(({ isGone }) => isGone))
    await tell(() => sqliteStorage(file).open({ clock: systemClock(), instance: 'third' }))
    for (const handle of opened) closeSync(handle)
    await tell(async () => (await connection.others()).map(({ isGone }) => isGone))
    await other.close()
    await connection.close()
    writeSync(1, JSON.stringify(told))
  },
  /** Opens the file as an engine does, and closes it. */
  open: async () => {
    const connection = await sqliteStorage(file).open({ clock: systemClock(), instance: argument })
    const sequence = await connection.lastSequence()
    await connection.forget(argument)
    await connection.close()
    writeSync(1, `log at ${sequence}`)
  },
  /** Tries to open the file and to write. Prints the result. */
  try: async () => {
    try {
      const connection = await sqliteStorage(file).open({ clock: systemClock(), instance: argument })
      await connection.close()
      writeSync(1, 'ok')
    } catch (error) {
      writeSync(1, String((error as { readonly code?: unknown }).code))
    }
  },
  /** Submits to an engine that runs nothing until three submits were refused. Prints the results. */
  fill: async () => {
    const job = defineJob({ type: 'job', execute: () => 'done' })
    const engine = await createEngine({ jobs: [job], storage: sqliteStorage(file), work: false })
    const acknowledged: string[] = []
    const codes: unknown[] = []
    while (codes.length < 3 && acknowledged.length < 10_000) {
      await engine.system.submit(job, 'x'.repeat(10_000)).then(
        ({ id }) => acknowledged.push(id),
        (error: { readonly code?: unknown }) => codes.push(error.code),
      )
    }
    const health = engine.health.status
    let readable = 0
    for (const id of acknowledged) if ((await engine.system.get(id)).id === id) readable++
    await engine.stop()
    writeSync(1, JSON.stringify({ acknowledged, codes, health, readable }))
  },
  /** Is a living instance. */
  instance: () => {
    InstanceLock.take(file, argument)
    hold(HOLD_MS_MAX)
  },
  /** Prints whether an instance lives. */
  look: () => {
    writeSync(1, InstanceLock.isHeld(file, argument) ? 'held' : 'free')
  },
}

await holds[what]?.()

function hold(ms: number): void {
  writeSync(1, 'holding')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
