import { join } from 'node:path'
import type { Engine, Storage } from 'jobchart'
import { caughtStorage } from '../caught-storage.ts'
import type { Load } from '../throughput.ts'
import { type Build, loadBuild } from './build.ts'
import { checkCount, checkedSynchronous, type Subject } from './subject.ts'

/** Where jobs are stored: in memory, or on SQLite with this durability. */
export type Keeping = 'memory' | 'full' | 'normal'

/** Options for opening a jobchart subject. */
export interface JobchartOptions {
  /** An empty folder. */
  readonly folder: string
  readonly keeping: Keeping
  /** How many handlers may run at the same time. */
  readonly concurrency: number
  /**
   * With `closed`, the first engine runs the jobs. With `stored`, it only stores them, and a second engine runs them.
   */
  readonly load: Load
  /** The folder of another build of jobchart. Absent: this build. */
  readonly against: string | undefined
}

/** A storage, with functions to check afterwards what it did. */
interface Kept {
  readonly storage: Storage
  /** Reads the durability from the connection that writes. */
  readonly synchronous: () => string
  /** How many transactions were committed. Absent in memory. */
  readonly commits?: () => number
}

/** The method `count` stops counting at this number. */
const COUNT_MAX = 10_001

/** jobchart as an application uses it: through a session, whose calls the policy checks. */
export async function openJobchart(options: JobchartOptions): Promise<Subject> {
  const { folder, keeping, concurrency, load } = options
  const build = await loadBuild(options.against)
  const kept = keeping === 'memory' ? inMemory(build) : onDisk(build, join(folder, 'jobchart.db'), keeping)
  const { storage, synchronous, commits } = kept
  let ran = 0
  let stored = 0
  let allRan = Promise.withResolvers<void>()
  const execute = () => {
    if (++ran === stored) allRan.resolve()
  }
  const noop = build.defineJob({ type: 'noop', execute })
  const executors = { default: build.queueExecutor({ concurrency }) }
  const start = (work: boolean) => build.createEngine({ jobs: [noop], storage, executors, work })
  let engine = await start(load === 'closed')
  let ada = engine.as({ id: 'ada', role: 'editor' })

  return {
    complete: async (n) => {
      const { id } = await ada.submit(noop, { n })
      const { outcome } = await ada.result(id)
      if (outcome !== 'success') throw new Error(`job ${n} ended as ${outcome}`)
    },
    store: async (inputs) => {
      const outcomes = await ada.submitMany(inputs.map((input) => ({ type: noop, input })))
      const failed = outcomes.find(({ error }) => error !== undefined)
      if (failed !== undefined) throw failed.error
      stored += inputs.length
    },
    drain: async () => {
      allRan = Promise.withResolvers()
      const storing = engine
      engine = await start(true)
      ada = engine.as({ id: 'ada', role: 'editor' })
      await storing.stop()
      await allRan.promise
      // All handlers have run, but the last ends may not be committed yet.
      await engine.idle()
    },
    check: async (jobs) => {
      checkCount(ran, jobs)
      await checkStored(engine, jobs)
      return { synchronous: synchronous() }
    },
    close: () => engine.stop(),
    ...(commits === undefined ? {} : { commits }),
  }
}

/**
 * Checks that all jobs have completed. `count` may stop before that number, so this also checks that no job has failed
 * and that none is unfinished.
 */
async function checkStored({ system }: Engine, jobs: number): Promise<void> {
  for (const phase of ['active', 'waiting', 'indeterminate'] as const) {
    checkCount(jobs - (await system.count({ phase })), jobs)
  }
  for (const status of ['failed', 'cancelled']) checkCount(jobs - (await system.count({ status })), jobs)
  const completed = await system.count({ status: 'completed' })
  checkCount(Math.min(completed, COUNT_MAX), Math.min(jobs, COUNT_MAX))
}

function inMemory({ memoryStorage }: Build): Kept {
  return { storage: memoryStorage(), synchronous: () => '–' }
}

function onDisk({ sqliteStorage }: Build, file: string, durability: 'full' | 'normal'): Kept {
  const { storage, synchronous, commits } = caughtStorage(file, sqliteStorage(file, { durability }))
  return {
    storage,
    synchronous: () => checkedSynchronous(synchronous(), durability === 'full' ? 'FULL' : 'NORMAL'),
    commits,
  }
}
