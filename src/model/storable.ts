import { JobchartError } from './error.ts'

/** A value that JSON gives back equal. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

declare const fix: unique symbol

/** No value is of this type: the compiler names it where a value cannot be stored, and so says what to do. */
export interface NotStorable<Fix extends string> {
  readonly [fix]: Fix
}

/**
 * The type itself where its values can be stored as JSON; else with {@link NotStorable} in place of each part that cannot.
 * `any` and `unknown` are let through, and checked when the program runs. A property may be undefined, and is then absent.
 */
export type Storable<Value> = unknown extends Value
  ? Value
  : Value extends Json | undefined
    ? Value
    : Value extends readonly unknown[]
      ? { readonly [Index in keyof Value]: Storable<Value[Index]> }
      : Value extends bigint
        ? NotStorable<'a bigint is no JSON: give String(value)'>
        : Value extends symbol
          ? NotStorable<'a symbol is no JSON: give text'>
          : Value extends (...args: never) => unknown
            ? NotStorable<'a function is no JSON: give plain data, without methods'>
            : Value extends object
              ? StorableObject<Value>
              : Value

type StorableObject<Value extends object> = Value extends { readonly toISOString: () => string }
  ? NotStorable<'a Date is no JSON: give date.toISOString()'>
  : Value extends PromiseLike<unknown>
    ? NotStorable<'a promise is no JSON: await it'>
    : Value extends Error
      ? NotStorable<'an Error is no JSON: throw it, or give its message'>
      : Value extends ArrayBuffer | ArrayBufferView | SharedArrayBuffer
        ? NotStorable<"bytes are no JSON: give Buffer.from(bytes).toString('base64')">
        : Value extends { readonly toJSON: (...args: never) => unknown }
          ? NotStorable<'an object with toJSON is no JSON: give its text, or what toJSON() gives'>
          : Value extends { readonly size: number; readonly [Symbol.iterator]: unknown; readonly get: unknown }
            ? NotStorable<'a Map is no JSON: give Object.fromEntries(map), or [...map]'>
            : Value extends { readonly size: number; readonly [Symbol.iterator]: unknown }
              ? NotStorable<'a Set is no JSON: give [...set]'>
              : Fields<Value> extends Value
                ? { readonly [Key in keyof Value]: Key extends symbol ? Value[Key] : Storable<Value[Key]> }
                : NotStorable<'an instance of a class is no JSON: give a plain object of its fields'>

/** What can be seen of an object: a class with private fields is more than that. */
type Fields<Value> = { [Key in keyof Value]: Value[Key] }

/** Beside the type of a function: refuses to compile one whose result, or what its promise gives, cannot be stored. */
export type StorableReturn<Result> = [Result] extends [Storable<Result>]
  ? unknown
  : (...args: never) => Storable<Result> | PromiseLike<Storable<Result>>

/** Nesting beyond this is refused: JSON itself recurses, and would end the process's stack. */
const DEPTH_MAX = 200

/**
 * Refuses what JSON would not give back equal: NaN, infinities, BigInt, functions, symbols, dates, maps, class
 * instances, holes in lists, cycles, lone surrogates, and an own `__proto__` key.
 *
 * @param name  stands first in the error's path, e.g. `input`.
 * @param lenient  a property whose value is undefined counts as absent, and minus zero as zero, which read the same;
 *   else both are refused.
 * @throws {JobchartError} `NOT_STORABLE` with `path`; `PAYLOAD_TOO_LARGE` it has more values than could be stored.
 */
export function assertStorable(value: unknown, name: string, lenient = false): void {
  checkedCopy(value, name, lenient, nothing)
}

/** What is stored in place of an object; undefined: the object is stored as it is. */
export type Replace = (value: object) => Json | undefined

const nothing: Replace = () => undefined

// Each part is looked at once: what is checked is what is kept, whatever a getter gives at a second look.
function checkedCopy(value: unknown, name: string, lenient: boolean, replace: Replace): Json {
  const walk: Walk = { seen: 0, name, lenient, replace, path: [], open: [] }
  try {
    return copied(value, walk)
  } catch (error) {
    if (error instanceof JobchartError) throw error
    // A getter, or a trap of a proxy, is code of whoever gave it.
    return refuse(walk, 'something that cannot be looked at')
  }
}

/** The largest value that is stored, as bytes of its JSON: a row is read and written at each change of its job. */
const STORED_BYTES_MAX = 1_048_576
/** Of one character as UTF-8, or as JSON's escape of it. */
const CHARACTER_BYTES_MAX = 6
/** Of a number, or of what stands around a value: commas, colons, brackets, quotes. */
const VALUE_BYTES_MAX = 32

