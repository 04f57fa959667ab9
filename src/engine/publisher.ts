import { EventEmitter } from 'eventemitter3'
import { type EventOf, type EventRow, type EventType, publicEvents } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { StorageConnection } from '../port/storage.ts'
import type { Health } from './health.ts'
import type { LogTail } from './log-tail.ts'

/** Called when a listener of `engine.on` or `onHealth` threw or rejected. `told`: what the listener was called with. */
export type OnListenerError = (error: unknown, told: EventOf | Health) => unknown

/** Called after each event of a job. `written`: the job's record, if this engine knows all of its row. */
type Waiter = (written?: Job) => void

/** How many log rows the tail reads at once. */
const TAIL_ROWS = 500

/**
 * Reports commits to listeners of this process, and to waiters: callers that wait for a job.
 *
 * Listeners get this engine's own commits; an error of one does not affect others. Waiters follow the whole log: they
 * learn of own commits at once, and of those of other engines when the tail is read. A waiter is only told that
 * something has happened. It then checks the job's record itself.
 */
export class Publisher {
  readonly #emitter = new EventEmitter()
  readonly #onListenerError: OnListenerError
  readonly #waiters = new Waiters()
  readonly #logWaiters = new Waiters()
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
  on<Type extends EventType>(type: Type, listener: (event: EventOf<Type>) => unknown): () => void {
    const isolated = (event: EventOf) => this.call(listener, event)
    this.#emitter.on(type, isolated)
    this.#listeners++
    return () => {
      if (!this.#emitter.listeners(type).includes(isolated)) return
      this.#emitter.off(type, isolated)
      this.#listeners--
    }
  }

  /**
   * Publishes a row of this engine's own commit. `written`: the job's record, if all of its row is known. Waiters then
   * need not read it.
   */
  publish(row: EventRow, sequence: number, written?: Job): void {
    this.#tail?.take(row, sequence)
    if (this.#listeners > 0 && row.events.some(({ type }) => this.#emitter.listenerCount(type) > 0)) {
      for (const event of publicEvents(row, sequence)) this.#emitter.emit(event.type, event)
    }
    this.#wake(row.jobId, written)
  }

  /**
   * Reads commits of other engines. Calls `heard` for each changed job, before those who wait for the job are woken.
   */
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

  /**
   * Calls back after each event of the job, and after changes without an event that this engine makes. Returns a function
   * that ends this.
   */
  watch(jobId: string, wake: Waiter): () => void {
    return this.#waiters.add(jobId, wake)
  }

  /** Calls back after each event of the job, and when its log may have new lines. Returns a function that ends this. */
  watchLog(jobId: string, wake: () => void): () => void {
    return this.#logWaiters.add(jobId, wake)
  }

  /** Called when this engine has changed a job without an event, e.g. has told its task to end. */
  changed(jobId: string): void {
    this.#waiters.wake(jobId)
  }

  /** Called when this engine has added lines to the job's log. */
  logged(jobId: string): void {
    this.#logWaiters.wake(jobId)
  }

  /** Called when another engine has written something, which may be lines of any log. */
  loggedElsewhere(): void {
    this.#logWaiters.wakeAll()
  }

  /** Wakes all waiters and all followers of the log. */
  wakeAll(): void {
    this.#tail?.wakeAll()
    this.#waiters.wakeAll()
    this.#logWaiters.wakeAll()
  }

  #wake(jobId: string, written?: Job): void {
    this.#waiters.wake(jobId, written)
    this.#logWaiters.wake(jobId)
  }

  /** Calls a listener. If it throws, rejects or never resolves, other listeners and jobs are not affected. */
  call(listener: (told: never) => unknown, told: EventOf | Health): void {
    try {
      // Each listener is registered for the type of event that it takes, so the cast is safe.
      const returned = listener(told as never)
      Promise.resolve(returned).catch((error: unknown) => this.#report(error, told))
    } catch (error) {
      this.#report(error, told)
    }
  }

  #report(error: unknown, told: EventOf | Health): void {
    try {
      Promise.resolve(this.#onListenerError(error, told)).catch(() => {})
    } catch {
      // The listener for errors has failed itself. Its error cannot be reported anywhere.
    }
  }
}

/** Waiters by job id. Most jobs have at most one. */
class Waiters {
  readonly #byJob = new Map<string, readonly Waiter[]>()

  add(jobId: string, wake: Waiter): () => void {
    this.#byJob.set(jobId, [...(this.#byJob.get(jobId) ?? []), wake])
    return () => {
      const others = this.#byJob.get(jobId)?.filter((each) => each !== wake) ?? []
      if (others.length === 0) this.#byJob.delete(jobId)
      else this.#byJob.set(jobId, others)
    }
  }

  wake(jobId: string, written?: Job): void {
    const waiters = this.#byJob.get(jobId)
    if (waiters !== undefined) for (const wake of waiters) wake(written)
  }

  wakeAll(): void {
    for (const jobId of [...this.#byJob.keys()]) this.wake(jobId)
  }
}
