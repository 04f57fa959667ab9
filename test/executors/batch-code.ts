import { batchRun } from 'jobchart'

/** Runs the items of the jobs of batches.test.ts, in a process or a thread of its own. */
export const scrape = batchRun({
  concurrency: 4,
  each: async ({ item, log, draining }) => {
    if (item === 'waits') {
      log('waiting')
      await new Promise<void>((resolve) => {
        if (draining.aborted) resolve()
        else draining.addEventListener('abort', () => resolve())
      })
    }
    if (item === 'kills') process.kill(process.pid, 'SIGKILL')
    if (item === 'fails') throw new TypeError('no such page')
    return { pid: process.pid, item }
  },
})

/** Not the code of a batch: it runs no items. */
export const plain = (): object => ({ completed: 2, failed: 0 })
