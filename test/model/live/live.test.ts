import { expect, test } from 'vitest'
import { followMachines } from './live-law.ts'

const MACHINES = 200

test('I8 law: jobs that are stored between any two events are where a live actor of their machine is', async () => {
  const { reached } = await followMachines(MACHINES)
  expect(reached.machines).toBeGreaterThanOrEqual(MACHINES)
})
