import type { ItemSettings } from '../model/batch.ts'
import type { AddedItem, BatchStart, EndedItem, RecordedItem } from '../model/batch-piece.ts'
import { LOST_ITEM } from '../model/batch-record.ts'
import { JobchartError, type JobError, jobError } from '../model/error.ts'
import { indexKey } from '../model/item.ts'
import { bytesAtMost, type Json, storableCopy } from '../model/storable.ts'
import type { TaskChannel } from '../port/executor.ts'
import { parseWith } from './parse-with.ts'
import { isPromiseLike } from './soon.ts'

/** The most items that are read, or written as new rows, at a time. */
export const PIECE = 1_000
/** How many bytes of items are read at a time, about. */
const READ_BYTES = 16 * 1_048_576
/** How many items are read at a time before their size is known. */
const READ_FIRST = 16
/** The number of losses after which an item that ran alone ends as failed. */
export const LOSSES_MAX = 3
const KEY_CHARACTERS_MAX = 2_000
/** How much of a key stays when its index is added to it. */
const KEY_CHARACTERS_KEPT = 1_900

/** An item that is to run. */
export interface Candidate {
  readonly index: number
  readonly key: string
  readonly item: unknown
  /** How many attempts were made. */
  attempts: number
}

/** The next items of a batch. */
export interface ReadItems {
  readonly candidates: readonly Candidate[]
  /** The rows of items that have none yet. */
  readonly added: readonly AddedItem[]
  /** Items that end without an attempt. */
  readonly ended: readonly EndedItem[]
}

type Channel = Pick<TaskChannel, 'recordedItems' | 'itemKeys'>

/** An item of the source. If it is to run, this is the candidate too: one object for each item is less garbage. */
interface Read extends Candidate {
  readonly row: RecordedItem | undefined
  /** The item as it is stored, until its row is made. */
  input: Json | undefined
  item: unknown
  key: string
  error: JobError | undefined
}

/**
 * Reads the items of a batch in pieces: passes over those that earlier attempts have ended, checks the others by their
 * schema, and gives each a key of its own.
 */
export class ItemReader {
  readonly #settings: ItemSettings
  readonly #channel: Channel
  readonly #start: BatchStart
  /** The index of the last item that was read. */
  #index = 0
  #atOnce = READ_FIRST
  /** True: no item after the last one has a row. */
  #isBeyondRows = false
  #recorded: { readonly to: number; readonly rows: ReadonlyMap<number, RecordedItem> } = { to: 0, rows: new Map() }
  /** The indexes of items whose rows are not written yet, by their keys. */
  #unwritten = new Map<string, number>()

  constructor(settings: ItemSettings, channel: Channel, start: BatchStart) {
    this.#settings = settings
    this.#channel = channel
    this.#start = start
  }

  /** Called when rows are written. */
  written(added: readonly AddedItem[]): void {
    if (this.#settings.key === undefined) return
    for (const { key } of added) this.#unwritten.delete(key)
    // A copy, because the tables of a map that is used for long are not freed soon, as those of a set: see `LiveSet`.
    this.#unwritten = new Map(this.#unwritten)
  }

  /** How many items should be read at a time, by the size of those that were read last. At most {@link PIECE}. */
  get atOnce(): number {
    return this.#atOnce
  }

  /** Takes the next values of the source. */
  async read(values: readonly unknown[]): Promise<ReadItems> {
    const from = this.#index + 1
    this.#index += values.length
    await this.#readRows(from, this.#index)
    const ended: EndedItem[] = []
    const read: Read[] = []
    let index = from
    for (const value of values) {
      const each = this.#selected(value, index++, ended)
      if (each !== undefined) read.push(each)
    }
    await this.#parse(read)
    await this.#setKeys(read)
    return this.#sorted(read, ended)
  }

  async #readRows(from: number, to: number): Promise<void> {
    if (this.#isBeyondRows || to <= this.#recorded.to) return
    const known = this.#recorded
    const first = Math.max(from, known.to + 1)
    const range = { from: first, to: Math.max(to, first + PIECE - 1) }
    const found = await this.#channel.recordedItems(range)
    const rows = new Map(found.map((row) => [row.index, row]))
    for (let index = from; index < first; index++) {
      const row = known.rows.get(index)
      if (row !== undefined) rows.set(index, row)
    }
    this.#recorded = { to: range.to, rows }
    // Rows are written in the order of the source. Only the items of a retry may have gaps.
    this.#isBeyondRows = this.#start.again === undefined && first > this.#start.begun && !found.some(isOwn)
  }

  // The item, unless it does not run: another attempt has ended it, or the job does not run it again.
  #selected(value: unknown, index: number, ended: EndedItem[]): Read | undefined {
    const row = this.#recorded.rows.get(index)
    const own = row !== undefined && isOwn(row) ? row : undefined
    const { again, careful, losses } = this.#start
    if (own === undefined) {
      if (again === 'failed' && row?.status !== 'failed') return undefined
      if (again === 'unfinished' && row?.status === 'completed') return undefined
    } else if (own.status !== 'waiting') return undefined
    else if (index === careful && losses >= LOSSES_MAX) {
      ended.push(lostItem(index))
      return undefined
    }
    const key = own?.key ?? indexKey(index)
    return { index, key, item: value, attempts: 0, row: own, input: undefined, error: undefined }
  }

