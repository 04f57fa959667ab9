import { defineJob, type SubmitOptions } from 'jobchart'
import { afterEach, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, textsOf } from './bench.ts'

const MEBIBYTE = 1_048_576

const pristine = Object.getOwnPropertyNames(Object.prototype)

// I51, after everything that a test has tried.
afterEach(() => {
  expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(pristine)
  expect(Object.hasOwn({}, 'polluted')).toBe(false)
})

const cyclic: { self?: unknown } = {}
cyclic.self = { deeper: cyclic }

class Point {
  readonly x = 1
}

const hostile: readonly (readonly [string, unknown, string])[] = [
  ['undefined in an object', { a: undefined }, 'input.a'],
  ['undefined in a list', [undefined], 'input.0'],
  ['a hole in a list', Object.assign([], { length: 2 }), 'input'],
  ['a list with a property', Object.assign([1], { extra: 1 }), 'input'],
  ['NaN', { a: [Number.NaN] }, 'input.a.0'],
  ['Infinity', { a: Number.POSITIVE_INFINITY }, 'input.a'],
  ['-Infinity', Number.NEGATIVE_INFINITY, 'input'],
  ['-0, which JSON makes 0', { a: -0 }, 'input.a'],
  ['a BigInt', { a: 1n }, 'input.a'],
  ['a symbol', { a: Symbol('s') }, 'input.a'],
  ['a symbol key', { [Symbol('s')]: 1 }, 'input'],
  ['a function', { a: () => 1 }, 'input.a'],
  ['a Date', { a: new Date(0) }, 'input.a'],
  ['a Map', { a: new Map([[1, 2]]) }, 'input.a'],
  ['a Set', { a: new Set([1]) }, 'input.a'],
  ['a RegExp', /a/, 'input'],
  ['bytes', { a: new Uint8Array(2) }, 'input.a'],
  ['an instance', new Point(), 'input'],
  ['an Error', new Error('e'), 'input'],
  ['a promise', Promise.resolve(1), 'input'],
  ['a boxed string', { a: Object('text') }, 'input.a'],
  ['toJSON', { a: { toJSON: () => 1 } }, 'input.a'],
  ['a cycle', cyclic, 'input.self.deeper'],
  ['a lone surrogate', { a: 'x\ud800' }, 'input.a'],
  ['a key with a lone surrogate', { '\udfff': 1 }, 'input.\udfff'],
  ['an own __proto__', JSON.parse('{"a":{"__proto__":{"polluted":1}}}'), 'input.a.__proto__'],
]

test.each(hostile)('I48 refused at submit, with its path: %s', async (_, input, path) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada, heard } = await bench.start({ jobs: [type] })
  const error = await errorOf(ada.submit(type, input))
  expect([error.code, error.path]).toEqual(['NOT_STORABLE', path])
  expect(await bench.log()).toEqual([])
  expect(heard).toEqual([])
})

test('I48 nesting that would overflow the stack is refused', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  let deep: unknown = 1
  for (let depth = 0; depth < 50_000; depth++) deep = [deep]
  expect(await codeOf(ada.submit(type, deep))).toBe('NOT_STORABLE')
})

test('I49 an input of one mebibyte is accepted, one byte more is refused', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  // The two quotes of the JSON text count; ü is two bytes.
  expect(await codeOf(ada.submit(type, 'a'.repeat(MEBIBYTE - 2)))).toBe('ok')
  expect(await codeOf(ada.submit(type, 'a'.repeat(MEBIBYTE - 1)))).toBe('PAYLOAD_TOO_LARGE')
  expect(await codeOf(ada.submit(type, 'ü'.repeat(MEBIBYTE / 2)))).toBe('PAYLOAD_TOO_LARGE')
  expect((await ada.list()).items).toHaveLength(1)
})

test('I48 unusual values that JSON gives back equal are accepted', async () => {
  const bench = new Bench()
  const seen: unknown[] = []
  const type = defineJob({ type: 'w', execute: ({ input }) => seen.push(input) })
  const { ada } = await bench.start({ jobs: [type] })
  const named = JSON.parse('{"constructor":{"prototype":{"polluted":1}},"prototype":{"polluted":1}}')
  const plain = Object.assign(Object.create(null), { a: 1 })
  const input = [plain, named, '', '\u0000\u2028"\\', '💥', -1e308, 2 ** 53, [[]], {}]
  const { id } = await ada.submit(type, input)
  expect((await ada.result(id)).input).toEqual(JSON.parse(JSON.stringify(input)))
  expect(seen).toEqual([JSON.parse(JSON.stringify(input))])
})

