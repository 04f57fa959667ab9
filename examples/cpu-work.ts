/**
 * Computations in threads, beside an engine that goes on answering: it counts primes, and measures how long the event loop
 * of the engine stands still meanwhile.
 *
 *     npm run example examples/cpu-work.ts
 *
 * The program is also the module that the threads run.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { isMainThread } from 'node:worker_threads'
import { createEngine, defineJob, memoryStorage, type TaskContext } from 'jobchart'
import { workerThreads } from 'jobchart/executors'
import { z } from 'zod'

const input = z.object({ below: z.int() })

/** What a thread runs. It never gives its loop back, which would hold up everything else in the engine's own thread. */
// biome-ignore lint/style/noDefaultExport: the default export is what a thread runs.
export default function primes({ input: { below }, progress }: TaskContext<z.infer<typeof input>>): number {
  let found = 0
  for (let number = 2; number < below; number++) {
    let divisor = 2
    while (divisor * divisor <= number && number % divisor > 0) divisor++
    if (divisor * divisor > number) found++
    if (number % 500_000 === 0) progress({ completed: number, total: below })
  }
  return found
}

async function main(): Promise<void> {
  const count = defineJob({
    type: 'primes',
    input,
    executor: 'threads',
    output: z.number(),
    // Not called here: the threads run the module's own function.
    execute: (): number => {
      throw new Error('primes are counted in threads')
    },
  })
  const threads = workerThreads({ module: import.meta.url, concurrency: 2 })
  const engine = await createEngine({ jobs: [count], storage: memoryStorage(), executors: { threads } })
  const ada = engine.as({ id: 'ada', role: 'editor' })

  const delay = monitorEventLoopDelay({ resolution: 5 })
  delay.enable()
  const jobs = await Promise.all([1_000_000, 2_000_000, 3_000_000].map((below) => ada.submit(count, { below })))
  for (const { id } of jobs) {
    const { output, progress } = await ada.result(id)
    console.log(`${output} primes below ${progress?.total}`)
  }
  delay.disable()
  const [half, worst] = [delay.percentile(50), delay.max].map((ns) => Math.round(ns / 1e6))
  console.log(`the loop of the engine was late by ${half} ms half of the time, and by ${worst} ms at worst`)
  await engine.stop()
}

if (isMainThread) await main()

// Output:
// 78498 primes below 1000000
// 148933 primes below 2000000
// 216816 primes below 3000000
// the loop of the engine was late by … ms half of the time, and by … ms at worst
