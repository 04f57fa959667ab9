import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Measured } from './measure.ts'
import { openSubject } from './subjects.ts'
import { IN_FLIGHT, peakMB } from './throughput.ts'

/** A process that has run few jobs is small, whatever waits: each runs so many first, of which few wait at a time. */
const WARM_UP = 1_000
const WARM_UP_ROUNDS = 20
/** Jobs that one call stores: the inputs of all would be what takes the memory. */
const AT_ONCE = 1_000

const INPUT = { text: 'x'.repeat(1_000) }

/**
 * In a process that has run others, so many jobs are stored by an engine that runs nothing, and then run by one that does,
 * on SQLite FULL: the most memory that the process took in all, and how fast they were stored and run.
 *
 * @throws {Error}  a job failed, or not all of them are stored as succeeded.
 */
export async function waiting(jobs: number, folder: string): Promise<Measured> {
  for (let n = 0; n < WARM_UP_ROUNDS; n++) await run(Math.min(jobs, WARM_UP), join(folder, `warm-up-${n}`))
  return { figures: await run(jobs, join(folder, 'measured')), facts: {} }
}

async function run(jobs: number, folder: string) {
  await mkdir(folder)
  const options = { folder, concurrency: IN_FLIGHT, load: 'stored', against: undefined } as const
  const subject = await openSubject('jobchart-full', options)
  try {
    const storing = performance.now()
    for (let left = jobs; left > 0; left -= AT_ONCE) {
      await subject.store(Array.from({ length: Math.min(left, AT_ONCE) }, () => INPUT))
    }
    const draining = performance.now()
    await subject.drain()
    const ended = performance.now()
    await subject.check(jobs)
    return {
      peakMB: peakMB(),
      storedPerSecond: (jobs * 1_000) / (draining - storing),
      drainedPerSecond: (jobs * 1_000) / (ended - draining),
    }
  } finally {
    await subject.close()
  }
}
