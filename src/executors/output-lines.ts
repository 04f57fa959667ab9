import type { Readable } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** The most characters of a line. A longer line is cut into several. */
const LINE_CHARACTERS_MAX = 10_000

/** The least that a line takes from the budget. Each line is stored by itself, so even a short line has a cost. */
const LINE_BYTES_MIN = 100

/** How many bytes of the dropped output are remembered. */
const LAST_BYTES = 8_000

/**
 * Counts how much of a program's output may still be kept. The rest is read and dropped, so that the program is never
 * blocked. The last part of what is dropped is remembered, because a program often says at its end why it failed.
 */
export class OutputBudget {
  readonly max: number
  #left: number
  #isTold = false
  /** The last part of what was dropped: the first `#size` bytes. One buffer for all, as a flood has many chunks. */
  readonly #last = Buffer.alloc(LAST_BYTES)
  #size = 0

  constructor(max: number) {
    this.max = max
    this.#left = max
  }

  /** Takes a line from the budget. False: too little is left, so the line is dropped. */
  take(line: string): boolean {
    this.#left -= Math.max(line.length, LINE_BYTES_MIN)
    return this.#left >= 0
  }

  /** Whether the budget is used up, so that nothing more is kept. */
  get isOver(): boolean {
    return this.#left < 0
  }

  /** Remembers the last part of what is dropped. The chunk is copied. */
  drop(chunk: Buffer): void {
    const end = chunk.subarray(-LAST_BYTES)
    const kept = Math.min(this.#size, LAST_BYTES - end.length)
    this.#last.copyWithin(0, this.#size - kept, this.#size)
    this.#size = kept + end.copy(this.#last, kept)
  }

  /** The last lines that were dropped; the first of them may be cut. */
  get lastDropped(): readonly string[] {
    const text = this.#last.toString('utf8', 0, this.#size)
    return text === '' ? [] : text.replace(/\n$/, '').split('\n').map(shownLine)
  }

  /** True at the first call only, so that the log says once that output is dropped. */
  isFirstOver(): boolean {
    const wasTold = this.#isTold
    this.#isTold = true
    return !wasTold
  }
}

/**
 * Reads a stream to its end, and calls `line` for each line. If a program overwrote a line by `\r`, as progress bars
 * do, only the last text of the line is given.
 */
export async function readLines(stream: Readable, budget: OutputBudget, line: (text: string) => void): Promise<void> {
  const decoder = new StringDecoder('utf8')
  let rest = ''
  const give = (text: string) => {
    const shown = shownLine(text)
    for (let from = 0; from === 0 || from < shown.length; from += LINE_CHARACTERS_MAX) {
      const part = shown.slice(from, from + LINE_CHARACTERS_MAX)
      if (budget.take(part)) line(part)
      else {
        if (budget.isFirstOver()) line(`(output over ${budget.max} characters is dropped)`)
        budget.drop(Buffer.from(`${part}\n`))
      }
    }
  }
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      if (budget.isOver) {
        budget.drop(rest === '' ? chunk : Buffer.concat([Buffer.from(rest), chunk]))
        rest = ''
        free(chunk)
        continue
      }
      const text = decoder.write(chunk)
      free(chunk)
      const lines = `${rest}${text}`.split('\n')
      rest = lines.pop() ?? ''
      for (const each of lines) give(each)
      for (; rest.length > LINE_CHARACTERS_MAX; rest = rest.slice(LINE_CHARACTERS_MAX)) {
        give(rest.slice(0, LINE_CHARACTERS_MAX))
      }
    }
  } catch {
    // The read failed because this process closed the pipe after the program had ended. The lines read so far still
    // count.
  }
  if (!budget.isOver) rest += decoder.end()
  if (rest !== '') give(rest)
}

function shownLine(text: string): string {
  const ended = text.replace(/\r+$/, '')
  return ended.slice(ended.lastIndexOf('\r') + 1)
}

// Frees the memory of a chunk at once. Until the garbage collector freed them, many chunks would take some 70 MB. A
// chunk that is part of a shared buffer is left alone.
function free({ buffer, byteLength }: Buffer): void {
  if (buffer instanceof ArrayBuffer && buffer.byteLength === byteLength) buffer.transfer(0)
}
