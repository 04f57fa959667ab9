import { expect, test } from 'vitest'
import { persistRefs, reviveRefs } from '../../src/model/references.ts'

const ref = { id: 'w', sessionId: 'x:1', send: () => {}, ref: null }

test('references are stored by their ids, at any depth, and are alive again from the children', () => {
  const context = { n: 1, one: ref, deep: { list: [0, ref] } }
  const { value, hasRefs } = persistRefs(context, idOf)
  const stored = { xstate$$type: 1, id: 'w' }
  expect({ value, hasRefs }).toEqual({ value: { n: 1, one: stored, deep: { list: [0, stored] } }, hasRefs: true })
  expect(reviveRefs(JSON.parse(JSON.stringify(value)), () => ref)).toEqual(context)
})

test('what holds no reference is given back as it is, not as a copy', () => {
  const context = { deep: { list: [1, { a: null }] }, text: 'x' }
  expect(persistRefs(context, idOf)).toEqual({ value: context, hasRefs: false })
  expect(persistRefs(context, idOf).value).toBe(context)
  expect(reviveRefs(context, () => ref)).toBe(context)
})

test('only what changes is copied, and the context itself is left as it was', () => {
  const context = { same: { a: 1 }, changed: { ref } }
  const { value } = persistRefs(context, idOf)
  expect((value as typeof context).same).toBe(context.same)
  expect(context.changed.ref).toBe(ref)
})

test('a reference is made alive by its id', () => {
  const stored = { one: { xstate$$type: 1, id: 'a' }, two: { xstate$$type: 1, id: 'b' } }
  expect(reviveRefs(stored, (id) => ({ id }))).toEqual({ one: { id: 'a' }, two: { id: 'b' } })
})

test('cycles and instances of classes are not followed: they are refused where they are stored', () => {
  const cycle: { self?: unknown } = {}
  cycle.self = cycle
  const context = { cycle, date: new Date(0), map: new Map([['w', ref]]) }
  expect(persistRefs(context, idOf).value).toBe(context)
})

test('data that has the fields of a reference stays data', () => {
  const context = { login: { id: 'w', sessionId: 'x:1', send: true, ref: null } }
  expect(persistRefs(context, idOf)).toEqual({ value: context, hasRefs: false })
})

function idOf({ id }: { readonly id: string }): string {
  return id
}
