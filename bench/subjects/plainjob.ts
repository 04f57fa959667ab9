import { join } from 'node:path'
import Database from 'better-sqlite3'
import { better, defineQueue, defineWorker, JobStatus, type Logger } from 'plainjob'
import { checkCount, checkedSynchronous, type Subject } from './subject.ts'

/**
 * No log: by default plainjob writes several lines for each job to the console, and the benchmark would measure that.
 */
const SILENT: Logger = { error: () => {}, warn: () => {}, info: () => {}, debug: () => {} }

/**
 * How often an idle worker looks for jobs, in milliseconds. With plainjob's default of 1,000, the figures would contain
 * this pause whenever a worker finds the queue empty for a moment.
 */
const POLL_MS = 10

/**
 * plainjob, used as its README shows. plainjob cannot wait for one job. So this keeps a map from id to promise, and
 * resolves the promise in `onCompleted`, which plainjob calls after it has marked the job as done.
 *
 * @param synchronous  `NORMAL` is plainjob's own setting. `FULL` is set afterwards, on the same connection.
 * @param workers  how many workers run. Each takes one job at a time.
 */
export async function openPlainjob(folder: string, synchronous: 'NORMAL' | 'FULL', workers: number): Promise<Subject> {
  const database = new Database(join(folder, 'plainjob.db'))
  const queue = defineQueue({ connection: better(database), logger: SILENT })
  if (synchronous === 'FULL') database.pragma('synchronous = FULL')
  const waiting = new Map<number, PromiseWithResolvers<void>>()
  let onCompleted = (id: number) => waiting.get(id)?.resolve()
  let onFailed = (id: number, error: string) => waiting.get(id)?.reject(new Error(error))
  const pool = Array.from({ length: workers }, () =>
    defineWorker('noop', () => undefined, {
      queue,
      logger: SILENT,
      pollIntervall: POLL_MS,
      onCompleted: ({ id }) => onCompleted(id),
      onFailed: ({ id }, error) => onFailed(id, error),
    }),
  )
  let stored = 0
  let running: Promise<unknown> | undefined
  // The workers start only when there are jobs, so that none begins with a pause.
  const start = () => {
    running ??= Promise.resolve().then(() => Promise.all(pool.map((worker) => worker.start())))
  }

  return {
    complete: async (n) => {
      const { id } = queue.add('noop', { n })
      const done = Promise.withResolvers<void>()
      waiting.set(id, done)
      start()
      await done.promise
      waiting.delete(id)
    },
    store: async (inputs) => {
      queue.addMany('noop', [...inputs])
      stored += inputs.length
    },
    drain: async () => {
      let completed = 0
      const all = Promise.withResolvers<void>()
      onCompleted = () => {
        if (++completed === stored) all.resolve()
      }
      onFailed = (_, error) => all.reject(new Error(error))
      start()
      await all.promise
    },
    check: async (jobs) => {
      checkCount(queue.countJobs({ status: JobStatus.Done }), jobs)
      return { synchronous: checkedSynchronous(database.pragma('synchronous', { simple: true }), synchronous) }
    },
    close: async () => {
      await Promise.all(pool.map((worker) => worker.stop()))
      await running
      queue.close()
    },
  }
}
