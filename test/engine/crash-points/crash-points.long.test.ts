import { expect, test } from 'vitest'
import { isInFull } from '../../share.ts'
import { testEveryCall } from './every-call.ts'
import { scenarios } from './scenarios.ts'

testEveryCall(scenarios, isInFull)

// Two scenarios of one name could not be told apart in the report.
test('every scenario has its own name', () => {
  expect(new Set(scenarios.map(({ name }) => name)).size).toBe(scenarios.length)
})
