import type { ItemSettings } from '../model/batch.ts'
import type { EndedItem } from '../model/batch-piece.ts'
import { isFinalError, jobError } from '../model/error.ts'
import { backoffMs } from '../model/retry.ts'
import { storableCopy } from '../model/storable.ts'
import type { Clock } from '../port/clock.ts'
import type { Candidate } from './batch-items.ts'
import { LiveSet, type Member } from './live-set.ts'
import { type ItemWork, RunningItem } from './running-item.ts'
import { isPromiseLike } from './soon.ts'
import { unitRandom } from './unit-random.ts'

/** The most items that wait for a retry. While there are as many, no new item should begin. */
const WAITING_RETRIES_MAX = 1_000

/** An item that has failed and is to run again. */
interface Retry extends Member {
  readonly candidate: Candidate
  readonly thrown: unknown
  /** Cancels the timer of its back-off. */
  readonly cancel: () => void
}

/** Whom {@link ItemRunner} tells of what happens. */
export interface ItemListener {
  /** An item has ended. */
  readonly ended: (end: EndedItem) => void
  /** A place is free, or the last item has ended. */
  readonly changed: () => void
}

/** Runs items of a batch: attempts, timeouts, retries. An item in back-off takes no place. */
export class ItemRunner {
  readonly #settings: ItemSettings
  readonly #work: ItemWork
  readonly #clock: Clock
  readonly #listener: ItemListener
  readonly #running = new LiveSet<RunningItem>()
  readonly #waiting = new LiveSet<Retry>()
  /** Items whose back-off is over, and which wait for a free place. */
  #due: Retry[] = []
  #isClosing = false
  #halted: { readonly reason: unknown } | undefined
  #wakeIdle = () => {}

  constructor(settings: ItemSettings, work: ItemWork, clock: Clock, listener: ItemListener) {
    this.#settings = settings
    this.#work = work
    this.#clock = clock
    this.#listener = listener
  }

  /** How many items run. */
  get running(): number {
    return this.#running.size
  }

  /** How many items have begun and not ended. */
  get live(): number {
    return this.#running.size + this.#waiting.size + this.#due.length
  }

  /**
   * How many more items may begin.
   *
   * @param allowed  how many items will begin soon.
   */
  room(allowed: number): number {
    if (this.#waiting.size >= WAITING_RETRIES_MAX) return 0
    return Math.max(0, this.#settings.concurrency - this.#running.size - this.#due.length - allowed)
  }

  /** Whether an item up to this index runs. */
  doesRunUpTo(index: number): boolean {
    for (const { candidate } of this.#running) if (candidate.index <= index) return true
    return false
  }

  /** Begins items again whose back-off is over, as long as there are places. */
  beginDue(allowed: number): void {
    while (this.#due.length > 0 && this.#running.size + allowed < this.#settings.concurrency) {
      const retry = this.#due.shift()
      if (retry !== undefined) this.begin(retry.candidate)
    }
  }

  /** Begins an item. */
  begin(candidate: Candidate): void {
    const { each, timeoutMs } = this.#settings
    candidate.attempts++
    const item = new RunningItem(candidate, this.#work)
    this.#running.add(item)
    if (timeoutMs !== null) this.#limit(item, timeoutMs)
    try {
      const output = each(item.context)
      if (isPromiseLike(output)) this.#await(item, output)
      else this.#returned(item, output)
    } catch (thrown) {
      this.#threw(item, thrown)
    }
  }

  // Functions of their own, because each call of a function that has closures makes an object.
  #limit(item: RunningItem, timeoutMs: number): void {
    item.limit(this.#clock, timeoutMs, () => this.#abandoned(item))
  }

  #await(item: RunningItem, output: PromiseLike<unknown>): void {
    Promise.resolve(output).then(
      (value) => this.#returned(item, value),
      (thrown: unknown) => this.#threw(item, thrown),
    )
  }

  #returned(item: RunningItem, output: unknown): void {
    const { index, attempts } = item.candidate
    try {
      if (item.late !== undefined) throw item.late
      const end: EndedItem =
        output === undefined
          ? { index, status: 'completed', attempts }
          : { index, status: 'completed', attempts, output: storableCopy(output, 'output', true) }
      if (this.#leave(item)) this.#end(end)
    } catch (thrown) {
      this.#threw(item, thrown)
    }
  }

  #threw(item: RunningItem, given: unknown): void {
    if (!this.#leave(item)) return
    const { candidate, late } = item
    const thrown = late ?? given
    const { retry } = this.#settings
    // After a stop, the error may come from the stop. The item then runs again in a later attempt.
    if (this.#halted !== undefined) this.#changed()
    else if (this.#isClosing || isFinalError(thrown) || candidate.attempts > retry.limit) this.#fail(candidate, thrown)
    else this.#retryLater(candidate, thrown)
  }

  #retryLater(candidate: Candidate, thrown: unknown): void {
    const delayMs = backoffMs(this.#settings.retry, candidate.attempts, unitRandom(this.#clock))
    const cancel = this.#clock.timer(delayMs, () => {
      this.#waiting.delete(retry)
      this.#due.push(retry)
      this.#changed()
    })
    const retry: Retry = { candidate, thrown, cancel, place: -1 }
    this.#waiting.add(retry)
    this.#changed()
  }

  // The code of the item ignores its signal. It may run on, so the item does not run again.
  #abandoned(item: RunningItem): void {
    if (this.#leave(item)) this.#fail(item.candidate, item.late)
  }

  /** Returns false if the attempt of the item was over already. */
  #leave(item: RunningItem): boolean {
    if (item.isOver) return false
    item.end()
    return this.#running.delete(item)
  }

  #fail({ index, attempts }: Candidate, thrown: unknown): void {
    this.#end({ index, status: 'failed', attempts, error: jobError(thrown) })
  }

  #end(end: EndedItem): void {
    this.#listener.ended(end)
    this.#changed()
  }

  #changed(): void {
    this.#listener.changed()
    if (this.#running.size === 0) this.#wakeIdle()
  }

  /** Items that wait for a retry end with their last error. What runs goes on to its end, and is not tried again. */
  close(): void {
    this.#isClosing = true
    const retries = [...this.#waiting.takeAll(), ...this.#due]
    this.#due = []
    for (const { candidate, thrown, cancel } of retries) {
      cancel()
      this.#fail(candidate, thrown)
    }
  }

  /** Tells what runs to stop. An item that fails after that has no end. */
  halt(reason: unknown): void {
    this.#halted = { reason }
    for (const { cancel } of this.#waiting) cancel()
    this.#due = []
    for (const item of [...this.#running]) item.abort(reason)
  }

  /** Resolves when no item runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) {
      await new Promise<void>((resume) => {
        this.#wakeIdle = resume
      })
    }
  }
}
