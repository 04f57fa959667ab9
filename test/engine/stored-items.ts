import type { Storage } from 'jobchart'
import type { Job, StoredItem } from 'jobchart/port'

/** A storage whose jobs have the given items of a batch, as if a batch had written them. */
export class StoredItems implements Storage {
  readonly #inner: Storage
  readonly #items = new Map<string, readonly StoredItem[]>()
  /** How many rows the largest read has returned. */
  rowsAtOnceMax = 0

  constructor(inner: Storage) {
    this.#inner = inner
  }

  /** The job has one batch: the first invocation of its invoke `execute`, with these items, ordered by number. */
  give(jobId: string, items: readonly StoredItem[]): void {
    this.#items.set(jobId, items)
  }

  readonly open: Storage['open'] = async (host) => {
    const inner = await this.#inner.open(host)
    const get = async (id: string) => this.#withBatch(await inner.get(id))
    const items: typeof inner.items = async (id, query) => {
      const own = this.#items.get(id)
      if (own === undefined) return await inner.items(id, query)
      const { after, to = Number.POSITIVE_INFINITY, limit, status } = query
      const found = own.filter(({ number, status: each }) => {
        return number > after && number <= to && (status === undefined || each === status)
      })
      this.rowsAtOnceMax = Math.max(this.rowsAtOnceMax, Math.min(found.length, limit))
      return found.slice(0, limit)
    }
    return Object.assign(Object.create(inner) as typeof inner, { ...inner, get, items })
  }

  #withBatch(job: Job | undefined): Job | undefined {
    if (job === undefined || !this.#items.has(job.id)) return job
    return { ...job, batches: [{ invoke: 'execute', ordinal: 1, invocation: 1 }] }
  }
}

/** An item of the first invocation in its job. */
export function batchItem(index: number, fields: Partial<StoredItem> = {}): StoredItem {
  const at = 1_767_225_600_000
  return { number: 2 ** 32 + index, invocation: 1, key: `k${index}`, status: 'completed', attempts: 1, at, ...fields }
}
