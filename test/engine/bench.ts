import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  type CreateEngineOptions,
  createEngine,
  type Engine,
  type EventType,
  JobchartError,
  type JobEvent,
  type Json,
  memoryStorage,
  queueExecutor,
  type Session,
  type Storage,
  systemClock,
  type TaskContext,
} from 'jobchart'
import type { Job, StoredEvents } from 'jobchart/port'
import { sqliteStorage } from 'jobchart/sqlite'
import { type VirtualClock, virtualClock } from 'jobchart/testing'
import { afterEach, expect } from 'vitest'
import { FaultyStorage } from './faulty-storage.ts'

const FAR = Number.MAX_SAFE_INTEGER

/** Every type of event. */
const EVENT_TYPES: readonly EventType[] = [
  'job.created',
  'job.transitioned',
  'job.migrated',
  'job.admitted',
  'job.deleted',
  'job.followUpFailed',
  'job.updated',
  'job.progress',
  'job.emitted',
  'task.started',
  'task.retried',
  'task.lost',
  'task.released',
  'task.stopped',
  'task.abandoned',
]

const benches: Bench[] = []
const folders: string[] = []
const unhandled: unknown[] = []
process.on('unhandledRejection', (reason) => unhandled.push(reason))

// After every test its log adds up (I10), and no error has escaped (I61).
afterEach(async () => {
  for (const bench of [...benches]) await bench.end()
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true })
  expect(unhandled.splice(0)).toEqual([])
})

/** An engine as one process of a test. Its storage can fail, and the process can die. */
export interface Host {
  readonly engine: Engine
  readonly faults: FaultyStorage
  /** An editor, who sees own jobs. */
  readonly ada: Session
  /** Another editor of the same tenant. */
  readonly bob: Session
  /** Sees all jobs of the tenant. */
  readonly admin: Session
  /** Every event that `engine.on` received. */
  readonly heard: readonly JobEvent[]
  /** The process dies. Its code cannot be stopped here, but none of its reports arrives. */
  readonly crash: () => Promise<void>
}

export interface HostOptions extends Omit<CreateEngineOptions, 'storage' | 'clock'> {
  /** Number of tasks that run at once. Default 10. */
  readonly concurrency?: number
}

/** One clock and one disk, for any number of engines. */
export class Bench {
  readonly clock: VirtualClock = virtualClock()
  readonly disk: Storage
  /** True: jobs and rows of the log may be pruned, so the log need not be whole. */
  isPruned = false
  #probe: ReturnType<Storage['open']> | undefined
  readonly #hosts: Host[] = []

  constructor(disk: Storage = newDisk()) {
    this.disk = disk
    benches.push(this)
  }

  /** Starts an engine on the disk, with the faults that were planned for it. */
  async start({ concurrency = 10, ...options }: HostOptions, faults = new FaultyStorage(this.disk)): Promise<Host> {
    const executors = { default: queueExecutor({ concurrency }), ...options.executors }
    const engine = await createEngine({ ...options, storage: faults, clock: this.clock, executors })
    const heard: JobEvent[] = []
    for (const type of EVENT_TYPES) engine.on(type, (event) => event.jobId !== undefined && heard.push(event))
    const host: Host = {
      engine,
      faults,
      ada: engine.as({ id: 'ada', role: 'editor' }),
      bob: engine.as({ id: 'bob', role: 'editor' }),
      admin: engine.as({ id: 'root', role: 'admin' }),
      heard,
      crash: () => faults.cut(),
    }
    this.#hosts.push(host)
    return host
  }

