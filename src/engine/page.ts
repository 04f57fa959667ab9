import type { Principal } from '../port/policy.ts'
import { type Position, writeCursor } from './cursor.ts'

/** One page of a list. */
export interface Page<Item> {
  readonly items: readonly Item[]
  /** Pass it as `cursor` to get the next page. Absent on the last page. */
  readonly nextCursor?: string
}

/** The rows that were found, and where to continue. `after` is absent when there are no more rows. */
export interface Found<Row, After> {
  readonly rows: readonly Row[]
  readonly after?: After | undefined
}

/** How a page is read, and how its rows are shown. */
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
 * Reads one page of rows that the caller may see. `find` returns rows that the caller's scopes cover. Rows that the
 * policy hides nevertheless are left out. The cursor points to the last visible row of the page, so it reveals no
 * hidden row. If a read finds no visible row, the next rows are read.
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
