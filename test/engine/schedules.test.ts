import { describe, expect, test } from 'vitest'
import { defineJob } from '../../src/index.ts'
import { Bench } from './bench.ts'

const nightly = defineJob({ type: 'nightly', execute: async () => 'done' })

describe('a schedule', () => {
  test('starts a run at each due time, as the owner', async () => {
    const bench = new Bench()
    const { ada, bob } = await bench.start({ jobs: [nightly] })
    const view = await ada.pipelines.define({ id: 'n', job: nightly, schedule: { every: '1h' } })
    expect(view.nextAt).toBe(view.createdAt)
    await bench.clock.advance(3 * 3_600_000)
    const { items } = await ada.list({ pipeline: 'n', order: 'oldest' })
    expect(items.map(({ trigger, createdBy, status }) => [trigger, createdBy, status])).toEqual(
      Array.from({ length: 4 }, () => ['schedule', 'ada', 'completed']),
    )
    expect((await bob.list({ pipeline: 'n' })).items).toEqual([])
  })
})
