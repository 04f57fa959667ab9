import { batch, defineJob } from 'jobchart'
import { childProcess, workerThreads } from 'jobchart/executors'
import { describe, expect, test } from 'vitest'
import { sendTo, setup } from 'xstate'
import { z } from 'zod'
import { allOf, newEngine } from './new-engine.ts'

const module = new URL('./batch-code.ts', import.meta.url)

const scraping = defineJob({
  type: 'scraping',
  input: z.array(z.string()),
  commands: { drain: z.object({}) },
  lifecycle: setup({
    types: { context: {} as { list: string[] }, input: {} as string[] },
    actors: { scrape: batch<unknown, unknown, string[]>({ executor: 'elsewhere', function: 'scrape' }) },
  }).createMachine({
    context: ({ input }) => ({ list: input }),
    initial: 'scraping',
    states: {
      scraping: {
        invoke: { id: 'work', src: 'scrape', input: ({ context }) => context.list, onDone: 'done', onError: 'failed' },
        on: { drain: { actions: sendTo('work', { type: 'task.drain' }) } },
      },
      done: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
    },
  }),
})

const plain = defineJob({
  type: 'plain',
  input: z.array(z.string()),
  lifecycle: setup({
    types: { context: {} as { list: string[] }, input: {} as string[] },
    actors: { scrape: batch<unknown, unknown, string[]>({ executor: 'elsewhere', function: 'plain' }) },
  }).createMachine({
    context: ({ input }) => ({ list: input }),
    initial: 'scraping',
    states: {
      scraping: { invoke: { src: 'scrape', input: ({ context }) => context.list, onDone: 'done', onError: 'failed' } },
      done: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
    },
  }),
})

describe.each([
  ['a process', () => childProcess({ module })],
  ['a thread', () => workerThreads({ module })],
])('a batch in %s', (_, make) => {
  test('stores its items in the engine, and begins nothing new when it is drained', async () => {
    const { ada } = await newEngine({ jobs: [scraping], executors: { elsewhere: make() } })
    const list = Array.from({ length: 1_500 }, (_, index) => `page ${index + 1}`)
    const { id } = await ada.submit(scraping, [
      ...list.slice(0, 1_000),
      'fails',
      'waits',
      'waits',
      'waits',
      'waits',
      ...list.slice(1_000),
    ])
    let waiting = 0
    for await (const { text } of ada.logs(id, { follow: true })) {
      if (text === 'waiting') waiting++
      if (waiting === 4) break
    }
    await ada.send(id, { type: 'drain' })
    const counts = { total: 1_505, completed: 1_004, failed: 1, skipped: 500 }
    expect(await ada.result(id)).toMatchObject({ status: 'done', progress: counts })
    const items = await allOf(ada.items(id, { status: 'failed' }))
    expect(items).toMatchObject([{ key: '1001', status: 'failed', error: { name: 'TypeError' } }])
  })

  test.each([[['a', 'b']], [[]]])('fails if its code is a plain function (items: %j)', async (list) => {
    const { ada } = await newEngine({ jobs: [plain], executors: { elsewhere: make() } })
    const { id } = await ada.submit(plain, list)
    const message = expect.stringContaining('should be made by batchRun({ each })')
    expect(await ada.result(id)).toMatchObject({ status: 'failed', error: { code: 'INVALID_DEFINITION', message } })
  })
})

test('a batch whose process is ended by an item goes on, and only that item fails', async () => {
  const { ada } = await newEngine({ jobs: [scraping], executors: { elsewhere: childProcess({ module }) } })
  const pages = Array.from({ length: 20 }, (_, index) => `page ${index + 1}`)
  const { id } = await ada.submit(scraping, [...pages, 'kills', ...pages])
  const counts = { total: 41, completed: 40, failed: 1, skipped: 0 }
  expect(await ada.result(id)).toMatchObject({ status: 'done', progress: counts })
  expect(await allOf(ada.items(id, { status: 'failed' }))).toMatchObject([{ key: '21', error: { code: 'LOST' } }])
})
