import type { BatchPiece } from '../model/batch-piece.ts'
import type { ItemReport } from '../model/item.ts'
import type { ProgressReport } from '../model/progress.ts'
import type { Json } from '../model/storable.ts'
import type { LineStream } from '../model/task.ts'
import type { LineOptions, TaskChannel, TaskMessage } from '../port/executor.ts'

/** Something that running code reported. */
export type Report =
  | { readonly kind: 'started'; readonly handle?: Json }
  | { readonly kind: 'progress'; readonly report: ProgressReport | number }
  | { readonly kind: 'log'; readonly text: string; readonly stream?: LineStream }
  | { readonly kind: 'item'; readonly key: string; readonly report: ItemReport | undefined }
  | { readonly kind: 'items'; readonly piece: BatchPiece }
  | { readonly kind: 'step'; readonly name: string; readonly result: Json | undefined }
  | { readonly kind: 'send'; readonly event: TaskMessage }

/** A channel that stores what the code reports, in order. */
export class RecordedChannel implements TaskChannel {
  readonly reports: Report[] = []
  readonly #messages: TaskMessage[] = []
  #waiting: (() => void)[] = []

  readonly started = async (handle?: Json): Promise<void> =>
    this.#take({ kind: 'started', ...(handle === undefined ? {} : { handle }) })

  readonly progress = (report: ProgressReport | number): void => this.#take({ kind: 'progress', report })

  readonly log = (text: string, options: LineOptions = {}): void => this.#take({ kind: 'log', text, ...options })

  readonly item = async (key: string, report?: ItemReport): Promise<void> => this.#take({ kind: 'item', key, report })

  readonly items = async (piece: BatchPiece): Promise<void> => this.#take({ kind: 'items', piece })

  // Earlier attempts have recorded nothing.
  readonly recordedItems: TaskChannel['recordedItems'] = async () => []

  readonly itemKeys: TaskChannel['itemKeys'] = async () => []

  readonly step = async (name: string, result: Json | undefined): Promise<void> =>
    this.#take({ kind: 'step', name, result })

  readonly send = async (event: TaskMessage): Promise<boolean> => {
    this.#take({ kind: 'send', event })
    return true
  }

  readonly inbox: AsyncIterable<TaskMessage> = { [Symbol.asyncIterator]: () => this.#read() }

  /** Sends a message to the running code. */
  tell(message: TaskMessage): void {
    this.#messages.push(message)
    this.#wake()
  }

  /** The log lines that were reported so far. */
  get lines(): readonly string[] {
    return this.reports.flatMap((report) => (report.kind === 'log' ? [report.text] : []))
  }

  /** Waits for a log line that begins with this text. Resolves with the first one. */
  async line(start: string): Promise<string> {
    for (;;) {
      const line = this.lines.find((text) => text.startsWith(start))
      if (line !== undefined) return line
      await new Promise<void>((resume) => this.#waiting.push(resume))
    }
  }

  #take(report: Report): void {
    this.reports.push(report)
    this.#wake()
  }

  #wake(): void {
    for (const resume of this.#waiting.splice(0)) resume()
  }

  async *#read(): AsyncGenerator<TaskMessage> {
    for (let next = 0; ; ) {
      const message = this.#messages[next]
      if (message === undefined) await new Promise<void>((resume) => this.#waiting.push(resume))
      else {
        next++
        yield message
      }
    }
  }
}
