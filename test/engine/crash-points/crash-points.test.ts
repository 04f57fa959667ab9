import { expect, test } from 'vitest'
import { testEveryCall } from './every-call.ts'
import { scenarios } from './scenarios.ts'

// A task with recorded steps, a chart with a child, and two engines on one disk.
const NAMES = ['a retry that reads its recorded steps', 'cancelling a parent with its child', 'two engines on one disk']
const few = scenarios.filter(({ name }) => NAMES.includes(name))

testEveryCall(few, false)

test('the three scenarios exist', () => {
  expect(few.map(({ name }) => name).sort()).toEqual(NAMES.toSorted())
})
