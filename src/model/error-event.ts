import type { ChartEvent } from './chart.ts'
import { jobError } from './error.ts'
import { type Json, storableCopy } from './storable.ts'

/** What each error was made of, so that a context that keeps one is stored as it was given. */
const records = new WeakMap<object, Json>()

/**
 * An error as a chart's event carries it: its name, message, code and stack, and its own fields as far as they are JSON
 * and small: of 65,536 characters together, those that fit.
 */
export function errorRecord(error: Error): Json {
  return { ...fieldsOf(error), ...jobError(error) }
}

/** An error may carry the whole answer that it was made of. It is kept in the log, and in the rows of charts that keep it. */
const FIELDS_CHARACTERS_MAX = 65_536

// Getters are code of whoever threw it.
function fieldsOf(error: Error): { readonly [field: string]: Json } {
  try {
    let room = FIELDS_CHARACTERS_MAX
    const fields = Object.entries(error).flatMap(([key, value]) => {
      const field = storedOrNothing(value)
      if (field === undefined) return []
      const length = key.length + JSON.stringify(field).length
      if (length > room) return []
      room -= length
      return [[key, field] as const]
    })
    return storableCopy(Object.fromEntries(fields), 'error', true) as { readonly [field: string]: Json }
  } catch {
    return {}
  }
}

function storedOrNothing(value: unknown): Json | undefined {
  try {
    return value === undefined ? undefined : storableCopy(value, 'error', true)
  } catch {
    return undefined
  }
}

/** The event as a machine expects it: what failed with an `Error` has one again, and not its record. */
export function withError(event: ChartEvent): ChartEvent {
  return event.type.startsWith('xstate.error.') && isRecord(event.error)
    ? { ...event, error: errorOf(event.error) }
    : event
}

/** What an error of {@link withError} was made of; undefined for whatever else it is. */
export function recordOf(value: object): Json | undefined {
  return records.get(value)
}

interface ErrorRecord {
  readonly name: string
  readonly message: string
  readonly stack: string
  readonly [field: string]: Json
}

// Only what was an error has a stack.
function isRecord(value: unknown): value is ErrorRecord {
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

function errorOf(record: ErrorRecord): Error {
  const { name, message, stack, ...fields } = record
  const Class = Object.hasOwn(CLASSES, name) ? (CLASSES[name] ?? Error) : Error
  const error = Object.assign(new Class(message), fields)
  // As on an error that was thrown: not among its own fields.
  for (const [key, value] of Object.entries({ name, stack })) {
    Object.defineProperty(error, key, { value, configurable: true, writable: true })
  }
  records.set(error, record)
  return error
}
