import { JobchartError } from './error.ts'

/** A JSON value: `JSON.parse(JSON.stringify(value))` gives back an equal value. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

declare const fix: unique symbol

/**
 * A type that no value has. The compiler shows it in its error for a value that cannot be stored; `Fix` says what to
 * do.
 */
export interface NotStorable<Fix extends string> {
  readonly [fix]: Fix
}

/**
 * `Value` itself if its values can be stored as JSON; otherwise with {@link NotStorable} in place of each part that
 * cannot. `any` and `unknown` are accepted, and checked at run time. An undefined property is allowed, and is stored as
 * absent.
 */
export type Storable<Value> = unknown extends Value
  ? Value
  : Value extends Json | undefined
    ? Value
    : Value extends readonly unknown[]
      ? { readonly [Index in keyof Value]: Storable<Value[Index]> }
      : Value extends bigint
        ? NotStorable<'a bigint is not JSON: use String(value)'>
        : Value extends symbol
          ? NotStorable<'a symbol is not JSON: use a string'>
          : Value extends (...args: never) => unknown
            ? NotStorable<'a function is not JSON: use plain data, without methods'>
            : Value extends object
              ? StorableObject<Value>
              : Value

type StorableObject<Value extends object> = Value extends { readonly toISOString: () => string }
  ? NotStorable<'a Date is not JSON: use date.toISOString()'>
  : Value extends PromiseLike<unknown>
    ? NotStorable<'a promise is not JSON: await it'>
    : Value extends Error
      ? NotStorable<'an Error is not JSON: throw it, or use its message'>
      : Value extends ArrayBuffer | ArrayBufferView | SharedArrayBuffer
        ? NotStorable<"bytes are not JSON: use Buffer.from(bytes).toString('base64')">
        : Value extends { readonly toJSON: (...args: never) => unknown }
          ? NotStorable<'an object with toJSON is not JSON: use its text, or the result of toJSON()'>
          : Value extends { readonly size: number; readonly [Symbol.iterator]: unknown; readonly get: unknown }
            ? NotStorable<'a Map is not JSON: use Object.fromEntries(map), or [...map]'>
            : Value extends { readonly size: number; readonly [Symbol.iterator]: unknown }
              ? NotStorable<'a Set is not JSON: use [...set]'>
              : Fields<Value> extends Value
                ? { readonly [Key in keyof Value]: Key extends symbol ? Value[Key] : Storable<Value[Key]> }
                : NotStorable<'an instance of a class is not JSON: use a plain object of its fields'>

/**
 * The public fields of an object. For a class that also has private fields, this type differs from the class. That is
 * how such a class is recognized.
 */
type Fields<Value> = { [Key in keyof Value]: Value[Key] }

/**
 * Added to the type of a function by `&`. The code then compiles only if the result of the function, or of the promise
 * that it returns, can be stored.
 */
export type StorableReturn<Result> = [Result] extends [Storable<Result>]
  ? unknown
  : (...args: never) => Storable<Result> | PromiseLike<Storable<Result>>

/** How deep a value may be nested. `JSON.stringify` is recursive: a deeper value could overflow the stack. */
const DEPTH_MAX = 200

/** Returns what to store in place of an object. `undefined`: the object itself is copied. */
export type Replace = (value: object) => Json | undefined

const nothing: Replace = () => undefined

// Each part is read once, so that a getter cannot return a different value after the check.
function checkedCopy(value: unknown, name: string, lenient: boolean, replace: Replace): Json {
  if (value === null) return null
  const walk: Walk = { seen: 0, name, lenient, replace, at: undefined }
  try {
    return copied(value, walk)
  } catch (error) {
    if (error instanceof JobchartError) throw error
    // Getters and proxy traps are user code and may throw.
    return refuse(walk, 'something that cannot be looked at')
  }
}

/**
 * The largest stored value, in bytes of JSON. Kept small because a row is read and written at each change of its job.
 */
const STORED_BYTES_MAX = 1_048_576
/** The most bytes of one character, in UTF-8 or as a JSON escape. */
const CHARACTER_BYTES_MAX = 6
/** The most bytes of a number, or of the commas, colons, brackets and quotes around a value. */
const VALUE_BYTES_MAX = 32

/**
 * A copy of a value as the storage will return it. Later changes of the original do not affect it.
 *
 * @param name  the first part of an error's path, e.g. `input`.
 * @param lenient  `undefined` properties count as absent, and -0 counts as 0. Otherwise both are refused.
 * @param replace  returns what to store in place of an object, e.g. for an actor's reference.
 * @throws {JobchartError} `NOT_STORABLE` with `path`: JSON would not give the value back equal (NaN, infinities, BigInt,
 *   functions, symbols, dates, maps, class instances, holes in lists, cycles, lone surrogates, an own `__proto__` key);
 *   `PAYLOAD_TOO_LARGE` it has more values than can be stored, or its JSON is over 1 MiB.
 */
export function storableCopy(value: unknown, name: string, lenient = false, replace = nothing): Json {
  const copy = checkedCopy(value, name, lenient, replace)
  if (bytesAtMost(copy) > STORED_BYTES_MAX) assertSize(JSON.stringify(copy), name)
  return copy
}

/** An upper bound of the bytes of a value as JSON. Making the text itself would take longer than copying the value. */
export function bytesAtMost(value: Json): number {
  if (typeof value === 'string') return value.length * CHARACTER_BYTES_MAX + VALUE_BYTES_MAX
  if (typeof value !== 'object' || value === null) return VALUE_BYTES_MAX
  let bytes = VALUE_BYTES_MAX
  if (Array.isArray(value)) for (const each of value) bytes += bytesAtMost(each)
  else {
    const record = value as { readonly [key: string]: Json }
    for (const key in record) bytes += key.length * CHARACTER_BYTES_MAX + bytesAtMost(record[key] ?? null)
  }
  return bytes
}

