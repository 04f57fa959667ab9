import { batch, batchRun, createEngine, defineJob, type ItemContext, memoryStorage } from 'jobchart'
import { answerAgent, createAgent, transportOver } from 'jobchart/agents'
import { agents } from 'jobchart/executors'
import { virtualClock } from 'jobchart/testing'
import { expect, onTestFinished, test } from 'vitest'
import { assign, sendTo, setup } from 'xstate'
import { z } from 'zod'
import { all, LEASE_MS } from './bench.ts'

const list = z.array(z.number())

const scraping = defineJob({
  type: 'scraping',
  input: list,
  commands: { drain: z.object({}) },
  lifecycle: setup({
    types: { context: {} as { list: number[]; counts: unknown; heard: number }, input: {} as number[] },
    actors: { scrape: batch<unknown, unknown, number[]>({ function: 'scrape' }) },
  }).createMachine({
    context: ({ input }) => ({ list: input, counts: null, heard: 0 }),
    output: ({ context: { counts, heard } }) => ({ counts, heard }),
    initial: 'scraping',
    states: {
      scraping: {
        invoke: {
          id: 'work',
          src: 'scrape',
          input: ({ context }) => context.list,
          onDone: { target: 'done', actions: assign({ counts: ({ event }) => event.output }) },
          onError: 'failed',
        },
        on: {
          drain: { actions: sendTo('work', { type: 'task.drain' }) },
          'task.progress': { actions: assign({ heard: ({ context }) => context.heard + 1 }) },
        },
      },
      done: { type: 'final', tags: 'success' },
      failed: { type: 'final', tags: 'failure' },
    },
  }),
})

async function open(each: (context: ItemContext<number>) => unknown) {
  const clock = virtualClock()
  const engine = await createEngine({
    jobs: [scraping],
    storage: memoryStorage(),
    clock,
    executors: { agents: agents({ lease: LEASE_MS }) },
  })
  /** True: requests take effect, and their answers are lost. */
  const connection = { isDeaf: false, isAway: false }
  const newAgent = (id: string) => {
    const run = batchRun({ item: z.number(), concurrency: 3, each: each as () => void })
    const served = engine.asAgent({ id }).agents
    const transport = transportOver(async (request, options) => {
      if (connection.isAway) throw new TypeError('fetch failed')
      // All that goes over a connection is text.
      const answer = await answerAgent(served, JSON.parse(JSON.stringify(request)), options)
      if (connection.isDeaf) throw new TypeError('terminated')
      return JSON.parse(JSON.stringify(answer))
    })
    const agent = createAgent({ transport, clock, functions: [{ name: 'scrape', run }] })
    onTestFinished(() => agent.stop({ timeout: 0 }))
    return agent
  }
  onTestFinished(() => engine.stop({ timeout: 0 }))
  return { clock, engine, session: engine.system, newAgent, connection }
}

function upTo(count: number): number[] {
  return Array.from({ length: count }, (_, index) => index + 1)
}

test('an agent runs a batch: items are stored, counted and told to the chart', async () => {
  const { clock, session, newAgent } = await open(({ item }) => {
    if (item % 10 === 0) throw new Error(`no page ${item}`)
    return { page: item }
  })
  await newAgent('a1').start()
  const { id } = await session.submit(scraping, upTo(2_500))
  await clock.advance(10_000)
  const counts = { total: 2_500, completed: 2_250, failed: 250, skipped: 0 }
  const view = await session.get(id)
  expect(view).toMatchObject({ status: 'done', output: { counts }, progress: { ...counts, running: 0 } })
  expect((view.output as { readonly heard: number }).heard).toBeGreaterThan(0)
  const items = await all(session.items(id))
  expect(items.length).toBe(2_500)
  expect(items[4]).toMatchObject({ key: '5', status: 'completed', output: { page: 5 }, attempts: 1 })
  expect(items[9]).toMatchObject({ key: '10', status: 'failed', error: { message: 'no page 10' } })
})

test('a batch of an agent is drained: what runs ends, the rest is skipped', async () => {
  const running = new Map<number, () => void>()
  const { clock, session, newAgent } = await open(
    ({ item }) => new Promise<void>((resolve) => running.set(item, resolve)),
  )
  await newAgent('a1').start()
  const { id } = await session.submit(scraping, upTo(100))
  await clock.settle()
  expect([...running.keys()]).toEqual([1, 2, 3])
  await session.send(id, { type: 'drain' })
  await clock.settle()
  for (const end of running.values()) end()
  await clock.settle()
  const counts = { total: 100, completed: 3, failed: 0, skipped: 97 }
  expect(await session.get(id)).toMatchObject({ status: 'done', output: { counts } })
  expect([...running.keys()]).toEqual([1, 2, 3])
})

test('another agent goes on with the batch of a lost one, and no completed item runs again', async () => {
  const ran: number[] = []
  let isLost = false
  const { clock, session, newAgent, connection } = await open(({ item }) => {
    ran.push(item)
    return item <= 500 || isLost ? item : new Promise(() => {})
  })
  await newAgent('a1').start()
  const { id } = await session.submit(scraping, upTo(1_500))
  await clock.settle()
  const { completed } = (await session.get(id)).progress ?? { completed: 0 }
  expect(completed).toBe(500)
  connection.isAway = true
  await clock.advance(LEASE_MS * 2)
  connection.isAway = false
  isLost = true
  await newAgent('a2').start()
  await clock.advance(60_000)
  expect(await session.get(id)).toMatchObject({
    ...{ status: 'done', progress: { total: 1_500, completed: 1_500, failed: 0, skipped: 0 } },
  })
  expect(ran.filter((item) => item <= 500)).toEqual(upTo(500))
  expect(ran.slice(500)).toEqual([501, 502, 503, ...upTo(1_500).filter((item) => item > 500)])
})

test('a piece that an agent sends again, because the answer was lost, counts once', async () => {
  const { clock, session, newAgent, connection } = await open(async ({ index }) => {
    if (index === 40) {
      connection.isDeaf = true
      clock.timer(5_000, () => {
        connection.isDeaf = false
      })
    }
  })
  await newAgent('a1').start()
  const { id } = await session.submit(scraping, upTo(1_500))
  await clock.advance(120_000)
  const counts = { total: 1_500, completed: 1_500, failed: 0, skipped: 0 }
  expect(await session.get(id)).toMatchObject({ status: 'done', output: { counts } })
})
