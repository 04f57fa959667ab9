import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Measured } from './measure.ts'
import { openSubject } from './subjects.ts'
import { IN_FLIGHT, peakMB } from './throughput.ts'

/**
 * The heap of a process grows with its first hundreds of thousands of jobs, however few of them wait. So each process
 * first runs this many jobs, many times.
 */
const WARM_UP = 1_000
const WARM_UP_ROUNDS = 150
/** How many jobs one call stores. If one call stored all, their inputs alone would determine the peak memory. */
const AT_ONCE = 1_000

const INPUT = { text: 'x'.repeat(1_000) }

/**
 * Measures the peak memory of the process, and how many jobs per second are stored and run, on SQLite FULL. One engine
 * stores all jobs and runs none; then another one runs them.
 *
 * @throws {Error}  a job failed, or not all jobs are stored as succeeded.
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
