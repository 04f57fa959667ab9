import { JobchartError } from './error.ts'
import { recordOf } from './error-event.ts'
import { changedCopy, type Json, storableCopy } from './storable.ts'

/** Marks a persisted actor reference, as XState's own persisted snapshots do. */
const MARK = 'xstate$$type'

interface PersistedRef {
  readonly [MARK]: 1
  readonly id: string
}

/** Stands for the machine itself, and for its parent: no child is named so. */
export const OWN_REFS = { self: '#_self', parent: '#_parent' } as const

/**
 * A copy of a value as it is stored: actor references as `{ xstate$$type: 1, id }`, errors as what they were made of.
 *
 * @param idOf  the id under which a reference is kept.
 * @throws {JobchartError} `NOT_STORABLE`, `PAYLOAD_TOO_LARGE`.
 */
export function storedCopy(
  value: unknown,
  name: string,
  idOf: (ref: { readonly id: string }) => string,
): { readonly value: Json; readonly hasRefs: boolean } {
  let hasRefs = false
  const copy = storableCopy(value, name, true, (each) => {
    if (each instanceof Error) return recordOf(each)
    if (!isActorRef(each)) return undefined
    hasRefs = true
    return { [MARK]: 1, id: idOf(each) } satisfies PersistedRef
  })
  return { value: copy, hasRefs }
}

/** A copy of a stored value with its references made alive: `refOf` gives the reference to a child of an id. */
export function revivedCopy(value: Json, refOf: (id: string) => object): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((each) => revivedCopy(each, refOf))
  if (isPersistedRef(value)) return refOf(value.id)
  return changedCopy(value as { readonly [key: string]: Json }, (each) => revivedCopy(each, refOf))
}

/**
 * What a machine gives to another actor, as a copy. Whoever gets it knows one other of its actors: the machine itself, which
 * is the parent of a child.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` it refers to another actor; `NOT_STORABLE`, `PAYLOAD_TOO_LARGE`.
 */
export function messageOf(value: unknown, name: string, self: object): Json {
  const idOf = (ref: { readonly id: string }) => {
    if (ref === self) return OWN_REFS.parent
    throw unsupported(`the reference to "${ref.id}" in the ${name}`)
  }
  return storedCopy(value, name, idOf).value
}

/** An action that a job cannot do, since nothing would find its actor after a crash. */
export function unsupported(what: string): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `${what} cannot be run durably; invoke or spawn logic by its name`)
}

function isActorRef(value: object): value is { readonly id: string } {
  // Data may have fields of these names, but no function.
  return 'sessionId' in value && 'ref' in value && 'send' in value && typeof value.send === 'function'
}

function isPersistedRef(value: object): value is PersistedRef {
  return MARK in value && value[MARK] === 1 && 'id' in value && typeof value.id === 'string'
}
