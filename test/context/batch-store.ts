import type { BatchPiece, BatchStart, RecordedItem } from '../../src/model/batch-piece.ts'
import { JobchartError } from '../../src/model/error.ts'
import { RecordedChannel } from '../../src/testing/recorded-channel.ts'

/** A row of an item in memory. */
export interface Row {
  readonly index: number
  readonly key: string
  readonly input?: unknown
  status: 'waiting' | 'completed' | 'failed' | 'skipped'
  attempts: number
  output?: unknown
  error?: { readonly name: string; readonly message: string; readonly code?: string }
}

/** The stored items of one batch, kept over its attempts. It checks each write. */
export class BatchStore {
  readonly rows = new Map<number, Row>()
  readonly keys = new Map<string, number>()
  counts: BatchStart['counts']
  begun = 0
  careful: number | undefined
  losses = 0
  again: BatchStart['again'] | undefined
  retried: readonly RecordedItem[] = []
  pieces = 0
  lastPiece: BatchPiece | undefined
  reads = 0
  /** How long each call takes. */
  takesTime: () => Promise<void> | undefined = () => undefined
  /** Called before a piece is stored. */
  beforePiece: (piece: BatchPiece) => void = () => {}
  /** Called after a piece was stored. */
  onPiece: (piece: BatchPiece) => void | Promise<void> = () => {}

  constructor(total?: number) {
    this.counts = { ...(total === undefined ? {} : { total }), completed: 0, failed: 0, skipped: 0 }
  }

  get start(): BatchStart {
    const { counts, begun, careful, losses, again } = this
    return {
      ...{ counts, begun, losses },
      ...(careful === undefined ? {} : { careful }),
      ...(again === undefined ? {} : { again }),
    }
  }

  write(piece: BatchPiece): void {
    this.pieces++
    this.lastPiece = piece
    for (const { index, key, input } of piece.added) {
      if (this.rows.has(index)) throw new Error(`item ${index} was added twice`)
      if (this.keys.has(key)) throw new Error(`key ${key} was used twice`)
      this.keys.set(key, index)
      this.rows.set(index, { index, key, input, status: 'waiting', attempts: 0 })
    }
    for (const { index, ...end } of piece.ended) {
      const row = this.rows.get(index)
      if (row?.status !== 'waiting') throw new Error(`item ${index} was ended, and is ${row?.status}`)
      Object.assign(row, end)
    }
    if (piece.begun < this.begun) throw new Error('begun fell')
    this.counts = piece.counts
    this.begun = piece.begun
    this.careful = piece.careful
  }

  channel(isHeld: () => boolean = () => true): BatchChannel {
    return new BatchChannel(this, isHeld)
  }
}

/** The channel of one attempt. */
export class BatchChannel extends RecordedChannel {
  readonly #store: BatchStore
  readonly #isHeld: () => boolean

  constructor(store: BatchStore, isHeld: () => boolean) {
    super()
    this.#store = store
    this.#isHeld = isHeld
  }

  override readonly items = async (piece: BatchPiece): Promise<void> => {
    await this.#store.takesTime()
    this.#store.beforePiece(piece)
    if (!this.#isHeld()) throw new JobchartError('STALE_CLAIM', 'the attempt was lost')
    this.#store.write(piece)
    await this.#store.onPiece(piece)
    await this.#store.takesTime()
  }

  override readonly recordedItems = async ({ from, to }: { readonly from: number; readonly to: number }) => {
    this.#store.reads++
    await this.#store.takesTime()
    const found: RecordedItem[] = []
    for (let index = from; index <= to; index++) {
      const row = this.#store.rows.get(index)
      if (row !== undefined) {
        const { key, status, attempts } = row
        found.push({ index, key, status, attempts })
      }
    }
    for (const row of this.#store.retried) {
      if (row.index >= from && row.index <= to && !this.#store.rows.has(row.index)) found.push(row)
    }
    return found.sort((one, other) => one.index - other.index)
  }

  override readonly itemKeys = async (keys: readonly string[]) => {
    await this.#store.takesTime()
    return keys.flatMap((key) => {
      const index = this.#store.keys.get(key)
      return index === undefined ? [] : [{ key, index }]
    })
  }
}
