import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf } from './bench.ts'

const verify = defineJob({ type: 'PIPELINE_VERFIY', aliases: ['PIPELINE_VERIFY'], execute: () => 'ok' })

test('an alias names the type in submit, lists, counts, streams and pipelines, and is never stored', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [verify] })
  const job = await ada.submit('PIPELINE_VERIFY')
  await bench.clock.settle()
  expect(job.type).toBe('PIPELINE_VERFIY')
  const stream = ada.events({ after: 0, type: 'PIPELINE_VERIFY' })
  expect((await stream.next()).value).toMatchObject({ jobId: job.id, jobType: 'PIPELINE_VERFIY' })
  await stream.return?.()
  for (const type of ['PIPELINE_VERIFY', 'PIPELINE_VERFIY']) {
    expect((await ada.list({ type })).items.map(({ id }) => id)).toEqual([job.id])
    expect(await ada.count({ type })).toBe(1)
  }
  await ada.pipelines.define({ id: 'p', job: verify })
  expect((await ada.pipelines.list({ type: 'PIPELINE_VERIFY' })).items).toHaveLength(1)
})

test('an alias that names two types is refused', async () => {
  const other = defineJob({ type: 'PIPELINE_VERIFY', execute: () => {} })
  expect(await codeOf(new Bench().start({ jobs: [verify, other] }))).toBe('INVALID_DEFINITION')
})
