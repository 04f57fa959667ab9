import type { ChartEvent } from './chart.ts'
import { jobError } from './error.ts'
import { changedCopy, type Json, storableCopy } from './storable.ts'

/** What each error was made of, so that a context that keeps one is stored as it was given. */
const records = new WeakMap<object, Json>()

/**
 * An error as a chart's event carries it: its name, message, stack and `code` as it was; its `cause` and its `errors`, each
 * an error of this kind again; and its own fields as far as they are JSON and small: of 65,536 characters together, those
 * that fit.
 */
export function errorRecord(error: Error): Json {
  return recorded(error, { depth: 0, room: { fields: FIELDS_CHARACTERS_MAX, inner: INNER_CHARACTERS_MAX } })
}

/** An error may carry the whole answer that it was made of. It is kept in the log, and in the rows of charts that keep it. */
const FIELDS_CHARACTERS_MAX = 65_536
/** Of causes, and of the errors that an error gathers. */
const INNER_CHARACTERS_MAX = 262_144
/** A chain of causes is cut there: it may lead back to its beginning. */
const DEPTH_MAX = 20

interface Walk {
  readonly depth: number
  /** Characters that may still be taken. */
  readonly room: { fields: number; inner: number }
}

function recorded(error: Error, walk: Walk): { readonly [field: string]: Json } {
  const { code, ...rest } = jobError(error)
  const number = read(error, 'code')
  const own = {
    ...rest,
    ...(code === undefined ? {} : { code: typeof number === 'number' && Number.isFinite(number) ? number : code }),
  }
  if (walk.depth > 0) take(walk.room, 'inner', own)
  return {
    ...fieldsOf(error, walk),
    ...own,
    ...inner(error, 'cause', walk),
    ...inner(error, 'errors', walk),
  }
}

const TAKEN: ReadonlySet<string> = new Set(['name', 'message', 'stack', 'cause', 'errors'])

// Getters are code of whoever threw it.
function fieldsOf(error: Error, walk: Walk): { readonly [field: string]: Json } {
  try {
    const fields: { [field: string]: Json } = {}
    for (const key of Object.keys(error)) {
      const field = TAKEN.has(key) || !key.isWellFormed() ? undefined : stored(read(error, key), walk)
      if (field === undefined) continue
      Object.defineProperty(fields, key, { value: field, configurable: true, enumerable: true, writable: true })
    }
    return storableCopy(fields, 'error', true) as { readonly [field: string]: Json }
  } catch {
    return {}
  }
}

function inner(error: Error, key: 'cause' | 'errors', walk: Walk): { readonly [field: string]: Json } {
  const value = read(error, key)
  const list = key === 'errors' && Array.isArray(value) ? value : undefined
  // One that does not fit costs its list no other.
  const kept = list?.map((each) => stored(each, walk)).filter((each) => each !== undefined)
  const found = kept ?? stored(value, walk)
  return found === undefined ? {} : { [key]: found }
}

/** What a value of an error is stored as; undefined: it is left out. */
function stored(value: unknown, { depth, room }: Walk): Json | undefined {
  if (value === undefined || depth >= DEPTH_MAX) return undefined
  const replace = (each: object) => (each instanceof Error ? recorded(each, { depth: depth + 1, room }) : undefined)
  try {
    const found = storableCopy(value, 'error', true, replace)
    // An error has taken its own room.
    if (!isErrorRecord(found)) take(room, 'fields', found)
    return found
  } catch {
    return undefined
  }
}

/** @throws there is no room for it. */
function take(room: Walk['room'], which: keyof Walk['room'], value: Json): void {
  const { length } = JSON.stringify(value)
  if (length > room[which]) throw new RangeError('the error is too large')
  room[which] -= length
}

function read(thrown: object, key: string): unknown {
  try {
    return (thrown as { readonly [key: string]: unknown })[key]
  } catch {
    return undefined
  }
}

/** The event as a machine expects it: what failed with an `Error` has one again, and not its record. */
export function withError(event: ChartEvent): ChartEvent {
  return event.type.startsWith('xstate.error.') && isErrorRecord(event.error)
    ? { ...event, error: errorOf(event.error) }
    : event
}

/** What an error of {@link errorOf} was made of; undefined for any other object. */
export function recordOf(value: object): Json | undefined {
  return records.get(value)
}

/** An error as it is stored. */
export interface ErrorRecord {
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly [field: string]: Json
}

/** A stored value was an error: nothing else has a stack. */
export function isErrorRecord(value: unknown): value is ErrorRecord {
  if (typeof value !== 'object' || value === null) return false
  const { name, message, stack } = value as Partial<ErrorRecord>
  return typeof name === 'string' && typeof message === 'string' && typeof stack === 'string'
}

const CLASSES: { readonly [name: string]: ErrorConstructor } = {
  EvalError,
  RangeError,
  ReferenceError,
  SyntaxError,
  TypeError,
  URIError,
}

/** The error that a record was made of, with those inside it. */
export function errorOf(record: ErrorRecord): Error {
  const { name, message, stack, cause, errors, ...fields } = record
  const error = Object.assign(newError(name, message), alive(fields))
  // As on an error that was thrown: not among its own fields.
  for (const [key, value] of Object.entries({ name, stack, cause, errors })) {
    if (value === undefined) continue
    Object.defineProperty(error, key, { value: alive(value), configurable: true, writable: true })
  }
  records.set(error, record)
  return error
}

function newError(name: string, message: string): Error {
  if (name === 'AggregateError') return new AggregateError([], message)
  const Class = Object.hasOwn(CLASSES, name) ? (CLASSES[name] ?? Error) : Error
  return new Class(message)
}

function alive(value: Json): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(alive)
  if (isErrorRecord(value)) return errorOf(value)
  return changedCopy(value as { readonly [key: string]: Json }, alive)
}
