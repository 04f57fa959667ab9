import { once } from 'node:events'
import { MessageChannel, type ResourceLimits } from 'node:worker_threads'
import { Piscina } from 'piscina'
import { RunningWork } from '../context/running-work.ts'
import { serveWork, type ToCode, type ToEngine, type Wire, wireWork } from '../context/wire.ts'
import type { TaskEnd } from '../model/attempt-end.ts'
import { anything, checkOptions, required, wholeNumber } from '../model/option-checks.ts'
import { errorValue } from '../model/record.ts'
import type { Executor, Work } from '../port/executor.ts'
import { moduleRule, moduleUrl, THREAD_RUNNER } from './module-url.ts'
import type { ThreadTask } from './thread-runner.ts'

/** The options of {@link workerThreads}. */
export interface WorkerThreadsOptions {
  /**
   * A module, as an absolute URL: `new URL('./work.js', import.meta.url)`. A thread runs its default export, or the
   * export that the task's `function` names. The export is called with the context of a task.
   */
  readonly module: URL | string
  /** How many threads run at the same time: a whole number from 1. Default 2. */
  readonly concurrency?: number
  /** Limits of each thread's heap and stack in MB. They do not limit Buffers, which are outside the heap. */
  readonly resourceLimits?: ResourceLimits
}

const OPTIONS = { module: required(moduleRule), concurrency: wholeNumber(1), resourceLimits: anything }

/**
 * Runs each task in a thread of this process, so that long computations do not block the engine's event loop. A thread
 * that ignores its stop is ended after the task's `killGrace`.
 *
 * A thread can be ended only between two JavaScript operations, so a blocking system call or native code delays the
 * end. The memory of Buffers is not limited. A crash of native code ends the whole process. Use a child process for
 * code that you do not trust.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is invalid.
 */
export function workerThreads(options: WorkerThreadsOptions): Executor {
  checkOptions('workerThreads', options, OPTIONS)
  const { module, concurrency = 2, resourceLimits } = options
  let pool: Piscina | undefined
  const running = new RunningWork<AbortController>(concurrency)
  const threads = () => {
    pool ??= new Piscina({
      filename: THREAD_RUNNER.href,
      name: 'runInThread',
      ...{ minThreads: 0, maxThreads: concurrency, concurrentTasksPerWorker: 1 },
      ...(resourceLimits === undefined ? {} : { resourceLimits }),
    })
    return pool
  }
  return {
    runs: 'modules',
    room: () => running.room,
    start: async (work) => {
      const closing = new AbortController()
      return await running.during(closing, () => runInPool(threads(), moduleUrl(module), work, closing.signal))
    },
    close: async () => {
      const used = pool
      pool = undefined
      for (const closing of running.all) closing.abort()
      await used?.destroy()
    },
    reportsStart: true,
    kills: true,
  }
}

async function runInPool(pool: Piscina, module: string, work: Work, closing: AbortSignal): Promise<TaskEnd> {
  const told = await wireWork(work)
  await work.channel.started()
  const { port1, port2 } = new MessageChannel()
  const wire: Wire<ToCode, ToEngine> = {
    post: (message) => port1.postMessage(message),
    listen: (listener) => port1.on('message', listener),
  }
  const closed = once(port1, 'close')
  const reported = serveWork(work, told, wire)
  const task: ThreadTask = { module, port: port2 }
  try {
    const ran = pool.run(task, { transferList: [port2], signal: AbortSignal.any([work.killSignal, closing]) })
    // `ran` rejects if the thread threw, or was ended before it reported an end.
    return await Promise.race([reported, ran.then(() => reported)])
  } catch (thrown) {
    return { ok: false, error: errorValue(thrown) }
  } finally {
    // Closes the thread's end of the port if no thread has taken it. Otherwise the thread closes its end when the code
    // has returned, or by ending itself. A system call may delay the end of a thread that was killed.
    port2.close()
    await closed
  }
}
