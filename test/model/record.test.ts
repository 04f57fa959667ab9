import { expect, test } from 'vitest'
import { defineJob } from '../../src/model/definition.ts'
import { doneEvent, errorEvent, errorValue, madeAvailable, outcomeOf, settingsOf } from '../../src/model/record.ts'
import type { Task } from '../../src/model/task.ts'

const plain = defineJob({ type: 'plain', killGrace: '1s', execute: () => 1 })

const claimedTask: Task = {
  id: 'execute',
  invocation: 1,
  ordinal: 1,
  src: 'execute',
  executor: 'default',
  status: 'claimed',
  token: 4,
  holder: 'me',
  availableAt: 0,
  attempt: 2,
  claims: 2,
  crashes: 1,
  losses: 1,
  steps: 3,
  inbox: ['hello'],
}

test('the ends of a child are the events that XState makes of them', () => {
  expect(doneEvent('w', 5)).toEqual({ type: 'xstate.done.actor.w', output: 5, actorId: 'w' })
  expect(errorEvent('w', 'no')).toEqual({ type: 'xstate.error.actor.w', error: 'no', actorId: 'w' })
})

test.each([
  [[], 'success'],
  [['success'], 'success'],
  [['cancelled', 'success'], 'cancelled'],
  [['success', 'cancelled', 'failure'], 'failure'],
])('of the tags %j the outcome is %s', (tags, outcome) => {
  expect(outcomeOf({ tags: new Set(tags) })).toBe(outcome)
})

test('a thrown value reaches a chart unchanged if it can be stored, an Error by its record', () => {
  expect(errorValue({ why: ['full'] })).toEqual({ why: ['full'] })
  expect(errorValue('text')).toBe('text')
  expect(errorValue(null)).toBeNull()
  expect(errorValue(new RangeError('far'))).toMatchObject({ name: 'RangeError', message: 'far' })
  expect(errorValue(undefined)).toEqual({ name: 'Error', message: 'undefined' })
  expect(errorValue({ size: 1n })).toEqual({ name: 'Error', message: 'an object that cannot be shown was thrown' })
})

test('a thrown value that cannot be read reaches a chart all the same', () => {
  const fails = (): never => {
    throw new Error('no look')
  }
  const hostile = new Proxy({}, { get: fails, getPrototypeOf: fails, ownKeys: fails })
  expect(errorValue(hostile)).toMatchObject({ name: 'Error' })
})

test('a task that is available again has no holder, deadline or grace, and keeps its token and its messages', () => {
  const { holder, ...rest } = claimedTask
  expect(madeAvailable({ ...claimedTask, stopBy: 9, deadlineAt: 7, again: 8 }, { crashes: 2 })).toEqual({
    ...rest,
    status: 'available',
    crashes: 2,
  })
})

test('a task of logic that the type does not know is an error that says so', () => {
  expect(() => settingsOf(plain, { ...claimedTask, src: 'gone' })).toThrow('job type "plain" has no logic "gone"')
})
