import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JobchartError } from '../../src/model/error.ts'
import { storableCopy } from '../../src/model/storable.ts'

const cycle: { self?: unknown } = {}
cycle.self = { in: [cycle] }

const tagged = Object.assign([1, 2], { [Symbol('tag')]: 1 })

class Money {
  readonly cents = 5
}

class Amounts extends Array<number> {
  toJSON(): string {
    return 'amounts'
  }
}

const refused: readonly (readonly [kind: string, value: unknown, path: string, found: string])[] = [
  ['undefined', undefined, 'input', 'undefined'],
  ['a property that is undefined', { a: undefined }, 'input.a', 'undefined'],
  ['an undefined in a list', [1, undefined], 'input.1', 'undefined'],
  ['NaN', { a: [0, Number.NaN] }, 'input.a.1', 'NaN'],
  ['Infinity', { a: Number.POSITIVE_INFINITY }, 'input.a', 'Infinity'],
  ['-Infinity', { a: Number.NEGATIVE_INFINITY }, 'input.a', '-Infinity'],
  ['a BigInt', { a: { b: 1n } }, 'input.a.b', 'a bigint'],
  ['a function', { a: () => 1 }, 'input.a', 'a function'],
  ['a symbol', { a: Symbol('s') }, 'input.a', 'a symbol'],
  ['a symbol key', { a: { [Symbol('s')]: 1 } }, 'input.a', 'a symbol key'],
  ['a Date', { when: new Date(0) }, 'input.when', 'an instance of Date'],
  ['a Map', { a: new Map([[1, 2]]) }, 'input.a', 'an instance of Map'],
  ['a Set', { a: new Set([1]) }, 'input.a', 'an instance of Set'],
  ['an Error', { a: new RangeError('no') }, 'input.a', 'an instance of RangeError'],
  ['a typed array', { a: new Uint8Array(2) }, 'input.a', 'an instance of Uint8Array'],
  ['a boxed string', { a: Object('text') }, 'input.a', 'an instance of String'],
  ['an instance of a class', { a: [new Money()] }, 'input.a.0', 'an instance of Money'],
  ['an object that inherits from another', { a: Object.create({ b: 1 }) }, 'input.a', 'an instance of Object'],
  ['an object with toJSON', { a: { toJSON: () => 1 } }, 'input.a', 'an object with toJSON'],
  ['a list with holes', { a: Array(2) }, 'input.a', 'a list with holes or extra properties'],
  ['a list with extra properties', Object.assign([1], { x: 1 }), 'input', 'a list with holes or extra properties'],
  ['a cycle', cycle, 'input.self.in.0', 'a cycle'],
  ['a lone surrogate', { a: 'x\ud800' }, 'input.a', 'a string with a lone surrogate'],
  ['a key with a lone surrogate', { '\udfff': 1 }, 'input.\udfff', 'a key with a lone surrogate'],
]

test.each(refused)('I48 %s is refused, and its path is named', (_, value, path, found) => {
  expect(refusalOf(() => storableCopy(value, 'input'))).toMatchObject({
    code: 'NOT_STORABLE',
    path,
    message: `${path} should be plain JSON; found ${found}`,
  })
})

// These classes have a prototype of their own, whose toJSON JSON would call.
test('I48 a list of a class of its own is refused', () => {
  expect(refusalOf(() => storableCopy({ a: Amounts.of(1, 2) }, 'input'))).toMatchObject({ path: 'input.a' })
})

test('I48 a list with a symbol key is refused', () => {
  expect(refusalOf(() => storableCopy({ a: tagged }, 'input'))).toMatchObject({ path: 'input.a' })
})

// JSON writes it as 0.
test('I48 minus zero is refused; the lenient check counts it as zero, which reads the same', () => {
  expect(refusalOf(() => storableCopy({ a: -0 }, 'input'))).toMatchObject({ path: 'input.a' })
  expect(() => storableCopy({ a: -0 }, 'context', true)).not.toThrow()
})

test('I48 an own __proto__ key of hostile JSON is refused at any depth', () => {
  const hostile: unknown = JSON.parse('{"list":[{"__proto__":{"isAdmin":true}}]}')
  expect(refusalOf(() => storableCopy(hostile, 'input'))).toMatchObject({ path: 'input.list.0.__proto__' })
  expect(refusalOf(() => storableCopy(JSON.parse('{"__proto__":1}'), 'input', true))).toMatchObject({
    path: 'input.__proto__',
  })
  expect({}).not.toHaveProperty('isAdmin')
})

test('nesting is accepted to 200 levels and refused beyond, without a stack overflow', () => {
  expect(() => storableCopy(nested(200), 'input')).not.toThrow()
  expect(refusalOf(() => storableCopy(nested(201), 'input')).message).toContain('nesting deeper than 200')
  expect(refusalOf(() => storableCopy(nested(100_000), 'input')).code).toBe('NOT_STORABLE')
})

