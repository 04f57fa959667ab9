// A program that does something to a file, says so, and holds on until it is killed or its time is over.
import { writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { InstanceLock } from '../../src/sqlite/instance-lock.ts'
import { migrate } from '../../src/sqlite/schema.ts'

const [, , what = '', file = '', argument = ''] = process.argv

/** Longer than any test waits: where its parent has died, it ends by itself. */
const HOLD_MS_MAX = 30_000

const holds: { readonly [what: string]: () => void } = {
  /** Holds the write lock for so many milliseconds. */
  write: () => {
    const db = new DatabaseSync(file)
    db.exec('BEGIN IMMEDIATE')
    hold(Number(argument))
    db.exec('COMMIT')
  },
  /** Is in the midst of a migration. */
  migrate: () => {
    const db = new DatabaseSync(file)
    db.exec('PRAGMA journal_mode = WAL; PRAGMA cache_size = 1; BEGIN IMMEDIATE')
    migrate(db, file)
    hold(HOLD_MS_MAX)
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

holds[what]?.()

function hold(ms: number): void {
  writeSync(1, 'holding')
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}
