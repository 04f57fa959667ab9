import { join } from 'node:path'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createEngine, defineJob, queueExecutor } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import type { Measured } from './measure.ts'
import { slopeOf } from './statistics.ts'
import { IN_FLIGHT } from './throughput.ts'

/** How often the heap is measured during the run. */
const SAMPLES = 20
/** How many of the first heap sizes are ignored, because code is still compiled and caches fill. */
const WARM_UP = 2

const noop = defineJob({ type: 'noop', execute: () => undefined })

/**
 * Measures how many bytes each job leaves on the heap of an engine, under the load of `closed` on SQLite FULL. This is
 * the slope of the heap size, which is read after forced collections. Also counts the handles and listeners that are
 * left after the stop.
 */
export async function heap(jobs: number, folder: string): Promise<Measured> {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const before = { handles: handles(), listeners: listeners() }
  const begin = performance.now()
  const executors = { default: queueExecutor({ concurrency: IN_FLIGHT }) }
  const storage = sqliteStorage(join(folder, 'jobchart.db'))
  const engine = await createEngine({ jobs: [noop], storage, executors })
  const ada = engine.as({ id: 'ada', role: 'editor' })
  const part = Math.ceil(jobs / SAMPLES)
  const points: [number, number][] = []
  for (let done = part; points.length < SAMPLES; done += part) {
    let submitted = 0
    const client = async () => {
      while (submitted++ < part) await ada.result((await ada.submit(noop, {})).id)
    }
    await Promise.all(Array.from({ length: IN_FLIGHT }, client))
    points.push([done, await settledHeap(collect)])
  }
  const seconds = (performance.now() - begin) / 1_000
  await engine.stop()
  await settledHeap(collect)
  const { slope, error } = slopeOf(points.slice(WARM_UP))
  const figures = {
    slopeBytes: slope,
    slopeLowBytes: slope - error,
    slopeHighBytes: slope + error,
    heapMiB: (points.at(-1)?.[1] ?? 0) / 2 ** 20,
    newHandles: handles() - before.handles,
    newListeners: listeners() - before.listeners,
    jobsPerSecond: (part * SAMPLES) / seconds,
  }
  return { figures, facts: {} }
}

async function settledHeap(collect: () => void): Promise<number> {
  for (let n = 0; n < 3; n++) {
    collect()
    await new Promise((resume) => setImmediate(resume))
  }
  return process.memoryUsage().heapUsed
}

function handles(): number {
  return process.getActiveResourcesInfo().length
}

function listeners(): number {
  return process.eventNames().reduce((sum, name) => sum + process.listenerCount(name), 0)
}
