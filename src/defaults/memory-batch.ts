import { batchNumber } from '../model/item.ts'
import type { Note, StoredItem, Write } from '../port/storage.ts'

type Undo = () => void
type ItemsNote = Extract<Note, { kind: 'items' }>
type EndItems = Extract<Write, { op: 'endItems' }>

/** The items of one invocation of a batch, in the order of their numbers (S55 to S57). */
export class MemoryBatch {
  readonly #items: StoredItem[] = []
  readonly #indexes = new Map<string, number>()
  /** How many ends of items, and how many changes of the `careful` mark, were recorded. */
  recorded = 0
  #careful: number | undefined

  /** Adds items that are not stored yet, and then ends items that wait. Returns a function that undoes it. */
  put({ invocation, added, ended, progress, at }: ItemsNote): Undo {
    const undo = this.#undo()
    for (const { index, key, input } of added) {
      const number = batchNumber(invocation, index)
      const place = this.#placeOf(number)
      if (this.#items[place]?.number === number) continue
      const kept = this.#indexes.has(key)
      const item = { key, status: 'waiting', at, attempts: 0, number, invocation } as const
      this.#items.splice(place, 0, input === undefined ? item : { ...item, input })
      if (!kept) this.#indexes.set(key, index)
      undo.push(() => {
        this.#items.splice(place, 1)
        if (!kept) this.#indexes.delete(key)
      })
    }
    for (const { index, ...end } of ended) {
      const place = this.#placeOf(batchNumber(invocation, index))
      const before = this.#items[place]
      if (before?.number === batchNumber(invocation, index)) this.#end(place, { ...before, ...end, at }, undo)
    }
    if (progress.careful !== undefined && progress.careful !== this.#careful) this.recorded++
    this.#careful = progress.careful
    return () => undoAll(undo)
  }

  /** Ends all items that wait (S56). Returns a function that undoes it. */
  endWaiting({ invocation, begun, error, at }: EndItems): Undo {
    const undo = this.#undo()
    for (const [place, item] of this.#items.entries()) {
      const hasBegun = item.number <= batchNumber(invocation, begun)
      this.#end(place, { ...item, at, ...(hasBegun ? { status: 'failed', error } : { status: 'skipped' }) }, undo)
    }
    return () => undoAll(undo)
  }

  #undo(): Undo[] {
    const { recorded } = this
    const careful = this.#careful
    return [
      () => {
        this.recorded = recorded
        this.#careful = careful
      },
    ]
  }

  #end(place: number, item: StoredItem, undo: Undo[]): void {
    const before = this.#items[place]
    if (before?.status !== 'waiting') return
    this.#items[place] = item
    this.recorded++
    undo.push(() => {
      this.#items[place] = before
    })
  }

  /** Which of these keys are stored, with the index of the item. */
  keys(keys: readonly string[]): readonly { key: string; index: number }[] {
    return keys.flatMap((key) => {
      const index = this.#indexes.get(key)
      return index === undefined ? [] : [{ key, index }]
    })
  }

  /** The items with a number above `after`. */
  *after(after: number): Iterable<StoredItem> {
    for (let place = this.#placeOf(after + 1); place < this.#items.length; place++) {
      const item = this.#items[place]
      if (item !== undefined) yield item
    }
  }

  // The place of the first item with this number or a higher one.
  #placeOf(number: number): number {
    const last = this.#items.at(-1)
    // Items are mostly added at the end.
    if (last === undefined || last.number < number) return this.#items.length
    let [from, to] = [0, this.#items.length]
    while (from < to) {
      const middle = Math.floor((from + to) / 2)
      const item = this.#items[middle]
      if (item !== undefined && item.number < number) from = middle + 1
      else to = middle
    }
    return from
  }
}

function undoAll(undo: Undo[]): void {
  for (const each of undo.toReversed()) each()
}
