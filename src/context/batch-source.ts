import { JobchartError } from '../model/error.ts'
import { shownValue } from '../model/option-checks.ts'
import type { Clock } from '../port/clock.ts'
import { isPromiseLike } from './soon.ts'

/** How long the end of a source that is closed is awaited, in milliseconds. */
const CLOSE_MS = 5_000

/** The items of a batch, one after the other. */
export interface ItemSource {
  /**
   * Resolves with the next items: at least 1, at most `max`. `undefined`: there are no more.
   *
   * @param ahead  how many items may be read ahead of the next call.
   */
  readonly next: (
    max: number,
    ahead: number,
  ) => Promise<readonly unknown[] | undefined> | readonly unknown[] | undefined
  /** Ends the reading: `next` then says that there are no more. Resolves when the source is closed. */
  readonly close: () => Promise<void>
}

/** The items of a list. */
export function listSource(list: readonly unknown[]): ItemSource {
  let read = 0
  return {
    next: (max) => {
      if (read >= list.length) return undefined
      const items = list.slice(read, read + max)
      read += items.length
      return items
    },
    close: async () => {},
  }
}

/** A source that cannot be read. */
export function brokenSource(thrown: unknown): ItemSource {
  return { next: () => Promise.reject(thrown), close: async () => {} }
}

/** Reads an iterable ahead of its use. */
export class StreamSource implements ItemSource {
  readonly #clock: Clock
  readonly #closing = new AbortController()
  readonly #open: (signal: AbortSignal) => unknown
  #iterator: Promise<AsyncIterator<unknown> | Iterator<unknown>> | undefined
  #ahead = 0
  #read: unknown[] = []
  #isReading = false
  #hasEnded = false
  #error: { readonly thrown: unknown } | undefined
  #closed: Promise<void> | undefined
  #wake = () => {}

  /** @param open  opens the iterable. `signal` is aborted when no more items are needed. */
  constructor(open: (signal: AbortSignal) => unknown, clock: Clock) {
    this.#clock = clock
    this.#open = open
  }

  async next(max: number, ahead: number): Promise<readonly unknown[] | undefined> {
    this.#ahead = ahead
    this.#readOn()
    if (this.#read.length === 0 && !this.#hasEnded) {
      await new Promise<void>((resume) => {
        this.#wake = resume
      })
    }
    if (this.#closed !== undefined) return undefined
    if (this.#read.length === 0) {
      if (this.#error !== undefined) throw this.#error.thrown
      return undefined
    }
    const items = this.#read.splice(0, max)
    this.#readOn()
    return items
  }

  #readOn(): void {
    if (this.#isReading || this.#hasEnded || this.#read.length >= this.#ahead) return
    this.#isReading = true
    void this.#readAhead().catch((thrown: unknown) => {
      this.#error = { thrown }
      this.#hasEnded = true
      this.#wake()
    })
  }

  async #readAhead(): Promise<void> {
    this.#iterator ??= (async () => iteratorOf(await this.#open(this.#closing.signal)))()
    const iterator = await this.#iterator
    while (this.#read.length < this.#ahead && !this.#closing.signal.aborted) {
      const next = iterator.next()
      const step = isPromiseLike(next) ? await next : next
      if (step.done === true) {
        this.#hasEnded = true
        break
      }
      // Items of one turn of the event loop are handed out together.
      if (this.#read.push(step.value) === 1) this.#clock.turn(() => this.#wake())
    }
    this.#isReading = false
    if (this.#hasEnded) this.#wake()
  }

  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  async #close(): Promise<void> {
    this.#closing.abort(new JobchartError('TASK_STOPPED', 'the batch needs no more items'))
    this.#read = []
    const isOpen = !this.#hasEnded
    this.#hasEnded = true
    this.#wake()
    if (!isOpen) return
    await this.#withinGrace(async () => {
      const iterator = await this.#iterator
      await iterator?.return?.()
    })
  }

  // A source that ignores its signal may never end.
  #withinGrace(run: () => Promise<void>): Promise<void> {
    return new Promise((resolve) => {
      const cancel = this.#clock.timer(CLOSE_MS, resolve)
      const end = () => {
        cancel()
        resolve()
      }
      // The items of the source are not needed any more, and so is its error.
      run().then(end, end)
    })
  }
}

function iteratorOf(given: unknown): AsyncIterator<unknown> | Iterator<unknown> {
  if (typeof given === 'object' && given !== null) {
    if (Symbol.asyncIterator in given) return (given as AsyncIterable<unknown>)[Symbol.asyncIterator]()
    if (Symbol.iterator in given) return (given as Iterable<unknown>)[Symbol.iterator]()
  }
  const message = `the source of a batch should return an iterable; found ${shownValue(given)}`
  throw new JobchartError('INVALID_DEFINITION', message)
}
