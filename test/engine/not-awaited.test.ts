import { defineJob, memoryStorage, type TaskContext, task } from 'jobchart'
import { expect, test } from 'vitest'
import { createMachine, fromCallback, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, textsOf, Work } from './bench.ts'
import { FaultyStorage } from './faulty-storage.ts'

// The bench fails a test that leaves a rejection unhandled.

type Call = (context: TaskContext, name: string) => Promise<unknown>

const calls: readonly (readonly [string, Call])[] = [
  ['an item', ({ item }, name) => item(name)],
  ['an event', ({ send }, name) => send({ type: name })],
  ['a step', ({ step }, name) => step(name, () => name)],
]

const odd: readonly (readonly [string, Call])[] = [
  ['an item of no key', ({ item }) => item('')],
  ['an item that is no JSON', ({ item }) => item('key', { output: new Map() as unknown })],
  ['an event that it may not send', ({ send }) => send({ type: 'cancel' })],
  ['an event that is none', ({ send }) => send(null as never)],
  ['a step of no name', ({ step }) => step('', () => 1)],
  ['a step whose name is too long', ({ step }) => step('x'.repeat(10_000), () => 1)],
  ['a step whose name is no text that can be kept', ({ step }) => step('\ud800', () => 1)],
  ['a step that throws', ({ step }) => step('throws', () => Promise.reject(new Error('in the step')))],
  ['a step whose result is no JSON', ({ step }) => step('map', () => new Map() as unknown)],
]

test.each(calls)('%s that nobody awaits causes no rejection, even after the job was abandoned', async (_, call) => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', killGrace: '1s', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  void call(work.run().context, 'before')
  await bench.clock.settle()
  await ada.cancel(id)
  void call(work.run().context, 'told to stop')
  await bench.clock.advance(2_000)
  void call(work.run().context, 'given up')
  expect(await codeOf(call(work.run().context, 'awaited'))).toBe('STALE_CLAIM')
  work.run().finish()
  await bench.clock.settle()
  void call(work.run().context, 'returned')
  await bench.clock.advance(1_000)
  expect((await ada.get(id)).status).toBe('cancelled')
})

test.each(odd)('%s that nobody awaits is a line of the log, and the job continues', async (_, call) => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  void call(work.run().context, 'odd')
  await bench.clock.settle()
  expect((await codeOf(call(work.run().context, 'odd'))) === 'ok').toBe(false)
  work.run().finish('done')
  await bench.clock.settle()
  expect(await ada.get(id)).toMatchObject({ status: 'completed', output: 'done' })
  expect((await textsOf(ada.logs(id))).length).toBeGreaterThan(0)
})

