import type { ChartEvent } from './chart.ts'
import { jobError, thrownField } from './error.ts'
import { changedCopy, type Json, storableCopy } from './storable.ts'

/**
 * The stored record of each error that {@link errorOf} restored. If a chart keeps such an error in its context, it is
 * stored again exactly as it was.
 */
const records = new WeakMap<object, Json>()

/**
 * The stored form of an error in a chart's event: its name, message, stack and `code`; its `cause` and `errors`, each
 * stored in the same way; and its own fields that are JSON, as many as fit into 65,536 characters together.
 */
export function errorRecord(error: Error): Json {
  return recorded(error, { depth: 0, room: { fields: FIELDS_CHARACTERS_MAX, inner: INNER_CHARACTERS_MAX } })
}

/**
 * The most characters of an error's own fields. Limited because an error may carry a whole HTTP response, and is stored
 * in the log and perhaps in a chart's context.
 */
const FIELDS_CHARACTERS_MAX = 65_536
/** The most characters of the names, messages, codes and stacks of all inner errors together. */
const INNER_CHARACTERS_MAX = 262_144
/** How deep errors may be nested. Deeper ones are left out: a chain of causes may be a cycle. */
const DEPTH_MAX = 20

interface Walk {
  readonly depth: number
  /**
   * How many characters may still be stored, over the error and all errors inside it.
   *
   * - `fields`: for their own fields.
   * - `inner`: for the names, messages, codes and stacks of the errors inside.
   */
  readonly room: { fields: number; inner: number }
}

function recorded(error: Error, walk: Walk): { readonly [field: string]: Json } {
  const { code, ...rest } = jobError(error)
  const number = thrownField(error, 'code')
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

// Getters are user code and may throw. The error is then stored without fields of its own.
function fieldsOf(error: Error, walk: Walk): { readonly [field: string]: Json } {
  try {
    const fields: { [field: string]: Json } = {}
    for (const key of Object.keys(error)) {
      const field = TAKEN.has(key) || !key.isWellFormed() ? undefined : stored(thrownField(error, key), walk)
      if (field === undefined) continue
      Object.defineProperty(fields, key, { value: field, configurable: true, enumerable: true, writable: true })
    }
    return storableCopy(fields, 'error', true) as { readonly [field: string]: Json }
  } catch {
    return {}
  }
}

function inner(error: Error, key: 'cause' | 'errors', walk: Walk): { readonly [field: string]: Json } {
  const value = thrownField(error, key)
  const list = key === 'errors' && Array.isArray(value) ? value : undefined
  // Errors in a list that do not fit are left out; the others are kept.
  const kept = list?.map((each) => stored(each, walk)).filter((each) => each !== undefined)
  const found = kept ?? stored(value, walk)
  return found === undefined ? {} : { [key]: found }
}

/** The stored form of the value of an error's field. `undefined`: leave the field out. */
function stored(value: unknown, { depth, room }: Walk): Json | undefined {
  if (value === undefined || depth >= DEPTH_MAX) return undefined
  const replace = (each: object) => (each instanceof Error ? recorded(each, { depth: depth + 1, room }) : undefined)
  try {
    const found = storableCopy(value, 'error', true, replace)
    // A nested error has already been counted.
    if (!isErrorRecord(found)) take(room, 'fields', found)
    return found
  } catch {
    return undefined
  }
}

/**
 * Subtracts the length of a value from the characters that are left.
 *
 * @throws {RangeError} the value does not fit.
 */
function take(room: Walk['room'], which: keyof Walk['room'], value: Json): void {
  const { length } = JSON.stringify(value)
  if (length > room[which]) throw new RangeError('the error is too large')
  room[which] -= length
}

/** The event as a machine expects it: if it has an error record, that becomes an `Error` object again. */
export function withError(event: ChartEvent): ChartEvent {
  return event.type.startsWith('xstate.error.') && isErrorRecord(event.error)
    ? { ...event, error: errorOf(event.error) }
    : event
}

/** The record from which {@link errorOf} restored this error. `undefined` for any other object. */
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

/** Whether a stored value is an error record: only these have a `stack`. */
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

/** Restores an error from its record, with its causes. */
export function errorOf(record: ErrorRecord): Error {
  const { name, message, stack, cause, errors, ...fields } = record
  const error = Object.assign(newError(name, message), alive(fields))
  // Defined as not enumerable, as on an error that was thrown.
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
