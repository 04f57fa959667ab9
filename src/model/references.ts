import type { ActorPath, RefTo } from './chart.ts'
import { JobchartError } from './error.ts'
import { errorOf, errorRecord, isErrorRecord, recordOf } from './error-event.ts'
import { changedCopy, type Json, storableCopy } from './storable.ts'

/**
 * A stored object with this field is not plain data: it stands for something else. The values of the field:
 *
 * - `1`: a reference to an actor, as in XState's own persisted snapshots.
 * - `'error'`: an error in an event.
 * - `'data'`: a user's object that itself has a field of this name. It is stored as entries, so that it is not mistaken
 *   for a reference.
 */
const MARK = 'xstate$$type'

/** A stored object with the field `xstate$$type`. */
type Marked =
  | { readonly [MARK]: 1; readonly id: string; readonly path: ActorPath | undefined }
  | { readonly [MARK]: 'error' }
  | { readonly [MARK]: 'data'; readonly entries: readonly (readonly [string, Json])[] }

/** A reference to an actor of the job tree. */
interface TreeRef {
  readonly id: string
  /** The path of the actor in its job tree. Absent for an actor that is not in the tree. */
  readonly path?: ActorPath
}

/**
 * Older versions of jobchart stored references by id, without a path. The id is that of a child, or one of these two
 * for the machine itself and its parent.
 */
export const OWN_REFS = { self: '#_self', parent: '#_parent' } as const

/**
 * A copy of a context or an output for the storage. An actor reference becomes `{ xstate$$type: 1, id, path }`. An
 * `Error` object that was restored from a stored record becomes that record again.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` it refers to an actor outside the tree; `NOT_STORABLE`, `PAYLOAD_TOO_LARGE`.
 */
export function storedCopy(value: unknown, name: string): { readonly value: Json; readonly hasRefs: boolean } {
  let hasRefs = false
  const copy = storableCopy(value, name, true, function replaced(each): Json | undefined {
    if (each instanceof Error) return recordOf(each)
    if (!isActorRef(each) && !Object.hasOwn(each, MARK)) return undefined
    hasRefs = true
    return isActorRef(each) ? refJson(each, name) : escaped(each, name, replaced)
  })
  return { value: copy, hasRefs }
}

/**
 * A copy of an event or an input that a machine gives to another actor. Like {@link storedCopy}, but every `Error`
 * object becomes a record.
 *
 * @throws {JobchartError} as {@link storedCopy}.
 */
export function messageOf(value: unknown, name: string): Json {
  return storableCopy(value, name, true, function replaced(each): Json | undefined {
    if (each instanceof Error) return { ...(errorRecord(each) as { readonly [key: string]: Json }), [MARK]: 'error' }
    if (isActorRef(each)) return refJson(each, name)
    return Object.hasOwn(each, MARK) ? escaped(each, name, replaced) : undefined
  })
}

function refJson({ id, path }: TreeRef, name: string): Json {
  if (path === undefined) throw unsupported(`the reference to "${id}" in the ${name}`)
  return { [MARK]: 1, id, path } satisfies Marked
}

function escaped(data: object, name: string, replaced: (each: object) => Json | undefined): Json {
  const own = Object.entries(data).filter(([, each]) => each !== undefined)
  const entries = storableCopy(own, name, true, replaced) as (readonly [string, Json])[]
  return { [MARK]: 'data', entries } satisfies Marked
}

/** A copy of a stored value with its references and errors restored to objects. */
export function revivedCopy(value: Json, refTo: RefTo): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map((each) => revivedCopy(each, refTo))
  const mark = (value as Partial<Marked>)[MARK]
  return mark === undefined
    ? changedCopy(value as { readonly [key: string]: Json }, (each) => revivedCopy(each, refTo))
    : revived(value as unknown as Marked, refTo)
}

function revived(marked: Marked, refTo: RefTo): unknown {
  if (marked[MARK] === 1) return refTo(marked.path, marked.id)
  if (marked[MARK] === 'data') {
    return Object.fromEntries(marked.entries.map(([key, each]) => [key, revivedCopy(each, refTo)]))
  }
  const { [MARK]: _, ...record } = marked
  return isErrorRecord(record) ? errorOf(record) : record
}

/** The invocations of the children of the machine at `path` to which a stored value refers. */
export function childrenIn(value: Json, path: ActorPath, found = new Set<number>()): ReadonlySet<number> {
  if (typeof value !== 'object' || value === null) return found
  const marked = value as Partial<Marked>
  if (marked[MARK] === 1 && marked.path !== undefined) {
    const own = marked.path.at(-1)
    if (own !== undefined && isSamePath(marked.path.slice(0, -1), path)) found.add(own)
  } else for (const each of Object.values(value)) childrenIn(each as Json, path, found)
  return found
}

/** Whether a stored message contains an actor reference. */
export function hasReference(value: Json): boolean {
  if (typeof value !== 'object' || value === null) return false
  return (value as Partial<Marked>)[MARK] === 1 || Object.values(value).some((each) => hasReference(each as Json))
}

/** Whether two paths lead to the same actor. */
export function isSamePath(one: ActorPath, other: ActorPath): boolean {
  return one.length === other.length && one.every((each, index) => each === other[index])
}

/** The error for an action that cannot be run durably: after a crash, the engine could not find its actor again. */
export function unsupported(what: string): JobchartError {
  return new JobchartError('INVALID_DEFINITION', `${what} cannot be run durably; invoke or spawn logic by its name`)
}

/** The error for actor references sent to a task: its code may run in another process, where they mean nothing. */
export function unsupportedInTask(what: string): JobchartError {
  return new JobchartError(
    'INVALID_DEFINITION',
    `${what} refers to an actor, which the code of a task cannot use; send events to the task's own job with send or sendBack`,
  )
}

/** Whether an object is an actor reference, of XState or of jobchart. */
export function isActorRef(value: object): value is TreeRef {
  // Plain data may have fields of these names, but never a function as `send`.
  return 'sessionId' in value && 'ref' in value && 'send' in value && typeof value.send === 'function'
}
