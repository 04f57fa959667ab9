import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine, setup } from 'xstate'
import { Bench } from './bench.ts'

const kid = createMachine({ initial: 'done', states: { done: { type: 'final' } }, output: { secret: 1 } })
const parent = defineJob({
  type: 'parent',
  lifecycle: setup({ actors: { kid } }).createMachine({
    initial: 'a',
    states: { a: { invoke: { src: 'kid', onDone: 'b' } }, b: { type: 'final', tags: 'success' } },
  }),
})

test('deleting a job also deletes its child jobs that have ended, with their payloads', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [parent] })
  const { id } = await ada.submit(parent)
  await bench.clock.settle()
  const [child] = (await ada.list({ parentId: id })).items
  expect(child?.status).toBe('done')
  await ada.delete(id)
  await bench.clock.settle()
  expect(await ada.list({ type: 'parent/kid' })).toEqual({ items: [] })
  expect(JSON.stringify(await bench.log(child?.id ?? ''))).not.toContain('secret')
})
