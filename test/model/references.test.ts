import { expect, test } from 'vitest'
import { messageOf, revivedCopy, storedCopy } from '../../src/model/references.ts'

const ref = { id: 'w', path: [2], sessionId: 'x:1', send: () => {}, ref: null }

test('references are stored by their ids and paths, at any depth, and are alive again', () => {
  const context = { n: 1, one: ref, deep: { list: [0, ref] } }
  const { value, hasRefs } = storedCopy(context, 'context')
  const stored = { xstate$$type: 1, id: 'w', path: [2] }
  expect({ value, hasRefs }).toEqual({ value: { n: 1, one: stored, deep: { list: [0, stored] } }, hasRefs: true })
  expect(revivedCopy(JSON.parse(JSON.stringify(value)), () => ref)).toEqual(context)
})

test('a value without references is copied too, so that a caller may change the copy', () => {
  const context = { deep: { list: [1, { a: null }] }, text: 'x' }
  const { value, hasRefs } = storedCopy(context, 'context')
  expect({ value, hasRefs }).toEqual({ value: context, hasRefs: false })
  const alive = revivedCopy(value, () => ref) as typeof context
  expect(alive).toEqual(context)
  alive.deep.list.push(2)
  expect([context.deep.list.length, (value as typeof context).deep.list.length]).toEqual([2, 2])
})

test('a reference is made alive by its path; one of an older file, which has none, by its id', () => {
  const stored = { one: { xstate$$type: 1, id: 'a', path: [3, 1] }, two: { xstate$$type: 1, id: 'b' } }
  expect(revivedCopy(stored, (path, id) => ({ path, id }))).toEqual({
    one: { id: 'a', path: [3, 1] },
    two: { id: 'b' },
  })
})

test('data that looks like a stored reference, or like a stored error, stays data', () => {
  const data = { one: { xstate$$type: 1, id: 'a', path: [3] }, two: [{ xstate$$type: 'error', ref }], none: undefined }
  for (const value of [storedCopy(data, 'context').value, messageOf(data, 'event')]) {
    const alive = revivedCopy(JSON.parse(JSON.stringify(value)), () => ref)
    expect(alive).toEqual({ one: { xstate$$type: 1, id: 'a', path: [3] }, two: [{ xstate$$type: 'error', ref }] })
  }
})

test('an error in a message is an error again, with its cause; in a context, only one that came in an event', () => {
  const error = Object.assign(new RangeError('far', { cause: new Error('near') }), { code: 404 })
  const { error: alive } = revivedCopy(JSON.parse(JSON.stringify(messageOf({ error }, 'event'))), () => ref) as {
    error: typeof error
  }
  expect(alive).toBeInstanceOf(RangeError)
  expect(alive).toMatchObject({ code: 404, message: 'far', cause: expect.objectContaining({ message: 'near' }) })
  expect(() => storedCopy({ error }, 'context')).toThrow('should be plain JSON')
  expect(storedCopy({ alive }, 'context').value).toMatchObject({
    alive: { message: 'far', cause: { message: 'near' } },
  })
})

test('an actor outside the tree is not a reference', () => {
  const other = { id: 'other', sessionId: 'x:2', send: () => {}, ref: null }
  expect(() => storedCopy({ other }, 'context')).toThrow('the reference to "other" in the context')
})

test('cycles and instances of classes are refused', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  for (const refused of [cycle, { date: new Date(0) }, { map: new Map([['w', ref]]) }]) {
    expect(() => storedCopy(refused, 'context')).toThrow('should be plain JSON')
  }
})

test('data that has the fields of a reference stays data', () => {
  const context = { login: { id: 'w', sessionId: 'x:1', send: true, ref: null } }
  expect(storedCopy(context, 'context')).toEqual({ value: context, hasRefs: false })
})

test('data may have keys that are named like members of Object.prototype', () => {
  const context = JSON.parse('{"constructor":{"prototype":1},"toString":2}')
  expect(storedCopy(context, 'context').value).toEqual(context)
  expect(revivedCopy(context, () => ref)).toEqual(context)
})
