import { recordOf } from './error-event.ts'

/** Marks a persisted actor reference, as XState's own persisted snapshots do. */
const MARK = 'xstate$$type'

interface PersistedRef {
  readonly [MARK]: 1
  readonly id: string
}

/** Stands for the machine itself, and for its parent: no child is named so. */
export const KIN = { self: '#_self', parent: '#_parent' } as const

/**
 * A value with its actor references as `{ xstate$$type: 1, id }`, and errors as what they were made of. What holds none
 * is returned as it is.
 *
 * @param idOf  the id under which a reference is kept.
 */
export function persistRefs(
  kept: unknown,
  idOf: (ref: { readonly id: string }) => string,
): { readonly value: unknown; readonly hasRefs: boolean } {
  let hasRefs = false
  const value = replace(kept, (each) => {
    const record = recordOf(each)
    if (record !== undefined) return record
    if (!isActorRef(each)) return each
    hasRefs = true
    return { [MARK]: 1, id: idOf(each) } satisfies PersistedRef
  })
  return { value, hasRefs }
}

/** A stored context with its references made alive: `refOf` gives the reference to a child of an id. */
export function reviveRefs(context: unknown, refOf: (id: string) => object): unknown {
  return replace(context, (each) => (isPersistedRef(each) ? refOf(each.id) : each))
}

function isActorRef(value: object): value is { readonly id: string } {
  // Data may have fields of these names, but no function.
  return 'sessionId' in value && 'ref' in value && 'send' in value && typeof value.send === 'function'
}

function isPersistedRef(value: object): value is PersistedRef {
  return MARK in value && value[MARK] === 1 && 'id' in value && typeof value.id === 'string'
}

// Copies only what changes. Cycles are not followed: what holds one is refused as not storable.
function replace(value: unknown, change: (each: object) => unknown, open: Set<object> = new Set()): unknown {
  if (typeof value !== 'object' || value === null || open.has(value)) return value
  const changed = change(value)
  if (changed !== value) return changed
  const prototype: unknown = Object.getPrototypeOf(value)
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return value
  open.add(value)
  let copy: { [key: string]: unknown } | undefined
  for (const [key, each] of Object.entries(value)) {
    const next = replace(each, change, open)
    if (next === each) continue
    copy ??= (Array.isArray(value) ? [...value] : { ...value }) as { [key: string]: unknown }
    copy[key] = next
  }
  open.delete(value)
  return copy ?? value
}
