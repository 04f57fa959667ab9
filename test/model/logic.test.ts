import { expect, test } from 'vitest'
import {
  createMachine,
  fromCallback,
  fromEventObservable,
  fromObservable,
  fromPromise,
  fromTransition,
  setup,
} from 'xstate'
import { isLogic, isMachine, isPromise, kindOf } from '../../src/model/logic.ts'
import { task } from '../../src/model/task.ts'

let ran = 0
const run = (): never => {
  ran++
  throw new Error('was run')
}

test.each([
  ['promise logic', fromPromise(run), 'promise'],
  ['a task()', task({}, run), 'promise'],
  ['a callback', fromCallback(run), 'callback'],
  ['an observable', fromObservable(run), 'observable'],
  ['an event observable', fromEventObservable(run), 'events'],
  ['transition logic', fromTransition(run, 0), 'pure'],
  ['a machine', createMachine({ context: run }), 'machine'],
  ['a machine of a setup', setup({}).createMachine({}), 'machine'],
] as const)('the kind of %s is recognized from XState’s object, and none of its code runs', (_, made, kind) => {
  const logic: unknown = made
  if (!isLogic(logic)) throw new Error('it is no logic')
  expect(kindOf(logic)).toBe(kind)
  expect([isMachine(logic), isPromise(logic)]).toEqual([kind === 'machine', kind === 'promise'])
  expect(ran).toBe(0)
})

test.each([null, undefined, 'work', () => {}, {}, { transition: () => {} }])('%s is not logic', (value) => {
  expect(isLogic(value)).toBe(false)
})
