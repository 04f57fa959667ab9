import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench } from './bench.ts'
import { follow } from './following.ts'

const quick = defineJob({ type: 'w', execute: () => 1 })

test('is told at once of what is committed at any moment of its look', async () => {
  const late: number[] = []
  for (let moment = 0; moment < 20; moment++) {
    const bench = new Bench()
    const { ada, faults } = await bench.start({ jobs: [quick], work: false })
    const stream = ada.events()
    await ada.submit(quick, 0)
    await stream.next()
    const answer = Promise.withResolvers<void>()
    faults.plan('commit', answer.promise)
    void ada.submit(quick, 1)
    await bench.clock.settle()
    // The commit is published between two steps of the stream, one further at each moment.
    answer.resolve()
    for (let step = 0; step < moment; step++) await null
    const seen = follow(stream)
    await bench.clock.settle()
    if (seen.events.length !== 1) late.push(moment)
    await bench.end()
  }
  expect(late).toEqual([])
})
