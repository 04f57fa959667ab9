import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, type JobView, memoryStorage, queueExecutor, type Storage } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { checkCount, checkedSynchronous, type Subject } from './subject.ts'

/** Where jobs are kept; on SQLite, what a commit waits for. */
export type Keeping = 'memory' | 'full' | 'normal'

/** A storage, and what can be read back about it. */
interface Kept {
  readonly storage: Storage
  /** Reads the durability of the connection that writes. */
  readonly synchronous: () => string
}

const noop = defineJob({ type: 'noop', execute: () => undefined })

/**
 * jobchart as an app uses it: a session that the policy is asked about, `submit`, `result`.
 *
 * @param concurrency  handlers that may run at the same time.
 */
export async function openJobchart(folder: string, keeping: Keeping, concurrency: number): Promise<Subject> {
  const { storage, synchronous } = keeping === 'memory' ? inMemory() : onDisk(join(folder, 'jobchart.db'), keeping)
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
  }
}

function inMemory(): Kept {
  return { storage: memoryStorage(), synchronous: () => '–' }
}

/** jobchart's own connection is caught while it opens, so that its pragma can be read and need not be believed. */
function onDisk(file: string, durability: 'full' | 'normal'): Kept {
  const inner = sqliteStorage(file, { durability })
  let connection: DatabaseSync | undefined
  const open: Storage['open'] = async (host) => {
    const { prepare } = DatabaseSync.prototype
    DatabaseSync.prototype.prepare = function (this: DatabaseSync, sql: string) {
      if (this.location() === file) connection = this
      return prepare.call(this, sql)
    }
    try {
      return await inner.open(host)
    } finally {
      DatabaseSync.prototype.prepare = prepare
    }
  }
  const synchronous = () => {
    const found = connection?.prepare('PRAGMA synchronous').get()?.synchronous
    return checkedSynchronous(found, durability === 'full' ? 'FULL' : 'NORMAL')
  }
  return { storage: { open }, synchronous }
}
