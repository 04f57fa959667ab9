import { join } from 'node:path'
import { createEngine, defineJob, type JobView, memoryStorage, queueExecutor, type Storage } from 'jobchart'
import { caughtStorage } from '../caught-storage.ts'
import { checkCount, checkedSynchronous, type Subject } from './subject.ts'

/** Where jobs are kept; on SQLite, what a commit waits for. */
export type Keeping = 'memory' | 'full' | 'normal'

/** A storage, and what can be read back about it. */
interface Kept {
  readonly storage: Storage
  /** Reads the durability of the connection that writes. */
  readonly synchronous: () => string
  /** Absent where nothing is committed. */
  readonly commits?: () => number
}

const noop = defineJob({ type: 'noop', execute: () => undefined })

/**
 * jobchart as an app uses it: a session that the policy is asked about, `submit`, `result`.
 *
 * @param concurrency  handlers that may run at the same time.
 */
export async function openJobchart(folder: string, keeping: Keeping, concurrency: number): Promise<Subject> {
  const { storage, synchronous, commits } =
    keeping === 'memory' ? inMemory() : onDisk(join(folder, 'jobchart.db'), keeping)
  const executors = { default: queueExecutor({ concurrency }) }
  const engine = await createEngine({ jobs: [noop], storage, executors })
  const ada = engine.as({ id: 'ada', role: 'editor' })
  const burst: JobView[] = []
  let succeeded = 0

  const completeAll = async (jobs: number) => {
    let completed = 0
    const all = Promise.withResolvers<void>()
    const off = engine.on('job.transitioned', ({ to, jobId }) => {
      if (to === 'failed') all.reject(new Error(`job "${jobId}" failed`))
      else if (to === 'completed' && ++completed === jobs) all.resolve()
    })
    burst.push(...(await Promise.all(Array.from({ length: jobs }, (_, n) => ada.submit(noop, { n })))))
    await all.promise
    off()
  }

  return {
    complete: async (n) => {
      const { id } = await ada.submit(noop, { n })
      const { outcome } = await ada.result(id)
      if (outcome === 'success') succeeded++
    },
    completeAll,
    check: async (jobs) => {
      for (const { id } of burst) if ((await ada.get(id)).outcome === 'success') succeeded++
      checkCount(succeeded, jobs)
      return { synchronous: synchronous() }
    },
    close: () => engine.stop(),
    ...(commits === undefined ? {} : { commits }),
  }
}

function inMemory(): Kept {
  return { storage: memoryStorage(), synchronous: () => '–' }
}

function onDisk(file: string, durability: 'full' | 'normal'): Kept {
  const { storage, synchronous, commits } = caughtStorage(file, durability)
  return {
    storage,
    synchronous: () => checkedSynchronous(synchronous(), durability === 'full' ? 'FULL' : 'NORMAL'),
    commits,
  }
}