/** A copy of a value that is known to be JSON. */
export function jsonCopy(value: Json): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(jsonCopy)
  return changedCopy(value as { readonly [key: string]: Json }, jsonCopy)
}

/**
 * A copy of a record in which each object or list is replaced by `change(value)`. Other values stay. For many keys,
 * copying is faster than building a new object.
 */
export function changedCopy<Value, Changed>(
  record: { readonly [key: string]: Value },
  change: (value: Value) => Changed,
): { [key: string]: Changed } {
  const copy: { [key: string]: unknown } = { ...record }
  for (const key of Object.keys(copy)) {
    const value = copy[key]
    // The key is already an own property, so assigning it is safe even for `__proto__`.
    if (typeof value === 'object' && value !== null) copy[key] = change(value as Value)
  }
  return copy as { [key: string]: Changed }
}

function assertSize(text: string, name: string): void {
  const bytes = new TextEncoder().encode(text).length
  if (bytes <= STORED_BYTES_MAX) return
  throw tooLarge(name, `${bytes} bytes as JSON`)
}

function tooLarge(name: string, found: string): JobchartError {
  const most = `at most ${STORED_BYTES_MAX} bytes are allowed; store the data elsewhere, and its address here`
  return new JobchartError('PAYLOAD_TOO_LARGE', `${name} is ${found}, and ${most}`, { path: name })
}

interface Walk {
  /**
   * How many values were read so far. They are counted because a small object may contain the same part many times, and
   * its JSON would then be very large.
   */
  seen: number
  readonly name: string
  readonly lenient: boolean
  readonly replace: Replace
  /** The object that contains the current value. */
  at: Inside | undefined
}

/** An object that contains the current value, directly or not. */
interface Inside {
  readonly value: object
  readonly within: Inside | undefined
  readonly depth: number
  /** The key of the part that is copied now. */
  key: string | number | undefined
}

function copied(value: unknown, walk: Walk): Json {
  // Each value takes at least one byte of JSON. So a value with more parts than this many bytes is too large.
  if (++walk.seen > STORED_BYTES_MAX) throw tooLarge(walk.name, `more than ${STORED_BYTES_MAX} values`)
  switch (typeof value) {
    case 'string':
      return value.isWellFormed() ? value : refuse(walk, 'a string with a lone surrogate')
    case 'number':
      if (!Number.isFinite(value)) return refuse(walk, String(value))
      if (!Object.is(value, -0)) return value
      return walk.lenient ? 0 : refuse(walk, 'minus zero')
    case 'boolean':
      return value
    case 'object':
      return value === null ? null : copiedObject(value, walk)
    default:
      return refuse(walk, value === undefined ? 'undefined' : `a ${typeof value}`)
  }
}

function copiedObject(value: object, walk: Walk): Json {
  const replaced = walk.replace(value)
  if (replaced !== undefined) return replaced
  const within = walk.at
  for (let each = within; each !== undefined; each = each.within) if (each.value === value) refuse(walk, 'a cycle')
  const depth = within === undefined ? 1 : within.depth + 1
  if (depth > DEPTH_MAX) refuse(walk, `nesting deeper than ${DEPTH_MAX}`)
  const inside: Inside = { value, within, depth, key: undefined }
  walk.at = inside
  const copy = Array.isArray(value) ? copiedList(value, walk, inside) : copiedRecord(value, walk, inside)
  walk.at = within
  return copy
}

function copiedList(list: readonly unknown[], walk: Walk, inside: Inside): Json {
  if (Object.getPrototypeOf(list) !== Array.prototype) refuse(walk, 'a list of a class of its own')
  const { length } = list
  const hasExtra = Object.keys(list).length !== length || Object.getOwnPropertySymbols(list).length > 0
  if (hasExtra) refuse(walk, 'a list with holes or extra properties')
  const copy: Json[] = []
  for (let index = 0; index < length; index++) {
    inside.key = index
    copy.push(copied(list[index], walk))
  }
  return copy
}

function copiedRecord(record: object, walk: Walk, inside: Inside): Json {
  const prototype: unknown = Object.getPrototypeOf(record)
  if (prototype !== Object.prototype && prototype !== null) {
    refuse(walk, `an instance of ${record.constructor?.name ?? 'a class'}`)
  }
  if (Object.getOwnPropertySymbols(record).length > 0) refuse(walk, 'a symbol key')
  if ('toJSON' in record && typeof record.toJSON === 'function') refuse(walk, 'an object with toJSON')
  // For many keys, copying is faster than building a new object, and each getter runs once.
  const copy: { [key: string]: unknown } = { ...record }
  for (const key of Object.keys(copy)) {
    inside.key = key
    if (key === '__proto__') refuse(walk, 'a key that could change a prototype')
    if (!key.isWellFormed()) refuse(walk, 'a key with a lone surrogate')
    const value = copy[key]
    if (value === undefined && walk.lenient) delete copy[key]
    else copy[key] = copied(value, walk)
  }
  return copy as { [key: string]: Json }
}

function refuse(walk: Walk, found: string): never {
  const keys: (string | number)[] = []
  for (let each = walk.at; each !== undefined; each = each.within) if (each.key !== undefined) keys.push(each.key)
  const path = [walk.name, ...keys.reverse()].join('.')
  throw new JobchartError('NOT_STORABLE', `${path} should be plain JSON; found ${found}`, { path })
}

/** A value as JSON text with sorted keys: deep-equal values give the same text. */
export function canonicalText(value: unknown): string {
  const sorted = (_: string, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each
  return JSON.stringify(value, sorted) ?? ''
}
