import { JobchartError } from '../model/error.ts'
import type { Principal } from '../port/policy.ts'

/** Where a page of a list ended: what its rows are ordered by, of the last one. */
export type Position = readonly (string | number)[]

/**
 * A position as text that means nothing to who holds it. It is bound to who asked: a cursor from another's list says
 * where rows stand that are not the holder's to see.
 */
export function writeCursor(position: Position, who: Principal): string {
  return Buffer.from(JSON.stringify([...position, who.tenant, who.id])).toString('base64url')
}

/** The position in a cursor of a list whose positions have `types`. @throws {JobchartError} `INVALID_INPUT` */
export function readCursor(cursor: string, who: Principal, types: readonly ('string' | 'number')[]): Position {
  try {
    const values: unknown[] = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    const [holder, tenant] = [values.pop(), values.pop()]
    const isFit = values.length === types.length && values.every((value, index) => typeof value === types[index])
    if (isFit && tenant === who.tenant && holder === who.id) return values as (string | number)[]
  } catch {
    // Answered below, as for any other text that is no cursor.
  }
  throw new JobchartError('INVALID_INPUT', 'cursor should be the nextCursor of a page of this list', {
    issues: [{ message: 'not a cursor of this list', path: ['cursor'] }],
  })
}
