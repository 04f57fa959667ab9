import PQueue from 'p-queue'
import { checkCount, type Subject } from './subject.ts'

/** p-queue alone: shows what it costs to run a function if nothing is stored. */
export async function openPQueue(concurrency: number): Promise<Subject> {
  const queue = new PQueue({ concurrency })
  let succeeded = 0
  const complete = async () => {
    await queue.add(async () => undefined)
    succeeded++
  }
  return {
    complete,
    store: async (inputs) => {
      queue.pause()
      for (const _ of inputs) void complete()
    },
    drain: async () => {
      queue.start()
      await queue.onIdle()
    },
    check: async (jobs) => {
      checkCount(succeeded, jobs)
      return { synchronous: '–' }
    },
    close: async () => {},
  }
}