test('code that returns while a step runs fails with an error that names the step, and is not retried', async () => {
  const bench = new Bench()
  let runs = 0
  const signals: AbortSignal[] = []
  const type = defineJob({
    type: 'w',
    retry: { limit: 5, backoff: 0 },
    execute: ({ step }) => {
      runs++
      void step('left behind', ({ signal }) => {
        signals.push(signal)
        return new Promise(() => {})
      })
      return 'done'
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.advance(60_000)
  const { status, error } = await ada.get(id)
  expect([status, error?.code, error?.message]).toEqual([
    'failed',
    'STEP_NOT_AWAITED',
    expect.stringContaining('"left behind"'),
  ])
  expect(runs).toBe(1)
  expect(signals.every(({ aborted }) => aborted)).toBe(true)
})

test('a list that is walked with forEach fails its job, and takes no process down', async () => {
  const bench = new Bench()
  const made: number[] = []
  const type = defineJob({
    type: 'w',
    execute: ({ step, item, send }) => {
      const each = async (one: number) => {
        await step(`first ${one}`, () => new Promise<void>((resume) => bench.clock.timer(5, resume)))
        await step(`second ${one}`, () => made.push(one))
        await item(`${one}`)
        await send({ type: 'ONE' })
      }
      for (const one of [1, 2, 3]) void each(one)
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.advance(1_000)
  expect([(await ada.get(id)).error?.code, made]).toEqual(['STEP_NOT_AWAITED', []])
})

test('code that throws while a step runs fails with its own error, and its steps are stopped', async () => {
  const bench = new Bench()
  let stopped: unknown
  const type = defineJob({
    type: 'w',
    execute: async ({ step }) => {
      const slow = step('slow', ({ signal }) => {
        signal.addEventListener('abort', () => {
          stopped = signal.reason
        })
        return new Promise(() => {})
      })
      await Promise.all([slow, step('bad', () => Promise.reject(new RangeError('bad')))])
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.settle()
  expect((await ada.get(id)).error).toMatchObject({ name: 'RangeError', message: 'bad' })
  expect(stopped).toMatchObject({ code: 'TASK_STOPPED' })
})

test('records that the code did not await are written before its end, even on a slow storage', async () => {
  const bench = new Bench(memoryStorage())
  const faults = new FaultyStorage(bench.disk)
  const seen: string[] = []
  const machine = createMachine({
    initial: 'working',
    states: {
      working: { on: { SAID: { actions: () => seen.push('SAID') } }, invoke: { src: 'work', onDone: 'done' } },
      done: { type: 'final' },
    },
  })
  const work = task({}, ({ item, send }) => {
    faults.plan('commit', 'refused', 'refused', 'refused')
    for (const key of ['a', 'b', 'c']) void item(key)
    void send({ type: 'SAID' })
    return 'done'
  })
  const type = defineJob({ type: 'm', lifecycle: machine.provide({ actors: { work } }) })
  const { ada } = await bench.start({ jobs: [type] }, faults)
  const { id } = await ada.submit(type, undefined)
  await bench.clock.advance(5_000)
  expect((await ada.get(id)).status).toBe('done')
  const keys: string[] = []
  for await (const { key } of ada.items(id)) keys.push(key)
  expect(keys.sort()).toEqual(['a', 'b', 'c'])
  expect(seen).toEqual(['SAID'])
})

test('a callback whose listener throws fails, and harms nothing else of its tick', async () => {
  const bench = new Bench()
  const callback = fromCallback(({ receive }) => {
    receive(() => {
      throw new Error('in the listener')
    })
  })
  const machine = createMachine({
    initial: 'on',
    states: {
      on: {
        invoke: { id: 'line', src: callback, onError: 'broken' },
        on: { tell: { actions: sendTo('line', { type: 'HEY' }) } },
      },
      broken: {},
    },
  })
  const type = defineJob({ type: 'm', lifecycle: machine, commands: { tell: z.object({}) } })
  const other = defineJob({ type: 'w', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type, other] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  const answers = await Promise.all([codeOf(ada.send(id, { type: 'tell' })), codeOf(ada.submit(other, 1))])
  await bench.clock.settle()
  expect([answers, (await ada.get(id)).status]).toEqual([['ok', 'ok'], 'broken'])
})

test.each([
  ['callback', fromCallback((async () => await Promise.reject(new Error('no line'))) as never)],
  [
    'listener',
    fromCallback(({ receive }) => receive((async () => await Promise.reject(new Error('no line'))) as never)),
  ],
])('what an async %s rejects with is the error of its task, and takes no process down', async (_, line) => {
  const bench = new Bench()
  const lifecycle = createMachine({
    initial: 'on',
    states: {
      on: { entry: sendTo('line', { type: 'HEY' }), invoke: { id: 'line', src: 'line', onError: 'broken' } },
      broken: {},
    },
  }).provide({ actors: { line } } as never)
  const type = defineJob({ type: 'm', lifecycle })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  expect((await ada.get(id)).status).toBe('broken')
})

test('a callback that ends its work by an async function has ended when that has', async () => {
  const bench = new Bench()
  const work = new Work()
  const line = fromCallback(() => () => work.execute(undefined as never) as never)
  const lifecycle = createMachine({
    initial: 'on',
    states: { on: { invoke: { src: 'line' }, on: { leave: 'off' } }, off: {} },
  }).provide({ actors: { line } } as never)
  const type = defineJob({ type: 'm', lifecycle, commands: { leave: z.object({}) } })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  await bench.clock.settle()
  await ada.send(id, { type: 'leave' })
  await bench.clock.settle()
  expect(engine.running()).toEqual([id])
  work.run().finish()
  await bench.clock.settle()
  expect(engine.running()).toEqual([])
})