const lone: readonly (readonly [string, SubmitOptions])[] = [
  ['pipeline', { pipeline: 'p\ud800' }],
  ['idempotency key', { idempotencyKey: 'k\ud800' }],
  ['label', { labels: { team: '\ud800' } }],
  ['name of a label', { labels: { '\ud800': 'red' } }],
]

// A database would store each of these as U+FFFD, so two different pipelines would become one.
test.each(lone)('I48 a lone surrogate is refused in a %s too', async (_, options) => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  expect(['INVALID_INPUT', 'NOT_STORABLE']).toContain(await codeOf(ada.submit(type, 1, options)))
})

test('I48 an invalid label of a submit is refused, never silently dropped', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  const labels: { [name: string]: string } = JSON.parse('{"__proto__":"red","team":"blue"}')
  const code = await codeOf(ada.submit(type, 1, { labels }))
  expect(['INVALID_INPUT', 'NOT_STORABLE']).toContain(code)
})

// A list without its filter shows more than the caller asked for.
test('I48 an invalid label of a filter is refused, never silently dropped', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  const labels: { [name: string]: string } = JSON.parse('{"__proto__":"red"}')
  expect(await codeOf(ada.list({ labels }))).toBe('INVALID_INPUT')
})

test('labels named like members of Object.prototype are labels like others', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  const { id } = await ada.submit(type, 1, { labels: { toString: 'a', hasOwnProperty: 'b' } })
  const { items } = await ada.list({ labels: { toString: 'a', hasOwnProperty: 'b' } })
  expect(items.map((item) => item.id)).toEqual([id])
})

const pausable = defineJob({
  type: 'pausable',
  lifecycle: createMachine({ initial: 'on', states: { on: { on: { note: { actions: () => {} } } } } }),
  commands: { note: z.unknown() },
})

const commands: readonly (readonly [string, unknown])[] = [
  ['null', null],
  ['undefined', undefined],
  ['text', 'note'],
  ['no type', {}],
  ['a type that is a list', { type: ['note'] }],
  ['a type of the machine’s own', { type: 'xstate.init' }],
  ['an engine’s event', { type: 'task.started' }],
  ['an inherited name', { type: 'toString' }],
  ['__proto__', { type: '__proto__' }],
  ['a payload with an own __proto__', JSON.parse('{"type":"note","__proto__":{"polluted":1}}')],
  ['a payload with a Map', { type: 'note', a: new Map() }],
  ['a payload with a cycle', { type: 'note', a: cyclic }],
]

test.each(commands)('a hostile command is refused by a typed error, and changes nothing: %s', async (_, command) => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [pausable] })
  const { id } = await ada.submit(pausable, 1)
  const before = await bench.contents()
  const code = await codeOf(ada.send(id as string, command as { type: string }))
  expect(['INVALID_INPUT', 'NOT_STORABLE']).toContain(code)
  expect(await bench.contents()).toBe(before)
})

const ids: readonly (readonly [string, unknown])[] = [
  ['undefined', undefined],
  ['null', null],
  ['a number', 7],
  ['an object', { toString: () => 'x' }],
  ['__proto__', '__proto__'],
  ['empty text', ''],
  ['SQL', "' OR 1=1 --"],
  ['a lone surrogate', '\ud800'],
]

test.each(ids)('an invalid id is found on no method: %s', async (_, given) => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [pausable] })
  await ada.submit(pausable, 1)
  const id = given as string
  const codes = await Promise.all([
    codeOf(ada.get(id)),
    codeOf(ada.cancel(id)),
    codeOf(ada.send(id, { type: 'note' })),
    codeOf(ada.history(id)),
    codeOf(ada.result(id)),
    codeOf(textsOf(ada.logs(id))),
  ])
  expect(new Set(codes)).toEqual(new Set([typeof given === 'string' ? 'JOB_NOT_FOUND' : 'INVALID_INPUT']))
})
