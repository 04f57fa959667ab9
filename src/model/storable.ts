import { JobchartError } from './error.ts'

/** A value that JSON gives back equal. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json }

/** Nesting beyond this is refused: JSON itself recurses, and would end the process's stack. */
const DEPTH_MAX = 200

/**
 * Refuses what JSON would not give back equal: NaN, infinities, BigInt, functions, symbols, dates, maps, class
 * instances, holes in lists, cycles, lone surrogates, and an own `__proto__`, `constructor` or `prototype` key.
 *
 * @param name  stands first in the error's path, e.g. `input`.
 * @param lenient  a property whose value is undefined counts as absent, and minus zero as zero, which read the same;
 *   else both are refused.
 * @throws {JobchartError} `NOT_STORABLE` with `path`; `PAYLOAD_TOO_LARGE` it has more values than could be stored.
 */
export function assertStorable(value: unknown, name: string, lenient = false): void {
  checkedCopy(value, name, lenient)
}

// Each part is looked at once: what is checked is what is kept, whatever a getter gives at a second look.
function checkedCopy(value: unknown, name: string, lenient: boolean): Json {
  const walk: Walk = { seen: 0, name, lenient, path: [], open: new Set() }
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
/** Of one character as UTF-8. */
const CHARACTER_BYTES_MAX = 3

/**
 * A copy of a value as storage will give it back: who goes on to change the value changes nothing of it.
 *
 * @throws {JobchartError} `NOT_STORABLE` as {@link assertStorable}; `PAYLOAD_TOO_LARGE` it is over 1 MiB as JSON.
 */
export function storableCopy(value: unknown, name: string, lenient = false): Json {
  const copy = checkedCopy(value, name, lenient)
  if (typeof copy === 'string' || (typeof copy === 'object' && copy !== null)) assertSize(JSON.stringify(copy), name)
  return copy
}

/** A copy of what is known to be JSON. */
export function jsonCopy(value: Json): Json {
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(jsonCopy)
  const copy: { [key: string]: Json } = {}
  // No key is one that could change a prototype: such a value was not taken.
  for (const [key, each] of Object.entries(value)) put(copy, key, jsonCopy(each))
  return copy
}

// Where prototypes are frozen, a key that is named like a part of every object cannot be assigned.
function put(copy: { [key: string]: Json }, key: string, value: Json): void {
  if (key in copy) Object.defineProperty(copy, key, { value, enumerable: true, configurable: true, writable: true })
  else copy[key] = value
}

function assertSize(text: string, name: string): void {
  if (text.length * CHARACTER_BYTES_MAX <= STORED_BYTES_MAX) return
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
  readonly path: (string | number)[]
  readonly open: Set<object>
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
  if (walk.open.has(value)) refuse(walk, 'a cycle')
  if (walk.path.length >= DEPTH_MAX) refuse(walk, `nesting deeper than ${DEPTH_MAX}`)
  walk.open.add(value)
  const copy = Array.isArray(value) ? copiedList(value, walk) : copiedRecord(value, walk)
  walk.open.delete(value)
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

const FORBIDDEN_KEYS: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype'])

function copiedRecord(record: object, walk: Walk): Json {
  const prototype: unknown = Object.getPrototypeOf(record)
  if (prototype !== Object.prototype && prototype !== null) {
    refuse(walk, `an instance of ${record.constructor?.name ?? 'a class'}`)
  }
  if (Object.getOwnPropertySymbols(record).length > 0) refuse(walk, 'a symbol key')
  if ('toJSON' in record && typeof record.toJSON === 'function') refuse(walk, 'an object with toJSON')
  const copy: { [key: string]: Json } = {}
  for (const key of Object.keys(record)) {
    walk.path.push(key)
    if (FORBIDDEN_KEYS.has(key)) refuse(walk, 'a key that could change a prototype')
    if (!key.isWellFormed()) refuse(walk, 'a key with a lone surrogate')
    const value = (record as { readonly [key: string]: unknown })[key]
    if (value !== undefined || !walk.lenient) put(copy, key, copied(value, walk))
    walk.path.pop()
  }
  return copy
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
