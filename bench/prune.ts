import { statSync } from 'node:fs'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, queueExecutor } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import type { Measured } from './measure.ts'
import { IN_FLIGHT, peakMB } from './throughput.ts'

const AT_ONCE = 1_000
const INPUT = { text: 'x'.repeat(100) }
const noop = defineJob({ type: 'noop', execute: () => undefined })

/** What is pruned. */
export const PRUNED = {
  jobs: { label: 'jobs; their events stay without payloads', retention: { jobs: { success: 0 } } },
  all: { label: 'jobs and their events', retention: { jobs: { success: 0 }, events: 0 } },
} as const

/**
 * Prunes jobs that were run before, each with an input of 100 bytes and its history, by `engine.prune()` on SQLite FULL:
 * the turns of the event loop meanwhile, the rate, the size of the file, and the memory of the process.
 *
 * @throws {Error}  there is no row of this name, or jobs are left.
 */
export async function prune(name: string, jobs: number, folder: string): Promise<Measured> {
  const row = Object.entries(PRUNED).find(([known]) => known === name)?.[1]
  if (row === undefined) throw new Error(`no row "${name}"`)
  const file = join(folder, 'jobchart.db')
  const begun = performance.now()
  await fill(file, jobs)
  const fillSeconds = (performance.now() - begun) / 1_000
  const engine = await createEngine({
    jobs: [noop],
    storage: sqliteStorage(file),
    retention: row.retention,
    sweep: '1h',
  })
  const fileMiB = sizeOf(file)
  const beforeMB = process.memoryUsage().rss / 1e6
  try {
    const turns = monitorEventLoopDelay({ resolution: 1 })
    turns.enable()
    const begin = performance.now()
    const pruned = await engine.prune()
    const seconds = (performance.now() - begin) / 1_000
    turns.disable()
    if (pruned.jobs !== jobs || (await engine.system.count()) !== 0) throw new Error(`${pruned.jobs} jobs were pruned`)
    const figures = {
      prunedPerSecond: jobs / seconds,
      turn50Ms: turns.percentile(50) / 1e6,
      turn99Ms: turns.percentile(99) / 1e6,
      turnMaxMs: turns.max / 1e6,
      rssMB: beforeMB,
      peakMB: peakMB(),
      fillSeconds,
      fileMiB,
      afterMiB: sizeOf(file),
      freeMiB: freeOf(file),
    }
    return { figures, facts: {} }
  } finally {
    await engine.stop()
  }
}

async function fill(file: string, jobs: number): Promise<void> {
  const executors = { default: queueExecutor({ concurrency: IN_FLIGHT }) }
  const engine = await createEngine({ jobs: [noop], storage: sqliteStorage(file), executors })
  const ada = engine.as({ id: 'ada', role: 'editor' })
  for (let left = jobs; left > 0; left -= AT_ONCE) {
    const some = Array.from({ length: Math.min(left, AT_ONCE) }, () => ({ type: noop, input: INPUT }))
    await ada.submitMany(some)
    await engine.idle()
  }
  await engine.stop()
}

function sizeOf(file: string): number {
  return statSync(file).size / 2 ** 20
}

/** The space in the file that new rows fill before the file grows. */
function freeOf(file: string): number {
  const db = new DatabaseSync(file, { readOnly: true })
  const read = (pragma: string) => Number(Object.values(db.prepare(`PRAGMA ${pragma}`).get() ?? {})[0])
  const bytes = read('freelist_count') * read('page_size')
  db.close()
  return bytes / 2 ** 20
}
