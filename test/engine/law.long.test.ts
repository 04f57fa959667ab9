import fc from 'fast-check'
import { test } from 'vitest'
import { shareOf } from '../share.ts'
import { type Happening, withAnyStorage, withTellingStorage } from './happenings.ts'
import { World } from './world.ts'

const RUNS = shareOf(800)

// I1, I2, I9, I10, I14, I19, I21, I26, I35, I40, I41 are checked after every action. When the faults end, everything
// settles.
async function holds(happenings: readonly Happening[]): Promise<void> {
  const world = new World()
  await world.begin()
  for (const happening of happenings) await world.happen(happening)
  await world.heal()
}

test('two engines under random faults keep every guarantee, and settle every job when the faults end', async () => {
  const runs = fc.array(withTellingStorage, { maxLength: 40, size: 'max' })
  await fc.assert(fc.asyncProperty(runs, holds), { numRuns: RUNS })
})

test('two engines keep every guarantee also if the storage cannot tell the outcome of a write', async () => {
  const runs = fc.array(withAnyStorage, { maxLength: 40, size: 'max' })
  await fc.assert(fc.asyncProperty(runs, holds), { numRuns: RUNS })
})
