import { existsSync, writeSync } from 'node:fs'
import type { Announcement } from './life-options.ts'

/** Longer than any test waits. A suspended process ends by itself if its parent has died. */
const STANDSTILL_MS_MAX = 600_000
const LOOK_MS = 10

/** Prints where this process is, before it continues. */
export function announce(said: Announcement): void {
  writeSync(1, `${JSON.stringify(said)}\n`)
}

/** Blocks: no callback, timer or promise of this process runs any more. */
export function standStill(): never {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, STANDSTILL_MS_MAX)
  process.exit(9)
}

/**
 * Blocks until a file exists, like a process that was suspended or swapped out and continues as if nothing had
 * happened.
 */
export function standStillUntil(file: string): void {
  const idle = new Int32Array(new SharedArrayBuffer(4))
  for (let waited = 0; !existsSync(file); waited += LOOK_MS) {
    if (waited > STANDSTILL_MS_MAX) process.exit(9)
    Atomics.wait(idle, 0, 0, LOOK_MS)
  }
}
