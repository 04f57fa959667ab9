import { onTestFinished } from 'vitest'
import { BatchRun } from '../../src/context/batch-run.ts'
import { type BatchRunOptions, type ItemContext, parseItems } from '../../src/model/batch.ts'
import type { BatchCounts, BatchPiece } from '../../src/model/batch-piece.ts'
import { JobchartError } from '../../src/model/error.ts'
import { type VirtualClock, virtualClock } from '../../src/testing/virtual-clock.ts'
import { BatchStore } from './batch-store.ts'

/** An item that runs, until the test ends it. */
export interface OpenItem extends ItemContext {
  readonly resolve: (output?: unknown) => void
  readonly reject: (error: unknown) => void
}

/** One attempt of a batch. */
export interface BatchAttempt {
  readonly ended: Promise<BatchCounts>
  readonly drain: () => void
  readonly stop: (code?: 'TASK_STOPPED' | 'ENGINE_STOPPED') => void
  /** As if its process had died: no further write of it counts. */
  readonly lose: () => void
}

/** Batches on a store in memory. */
export class BatchWorld {
  readonly clock: VirtualClock = virtualClock()
  readonly store: BatchStore
  /** The items that run. */
  readonly open = new Map<number, OpenItem>()
  /** The index of each item that has begun, in order. */
  readonly begun: number[] = []

  constructor(store: BatchStore = new BatchStore()) {
    this.store = store
  }

  /** Begins an attempt. Without `each`, each item runs until the test ends it. */
  attempt(
    options: Partial<BatchRunOptions>,
    input?: unknown,
    { isDraining = false }: { readonly isDraining?: boolean } = {},
  ): BatchAttempt {
    const [stopping, draining] = [new AbortController(), new AbortController()]
    if (isDraining) draining.abort()
    let isHeld = true
    const each = (context: ItemContext) => {
      if (!isHeld) return new Promise<never>(() => {})
      this.begun.push(context.index)
      return options.each === undefined ? this.#opened(context) : options.each(context)
    }
    const work = {
      job: { id: 'job', type: 'scrape', trigger: 'manual' } as const,
      ...{ attempt: 1, idempotencyKey: 'job:1', reported: undefined, recordedSteps: async () => new Map() },
      ...{ signal: stopping.signal, draining: draining.signal, batch: this.store.start },
      channel: this.store.channel(() => isHeld),
    }
    const ended = new BatchRun(parseItems({ ...options, each }), work, input, this.clock).run()
    ended.catch(() => {})
    const lose = () => {
      isHeld = false
      this.open.clear()
      stopping.abort(new JobchartError('STALE_CLAIM', 'lost'))
    }
    onTestFinished(lose)
    return {
      ended,
      drain: () => draining.abort(),
      stop: (code = 'TASK_STOPPED') => stopping.abort(new JobchartError(code, 'told to stop')),
      lose,
    }
  }

  #opened(context: ItemContext): Promise<unknown> {
    const { promise, resolve, reject } = Promise.withResolvers<unknown>()
    const { item, key, index, attempt, signal, draining, job, idempotencyKey, log } = context
    const open = { item, key, index, attempt, signal, draining, job, idempotencyKey, log, resolve, reject }
    this.open.set(index, open)
    const closed = () => {
      if (this.open.get(index) === open) this.open.delete(index)
    }
    promise.then(closed, closed)
    return promise
  }

  /** Begins an attempt after a loss. */
  lost(attempt: BatchAttempt): void {
    attempt.lose()
    this.store.losses++
  }

  /** The running item with this index. */
  item(index: number): OpenItem {
    const item = this.open.get(index)
    if (item === undefined) throw new Error(`item ${index} does not run; there are ${[...this.open.keys()]}`)
    return item
  }

  /** The indexes of the items that run. */
  get running(): readonly number[] {
    return [...this.open.keys()]
  }

  /** The statuses of the stored items, by index. */
  get statuses(): readonly string[] {
    return [...this.store.rows.values()].sort((one, other) => one.index - other.index).map(({ status }) => status)
  }

  /** Calls `seen` with each piece that is written. */
  onPiece(seen: (piece: BatchPiece) => void): void {
    this.store.onPiece = seen
  }
}

/** Indexes from 1 to `count`. */
export function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}
