import { expect, test } from 'vitest'
import { shareOf } from '../../share.ts'
import { constructs, followMachines, places } from './live-law.ts'

const MACHINES = shareOf(20_000)

test('I8 law: jobs that are stored between any two events are where a live actor of their machine is', async () => {
  const { contained, reached, ends } = await followMachines(MACHINES)
  console.log(`${reached.machines} machines, ${reached.events} events; of the machines,`)
  console.log(`have\n${contained.lines(Object.keys(constructs))}`)
  console.log(`reach\n${reached.lines(Object.keys(places))}`)
  console.log(`are followed no further than\n${reached.lines([...ends])}`)
  expect(reached.machines).toBeGreaterThanOrEqual(MACHINES)
  expect(Object.keys(constructs).filter((construct) => contained.percent(construct) < 15)).toEqual([])
  expect(Object.entries(places).filter(([what, least]) => reached.percent(what) < least)).toEqual([])
  expect([...ends].filter((end) => reached.percent(end) > 15)).toEqual([])
})
