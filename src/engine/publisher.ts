import { EventEmitter } from 'eventemitter3'
import { type EventRow, type EventType, type JobEvent, publicEvents } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { StorageConnection } from '../port/storage.ts'
import type { Health } from './health.ts'
import type { LogTail } from './log-tail.ts'

/** Hears of a listener of `engine.on`, or of `onHealth`, that threw or rejected, and what it was told. */
export type OnListenerError = (error: unknown, told: JobEvent | Health) => unknown

/** Is told that something happened to a job, and, where this engine knows all of its row, what stands there now. */
type Waiter = (written?: Job) => void

/** Rows of the log read at once by the tail. */
const TAIL_ROWS = 500

/**
 * Tells what was committed: listeners of this process, each apart from the others, and whoever waits for a job.
 *
 * Listeners hear this engine's own commits. Waiters follow the whole log: own commits at once, those of other engines
 * on the same storage when the tail is read. A waiter is only told to look again; the row decides.
 */
export class Publisher {
  readonly #emitter = new EventEmitter()
  readonly #onListenerError: OnListenerError
  /** By job; most have one at most. */
  readonly #waiters = new Map<string, readonly Waiter[]>()
  #listeners = 0
  #tail: LogTail | undefined

  constructor(onListenerError: OnListenerError) {
    this.#onListenerError = onListenerError
  }

  /** The log is followed from here on. */
  startAt(tail: LogTail): void {
    this.#tail = tail
  }

  /** Subscribes to one type of event; the function it returns ends that. */
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

  /** Publishes a row of this engine's own commit. `written`, where it is known whole, saves whoever waits from reading it. */
  publish(row: EventRow, sequence: number, written?: Job): void {
    this.#tail?.take(row, sequence)
    if (this.#listeners > 0 && row.events.some(({ type }) => this.#emitter.listenerCount(type) > 0)) {
      for (const event of publicEvents(row, sequence)) this.#emitter.emit(event.type, event)
    }
    this.#wake(row.jobId, written)
  }

  /** Reads what others have committed, and says of each job that it was about before anyone is woken. */
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

  /** Calls back whenever something happened to the job; the function it returns ends that. */
  watch(jobId: string, wake: Waiter): () => void {
    this.#waiters.set(jobId, [...(this.#waiters.get(jobId) ?? []), wake])
    return () => {
      const others = this.#waiters.get(jobId)?.filter((each) => each !== wake) ?? []
      if (others.length === 0) this.#waiters.delete(jobId)
      else this.#waiters.set(jobId, others)
    }
  }

  /** Wakes every waiter, and all who follow the log. */
  wakeAll(): void {
    this.#tail?.wakeAll()
    for (const jobId of [...this.#waiters.keys()]) this.#wake(jobId)
  }

  #wake(jobId: string, written?: Job): void {
    const waiters = this.#waiters.get(jobId)
    if (waiters !== undefined) for (const wake of waiters) wake(written)
  }

  /** Tells a listener: one that throws, rejects or never resolves skips no other and changes no job (I42). */
  call(listener: (told: never) => unknown, told: JobEvent | Health): void {
    try {
      // The emitter calls only the listeners of the event's own type, and whoever tells of health its own.
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
      // The last resort of a broken listener is itself broken; there is nobody left to tell.
    }
  }
}
