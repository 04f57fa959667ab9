import { JobchartError } from '../model/error.ts'
import type { Principal } from '../port/policy.ts'

/** Where a page of a list ended: the sort values of its last row. */
export type Position = readonly (string | number)[]

/**
 * Encodes a position as opaque text. Only the same principal can use it, because another person's cursor could reveal
 * where rows are that are hidden from the caller.
 */
export function writeCursor(position: Position, who: Principal): string {
  return Buffer.from(JSON.stringify([...position, who.tenant, who.id])).toString('base64url')
}

/** Reads a cursor. `types` are the types of the values in its position. @throws {JobchartError} `INVALID_INPUT` */
export function readCursor(cursor: string, who: Principal, types: readonly ('string' | 'number')[]): Position {
  try {
    const values: unknown[] = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const [holder, tenant] = [values.pop(), values.pop()]
    const isFit = values.length === types.length && values.every((value, index) => typeof value === types[index])
    if (isFit && tenant === who.tenant && holder === who.id) return values as (string | number)[]
  } catch {
    // The text is not JSON. It is refused below, like any other invalid cursor.
  }
  throw new JobchartError('INVALID_INPUT', 'cursor should be the nextCursor of a page of this list', {
    issues: [{ message: 'not a cursor of this list', path: ['cursor'] }],
  })
}