  /**
   * Every process dies, the log is checked, and all observers are closed. A test that makes many benches ends each one.
   */
  async end(): Promise<void> {
    const index = benches.indexOf(this)
    if (index < 0) return
    benches.splice(index, 1)
    await this.clock.settle()
    await this.checkLog()
    for (const host of this.#hosts) await host.crash()
    await (await this.#probe)?.close()
  }

  /** A connection that reads the stored rows without an engine. Its timers are not on the bench's clock. */
  probe(): ReturnType<Storage['open']> {
    this.#probe ??= this.disk.open({ clock: systemClock(), instance: `probe-${benches.length}` })
    return this.#probe
  }

  /** The stored row of a job. */
  async row(id: string): Promise<Job> {
    const job = await (await this.probe()).get(id)
    if (job === undefined) throw new Error(`there is no job ${id}`)
    return job
  }

  /** The stored log, of one job or of all. */
  async log(jobId?: string): Promise<readonly StoredEvents[]> {
    const query = { after: 0, limit: FAR }
    return await (await this.probe()).events(jobId === undefined ? query : { ...query, jobId })
  }

  /** All stored data of jobs, as text: equal texts mean that nothing was changed. */
  async contents(): Promise<string> {
    const log = await this.log()
    const rows = await Promise.all([...new Set(log.map(({ jobId }) => jobId))].map((id) => this.row(id)))
    return JSON.stringify({ log, rows })
  }

  /** I10: numbers have no gaps, and each job's status is the fold of its events. */
  async checkLog(): Promise<void> {
    if (this.isPruned) return
    const log = await this.log()
    let next = 1
    const counts = new Map<string, number>()
    const status = new Map<string, string>()
    const deleted = new Set<string>()
    const children = new Set<string>()
    for (const row of log) {
      if (row.jobType.includes('/')) children.add(row.jobId)
      expect(row.sequence).toBe(next)
      next += row.events.length
      if (row.jobSequence === 0) continue
      expect(row.jobSequence).toBe((counts.get(row.jobId) ?? 0) + 1)
      counts.set(row.jobId, row.jobSequence + row.events.length - 1)
      for (const event of row.events) {
        if ('from' in event) {
          expect(event.from).toBe(status.get(row.jobId))
          status.set(row.jobId, event.to)
        } else if (event.type === 'job.created') status.set(row.jobId, event.to)
        else if (event.type === 'job.deleted') deleted.add(row.jobId)
      }
    }
    for (const [id, count] of counts) {
      const job = await (await this.probe()).get(id)
      // The row of a deleted job is gone once nothing of it runs, and so are those of its child jobs that had ended.
      if (job === undefined && (deleted.has(id) || children.has(id))) continue
      if (job === undefined) throw new Error(`the row of job ${id} is gone`)
      expect({ id, count: job.eventCount, status: job.status }).toEqual({ id, count, status: status.get(id) })
      expect(job.endedAt !== undefined).toBe(job.phase === 'settled')
      expect(job.outcome !== undefined).toBe(job.phase === 'settled')
    }
  }
}

/** The suite runs in memory, and again on files. */
function newDisk(): Storage {
  return process.env.JOBCHART_DISK === 'sqlite' ? sqliteDisk() : memoryStorage()
}

/** A file of its own, which is removed after the test. */
export function sqliteDisk(): Storage {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-engine-'))
  folders.push(folder)
  return sqliteStorage(join(folder, 'jobs.db'))
}

/** One run of a handler under a test's control. */
export interface Run {
  readonly context: TaskContext
  readonly finish: (output?: Json) => void
  readonly fail: (error: unknown) => void
}

/** Code under a test's control: each run lasts until the test ends it. */
export class Work {
  readonly runs: Run[] = []

  /** Ignores its signal. */
  readonly execute = (context: TaskContext): Promise<Json | undefined> =>
    new Promise((finish, fail) => {
      this.runs.push({ context, finish, fail })
    })

  /** Ends when its signal is aborted. */
  readonly obedient = (context: TaskContext): Promise<Json | undefined> => {
    const end = this.execute(context)
    const { fail } = this.run()
    context.signal.addEventListener('abort', () => fail(context.signal.reason), { once: true })
    return end
  }

  /** One of the runs, by default the newest. */
  run(index = -1): Run {
    const run = this.runs.at(index)
    if (run === undefined) throw new Error(`the code was run ${this.runs.length} times only`)
    return run
  }
}

/** The code of the error that a call is refused with; `ok` if it is not. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call
    return 'ok'
  } catch (error) {
    return error instanceof JobchartError ? error.code : `not typed: ${String(error)}`
  }
}

/** The error that a call rejects with. */
export async function errorOf(call: Promise<unknown>): Promise<JobchartError> {
  try {
    await call
  } catch (error) {
    if (error instanceof JobchartError) return error
    throw new Error(`the error is not typed: ${String(error)}`, { cause: error })
  }
  throw new Error('the call was not refused')
}

/** An error as a client sees it, with the requested id removed. */
export function shownError(error: JobchartError, id: string): string {
  return JSON.stringify({ text: error.message, ...error }).replaceAll(id, '<id>')
}

/** The lines of a log, as text. */
export async function textsOf(lines: AsyncIterable<{ readonly text: string }>): Promise<readonly string[]> {
  const texts: string[] = []
  for await (const { text } of lines) texts.push(text)
  return texts
}
