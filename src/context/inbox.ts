import { isStop } from '../model/stop.ts'
import type { Json } from '../model/storable.ts'
import type { TaskMessage } from '../port/executor.ts'

/**
 * The messages that the chart has sent to one attempt, in order. Iterating over it gives each message once, and ends
 * when the attempt ends.
 */
export class Inbox implements AsyncIterable<TaskMessage> {
  readonly #messages: TaskMessage[] = []
  readonly #listeners = new Set<(message: TaskMessage) => void>()
  #isClosed = false
  #waiting: (() => void)[] = []

  /** How many messages have come. */
  get count(): number {
    return this.#messages.length
  }

  /** Takes over the messages that are new. `messages`: the whole inbox in the job's row. */
  take(messages: readonly Json[]): void {
    if (this.#isClosed) return
    // The cast is safe: charts send only events. Copied, because task code may change the message.
    for (const each of messages.slice(this.count)) this.add(structuredClone(each) as TaskMessage)
  }

  /** Adds a message. It belongs to the inbox from now on, and may be changed by the task's code. */
  add(message: TaskMessage): void {
    if (this.#isClosed) return
    this.#messages.push(message)
    // A stop reaches the code by its signal, not as a message.
    if (!isStop(message as Json)) for (const listener of this.#listeners) listener(message)
    this.#wake()
  }

  /** Calls the listener with each message: at once with those that have come, later with new ones. */
  listen(listener: (message: TaskMessage) => void): void {
    this.#listeners.add(listener)
    for (const message of this.#messages) if (!isStop(message as Json)) listener(message)
  }

  /** Takes no more messages. A reader still receives the earlier ones. */
  close(): void {
    this.#isClosed = true
    this.#listeners.clear()
    this.#wake()
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<TaskMessage> {
    for (let next = 0; ; ) {
      const message = this.#messages[next]
      if (message !== undefined) {
        next++
        if (!isStop(message as Json)) yield message
        continue
      }
      if (this.#isClosed) return
      await new Promise<void>((resume) => this.#waiting.push(resume))
    }
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume()
  }
}
