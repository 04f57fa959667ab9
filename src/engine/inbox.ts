import { isStop } from '../model/stop.ts'
import type { Json } from '../model/storable.ts'

/** A message from the chart to a task. */
export interface Message {
  readonly type: string
  readonly [field: string]: unknown
}

/**
 * The messages that the chart has sent to one attempt, in order. Iterating over it gives each message once, and ends
 * when the attempt ends.
 */
export class Inbox implements AsyncIterable<Message> {
  readonly #messages: Message[] = []
  readonly #listeners = new Set<(message: Message) => void>()
  #isClosed = false
  #wake: () => void = () => {}

  /** Takes over the messages that are new. `messages`: the whole inbox in the job's row. */
  take(messages: readonly Json[]): void {
    if (this.#isClosed) return
    for (const each of messages.slice(this.#messages.length)) {
      // The cast is safe: charts send only events. Copied, because task code may change the message.
      const message = structuredClone(each) as Message
      this.#messages.push(message)
      // A stop reaches the code by its signal, not as a message.
      if (!isStop(each)) for (const listener of this.#listeners) listener(message)
    }
    this.#wake()
  }

  /** Calls the listener with each message: at once with those that have come, later with new ones. */
  listen(listener: (message: Message) => void): void {
    this.#listeners.add(listener)
    for (const message of this.#messages) if (!isStop(message as Json)) listener(message)
  }

  /** Takes no more messages. A reader still receives the earlier ones. */
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
