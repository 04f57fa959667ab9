import { join } from 'node:path'
import type { Engine, Storage } from 'jobchart'
import { caughtStorage } from '../caught-storage.ts'
import type { Load } from '../throughput.ts'
import { type Build, loadBuild } from './build.ts'
import { checkCount, checkedSynchronous, type Subject } from './subject.ts'

/** The storage; on SQLite, with its durability. */
export type Keeping = 'memory' | 'full' | 'normal'

/** Options for opening a jobchart subject. */
export interface JobchartOptions {
  /** An empty folder. */
  readonly folder: string
  readonly keeping: Keeping
  /** Number of handlers that may run at the same time. */
  readonly concurrency: number
  /** For `closed` the first engine runs jobs; for `stored` it only stores them. */
  readonly load: Load
  /** A folder with another build of jobchart; absent: this one. */
  readonly against: string | undefined
}

/** A storage, with functions to check it afterwards. */
interface Kept {
  readonly storage: Storage
  /** Reads the durability of the connection that writes. */
  readonly synchronous: () => string
  /** Absent if nothing is committed. */
  readonly commits?: () => number
}

/** Maximum number that `count` counts. */
const COUNT_MAX = 10_001

/** jobchart as an app uses it: a session whose calls the policy checks, with `submit`, `result`, `submitMany`. */
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
      // The last ends are not committed yet.
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

/** If there are more jobs than `count` counts: none has failed and none is unfinished. */
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
