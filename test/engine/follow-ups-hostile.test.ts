import { defineJob } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine, setup } from 'xstate'
import { Bench, Work } from './bench.ts'

const instant = createMachine({ initial: 'done', states: { done: { type: 'final' } } })

// Its admission was a part of another end's unit, which asked for nothing more.
test('a job that ends as it is let in, with the end of the run before it, is followed too', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = setup({ actors: { child: instant } }).createMachine({
    initial: 'on',
    states: { on: { invoke: { src: 'child', onDone: 'off' } }, off: { type: 'final' } },
  })
  const holder = defineJob({ type: 'holder', execute: work.execute })
  const after = defineJob({ type: 'after', execute: work.execute })
  const brief = defineJob({ type: 'brief', lifecycle: machine, followUp: () => [{ kind: 'submit', job: after }] })
  const { ada } = await bench.start({ jobs: [holder, brief, after] })
  const queued = { pipeline: 'p', overlap: 'queue' } as const
  for (const each of [1, 2]) await ada.submit(holder, each, queued)
  const { id, phase } = await ada.submit(brief, undefined, queued)
  expect(phase).toBe('waiting')
  for (const _ of [1, 2]) {
    work.run().finish()
    await bench.clock.settle()
  }
  await bench.clock.advance(1_000)
  expect(await ada.get(id)).toMatchObject({ outcome: 'success' })
  expect((await ada.list({ type: 'after' })).items).toMatchObject([{ trigger: 'dependency' }])
})