  async #parse(read: readonly Read[]): Promise<void> {
    const { item: schema } = this.#settings
    const pending: Promise<void>[] = []
    let [measured, bytes] = [0, 0]
    for (const each of read) {
      try {
        if (each.row === undefined) measured++
        if (each.row === undefined && each.item !== undefined) {
          each.input = storableCopy(each.item, 'item', true)
          bytes += bytesAtMost(each.input)
        }
        if (schema === undefined) continue
        const parsed = parseWith(schema, each.item, 'item')
        if (isPromiseLike(parsed)) pending.push(setItem(each, parsed))
        else each.item = parsed
      } catch (thrown) {
        refuse(each)(thrown)
      }
    }
    // Items that have a row already are not copied, so their size stays unknown.
    if (measured > 0) this.#atOnce = Math.ceil(Math.min(PIECE, READ_BYTES / (bytes / measured)))
    if (pending.length > 0) await Promise.all(pending)
  }

  async #setKeys(read: readonly Read[]): Promise<void> {
    const { key: keyOf } = this.#settings
    if (keyOf === undefined) return
    const added = read.filter(({ row }) => row === undefined)
    for (const each of added) {
      if (each.error !== undefined) continue
      try {
        each.key = checkedKey(keyOf(each.item, each.index))
        if (each.key.length > KEY_CHARACTERS_MAX) refuse(each)(badKey())
      } catch (thrown) {
        refuse(each)(thrown)
      }
    }
    if (added.length === 0) return
    const taken = await this.#taken(added.map(({ key }) => key))
    for (const each of added) {
      const by = takenBy(taken, each)
      const isLong = each.key.length > KEY_CHARACTERS_MAX
      if (by !== undefined || isLong) {
        if (by !== undefined && each.error === undefined) refuse(each)(keyTaken(each.key, by))
        each.key = await this.#freeKey(each, taken)
      }
      taken.set(each.key, each.index)
      this.#unwritten.set(each.key, each.index)
    }
  }

  async #taken(keys: readonly string[]): Promise<Map<string, number>> {
    const known = keys.filter((key) => key.length <= KEY_CHARACTERS_MAX)
    const taken = new Map((await this.#channel.itemKeys(known)).map(({ key, index }) => [key, index]))
    for (const key of known) {
      const index = this.#unwritten.get(key)
      if (index !== undefined) taken.set(key, index)
    }
    return taken
  }

  async #freeKey({ key, index }: Read, taken: ReadonlyMap<string, number>): Promise<string> {
    for (let free = key; ; ) {
      free = `${free.slice(0, KEY_CHARACTERS_KEPT).toWellFormed()}#${index}`
      const own = { key: free, index }
      if (takenBy(taken, own) === undefined && takenBy(await this.#taken([free]), own) === undefined) return free
    }
  }

  #sorted(read: readonly Read[], ended: EndedItem[]): ReadItems {
    const candidates: Candidate[] = []
    const added: AddedItem[] = []
    for (const each of read) {
      const { index, row, key, input, error } = each
      if (row === undefined) added.push(input === undefined ? { index, key } : { index, key, input })
      each.input = undefined
      if (error === undefined) candidates.push(each)
      else ended.push({ index, status: 'failed', attempts: 0, error })
    }
    return { candidates, added, ended }
  }

  /** How an item ends that this attempt has not begun, and that no attempt will begin. */
  unbegunEnd(index: number): EndedItem {
    return index <= this.#start.begun ? lostItem(index) : { index, status: 'skipped', attempts: 0 }
  }

  /**
   * Ends the rows after the last item that was read, because no more items are read. Resolves with the ends of some of
   * them. `undefined`: there are no more rows.
   */
  async restOfRows(): Promise<readonly EndedItem[] | undefined> {
    if (this.#isBeyondRows) return undefined
    const range = { from: this.#index + 1, to: this.#index + PIECE }
    const rows = await this.#channel.recordedItems(range)
    this.#index = range.to
    if (rows.length === 0 && range.from > this.#start.begun) return undefined
    return rows.filter((row) => isOwn(row) && row.status === 'waiting').map(({ index }) => this.unbegunEnd(index))
  }
}

// The index of another item that has this key. An item of a retry has the key that it had in the retried job.
function takenBy(taken: ReadonlyMap<string, number>, { key, index }: Pick<Read, 'key' | 'index'>): number | undefined {
  const by = taken.get(key)
  return by === index ? undefined : by
}

function isOwn({ isOfRetried }: RecordedItem): boolean {
  return isOfRetried !== true
}

async function setItem(read: Read, parsed: PromiseLike<unknown>): Promise<void> {
  try {
    read.item = await parsed
  } catch (thrown) {
    refuse(read)(thrown)
  }
}

function refuse(read: Read): (thrown: unknown) => void {
  return (thrown) => {
    read.error = jobError(thrown)
  }
}

/** The end of an item that may have run when attempts of its batch were lost. */
function lostItem(index: number): EndedItem {
  return { index, status: 'failed', attempts: 0, error: LOST_ITEM }
}

function checkedKey(key: unknown): string {
  if (typeof key !== 'string' || key === '' || !key.isWellFormed()) throw badKey()
  return key
}

function badKey(): JobchartError {
  return new JobchartError(
    'INVALID_INPUT',
    `the key of an item should be text of 1 to ${KEY_CHARACTERS_MAX} characters`,
  )
}

function keyTaken(key: string, by: number): JobchartError {
  return new JobchartError('INVALID_INPUT', `the key "${key.slice(0, 100)}" is the key of item ${by} already`)
}
