import PQueue from 'p-queue'
import { checkCount, type Subject } from './subject.ts'

/** Bare p-queue: what running a function costs when nothing is stored and nothing survives. */
export async function openPQueue(concurrency: number): Promise<Subject> {
  const queue = new PQueue({ concurrency })
  let succeeded = 0
  const complete = async () => {
    await queue.add(async () => undefined)
    succeeded++
  }
  return {
    complete,
    completeAll: async (jobs) => {
      await Promise.all(Array.from({ length: jobs }, complete))
    },
    check: async (jobs) => {
      checkCount(succeeded, jobs)
      return { synchronous: '–' }
    },
    close: async () => {},
  }
}
