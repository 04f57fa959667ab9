import type { Item } from '../model/item.ts'
import type { Json } from '../model/storable.ts'
import type { ItemQuery, LogLine, NewLine, StoredItem } from '../port/storage.ts'

/** Makes a change of what is stored, and keeps how it is undone. */
export type Change = (run: () => void, undo: () => void) => void

interface KeptLine {
  readonly key: string
  readonly line: LogLine
}

type Steps = ReadonlyMap<string, Json | undefined>

/** What is kept beside the records of jobs: lines of their logs, results of their steps, their items. */
export class MemoryRecords {
  readonly #lines = new Map<string, readonly KeptLine[]>()
  /** By job, then by the invocation of the invoke. */
  readonly #steps = new Map<string, ReadonlyMap<number, Steps>>()
  /** By job, then by key, in the order of their numbers. */
  readonly #items = new Map<string, Map<string, StoredItem>>()
  readonly #logLinesMax: number
  readonly #change: Change

  constructor(logLinesMax: number, change: Change) {
    this.#logLinesMax = logLinesMax
    this.#change = change
  }

  addLines(jobId: string, key: string, added: readonly NewLine[]): void {
    const lines = this.#lines.get(jobId) ?? []
    if (lines.some((each) => each.key === key)) return
    const last = lines.at(-1)?.line.number ?? 0
    const more = added.map((line, index) => ({ key, line: { at: line.at, text: line.text, number: last + index + 1 } }))
    this.#put(this.#lines, jobId, [...lines, ...more].slice(-this.#logLinesMax))
  }

  /** Lines whose number is above `after`, oldest first. */
  lines(jobId: string, after: number, limit: number): readonly LogLine[] {
    const lines = (this.#lines.get(jobId) ?? []).map(({ line }) => line)
    return lines.filter(({ number }) => number > after).slice(0, limit)
  }

  addStep(jobId: string, invocation: number, name: string, result: Json | undefined): void {
    const entries = this.#steps.get(jobId) ?? new Map<number, Steps>()
    const steps = entries.get(invocation) ?? new Map<string, Json | undefined>()
    if (steps.has(name)) return
    const after = new Map(steps).set(name, structuredClone(result))
    this.#put(this.#steps, jobId, new Map(entries).set(invocation, after))
  }

  dropSteps(jobId: string, invocation: number): void {
    const rest = new Map(this.#steps.get(jobId))
    if (rest.delete(invocation)) this.#put(this.#steps, jobId, rest)
  }

  steps(jobId: string, invocation: number): Steps {
    return structuredClone(this.#steps.get(jobId)?.get(invocation) ?? new Map<string, Json | undefined>())
  }

  /** Keeps an item under its key, and answers that there was room for it. */
  putItem(jobId: string, item: Item, max: number): boolean {
    const items = this.#items.get(jobId) ?? new Map<string, StoredItem>()
    const before = items.get(item.key)
    if (before === undefined && items.size >= max) return false
    const after = { ...structuredClone(item), number: before?.number ?? items.size + 1 }
    // In place: a job may have very many, and what is replaced keeps its place in the order.
    this.#change(
      () => this.#items.set(jobId, items.set(item.key, after)),
      () => (before === undefined ? items.delete(item.key) : items.set(item.key, before)),
    )
    return true
  }

  /** Items whose number is above `after`, oldest first. */
  items(jobId: string, { after, limit, status }: ItemQuery): readonly StoredItem[] {
    return [...(this.#items.get(jobId)?.values() ?? [])]
      .filter((item) => item.number > after && (status === undefined || item.status === status))
      .slice(0, limit)
      .map((item) => structuredClone(item))
  }

  /** Forgets all of a job. */
  forget(jobId: string): void {
    this.#put(this.#lines, jobId, undefined)
    this.#put(this.#steps, jobId, undefined)
    this.#put(this.#items, jobId, undefined)
  }

  #put<Value>(map: Map<string, Value>, jobId: string, after: Value | undefined): void {
    const before = map.get(jobId)
    this.#change(
      () => set(map, jobId, after),
      () => set(map, jobId, before),
    )
  }
}

function set<Value>(map: Map<string, Value>, key: string, value: Value | undefined): void {
  if (value === undefined) map.delete(key)
  else map.set(key, value)
}