test('the lenient check counts an undefined property as absent, and nothing else', () => {
  expect(() => storableCopy({ a: undefined, b: { c: undefined } }, 'context', true)).not.toThrow()
  expect(refusalOf(() => storableCopy([undefined], 'context', true)).path).toBe('context.0')
  expect(refusalOf(() => storableCopy(undefined, 'context', true)).path).toBe('context')
  expect(refusalOf(() => storableCopy({ a: Number.NaN }, 'context', true)).path).toBe('context.a')
})

test('one object in two places is not a cycle', () => {
  const shared = { a: [1] }
  expect(() => storableCopy([shared, { shared }], 'input')).not.toThrow()
})

test('an object without a prototype is plain', () => {
  expect(() => storableCopy(Object.assign(Object.create(null), { a: 1 }), 'input')).not.toThrow()
})

test('a storable copy equals what the storage gives back, and changing the original later does not change it', () => {
  const value = { list: [1, { a: 'x' }], gone: undefined, zero: -0 }
  const copy = storableCopy(value, 'context', true)
  value.list.push(2)
  expect(copy).toStrictEqual({ list: [1, { a: 'x' }], zero: 0 })
  expect([storableCopy('text', 'input'), storableCopy(null, 'input')]).toEqual(['text', null])
  expect(refusalOf(() => storableCopy({ a: new Date(0) }, 'input'))).toMatchObject({ path: 'input.a' })
})

test('I48 every value that JSON can write is accepted', () => {
  const json = fc.jsonValue({ stringUnit: 'binary', depthSize: 'medium', maxDepth: 5 })
  fc.assert(
    fc.property(json, (value) => {
      fc.pre(!hasForbiddenKey(value))
      // Like JSON, which has no minus zero.
      storableCopy(JSON.parse(JSON.stringify(value)), 'input')
    }),
  )
})

test('I48 law: a value of any kind comes back equal from JSON, or is refused', () => {
  const text = fc.string({ unit: 'binary', size: 'max', maxLength: 30 })
  const anything = fc.anything({
    size: 'medium',
    maxDepth: 3,
    maxKeys: 6,
    key: fc.oneof(text, fc.constantFrom('__proto__', 'toJSON', 'constructor', '\ud800')),
    values: [
      text,
      fc.double(),
      fc.constantFrom(-0, Number.NaN),
      fc.boolean(),
      fc.constantFrom(null, undefined, '\udc00', Symbol.iterator),
    ],
    withBigInt: true,
    withBoxedValues: true,
    withDate: true,
    withMap: true,
    withNullPrototype: true,
    withObjectString: true,
    withSet: true,
    withSparseArray: true,
    withTypedArray: true,
  })
  let taken = 0
  fc.assert(
    fc.property(anything, fc.boolean(), (value, lenient) => {
      if (!isTaken(value, lenient)) return
      taken++
      expect(isEqual(value, JSON.parse(JSON.stringify(value)), lenient)).toBe(true)
    }),
    { numRuns: 2_000 },
  )
  expect(taken).toBeGreaterThan(200)
})

function refusalOf(act: () => void): JobchartError {
  try {
    act()
  } catch (error) {
    if (error instanceof JobchartError) return error
    throw error
  }
  throw new Error('it was taken')
}

function isTaken(value: unknown, lenient: boolean): boolean {
  try {
    storableCopy(value, 'value', lenient)
    return true
  } catch (error) {
    expect(error).toMatchObject({ code: 'NOT_STORABLE' })
    return false
  }
}

function nested(depth: number): unknown {
  let value: unknown = {}
  for (let level = 1; level < depth; level++) value = level % 2 === 0 ? { value } : [value]
  return value
}

function hasForbiddenKey(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.entries(value).some(([key, each]) => key === '__proto__' || hasForbiddenKey(each))
}

/** Stricter than a matcher: a property that JSON dropped is a difference, unless the check is lenient. */
function isEqual(before: unknown, after: unknown, lenient: boolean): boolean {
  if (typeof before !== 'object' || before === null || typeof after !== 'object' || after === null) {
    return Object.is(before, after) || (lenient && before === after)
  }
  if (Array.isArray(before) !== Array.isArray(after)) return false
  const isKept = ([, value]: [string, unknown]) => !lenient || value !== undefined
  const left = Object.entries(before).filter(isKept)
  const right = new Map<string, unknown>(Object.entries(after))
  if (left.length !== right.size) return false
  return left.every(([key, value]) => right.has(key) && isEqual(value, right.get(key), lenient))
}
