import PQueue from 'p-queue'
import { JobchartError, jobError } from '../model/error.ts'
import type { Json } from '../model/storable.ts'
import type { Executor } from '../port/executor.ts'

/** How much runs at once. */
export interface QueueExecutorOptions {
  /** Functions that run at the same time in this process; a whole number from 1. Default 10. */
  readonly concurrency?: number
}

/**
 * Runs tasks as functions of this process, so many at a time. A function that ignores its signal cannot be stopped:
 * its place stays taken until it returns.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` the concurrency is no whole number from 1.
 */
export function queueExecutor({ concurrency = 10 }: QueueExecutorOptions = {}): Executor {
  if (!Number.isSafeInteger(concurrency) || concurrency < 1) {
    throw new JobchartError('INVALID_DEFINITION', `concurrency should be a whole number from 1; found ${concurrency}`)
  }
  const queue = new PQueue({ concurrency })
  return {
    room: () => concurrency - queue.pending - queue.size,
    start: async (work) => {
      try {
        return await queue.add(work.run)
      } catch (error) {
        return { ok: false, error: { ...jobError(error) } satisfies Json }
      }
    },
    close: async () => {
      await queue.onIdle()
    },
  }
}
