import { EventEmitter } from 'eventemitter3'
import { type EventRow, type EventType, type JobEvent, publicEvents } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { StorageConnection } from '../port/storage.ts'
import type { Health } from './health.ts'
import type { LogTail } from './log-tail.ts'

/** Called when a listener of `engine.on` or `onHealth` threw or rejected, with what it was told. */
export type OnListenerError = (error: unknown, told: JobEvent | Health) => unknown

/** Called after an event of a job, with the job's record if this engine knows all of its row. */
type Waiter = (written?: Job) => void

/** How many log rows the tail reads at once. */
const TAIL_ROWS = 500

/**
 * Reports commits to listeners of this process, and to callers that wait for a job.
 *
 * Listeners get this engine's own commits; an error of one does not affect others. Waiters follow the whole log: own
 * commits at once, those of other engines when the tail is read. Waiters are only told to look again; the row decides.
 */
export class Publisher {
  readonly #emitter = new EventEmitter()
  readonly #onListenerError: OnListenerError
  /** Waiters by job id. Most jobs have at most one. */
  readonly #waiters = new Map<string, readonly Waiter[]>()
  #listeners = 0
  #tail: LogTail | undefined

  constructor(onListenerError: OnListenerError) {
    this.#onListenerError = onListenerError
  }

  /** Sets the log tail to follow. */
  startAt(tail: LogTail): void {
    this.#tail = tail
  }

  /** Subscribes to one type of event. Returns a function that ends the subscription. */
  on<Type extends EventType>(type: Type, listener: (event: JobEvent<Type>) => unknown): () => void {
    const isolated = (event: JobEvent) => this.call(listener, event)
    this.#emitter.on(type, isolated)
    this.#listeners++
    return () => {
      if (!this.#emitter.listeners(type).includes(isolated)) return
      this.#emitter.off(type, isolated)
      this.#listeners--
    }
  }

  /**
   * Publishes a row of this engine's own commit. `written`, if the whole record is known, saves waiters from reading
   * it.
   */
  publish(row: EventRow, sequence: number, written?: Job): void {
    this.#tail?.take(row, sequence)
    if (this.#listeners > 0 && row.events.some(({ type }) => this.#emitter.listenerCount(type) > 0)) {
      for (const event of publicEvents(row, sequence)) this.#emitter.emit(event.type, event)
    }
    this.#wake(row.jobId, written)
  }

  /** Reads commits of other engines. Calls `heard` for each of their jobs before anyone is woken. */
  async readTail(storage: StorageConnection, heard: (jobId: string) => void): Promise<void> {
    const tail = this.#tail
    if (tail === undefined) return
    for (;;) {
      const rows = await storage.events({ after: tail.sequence, limit: TAIL_ROWS })
      for (const { sequence, changeset, ...row } of rows) {
        tail.takeRead(row, sequence)
        heard(row.jobId)
        this.#wake(row.jobId)
      }
      if (rows.length < TAIL_ROWS) return
    }
  }

  /** Calls back after each event of the job. Returns a function that ends this. */
  watch(jobId: string, wake: Waiter): () => void {
    this.#waiters.set(jobId, [...(this.#waiters.get(jobId) ?? []), wake])
    return () => {
      const others = this.#waiters.get(jobId)?.filter((each) => each !== wake) ?? []
      if (others.length === 0) this.#waiters.delete(jobId)
      else this.#waiters.set(jobId, others)
    }
  }

  /** Wakes all waiters and all followers of the log. */
  wakeAll(): void {
    this.#tail?.wakeAll()
    for (const jobId of [...this.#waiters.keys()]) this.#wake(jobId)
  }

  #wake(jobId: string, written?: Job): void {
    const waiters = this.#waiters.get(jobId)
    if (waiters !== undefined) for (const wake of waiters) wake(written)
  }

  /** Calls a listener. One that throws, rejects or never resolves affects neither other listeners nor jobs. */
  call(listener: (told: never) => unknown, told: JobEvent | Health): void {
    try {
      // Listeners are registered by the type that they take, so the cast is safe.
      const returned = listener(told as never)
      Promise.resolve(returned).catch((error: unknown) => this.#report(error, told))
    } catch (error) {
      this.#report(error, told)
    }
  }

  #report(error: unknown, told: JobEvent | Health): void {
    try {
      Promise.resolve(this.#onListenerError(error, told)).catch(() => {})
    } catch {
      // The listener for errors has failed itself. There is nobody left to tell.
    }
  }
}
