import { defineJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'

const command = z.object({})

test('two invokes of one state run at once, and leaving the state stops the one that still runs', async () => {
  const bench = new Bench()
  const [left, right] = [new Work(), new Work()]
  const machine = createMachine({
    initial: 'both',
    states: {
      both: {
        invoke: [
          { id: 'left', src: 'left' },
          { id: 'right', src: 'right', onError: 'failed' },
        ],
      },
      failed: { type: 'final', tags: ['failure'] },
    },
  })
  const actors = { left: task({}, left.obedient), right: task({}, right.obedient) }
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors }) })
  const { ada, engine } = await bench.start({ jobs: [type], concurrency: 2 })
  const { id } = await ada.submit(type, undefined, { pipeline: 'p' })
  await bench.clock.settle()
  expect([left.runs.length, right.runs.length, engine.running()]).toEqual([1, 1, [id]])
  right.run().fail(new Error('broken'))
  await bench.clock.settle()
  expect(left.run().context.signal.aborted).toBe(true)
  expect(await bench.row(id)).toMatchObject({ status: 'failed', error: { message: 'broken' }, tasks: [] })
})

test('parallel regions each run their own work, and the job ends when all have ended', async () => {
  const bench = new Bench()
  const [left, right] = [new Work(), new Work()]
  const region = (src: string) => ({
    initial: 'working',
    states: { working: { invoke: { src, onDone: 'done' } }, done: { type: 'final' as const } },
  })
  const machine = createMachine({ type: 'parallel', states: { left: region('left'), right: region('right') } })
  const actors = { left: task({}, left.execute), right: task({}, right.execute) }
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors }) })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  // Both end at the same moment: one of the two reports meets a conflict, and is decided again.
  left.run().finish()
  right.run().finish()
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ phase: 'settled', outcome: 'success' })
})

test('I23 a state that is left by its timer stops its work', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'working',
    states: {
      working: { invoke: { src: 'work', onDone: 'done' }, after: { 5000: 'late' } },
      done: { type: 'final' },
      late: { type: 'final', tags: ['failure'] },
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work: task({}, work.execute) } }) })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.advance(4_999)
  expect(work.run().context.signal.aborted).toBe(false)
  await bench.clock.advance(1)
  expect(work.run().context.signal.aborted).toBe(true)
  work.run().finish('too late')
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'late', outcome: 'failure' })
})

/** Its work can be restarted while it runs. */
function restartable(work: Work) {
  const machine = createMachine({
    initial: 'working',
    states: {
      working: { invoke: { id: 'w', src: 'work', onDone: 'done' }, on: { anew: { target: 'working', reenter: true } } },
      done: { type: 'final' },
    },
  })
  return defineJob({
    type: 'restartable',
    lifecycle: machine.provide({ actors: { work: task({ killGrace: '1s' }, work.execute) } }),
    commands: { anew: command },
  })
}

test('I14 an invoke that is entered again waits for the code of its former invocation', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = restartable(work)
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await ada.send(id, { type: 'anew' })
  await bench.clock.advance(999)
  expect([work.runs.length, work.run().context.signal.aborted]).toEqual([1, true])
  work.run(0).finish('of the former entry')
  await bench.clock.settle()
  expect([work.runs.length, (await ada.get(id)).status]).toEqual([2, 'working'])
  expect(work.run().context).toMatchObject({ attempt: 1 })
  work.run().finish()
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('done')
})

test('I23 an invoke that is entered again starts when the code of its former invocation is abandoned', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = restartable(work)
  const { ada, heard } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await ada.send(id, { type: 'anew' })
  await bench.clock.advance(3_000)
  expect(heard.filter(({ type }) => type === 'task.abandoned')).toHaveLength(1)
  expect(work.runs).toHaveLength(2)
  work.run(0).finish('of the former entry')
  await bench.clock.settle()
  expect([(await ada.get(id)).status, work.run(1).context.signal.aborted]).toEqual(['working', false])
})

test('a task’s input is checked by its own schema, and an invalid input is an error of the task', async () => {
  const bench = new Bench()
  const work = new Work()
  const machine = createMachine({
    initial: 'working',
    context: { n: 'one' },
    states: {
      working: { invoke: { src: 'work', input: ({ context }) => context, onDone: 'done', onError: 'failed' } },
      done: { type: 'final' },
      failed: { type: 'final', tags: ['failure'] },
    },
  })
  const actors = { work: task({ input: z.object({ n: z.number() }) }, work.execute) }
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors }) })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'failed', error: { code: 'INVALID_INPUT' } })
  expect([work.runs.length, await codeOf(ada.get(id))]).toEqual([0, 'ok'])
})
