/** Reads the items of a job, as a caller may see them. */
import type { JobError } from '../../model/error.ts'
import { BATCH_NUMBERS, type ItemStatus } from '../../model/item.ts'
import type { JobId } from '../../model/job.ts'
import { type Json, jsonCopy } from '../../model/storable.ts'
import { isoTime } from '../../model/time.ts'
import type { Principal } from '../../port/policy.ts'
import type { StoredItem } from '../../port/storage.ts'
import { reach } from '../authorization.ts'
import { type CallOptions, given, parseOptions } from '../call-options.ts'
import type { Core } from '../core.ts'
import { type FieldMask, masked } from '../field-mask.ts'
import { itemOptionsSchema } from '../item-options.ts'
import { turn } from '../pause.ts'
import { shownError } from '../view.ts'

/** The options of `items`. */
export interface ItemOptions extends CallOptions {
  /** Only items with a number above this. Default 0. */
  readonly after?: number | undefined
  /** One status, or a list: items with any of these. Default: all items. */
  readonly status?: ItemStatus | readonly ItemStatus[]
}

/** An item (one part of a job's work) as a session shows it. */
export interface ItemView {
  /**
   * The items of a job are ordered by it. Items that code reports by `item` are numbered from 1, in the order in which
   * the job first reported each; a later report of an item keeps its number. Those of a batch follow each other in the
   * order of its source.
   */
  readonly number: number
  readonly key: string
  /** The place of the item in the source of its batch, from 1. Only for items of a batch. */
  readonly index?: number
  readonly status: ItemStatus
  /** How many attempts were made. Only for items of a batch. */
  readonly attempts?: number
  /** Only for items of a batch. */
  readonly input?: Json
  readonly output?: Json
  /** Why the item failed. Only for items of a batch. Includes its `stack` if the policy opens that. */
  readonly error?: JobError
  /** The message that the code reported. */
  readonly message?: string
  /** When the item was last written, ISO 8601. */
  readonly at: string
}

/** The most items of one read. An item may have an input and an output of 1 MiB each. */
export const ITEMS_AT_ONCE = 100

/** {@inheritDoc Session.items} */
export async function* items(
  core: () => Core,
  who: () => Principal,
  id: JobId,
  options?: ItemOptions,
): AsyncGenerator<ItemView> {
  const { signal, ...more } = given(options, itemOptionsSchema) ?? {}
  const { after, status } = await parseOptions(itemOptionsSchema, more)
  for (let last: number | undefined = after; last !== undefined; ) {
    signal?.throwIfAborted()
    const { mask } = await reach(core(), who(), id, () => ({ action: 'items', signal }))
    if (mask.hidden.has('items')) return
    const { rows, next }: FoundItems = await readItems(core(), id, { after: last, status })
    for (const row of rows) yield itemView(row, mask)
    last = next
  }
}

/** Which items of a job to read next. */
interface Wanted {
  /** Only items with a number above this. */
  readonly after: number
  /** Only items with a number up to this. */
  readonly to?: number
  /** Only items with one of these statuses. */
  readonly status?: readonly ItemStatus[] | undefined
}

/** Some items in the order of their numbers. */
interface FoundItems {
  readonly rows: readonly StoredItem[]
  /** The next items are those after this number. Absent: there are no more. */
  readonly next?: number
}

/** Reads the next items of a job: all that match, up to some number. */
export async function readItems(core: Core, id: string, { after, to, status }: Wanted): Promise<FoundItems> {
  const found: StoredItem[] = []
  let next: number | undefined
  // Each status is read alone, because the storage has an index for that. A read that found the most items ends at the
  // last of them; later reads need not go further.
  for (const each of status ?? [undefined]) {
    const end = next ?? to
    const query = { after, limit: ITEMS_AT_ONCE, ...(each === undefined ? {} : { status: each }) }
    const some = await core.storage.items(id, end === undefined ? query : { ...query, to: end })
    found.push(...some)
    if (some.length === ITEMS_AT_ONCE) next = some.at(-1)?.number
  }
  if (next === undefined) return { rows: inOrder(found) }
  const last = next
  await turn(core)
  return { rows: inOrder(found.filter(({ number }) => number <= last)), next }
}

function inOrder(rows: readonly StoredItem[]): readonly StoredItem[] {
  return rows.toSorted((a, b) => a.number - b.number)
}

/** Makes the view of an item, without the fields that the mask hides. */
export function itemView(row: StoredItem, mask: FieldMask): ItemView {
  const { number, key, status, attempts, input, output, error, message, at } = row
  const view = {
    number,
    key,
    ...(number > BATCH_NUMBERS ? { index: number % BATCH_NUMBERS } : {}),
    status,
    ...(attempts === undefined ? {} : { attempts }),
    ...(input === undefined ? {} : { input: jsonCopy(input) }),
    ...(output === undefined ? {} : { output: jsonCopy(output) }),
    ...(error === undefined ? {} : { error: shownError(error, mask) }),
    ...(message === undefined ? {} : { message }),
    at: isoTime(at),
  }
  return masked<ItemView>(view, mask, (field) => `items.${field}`)
}
