import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf, Work } from './bench.ts'

async function running(options: object = {}) {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const one = await bench.start({ jobs: [type], ...options })
  const two = await bench.start({ jobs: [type], work: false })
  const { id } = await one.ada.submit(type, 1)
  return { bench, work, one, two, id }
}

test('a result of work that runs here is given without a read', async () => {
  const { work, one, id } = await running()
  const reads = one.faults.calls('get')
  const result = one.ada.result(id)
  await Promise.resolve()
  work.run().finish('done')
  const { outcome, output } = await result
  expect({ outcome, output, reads: one.faults.calls('get') - reads }).toEqual({
    outcome: 'success',
    output: 'done',
    reads: 0,
  })
})

test('a caller who may not see the job is refused at once, also for work that runs here', async () => {
  const { one, id } = await running()
  expect(await codeOf(one.bob.result(id))).toBe('JOB_NOT_FOUND')
})

// The code ignores its signal, so only the poll reports the cancel.
test.each(['before', 'after'])(
  'a job that another engine deleted %s its result was asked for is not found',
  async (when) => {
    const { bench, one, two, id } = await running({ sweep: '1h' })
    await bench.clock.advance(100)
    const early = when === 'after' ? codeOf(one.ada.result(id)) : undefined
    await bench.clock.settle()
    await two.ada.delete(id)
    const late = early ?? codeOf(one.ada.result(id))
    await bench.clock.advance(100)
    expect(await late).toBe('JOB_NOT_FOUND')
    expect(await codeOf(one.ada.result(id))).toBe('JOB_NOT_FOUND')
  },
)

test('a job that was cancelled here while its code still runs gives its result at once', async () => {
  const { one, id } = await running()
  await one.ada.cancel(id)
  expect(await one.ada.result(id)).toMatchObject({ outcome: 'cancelled' })
})

test('a result is read from the row if the outcome of the write is unknown', async () => {
  const { bench, one, id } = await running()
  one.faults.plan('commit', 'unheard')
  one.faults.plan('landed', 'refused')
  expect(await codeOf(one.ada.cancel(id))).toBe('OUTCOME_UNKNOWN')
  expect(await one.ada.result(id)).toMatchObject({ outcome: 'cancelled' })
  await bench.clock.settle()
})
