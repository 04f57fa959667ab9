import { existsSync, writeSync } from 'node:fs'
import type { Announcement } from './life-options.ts'

/** Longer than any test waits: a process that stands still ends by itself where its parent has died. */
const STANDSTILL_MS_MAX = 600_000
const LOOK_MS = 10

/** Says where this process is, before it does anything else. */
export function announce(said: Announcement): void {
  writeSync(1, `${JSON.stringify(said)}\n`)
}

/** Stands still: no callback, no timer and no promise of this process runs any more. */
export function standStill(): never {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STANDSTILL_MS_MAX)
  process.exit(9)
}

/** Stands still until a file is there: as a process that was frozen, or swapped out, and goes on as if nothing was. */
export function standStillUntil(file: string): void {
  const idle = new Int32Array(new SharedArrayBuffer(4))
  for (let waited = 0; !existsSync(file); waited += LOOK_MS) {
    if (waited > STANDSTILL_MS_MAX) process.exit(9)
    Atomics.wait(idle, 0, 0, LOOK_MS)
  }
}
