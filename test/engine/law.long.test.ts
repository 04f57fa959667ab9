import fc from 'fast-check'
import { test } from 'vitest'
import { shareOf } from '../share.ts'
import { type Happening, withAnyStorage, withTellingStorage } from './happenings.ts'
import { World } from './world.ts'

const RUNS = shareOf(800)

// I1, I2, I9, I10, I14, I19, I21, I26, I35, I40, I41 after everything that happens; and when the faults end, all settles.
async function holds(happenings: readonly Happening[]): Promise<void> {
  const world = new World()
  await world.begin()
  for (const happening of happenings) await world.happen(happening)
  await world.heal()
}

test('whatever happens to two engines, what was promised holds, and settles when the faults end', async () => {
  const runs = fc.array(withTellingStorage, { maxLength: 40, size: 'max' })
  await fc.assert(fc.asyncProperty(runs, holds), { numRuns: RUNS })
})

test('so it does where storage cannot even tell what became of a write', async () => {
  const runs = fc.array(withAnyStorage, { maxLength: 40, size: 'max' })
  await fc.assert(fc.asyncProperty(runs, holds), { numRuns: RUNS })
})
