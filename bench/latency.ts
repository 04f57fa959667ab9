import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { caughtStorage } from './caught-storage.ts'
import { fdatasyncMs } from './disk.ts'
import type { Measured } from './measure.ts'
import { quantile } from './statistics.ts'

/** How many submits are timed. */
export const SUBMITS = 200
const WARM_UP = 50
/** How many milliseconds to wait before each submit and each fdatasync, so that the engine and the disk are idle. */
const PAUSE_MS = 5

/**
 * Measures, on SQLite FULL, how many milliseconds it takes from the call of `submit` on an idle engine to the first
 * line of the handler. Before and after, it measures an fdatasync in the same folder, after pauses as
 * long as those before the submits.
 */
export async function latency(folder: string): Promise<Measured> {
  let startedAt = Number.NaN
  const noop = defineJob({
    type: 'noop',
    execute: () => {
      startedAt = performance.now()
    },
  })
  const file = join(folder, 'jobchart.db')
  const { storage, commits } = caughtStorage(file, sqliteStorage(file))
  const engine = await createEngine({ jobs: [noop], storage })
  try {
    const ada = engine.as({ id: 'ada', role: 'editor' })
    const waitedMs: number[] = []
    const syncsMs = [...(await fdatasyncMs(folder, PAUSE_MS))]
    const before = commits()
    for (let n = 0; n < WARM_UP + SUBMITS; n++) {
      await sleep(PAUSE_MS)
      const submittedAt = performance.now()
      const { id } = await ada.submit(noop, { n })
      const { outcome } = await ada.result(id)
      if (outcome !== 'success') throw new Error(`job ${n} ended as ${outcome}`)
      waitedMs.push(startedAt - submittedAt)
    }
    const timed = waitedMs.slice(WARM_UP)
    const commitsPerJob = (commits() - before) / waitedMs.length
    syncsMs.push(...(await fdatasyncMs(folder, PAUSE_MS)))
    const [p50Ms, sync50Ms] = [quantile(timed, 0.5), quantile(syncsMs, 0.5)]
    const figures = {
      p50Ms,
      sync50Ms,
      overSyncMs: p50Ms - sync50Ms,
      p99Ms: quantile(timed, 0.99),
      commits: commitsPerJob,
    }
    return { figures, facts: {} }
  } finally {
    await engine.stop()
  }
}
