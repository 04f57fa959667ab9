import { defineJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'

test('an attempt that takes too long is stopped by its signal, and fails with TIMEOUT', async () => {
  const bench = new Bench()
  const work = new Work()
  const slow = defineJob({ type: 'slow', timeout: '10s', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [slow] })
  const { id } = await ada.submit(slow, undefined, { pipeline: 'p' })
  await bench.clock.advance(9_999)
  expect(work.run().context.signal.aborted).toBe(false)
  await bench.clock.advance(1)
  expect(work.run().context.signal.reason).toMatchObject({ code: 'TIMEOUT' })
  expect(await ada.get(id)).toMatchObject({ status: 'failed', outcome: 'failure', error: { code: 'TIMEOUT' } })
  // Its code still runs, so its slot is not free.
  expect(await codeOf(ada.submit(slow, undefined, { pipeline: 'p' }))).toBe('ALREADY_RUNNING')
  work.run().finish()
  await bench.clock.settle()
  expect(engine.running()).toEqual([])
  expect(await codeOf(ada.submit(slow, undefined, { pipeline: 'p' }))).toBe('ok')
})

test('an attempt that timed out is repeated after it has returned, not before', async () => {
  const bench = new Bench()
  const work = new Work()
  const slow = defineJob({ type: 'slow', timeout: '10s', retry: { limit: 1, backoff: 0 }, execute: work.execute })
  const { ada } = await bench.start({ jobs: [slow] })
  const { id } = await ada.submit(slow, undefined)
  await bench.clock.advance(12_000)
  expect(work.runs).toHaveLength(1)
  work.run().finish('too late')
  await bench.clock.settle()
  expect(work.runs).toHaveLength(2)
  expect(work.run().context).toMatchObject({ attempt: 2, signal: { aborted: false } })
  work.run().finish('in time')
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'completed', output: 'in time' })
  const [row] = (await bench.log(id)).filter(({ events }) => events.some(({ type }) => type === 'task.retried'))
  expect(row?.events).toMatchObject([{ attempt: 1, error: { code: 'TIMEOUT' } }])
})

test('a deadline outlives its engine: the next one takes the work over with a deadline of its own', async () => {
  const bench = new Bench()
  const work = new Work()
  const slow = defineJob({ type: 'slow', timeout: '10s', execute: work.execute })
  const first = await bench.start({ jobs: [slow] })
  const { id } = await first.ada.submit(slow, undefined)
  await bench.clock.advance(6_000)
  await first.crash()
  const { ada } = await bench.start({ jobs: [slow] })
  await bench.clock.settle()
  expect(work.runs).toHaveLength(2)
  await bench.clock.advance(6_000)
  expect(await ada.get(id)).toMatchObject({ phase: 'active' })
  await bench.clock.advance(4_000)
  expect(await ada.get(id)).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } })
})

test('a deadline that passed while no engine ran ends the attempt before any claim', async () => {
  const bench = new Bench()
  const work = new Work()
  const slow = defineJob({ type: 'slow', timeout: '10s', recovery: 'await', execute: work.execute })
  const first = await bench.start({ jobs: [slow] })
  const { id } = await first.ada.submit(slow, undefined)
  await first.crash()
  await bench.clock.advance(60_000)
  const { ada } = await bench.start({ jobs: [slow] })
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'failed', error: { code: 'TIMEOUT' } })
})

const messages = ['task.drain', 'task.stop', 'task.kill', 'hello'] as const

function toldBy(work: Work) {
  const lifecycle = createMachine({
    initial: 'busy',
    states: {
      busy: {
        invoke: { id: 'w', src: 'work', onDone: 'done', onError: 'failed' },
        on: Object.fromEntries(messages.map((type) => [`say-${type}`, { actions: sendTo('w', { type }) }])),
        after: { 30000: { actions: sendTo('w', { type: 'hello' }) } },
      },
      done: { type: 'final' },
      failed: { type: 'final', tags: 'failure' },
    },
  }).provide({ actors: { work: task({}, work.execute) } })
  const commands = Object.fromEntries(messages.map((type) => [`say-${type}`, z.object({})]))
  return defineJob({ type: 'told', lifecycle, commands })
}

test('task.drain reaches the code, task.stop aborts its signal, and the chart gets its end', async () => {
  const bench = new Bench()
  const work = new Work()
  const told = toldBy(work)
  const { ada } = await bench.start({ jobs: [told] })
  const { id } = await ada.submit(told, undefined)
  const heard: string[] = []
  const { context, finish } = work.run()
  const listening = (async () => {
    for await (const { type } of context.inbox) heard.push(type)
  })()
  await ada.send(id, { type: 'say-task.drain' })
  await bench.clock.settle()
  expect([heard, context.signal.aborted]).toEqual([['task.drain'], false])
  expect(context.draining.aborted).toBe(true)
  await ada.send(id, { type: 'say-task.stop' })
  await listening
  expect(heard).toEqual(['task.drain'])
  expect(context.signal.reason).toMatchObject({ code: 'TASK_STOPPED' })
  expect(await ada.get(id)).toMatchObject({ status: 'busy' })
  finish('as far as it went')
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'done' })
})

test('work that looks for messages only after its engine has stopped waits for none', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada, engine } = await bench.start({ jobs: [type] })
  await ada.submit(type)
  await bench.clock.settle()
  await engine.stop({ timeout: 0 })
  const heard: string[] = []
  for await (const { type } of work.run().context.inbox) heard.push(type)
  expect(heard).toEqual([])
})

test('work that ignores task.kill is abandoned at once', async () => {
  const bench = new Bench()
  const work = new Work()
  const told = toldBy(work)
  const { ada } = await bench.start({ jobs: [told], heartbeat: '2s' })
  const { id } = await ada.submit(told, undefined)
  await ada.send(id, { type: 'say-task.kill' })
  await bench.clock.advance(0)
  expect(await ada.get(id)).toMatchObject({ status: 'failed', outcome: 'failure' })
})

test('a message that a timer sends reaches the task, whichever engine fires the timer', async () => {
  const bench = new Bench()
  const work = new Work()
  const told = toldBy(work)
  const worker = await bench.start({ jobs: [told] })
  await worker.ada.submit(told, undefined)
  const heard: string[] = []
  const { context } = work.run()
  void (async () => {
    for await (const { type } of context.inbox) heard.push(type)
  })()
  // The worker fires no timers for a while, because its sweeps fail.
  worker.faults.plan('due', ...new Array<'refused'>(40).fill('refused'))
  await bench.start({ jobs: [told], work: false })
  await bench.clock.advance(30_500)
  expect(heard).toEqual(['hello'])
})

test('I23 an attempt abandoned at maxAbandoned is repeated only when its code has returned', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 's', execute: work.execute, timeout: '5s', retry: { limit: 3, backoff: 0 } })
  const { ada } = await bench.start({ jobs: [type], maxAbandoned: 1 })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.advance(60_000)
  expect(work.runs).toHaveLength(1)
  work.run().finish(1)
  await bench.clock.settle()
  expect(work.runs).toHaveLength(2)
  work.run().finish(2)
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'completed', output: 2 })
})
