import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf } from './bench.ts'

/** Two engines on one disk, that know two types. */
async function started() {
  const bench = new Bench()
  const one = defineJob({ type: 'one', execute: () => {} })
  const two = defineJob({ type: 'two', execute: () => {} })
  const host = await bench.start({ jobs: [one, two] })
  const other = await bench.start({ jobs: [one, two] })
  /** The next pipeline that this engine reads is the one of now, and is heard of only when this is called. */
  const slowRead = () => {
    let isHeard = () => {}
    host.faults.plan('pipeline', new Promise((resolve) => (isHeard = resolve)))
    return () => isHeard()
  }
  return { bench, one, two, other, slowRead, ...host }
}

// Each began at revision 1, so that the old one's reader found its revision.
test('a pipeline that is defined anew while a run of the old one begins is run as it is now', async () => {
  const { ada, bench, one, two, other, slowRead } = await started()
  await ada.pipelines.define({ id: 'p', job: one, input: 'old' })
  const isHeard = slowRead()
  const run = ada.pipelines.run('p')
  await bench.clock.settle()
  await other.ada.pipelines.delete('p')
  await other.ada.pipelines.define({ id: 'p', job: two, input: 'new' })
  isHeard()
  expect(await run).toMatchObject({ type: 'two', input: 'new' })
})

test('a pipeline that went and is another’s now is not taken by its earlier owner', async () => {
  const { ada, bench, one, other, slowRead } = await started()
  await ada.pipelines.define({ id: 'p', job: one, input: 'old' })
  const isHeard = slowRead()
  const change = codeOf(ada.pipelines.define({ id: 'p', job: one, input: 'changed' }))
  await bench.clock.settle()
  await other.ada.pipelines.delete('p')
  await other.bob.pipelines.define({ id: 'p', job: one, input: 'of bob' })
  isHeard()
  expect(await change).toBe('INVALID_INPUT')
  expect(await other.bob.pipelines.get('p')).toMatchObject({ createdBy: 'bob', input: 'of bob' })
})
