import { isStop } from '../model/stop.ts'
import type { Json } from '../model/storable.ts'

/** A message from the chart to a task. */
export interface Message {
  readonly type: string
  readonly [field: string]: unknown
}

/** The messages of one attempt, in order, each given once; it ends with the attempt. */
export class Inbox implements AsyncIterable<Message> {
  readonly #messages: Message[] = []
  readonly #listeners = new Set<(message: Message) => void>()
  #isClosed = false
  #wake: () => void = () => {}

  /** Takes the messages as they stand in the job's row: those beyond the ones that are known. */
  take(messages: readonly Json[]): void {
    if (this.#isClosed) return
    for (const each of messages.slice(this.#messages.length)) {
      // Written by a chart's `sendTo`, so it is an event; a copy, since the row's is not the code's to change.
      const message = structuredClone(each) as Message
      this.#messages.push(message)
      // A stop is the signal's to tell.
      if (!isStop(each)) for (const listener of this.#listeners) listener(message)
    }
    this.#wake()
  }

  /** Hears of every message, from the first on. */
  listen(listener: (message: Message) => void): void {
    this.#listeners.add(listener)
    for (const message of this.#messages) if (!isStop(message as Json)) listener(message)
  }

  /** No more messages are taken. Who reads them one by one still gets those that came before. */
  close(): void {
    this.#isClosed = true
    this.#listeners.clear()
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Message> {
    for (let next = 0; ; ) {
      const message = this.#messages[next]
      if (message !== undefined) {
        next++
        if (!isStop(message as Json)) yield message
        continue
      }
      if (this.#isClosed) return
      await new Promise<void>((resume) => {
        const before = this.#wake
        this.#wake = () => {
          before()
          resume()
        }
      })
    }
  }
}
