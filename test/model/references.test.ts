import { expect, test } from 'vitest'
import { revivedCopy, storedCopy } from '../../src/model/references.ts'

const ref = { id: 'w', sessionId: 'x:1', send: () => {}, ref: null }

test('references are stored by their ids, at any depth, and are alive again from the children', () => {
  const context = { n: 1, one: ref, deep: { list: [0, ref] } }
  const { value, hasRefs } = storedCopy(context, 'context', idOf)
  const stored = { xstate$$type: 1, id: 'w' }
  expect({ value, hasRefs }).toEqual({ value: { n: 1, one: stored, deep: { list: [0, stored] } }, hasRefs: true })
  expect(revivedCopy(JSON.parse(JSON.stringify(value)), () => ref)).toEqual(context)
})

test('what holds no reference is copied all the same: whoever has the copy may change it', () => {
  const context = { deep: { list: [1, { a: null }] }, text: 'x' }
  const { value, hasRefs } = storedCopy(context, 'context', idOf)
  expect({ value, hasRefs }).toEqual({ value: context, hasRefs: false })
  const alive = revivedCopy(value, () => ref) as typeof context
  expect(alive).toEqual(context)
  alive.deep.list.push(2)
  expect([context.deep.list.length, (value as typeof context).deep.list.length]).toEqual([2, 2])
})

test('a reference is made alive by its id', () => {
  const stored = { one: { xstate$$type: 1, id: 'a' }, two: { xstate$$type: 1, id: 'b' } }
  expect(revivedCopy(stored, (id) => ({ id }))).toEqual({ one: { id: 'a' }, two: { id: 'b' } })
})

test('cycles and instances of classes are refused', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  for (const refused of [cycle, { date: new Date(0) }, { map: new Map([['w', ref]]) }]) {
    expect(() => storedCopy(refused, 'context', idOf)).toThrow('should be plain JSON')
  }
})

test('data that has the fields of a reference stays data', () => {
  const context = { login: { id: 'w', sessionId: 'x:1', send: true, ref: null } }
  expect(storedCopy(context, 'context', idOf)).toEqual({ value: context, hasRefs: false })
})

test('data may have keys that are named like parts of an object', () => {
  const context = JSON.parse('{"constructor":{"prototype":1},"toString":2}')
  expect(storedCopy(context, 'context', idOf).value).toEqual(context)
  expect(revivedCopy(context, () => ref)).toEqual(context)
})

function idOf({ id }: { readonly id: string }): string {
  return id
}
