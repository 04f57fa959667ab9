import { defineJob, task } from 'jobchart'
import { childProcess, workerThreads } from 'jobchart/executors'
import { describe, expect, test } from 'vitest'
import { sendTo, setup } from 'xstate'
import { z } from 'zod'
import type { Given } from './modules-code.ts'
import { allOf, lineOf, linesOf, newEngine } from './new-engine.ts'

const module = new URL('./modules-code.ts', import.meta.url)
const elsewhere = () => Promise.reject(new Error('it runs elsewhere'))

/** A chart that counts what its task sends, and tells it what a command brings. */
const told = defineJob({
  type: 'told',
  input: z.object({ does: z.enum(['reports', 'crashes once', 'listens', 'ignores', 'computes', 'blocks']) }),
  commands: { tell: z.object({}), cancel: z.object({}) },
  lifecycle: setup({
    types: { context: {} as Given, input: {} as Given },
    actors: {
      work: task(
        { executor: 'elsewhere', function: 'work', killGrace: '100ms', retry: { limit: 1, backoff: 0 } },
        elsewhere,
      ),
    },
  }).createMachine({
    context: ({ input }) => ({ does: input.does }),
    initial: 'working',
    on: { cancel: '.cancelled' },
    states: {
      working: {
        invoke: {
          id: 'work',
          src: 'work',
          input: ({ context }: { readonly context: Given }) => ({ does: context.does }),
          onDone: 'done',
          onError: 'failed',
        },
        initial: 'silent',
        states: { silent: { on: { HELLO: 'greeted' } }, greeted: {} },
        on: { tell: { actions: sendTo('work', { type: 'NEWS', of: 'today' }) } },
      },
      done: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
      cancelled: { type: 'final', tags: 'cancelled' },
    },
  }),
})

describe.each([
  ['a process', () => childProcess({ module, concurrency: 2 })],
  ['a thread', () => workerThreads({ module })],
])('a module in %s', (_, make) => {
  const start = async (does: Given['does']) => {
    const host = await newEngine({ jobs: [told], executors: { elsewhere: make() } })
    const { id } = await host.ada.submit(told, { does })
    return { ...host, id: id as string }
  }

  test('has the whole context of a task', async () => {
    const { ada, id } = await start('reports')
    expect(await ada.result(id)).toMatchObject({ status: 'done', progress: { completed: 1, total: 2 } })
    expect((await linesOf(ada, id)).map(({ text }) => text)).toEqual([
      'job told, key given',
      'taken true,false, stopped false',
    ])
    expect(await allOf(ada.items(id))).toMatchObject([{ key: 'part', status: 'failed', message: 'broken' }])
    expect((await ada.history(id)).map(({ to }) => to)).toContain('greeted')
  })

  test('hears what its chart sends it', async () => {
    const { ada, id } = await start('listens')
    await lineOf(ada, id, 'listening')
    await ada.send(id, { type: 'tell' })
    expect((await ada.result(id)).status).toBe('done')
  })

  test('that crashes is tried again, and continues its recorded steps', async () => {
    const { ada, id } = await start('crashes once')
    expect(await ada.result(id)).toMatchObject({ status: 'done' })
    expect((await linesOf(ada, id)).map(({ text }) => text)).toContain('attempt 2 has the step of attempt 1')
  })

  test.each([
    ['ignores', 'ignoring'],
    ['computes', 'computing'],
  ] as const)('that %s when it is told to stop is ended after its grace', async (does, line) => {
    const { engine, ada, id } = await start(does)
    await lineOf(ada, id, line)
    await ada.cancel(id)
    await linesOf(ada, id)
    expect(engine.health).toMatchObject({ running: 0, abandoned: 0 })
  })
})

test('a thread that is in a system call when it is killed keeps its place until it is gone', async () => {
  const { engine, ada } = await newEngine({
    jobs: [told],
    executors: { elsewhere: workerThreads({ module, concurrency: 1 }) },
  })
  const { id } = await ada.submit(told, { does: 'blocks' })
  await lineOf(ada, id, 'blocking')
  const begun = performance.now()
  await ada.cancel(id)
  await linesOf(ada, id)
  expect(performance.now() - begun).toBeGreaterThan(400)
  expect(engine.health.executors.elsewhere).toEqual({ running: 0, room: 1 })
})

test('health and explain tell of executors by name: what each runs, and takes', async () => {
  const { engine, ada } = await newEngine({
    jobs: [told],
    executors: { elsewhere: workerThreads({ module, concurrency: 1 }) },
  })
  const first = await ada.submit(told, { does: 'listens' })
  const second = await ada.submit(told, { does: 'listens' })
  await lineOf(ada, first.id, 'listening')
  expect(engine.health.executors).toMatchObject({ elsewhere: { running: 1, room: 0 }, default: { room: 10 } })
  expect(await ada.explain(second.id)).toContainEqual({ kind: 'busy', task: 'work', executor: 'elsewhere' })
  for (const { id } of [first, second]) await ada.cancel(id)
})
