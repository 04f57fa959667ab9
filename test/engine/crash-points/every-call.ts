import { afterAll, describe, expect, test } from 'vitest'
import { sqliteDisk } from '../bench.ts'
import { applies, MODES, type Point } from './points.ts'
import type { Scenario } from './scenario.ts'
import { runScenario } from './trial.ts'

const invariants = 'I1 I2 I3 I5 I9 I10 I11 I14 I16 I19 I20 I21 I22 I26 I36 I40 I41 I47 I61'

/**
 * Tests each scenario with a fault at each of its calls to the storage, in every mode.
 *
 * @param isThorough  false: on files, every other call is tried, in one mode each, in turn.
 */
export function testEveryCall(scenarios: readonly Scenario[], isThorough: boolean): void {
  const tally = { memory: 0, sqlite: 0, dead: 0, frozen: 0, done: 0, writes: 0 }
  afterAll(() => {
    const { memory, sqlite, dead, frozen, done, writes } = tally
    console.log(
      `crash points: ${scenarios.length} scenarios, ${memory} cases in memory and ${sqlite} on files, ` +
        `${dead} of them crashes, ${frozen} freezes and ${done} errors; ${writes} writes were looked at`,
    )
  })

  describe.each(['memory', 'sqlite'] as const)(`on %s, ${invariants}`, (kind) => {
    test.each(scenarios)('$name survives a crash and an error at every storage call', async (scenario) => {
      const disk = () => (kind === 'sqlite' ? sqliteDisk() : undefined)
      const plain = await runScenario(scenario, disk())
      expect(plain.faults, 'where nothing goes wrong').toEqual([])
      const found: string[] = []
      for (const point of pointsOf(plain.calls, kind === 'memory' || isThorough)) {
        const where = `${point.mode} at call ${point.call}, ${plain.calls[point.call - 1]}`
        try {
          const { faults, calls, how, ledger } = await runScenario(scenario, disk(), point)
          found.push(...faults.map((fault) => `${where}: ${fault}`))
          // Otherwise the fault hit another call than the planned one, or none.
          if (calls[point.call - 1] !== plain.calls[point.call - 1]) found.push(`${where}: the run took another course`)
          tally[kind]++
          tally[how]++
          tally.writes += ledger.writes
        } catch (error) {
          found.push(`${where}: ${error instanceof Error ? error.message : String(error)}`)
        }
      }
      expect(found).toEqual([])
    })
  })
}

function pointsOf(calls: readonly string[], isEvery: boolean): readonly Point[] {
  const points = calls.flatMap((name, index) =>
    MODES.filter((mode) => applies(mode, name)).map((mode): Point => ({ call: index + 1, mode })),
  )
  return isEvery
    ? points
    : points.filter(({ call, mode }) => call % 2 === 1 && MODES.indexOf(mode) === call % MODES.length)
}
