import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { createEngine, defineJob, queueExecutor, type Storage } from 'jobchart'
import type { StorageConnection } from 'jobchart/port'
import { sqliteStorage } from 'jobchart/sqlite'
import type { Measured } from './measure.ts'
import { quantile } from './statistics.ts'
import { IN_FLIGHT } from './throughput.ts'

const WRITER = fileURLToPath(new URL('blocking-writer.ts', import.meta.url))
const WARM_UP = 2_000
const noop = defineJob({ type: 'noop', execute: () => undefined })

/** Who writes to the file: only this process, or a second one too. */
export const WRITERS = {
  alone: { label: 'jobchart, SQLite FULL, alone' },
  shared: { label: 'jobchart, SQLite FULL, beside a second process that submits to the same file' },
} as const

/**
 * Measures how long the storage blocks the event loop under the load of `closed`. With `shared`, another process
 * submits to the same file as fast as it can. Three things are timed: each turn of the event loop, each writing
 * transaction, and each call of the storage until it returns a promise.
 */
export async function blocking(writers: string, jobs: number, folder: string): Promise<Measured> {
  const file = join(folder, 'jobchart.db')
  const calls: number[] = []
  const transactions = timeTransactions()
  const executors = { default: queueExecutor({ concurrency: IN_FLIGHT }) }
  const engine = await createEngine({ jobs: [noop], storage: timed(sqliteStorage(file), calls), executors })
  const other = writers === 'shared' ? startOther(file) : undefined
  try {
    if (other !== undefined) await once(other.stdout, 'data')
    const ada = engine.as({ id: 'ada', role: 'editor' })
    const answers: number[] = []
    const load = async (until: number) => {
      let submitted = 0
      const client = async () => {
        while (submitted++ < until) {
          const begin = performance.now()
          const { id } = await ada.submit(noop, {})
          answers.push(performance.now() - begin)
          await ada.result(id)
        }
      }
      await Promise.all(Array.from({ length: IN_FLIGHT }, client))
    }
    await load(WARM_UP)
    calls.length = 0
    transactions.ms.length = 0
    answers.length = 0
    const turns = monitorEventLoopDelay({ resolution: 1 })
    turns.enable()
    const begin = performance.now()
    await load(jobs)
    const seconds = (performance.now() - begin) / 1_000
    turns.disable()
    const figures = {
      turn50Ms: turns.percentile(50) / 1e6,
      turn99Ms: turns.percentile(99) / 1e6,
      turnMaxMs: turns.max / 1e6,
      write50Ms: quantile(transactions.ms, 0.5),
      write99Ms: quantile(transactions.ms, 0.99),
      writeMaxMs: longestOf(transactions.ms),
      call99Ms: quantile(calls, 0.99),
      callMaxMs: longestOf(calls),
      waitedMaxMs: longestOf(answers),
      jobsPerSecond: jobs / seconds,
      ...(other === undefined ? {} : { otherPerSecond: await rateOf(other) }),
    }
    return { figures, facts: {} }
  } finally {
    other?.kill('SIGKILL')
    await engine.stop()
  }
}

function startOther(file: string) {
  return spawn(process.execPath, [WRITER, file], { stdio: ['pipe', 'pipe', 'inherit'] })
}

/**
 * Ends the other process.
 *
 * @returns how many jobs it stored per second.
 */
async function rateOf(other: ReturnType<typeof startOther>): Promise<number> {
  other.stdin.end()
  const [written] = await once(other.stdout, 'data')
  return Number(String(written))
}

function longestOf(values: readonly number[]): number {
  return values.reduce((longest, ms) => Math.max(longest, ms), 0)
}

/**
 * Times each writing transaction from BEGIN to COMMIT or ROLLBACK, and each BEGIN that did not get the lock.
 * Transactions are synchronous, so no other code of the process runs meanwhile.
 */
function timeTransactions(): { readonly ms: number[] } {
  const { exec } = DatabaseSync.prototype
  const ms: number[] = []
  DatabaseSync.prototype.exec = function (this: DatabaseSync, sql: string) {
    const isBegin = sql === 'BEGIN IMMEDIATE'
    if (isBegin) begin = performance.now()
    let hasFailed = true
    try {
      exec.call(this, sql)
      hasFailed = false
    } finally {
      if (isBegin ? hasFailed : sql === 'COMMIT' || sql === 'ROLLBACK') ms.push(performance.now() - begin)
    }
  }
  let begin = 0
  return { ms }
}

/** Wraps a storage, and times each of its calls until the call returns a promise. */
function timed(inner: Storage, calls: number[]): Storage {
  return {
    open: async (host) => {
      const connection = await inner.open(host)
      const entries = Object.entries({ ...connection }).map(([name, run]) => {
        const call = run as (...given: readonly unknown[]) => unknown
        const measured = (...given: readonly unknown[]) => {
          const begin = performance.now()
          const result = call(...given)
          calls.push(performance.now() - begin)
          return result
        }
        return [name, measured]
      })
      // Each wrapped method has the arguments and the result of the original one, so the cast is safe.
      return Object.fromEntries(entries) as unknown as StorageConnection
    },
  }
}
