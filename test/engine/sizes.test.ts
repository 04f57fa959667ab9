import { defineJob, task } from 'jobchart'
import { expect, test } from 'vitest'
import { assign, createMachine, emit, fromPromise, sendTo } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

const LARGE = 'x'.repeat(1_100_000)

test('I49 a result that is too large fails its job without a retry, which would give it again', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'large', retry: { limit: 3, backoff: 0 }, execute: work.execute })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  work.run().finish(LARGE)
  await bench.clock.advance(5_000)
  expect(work.runs).toHaveLength(1)
  expect(await ada.get(id)).toMatchObject({ status: 'failed', error: { code: 'PAYLOAD_TOO_LARGE' } })
})

test('I49 a step result, task event or command that is too large is refused where it is made', async () => {
  const bench = new Bench()
  const work = new Work()
  const lifecycle = createMachine({
    initial: 'on',
    states: { on: { invoke: { src: 'work' }, on: { TELL: {}, note: {} } } },
  }).provide({ actors: { work: task({ events: ['TELL'] }, work.execute) } })
  const type = defineJob({ type: 'large', lifecycle, commands: { note: z.object({ text: z.string() }) } })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  const { step, send } = work.run().context
  expect(await codeOf(step('one', () => LARGE))).toBe('PAYLOAD_TOO_LARGE')
  expect(await codeOf(send({ type: 'TELL', text: LARGE }))).toBe('PAYLOAD_TOO_LARGE')
  expect(await codeOf(ada.send(id, { type: 'note', text: LARGE }))).toBe('PAYLOAD_TOO_LARGE')
  expect(await ada.get(id)).toMatchObject({ status: 'on' })
})

test.each([
  ['context', { entry: assign({ text: LARGE }) }],
  ['emitted event', { entry: emit({ type: 'SAID', text: LARGE }) }],
  ['output', { initial: 'z', states: { z: { type: 'final' } }, output: LARGE }],
  ['input of an invoke', { invoke: { src: fromPromise(async () => {}), input: LARGE } }],
])('I49 a chart’s %s that is too large ends its job alone', async (_, config) => {
  const bench = new Bench()
  const type = defineJob({ type: 'large', lifecycle: createMachine(config as never) })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  expect(await ada.get(id)).toMatchObject({ outcome: 'failure', error: { code: 'PAYLOAD_TOO_LARGE' } })
})

test('I49 a value that shares its parts is refused by its size as JSON, before that JSON is made', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'plain', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  let shared: unknown = 'leaf'
  for (let depth = 0; depth < 100; depth++) shared = [shared, shared]
  expect(await codeOf(ada.submit(type, shared))).toBe('PAYLOAD_TOO_LARGE')
})

test('I49 a task that is sent more than a thousand messages ends, and the chart gets an error of it', async () => {
  const bench = new Bench()
  const work = new Work()
  const lifecycle = createMachine({
    initial: 'on',
    states: {
      on: {
        invoke: {
          id: 'w',
          src: 'work',
          onError: {
            target: 'full',
            guard: ({ event }) => (event.error as { code?: string }).code === 'PAYLOAD_TOO_LARGE',
          },
        },
        on: { MANY: { actions: Array.from({ length: 600 }, () => sendTo('w', { type: 'HELLO' })) } },
      },
      full: {},
    },
  }).provide({ actors: { work: task({}, work.execute) } } as never)
  const type = defineJob({ type: 'told', lifecycle, commands: { MANY: z.object({}) } })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined)
  expect(await ada.send(id, { type: 'MANY' })).toMatchObject({ status: 'on' })
  expect(await ada.send(id, { type: 'MANY' })).toMatchObject({ status: 'full' })
  expect(work.run().context.signal.aborted).toBe(true)
  work.run().finish()
  await bench.clock.settle()
  expect(engine.running()).toEqual([])
})

test('an error names only the first of many invalid values, and only the beginning of a very long id', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', input: z.array(z.number()), execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  const wrong = Array.from({ length: 10_000 }, () => 'one')
  const unfit = await errorOf(ada.submit(type, wrong as never))
  expect(unfit.issues).toHaveLength(20)
  expect(unfit.issues?.[19]?.path).toEqual([19])
  expect(unfit.message).toMatch(/and 9980 more$/)
  const absent = await errorOf(ada.get(LARGE))
  expect([absent.code, absent.jobId]).toEqual(['JOB_NOT_FOUND', LARGE.slice(0, 200)])
  expect(absent.message.length).toBeLessThan(400)
})
