import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** A longer line is cut into several. */
const LINE_CHARACTERS_MAX = 10_000

/** How much of a program's output is kept; what is over is read and dropped, so that it never blocks the program. */
export class OutputBudget {
  readonly max: number
  #left: number
  #isTold = false

  constructor(max: number) {
    this.max = max
    this.#left = max
  }

  /** Takes so many bytes; false: there are no more. */
  take(bytes: number): boolean {
    this.#left -= bytes
    return this.#left >= 0
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
  const give = (text: string) => line(text.slice(text.replace(/\r+$/, '').lastIndexOf('\r') + 1).replace(/\r+$/, ''))
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (!budget.take(chunk.length)) {
        if (budget.isFirstOver()) line(`(output over ${budget.max} bytes is dropped)`)
        continue
      }
      const lines = `${rest}${decoder.write(chunk)}`.split('\n')
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
