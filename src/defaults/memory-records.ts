import type { Json } from '../model/storable.ts'
import type { ItemQuery, LogLine, NewLine, Note, StoredItem, Write } from '../port/storage.ts'
import { MemoryBatch } from './memory-batch.ts'
import { pairKey } from './pair-key.ts'

interface KeptLine extends LogLine {
  readonly key: string
}

interface Step {
  /**
   * The job and the invocation that recorded the step first. `n` is the number of the job's row. Absent for a copied
   * step.
   */
  readonly by?: { readonly n: number; readonly invocation: number }
  readonly result: Json | undefined
}

type Undo = () => void
type StepNote = Extract<Note, { kind: 'step' }>
type ItemNote = Extract<Note, { kind: 'item' }>
type ItemsNote = Extract<Note, { kind: 'items' }>
type EndItems = Extract<Write, { op: 'endItems' }>

/**
 * What is stored beside the record of one job: its log lines, recorded steps and items. Each write returns a function
 * that undoes it.
 */
export class MemoryRecords {
  readonly #lines: KeptLine[] = []
  readonly #lineKeys = new Set<string>()
  /** The recorded steps: by invoke and ordinal, then by step name. */
  readonly #steps = new Map<string, Map<string, Step>>()
  /** Reported items, in the order of their numbers. */
  readonly #items: StoredItem[] = []
  readonly #itemNumbers = new Map<string, number>()
  /** The items of batches, by invocation. */
  readonly #batches = new Map<number, MemoryBatch>()

  /**
   * Adds log lines, unless lines with the same key were added before. If there are then more than `max`, the oldest are
   * removed.
   */
  addLines(key: string, added: readonly NewLine[], max: number): Undo | undefined {
    if (this.#lineKeys.has(key)) return undefined
    const last = this.#lines.at(-1)?.number ?? 0
    this.#lineKeys.add(key)
    for (const [index, line] of added.entries()) this.#lines.push({ ...line, key, number: last + index + 1 })
    const dropped = this.#lines.splice(0, Math.max(0, this.#lines.length - max))
    for (const line of dropped) if (this.#lines[0]?.key !== line.key) this.#lineKeys.delete(line.key)
    return () => {
      for (const line of dropped) this.#lineKeys.add(line.key)
      this.#lines.unshift(...dropped)
      this.#lines.length -= added.length
      this.#lineKeys.delete(key)
    }
  }

  /** Lines whose number is above `after`, oldest first. */
  lines(after: number, limit: number): readonly LogLine[] {
    const first = this.#lines[0]?.number ?? 1
    const from = Math.max(0, after + 1 - first)
    return this.#lines.slice(from, from + limit).map(({ key, ...line }) => line)
  }

  /** Removes all lines. Returns how many there were. */
  dropLines(): number {
    this.#lineKeys.clear()
    return this.#lines.splice(0).length
  }

  /** Stores the result of a step. If the step has a result already, that one stays. */
  addStep(by: NonNullable<Step['by']>, { invoke, ordinal, name, result }: StepNote): Undo | undefined {
    const key = pairKey(invoke, String(ordinal))
    const steps = this.#steps.get(key) ?? new Map<string, Step>()
    if (steps.has(name)) return undefined
    this.#steps.set(key, steps.set(name, { by, result }))
    return () => steps.delete(name)
  }

  /** Copies the results of another job's steps. */
  copySteps(from: MemoryRecords): void {
    for (const [key, steps] of from.#steps) {
      this.#steps.set(key, new Map([...steps].map(([name, { result }]) => [name, { result }])))
    }
  }

  steps(invoke: string, ordinal: number): ReadonlyMap<string, Json | undefined> {
    const steps = this.#steps.get(pairKey(invoke, String(ordinal))) ?? []
    return new Map([...steps].map(([name, { result }]) => [name, result]))
  }

  /**
   * Stores an item, replacing the one with the same key. Returns `full` if the item is new and there are already `max`
   * items.
   */
  putItem({ invocation, item, max }: ItemNote): Undo | 'full' {
    const key = pairKey(String(invocation), item.key)
    const known = this.#itemNumbers.get(key)
    if (known === undefined && this.#items.length >= max) return 'full'
    const number = known ?? this.#items.length + 1
    const before = this.#items[number - 1]
    this.#items[number - 1] = { ...item, number, invocation }
    this.#itemNumbers.set(key, number)
    return () => {
      if (before !== undefined) this.#items[number - 1] = before
      else {
        this.#items.length -= 1
        this.#itemNumbers.delete(key)
      }
    }
  }

  /** Adds and ends items of a batch. */
  putBatch(note: ItemsNote): Undo {
    const batch = this.#batches.get(note.invocation) ?? new MemoryBatch()
    this.#batches.set(note.invocation, batch)
    return batch.put(note)
  }

  /** Ends all items of a batch that wait. */
  endBatch(write: EndItems): Undo | undefined {
    return this.#batches.get(write.invocation)?.endWaiting(write)
  }

  /** Which of these keys are stored for an invocation of a batch. */
  batchKeys(invocation: number, keys: readonly string[]): readonly { key: string; index: number }[] {
    return this.#batches.get(invocation)?.keys(keys) ?? []
  }

  /** Items whose number is above `after`, by their numbers. */
  items({ after, limit, status, to = Number.POSITIVE_INFINITY }: ItemQuery): readonly StoredItem[] {
    const found: StoredItem[] = []
    for (const item of this.#itemsAfter(after)) {
      if (found.length >= limit || item.number > to) break
      if (status === undefined || item.status === status) found.push(item)
    }
    return found
  }

  *#itemsAfter(after: number): Iterable<StoredItem> {
    for (let index = after; index < this.#items.length; index++) {
      const item = this.#items[index]
      if (item !== undefined) yield item
    }
    const batches = [...this.#batches].sort(([a], [b]) => a - b)
    for (const [, batch] of batches) yield* batch.after(after)
  }

  /** For each step that the job with the row number `n` has recorded: the invocation that recorded it, and 1. */
  *stepsBy(n: number): Iterable<readonly [invocation: number, count: number]> {
    for (const steps of this.#steps.values()) {
      for (const { by } of steps.values()) if (by?.n === n) yield [by.invocation, 1]
    }
  }

  /** How many items each invocation has recorded, for reported items and for batches. */
  *itemsBy(): Iterable<readonly [invocation: number, count: number]> {
    for (const { invocation } of this.#items) yield [invocation, 1]
    for (const [invocation, { recorded }] of this.#batches) if (recorded > 0) yield [invocation, recorded]
  }
}
