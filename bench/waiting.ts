import { join } from 'node:path'
import { createEngine, defineJob, queueExecutor } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import type { Measured } from './measure.ts'
import { IN_FLIGHT } from './throughput.ts'

/** A process that has run few jobs is small, whatever waits: each runs so many first, of which few wait at a time. */
const WARM_UP = 1_000
const WARM_UP_ROUNDS = 20

const INPUT = { text: 'x'.repeat(4_000) }
const noop = defineJob({ type: 'noop', execute: () => undefined })

/**
 * In a process that has run others, so many jobs are submitted to an engine that runs nothing, and then run by one that does, on SQLite FULL: the most
 * memory that the process took in all, and how fast they were submitted and run.
 *
 * @throws {Error}  a job failed, or not all of them are stored as succeeded.
 */
export async function waiting(jobs: number, folder: string): Promise<Measured> {
  for (let n = 0; n < WARM_UP_ROUNDS; n++) {
    const file = join(folder, `warm-up-${n}.db`)
    await submitAll(file, WARM_UP)
    await runAll(file, WARM_UP)
  }
  const file = join(folder, 'jobchart.db')
  const submitting = performance.now()
  await submitAll(file, jobs)
  const running = performance.now()
  await runAll(file, jobs)
  const ended = performance.now()
  const figures = {
    peakMiB: process.resourceUsage().maxRSS / 1_024,
    submittedPerSecond: (jobs * 1_000) / (running - submitting),
    jobsPerSecond: (jobs * 1_000) / (ended - running),
  }
  return { figures, facts: {} }
}

async function submitAll(file: string, jobs: number): Promise<void> {
  const engine = await createEngine({ jobs: [noop], storage: sqliteStorage(file), work: false })
  const ada = engine.as({ id: 'ada', role: 'editor' })
  let submitted = 0
  const client = async () => {
    while (submitted++ < jobs) await ada.submit(noop, INPUT)
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, client))
  await engine.stop()
}

async function runAll(file: string, jobs: number): Promise<void> {
  const executors = { default: queueExecutor({ concurrency: IN_FLIGHT }) }
  const engine = await createEngine({ jobs: [noop], storage: sqliteStorage(file), executors, work: true })
  let completed = 0
  const all = Promise.withResolvers<void>()
  engine.on('job.transitioned', ({ to, jobId }) => {
    if (to === 'failed') all.reject(new Error(`job "${jobId}" failed`))
    else if (to === 'completed') completed++
  })
  try {
    await Promise.race([engine.idle(), all.promise])
    const queued = await engine.system.list({ phase: 'active', limit: 1 })
    if (queued.items.length > 0) throw new Error('some jobs still wait')
    // What the start claimed was run before anyone could listen.
    if (completed < jobs - IN_FLIGHT) throw new Error(`${jobs} jobs should have been run; heard of ${completed}`)
  } finally {
    await engine.stop()
  }
}
