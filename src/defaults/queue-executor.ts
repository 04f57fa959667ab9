import PQueue from 'p-queue'
import { checkOptions, wholeNumber } from '../model/option-checks.ts'
import type { Executor } from '../port/executor.ts'

/** Options of {@link queueExecutor}. */
export interface QueueExecutorOptions {
  /** How many functions run at the same time in this process; a whole number from 1. Default 10. */
  readonly concurrency?: number
}

/**
 * An executor that runs tasks as functions in this process, at most `concurrency` at a time. A function that ignores
 * its signal cannot be stopped, so it keeps its place until it returns.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the concurrency is not a whole number from 1.
 */
export function queueExecutor(options: QueueExecutorOptions = {}): Executor {
  checkOptions('queueExecutor', options, { concurrency: wholeNumber(1) })
  const { concurrency = 10 } = options
  const queue = new PQueue({ concurrency })
  return {
    runs: 'functions',
    room: () => concurrency - queue.pending - queue.size,
    start: (work) => queue.add(work.run),
    close: async () => {
      await queue.onIdle()
    },
  }
}
