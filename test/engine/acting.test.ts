import { defineJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine, log } from 'xstate'
import { Bench, Work } from './bench.ts'

// A chart may log or act when its work starts. Its claim is still one of many in its commit.

/** Logs when its work starts; `onMove` is called at each transition of its chart. */
function actingType(work: Work, onMove = () => {}) {
  const machine = createMachine({
    initial: 'working',
    states: {
      working: { invoke: { src: 'work', onDone: 'done' }, on: { 'task.started': { actions: log('started') } } },
      done: { type: 'final' },
    },
  })
  return defineJob({
    type: 'acting',
    lifecycle: machine.provide({ actors: { work: task({}, work.execute) } }),
    describe: () => {
      onMove()
      return undefined
    },
  })
}

test('I15 an engine claims no more tasks than it has room for', async () => {
  const bench = new Bench()
  const work = new Work()
  const acting = actingType(work)
  const plain = defineJob({ type: 'plain', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [acting, plain], concurrency: 2 })
  for (let index = 0; index < 6; index++) {
    await ada.submit(acting, undefined)
    await ada.submit(plain, index)
  }
  for (let ended = 0; ended < 12; ended++) {
    await bench.clock.advance(1_000)
    const rows = await Promise.all((await ada.list()).items.map(({ id }) => bench.row(id)))
    const claimed = rows.filter(({ tasks }) => tasks.some(({ status }) => status === 'claimed'))
    expect({ ended, held: claimed.length }).toEqual({ ended, held: Math.min(2, 12 - ended) })
    work.run(ended).finish()
  }
  await engine.idle()
  expect((await ada.list({ phase: 'settled' })).items).toHaveLength(12)
})

test('I38 a task that became ready later, or has a lower priority, is not claimed first', async () => {
  const bench = new Bench()
  const work = new Work()
  const acting = actingType(work)
  const plain = defineJob({ type: 'plain', execute: work.execute })
  const { ada } = await bench.start({ jobs: [acting, plain], concurrency: 1 })
  await ada.submit(plain, 'running')
  await ada.submit(plain, 'low', { priority: -1 })
  const first = await ada.submit(acting, 'first')
  await bench.clock.advance(1)
  await ada.submit(plain, 'later')
  const high = await ada.submit(acting, 'high', { priority: 1 })
  const order: string[] = []
  for (let ended = 0; ended < 5; ended++) {
    await bench.clock.advance(1_000)
    const { context, finish } = work.run(ended)
    const { id } = context.job
    order.push(id === first.id ? 'first' : id === high.id ? 'high' : String(context.input))
    finish()
  }
  expect(order).toEqual(['running', 'high', 'first', 'later', 'low'])
})

test('I36 a freed place is filled at once', async () => {
  const bench = new Bench()
  const work = new Work()
  const { ada } = await bench.start({ jobs: [actingType(work)], concurrency: 1 })
  for (let index = 0; index < 3; index++) await ada.submit(actingType(work), undefined)
  for (let ended = 0; ended < 3; ended++) {
    await bench.clock.settle()
    expect(work.runs).toHaveLength(ended + 1)
    work.run(ended).finish()
  }
})

test('I39 a claim reads as many jobs as there is room for, not all that wait', async () => {
  const bench = new Bench()
  const work = new Work()
  let moves = 0
  const acting = actingType(work, () => moves++)
  const { ada } = await bench.start({ jobs: [acting], concurrency: 1 })
  const count = 50
  await Promise.all(Array.from({ length: count }, () => ada.submit(acting, undefined)))
  for (let ended = 0; ended < count; ended++) {
    await bench.clock.advance(1_000)
    work.run(ended).finish()
  }
  await bench.clock.settle()
  expect((await ada.list({ phase: 'settled', limit: 100 })).items).toHaveLength(count)
  // Created, claimed, ended: some of these are tried more than once, but not once for each waiting job.
  expect(moves).toBeLessThan(10 * count)
})
