import type { Principal } from '../port/policy.ts'
import { type Position, writeCursor } from './cursor.ts'

/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[]
  /** Pass it as `cursor` to get the next page. Absent on the last page. */
  readonly nextCursor?: string
}

/** Found rows, and where to continue. `after` is absent when there are no more. */
export interface Found<Row, After> {
  readonly rows: readonly Row[]
  readonly after?: After | undefined
}

/** How a page is read and shown. */
interface Paging<Row, View, After> {
  readonly limit: number
  readonly after: After | undefined
  readonly find: (page: { readonly limit: number; readonly after?: After }) => Promise<Found<Row, After>>
  readonly positionOf: (row: Row) => After
  /** The view of a row. `undefined`: the caller may not see the row. */
  readonly show: (row: Row) => Promise<View | undefined>
  readonly cursorOf: (position: After) => Position
  /** Yields to the event loop between two reads. */
  readonly turn: () => Promise<void>
}

/**
 * Reads one page of visible rows. The scope has already selected them; rows that the policy hides all the same are left
 * out, and the cursor never points to a hidden row: a page ends at its last visible row. If a read looked at its
 * maximum of rows without a visible one, reading continues.
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
