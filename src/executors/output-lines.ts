import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** A longer line is cut into several. */
const LINE_CHARACTERS_MAX = 10_000

/** What a line takes at least of the budget, however short: each is stored by itself. */
const LINE_BYTES_MIN = 100

/** How much of a program's output is kept; what is over is read and dropped, so that it never blocks the program. */
export class OutputBudget {
  readonly max: number
  #left: number
  #isTold = false

  constructor(max: number) {
    this.max = max
    this.#left = max
  }

  /** Takes a line; false: there is no room for it. */
  take(line: string): boolean {
    this.#left -= Math.max(line.length, LINE_BYTES_MIN)
    return this.#left >= 0
  }

  /** Nothing more is kept. */
  get isOver(): boolean {
    return this.#left < 0
  }

  /** True the first time that it is asked. */
  isFirstOver(): boolean {
    const wasTold = this.#isTold
    this.#isTold = true
    return !wasTold
  }
}

/** Reads a stream to its end, and gives its lines. Of a line that was overwritten by `\r`, it gives what was left. */
export async function readLines(stream: Readable, budget: OutputBudget, line: (text: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const give = (text: string) => {
    const shown = text.slice(text.replace(/\r+$/, '').lastIndexOf('\r') + 1).replace(/\r+$/, '')
    for (let from = 0; from === 0 || from < shown.length; from += LINE_CHARACTERS_MAX) {
      const part = shown.slice(from, from + LINE_CHARACTERS_MAX)
      if (budget.take(part)) line(part)
      else if (budget.isFirstOver()) line(`(output over ${budget.max} characters is dropped)`)
    }
  }
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      const text = budget.isOver ? undefined : decoder.write(chunk)
      free(chunk)
      if (text === undefined) continue
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop() ?? ''
      for (const each of lines) give(each)
      for (; rest.length > LINE_CHARACTERS_MAX; rest = rest.slice(LINE_CHARACTERS_MAX)) {
        give(rest.slice(0, LINE_CHARACTERS_MAX))
      }
    }
  } catch {
    // The pipe was closed from this side, since what held it had been killed.
  }
  rest += decoder.end()
  if (rest !== '') give(rest)
}

// Gives its memory back at once: left to the garbage collector, a flood would take some 70 MB. A part of a shared buffer is
// not touched.
function free({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}
