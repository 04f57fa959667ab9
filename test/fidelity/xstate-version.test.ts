import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'

// The XState version on which `npm run test:long` runs the suite, besides the newest.
const OLDEST = 'xstate-oldest'
const played = process.env.JOBCHART_XSTATE ?? 'xstate'

test('the suite runs on the XState version that it says, and the oldest is where the peer range begins', () => {
  const { peerDependencies } = JSON.parse(readFileSync('package.json', 'utf8'))
  const { version } = JSON.parse(readFileSync(`node_modules/${OLDEST}/package.json`, 'utf8'))
  expect(peerDependencies.xstate).toBe(`^${version}`)
  // Machines have options of their own from 5.31 on.
  expect('options' in createMachine({})).toBe(played !== OLDEST)
})
