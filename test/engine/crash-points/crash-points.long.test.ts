import { expect, test } from 'vitest'
import { isInFull } from '../../share.ts'
import { testEveryCall } from './every-call.ts'
import { scenarios } from './scenarios.ts'

testEveryCall(scenarios, isInFull)

// A scenario with the name of another one would hide it in the report.
test('every scenario has its own name', () => {
  expect(new Set(scenarios.map(({ name }) => name)).size).toBe(scenarios.length)
})
