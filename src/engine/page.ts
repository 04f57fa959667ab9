import type { Principal } from '../port/policy.ts'
import { type Position, writeCursor } from './cursor.ts'

/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[]
  /** Give it as `cursor` to get the next page; absent at the end. */
  readonly nextCursor?: string
}

/** How a page is found and shown. */
interface Paging<Row, View, After> {
  readonly limit: number
  readonly after: After | undefined
  readonly find: (page: { readonly limit: number; readonly after?: After }) => Promise<readonly Row[]>
  readonly positionOf: (row: Row) => After
  /** Undefined: it is not for who asks. */
  readonly show: (row: Row) => Promise<View | undefined>
  readonly cursorOf: (position: After) => Position
}

/**
 * One page of what may be shown. The scope has already chosen the rows; what the policy hides of them all the same is left
 * out, and no cursor says where it stood: a page ends at the last row that is shown.
 */
export async function shownPage<Row, View, After>(
  who: Principal,
  { limit, after, find, positionOf, show, cursorOf }: Paging<Row, View, After>,
): Promise<Page<View>> {
  for (let from = after; ; ) {
    // One more than asked for tells whether there is a next page.
    const rows = await find({ limit: limit + 1, ...(from === undefined ? {} : { after: from }) })
    const page = rows.slice(0, limit)
    const views = await Promise.all(page.map(show))
    const items = views.flatMap((view) => view ?? [])
    const last = page[views.findLastIndex((view) => view !== undefined)]
    if (rows.length <= limit) return { items }
    if (last !== undefined) return { items, nextCursor: writeCursor(cursorOf(positionOf(last)), who) }
    from = positionOf(rows[limit - 1] as Row)
  }
}