/**
 * A copy of a value as storage will give it back: who goes on to change the value changes nothing of it.
 *
 * @param replace  gives what is stored in place of an object, as an actor's reference.
 * @throws {JobchartError} `NOT_STORABLE` as {@link assertStorable}; `PAYLOAD_TOO_LARGE` it is over 1 MiB as JSON.
 */
export function storableCopy(value: unknown, name: string, lenient = false, replace = nothing): Json {
  const copy = checkedCopy(value, name, lenient, replace)
  if (bytesAtMost(copy) > STORED_BYTES_MAX) assertSize(JSON.stringify(copy), name)
  return copy
}

// The text itself would take longer to make than the copy.
function bytesAtMost(value: Json): number {
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

/** A copy of what is known to be JSON. */
export function jsonCopy(value: Json): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(jsonCopy)
  return changedCopy(value as { readonly [key: string]: Json }, jsonCopy)
}

/** A copy of a record with each of its values changed. A record of many keys is copied faster than it is made anew. */
export function changedCopy<Value, Changed>(
  record: { readonly [key: string]: Value },
  change: (value: Value) => Changed,
): { [key: string]: Changed } {
  const copy: { [key: string]: unknown } = { ...record }
  for (const key of Object.keys(copy)) {
    const value = copy[key]
    // Own by now, so that it can be assigned whatever it is named.
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
  const most = `at most ${STORED_BYTES_MAX} bytes are taken; store the data elsewhere and keep its place`
  return new JobchartError('PAYLOAD_TOO_LARGE', `${name} is ${found}, and ${most}`, { path: name })
}

interface Walk {
  /** How many values were looked at: one that shares its parts may be far larger than it seems. */
  seen: number
  readonly name: string
  readonly lenient: boolean
  readonly replace: Replace
  readonly path: (string | number)[]
  /** Those that the value stands in: few, since nesting is bounded. */
  readonly open: object[]
}

function copied(value: unknown, walk: Walk): Json {
  // Each is a character of JSON at least.
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
  if (walk.open.includes(value)) refuse(walk, 'a cycle')
  if (walk.path.length >= DEPTH_MAX) refuse(walk, `nesting deeper than ${DEPTH_MAX}`)
  walk.open.push(value)
  const copy = Array.isArray(value) ? copiedList(value, walk) : copiedRecord(value, walk)
  walk.open.pop()
  return copy
}

function copiedList(list: readonly unknown[], walk: Walk): Json {
  if (Object.getPrototypeOf(list) !== Array.prototype) refuse(walk, 'a list of a class of its own')
  const { length } = list
  const hasExtra = Object.keys(list).length !== length || Object.getOwnPropertySymbols(list).length > 0
  if (hasExtra) refuse(walk, 'a list with holes or extra properties')
  const copy: Json[] = []
  for (let index = 0; index < length; index++) {
    walk.path.push(index)
    copy.push(copied(list[index], walk))
    walk.path.pop()
  }
  return copy
}

function copiedRecord(record: object, walk: Walk): Json {
  const prototype: unknown = Object.getPrototypeOf(record)
  if (prototype !== Object.prototype && prototype !== null) {
    refuse(walk, `an instance of ${record.constructor?.name ?? 'a class'}`)
  }
  if (Object.getOwnPropertySymbols(record).length > 0) refuse(walk, 'a symbol key')
  if ('toJSON' in record && typeof record.toJSON === 'function') refuse(walk, 'an object with toJSON')
  // A record of many keys is copied faster than it is made anew, and a getter is asked once.
  const copy: { [key: string]: unknown } = { ...record }
  for (const key of Object.keys(copy)) {
    walk.path.push(key)
    if (key === '__proto__') refuse(walk, 'a key that could change a prototype')
    if (!key.isWellFormed()) refuse(walk, 'a key with a lone surrogate')
    const value = copy[key]
    if (value === undefined && walk.lenient) delete copy[key]
    else copy[key] = copied(value, walk)
    walk.path.pop()
  }
  return copy as { [key: string]: Json }
}

function refuse(walk: Walk, found: string): never {
  const path = [walk.name, ...walk.path].join('.')
  throw new JobchartError('NOT_STORABLE', `${path} should be plain JSON; found ${found}`, { path })
}

/** A value as text, its keys in order: two that are deep-equal are the same text. */
export function canonicalText(value: unknown): string {
  const sorted = (_: string, each: unknown) =>
    typeof each === 'object' && each !== null && !Array.isArray(each)
      ? Object.fromEntries(Object.entries(each).sort(([a], [b]) => (a < b ? -1 : 1)))
      : each
  return JSON.stringify(value, sorted) ?? ''
}
