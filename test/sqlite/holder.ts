// A program that does something to a file, says so, and holds on until it is killed or its time is over.
import { closeSync, openSync, writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, systemClock } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { InstanceLock } from '../../src/sqlite/instance-lock.ts'
import { migrate } from '../../src/sqlite/migration.ts'
import { INDEXES, LASTING_TABLES, TABLES } from '../../src/sqlite/schema.ts'

const [, , what = '', file = '', argument = ''] = process.argv

/** Longer than any test waits: where its parent has died, it ends by itself. */
const HOLD_MS_MAX = 30_000

const holds: { readonly [what: string]: () => void | Promise<void> } = {
  /** Holds the write lock for so many milliseconds. */
  write: () => {
    const db = new DatabaseSync(file)
    db.exec('BEGIN IMMEDIATE')
    hold(argument === '' ? HOLD_MS_MAX : Number(argument))
    db.exec('COMMIT')
  },
  /** Is in the midst of making a new file's tables. */
  make: () => {
    const db = new DatabaseSync(file)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA cache_size = 1; BEGIN IMMEDIATE')
    db.exec(TABLES + LASTING_TABLES + INDEXES)
    hold(HOLD_MS_MAX)
  },
  /** Migrates, and is killed before or after the end of the piece of a number; else says how many there were. */
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
  /** Is in the midst of its first write to a new file, before there is a log: what it replaced stands in a journal. */
  journal: () => {
    const db = new DatabaseSync(file)
    // The way into WAL mode and back leaves what a first opening writes first: a header, and no table.
    db.exec('PRAGMA journal_mode = WAL; PRAGMA journal_mode = DELETE; PRAGMA cache_size = 1; BEGIN IMMEDIATE')
    db.exec(`CREATE TABLE filling (text TEXT); INSERT INTO filling VALUES (hex(zeroblob(100000)))`)
    hold(HOLD_MS_MAX)
  },
  /** Tries to take the file out of WAL mode, which needs that nobody else has it open; says what came of it. */
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
  /** Writes a log of some MiB that no checkpoint brings in, and is killed with it. */
  log: async () => {
    const connection = await sqliteStorage(file).open({ clock: systemClock(), instance: argument })
    await connection.forget(argument)
    const db = new DatabaseSync(file)
    db.exec('PRAGMA wal_autocheckpoint = 0; CREATE TABLE filling (text TEXT)')
    for (let n = 0; n < 8; n++) db.exec('INSERT INTO filling VALUES (hex(zeroblob(500000)))')
    db.exec('DROP TABLE filling')
    process.kill(process.pid, 'SIGKILL')
  },
  /** Opens the file, then uses up all handles that the process may have, and goes on. */
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
      // There are no more.
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
  /** Tries to open the file and to write, and says how that ended. */
  try: async () => {
    try {
      const connection = await sqliteStorage(file).open({ clock: systemClock(), instance: argument })
      await connection.close()
      writeSync(1, 'ok')
    } catch (error) {
      writeSync(1, String((error as { readonly code?: unknown }).code))
    }
  },
  /** Submits to an engine that runs nothing until that is refused three times, and says what became of it. */
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
  /** Says whether an instance lives. */
  look: () => {
    writeSync(1, InstanceLock.isHeld(file, argument) ? 'held' : 'free')
  },
}

await holds[what]?.()

function hold(ms: number): void {
  writeSync(1, 'holding')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
