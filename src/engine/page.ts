import type { Principal } from '../port/policy.ts'
import { type Position, writeCursor } from './cursor.ts'

/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[]
  /** Give it as `cursor` to get the next page; absent at the end. */
  readonly nextCursor?: string
}

/** Rows that were found, and where to go on; absent: there is no more. */
export interface Found<Row, After> {
  readonly rows: readonly Row[]
  readonly after?: After | undefined
}

/** How a page is found and shown. */
interface Paging<Row, View, After> {
  readonly limit: number
  readonly after: After | undefined
  readonly find: (page: { readonly limit: number; readonly after?: After }) => Promise<Found<Row, After>>
  readonly positionOf: (row: Row) => After
  /** Undefined: it is not for the one who asks. */
  readonly show: (row: Row) => Promise<View | undefined>
  readonly cursorOf: (position: After) => Position
  /** Lets others have their turn between two searches. */
  readonly turn: () => Promise<void>
}

/**
 * One page of what may be shown. The scope has already chosen the rows; what the policy hides of them all the same is left
 * out, and no cursor says where it stood: a page ends at the last row that is shown. A search that looked at as many rows as
 * it may and found none to show goes on.
 */
export async function shownPage<Row, View, After>(
  who: Principal,
  { limit, after, find, positionOf, show, cursorOf, turn }: Paging<Row, View, After>,
): Promise<Page<View>> {
  for (let from = after; ; await turn()) {
    const { rows, after: next } = await find({ limit, ...(from === undefined ? {} : { after: from }) })
    const views = await Promise.all(rows.map(show))
    const items = views.flatMap((view) => view ?? [])
    if (next === undefined) return { items }
    const last = rows[views.findLastIndex((view) => view !== undefined)]
    if (last !== undefined) return { items, nextCursor: writeCursor(cursorOf(positionOf(last)), who) }
    from = next
  }
}
