/** Batches with their runner, from the chart's entry to the chart's verdict. */
import { batch, batchRun, defineJob, memoryStorage, type Storage, task } from 'jobchart'
import { createAgent } from 'jobchart/agents'
import { explore } from 'jobchart/testing'
import { describe, expect, test } from 'vitest'
import { assign, createMachine, sendTo, setup } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf } from './bench.ts'
import { Hands, scrapeType } from './hand-batch.ts'

type BatchLogic = ReturnType<typeof batch>

/** A job with a batch over its input. Its output is the end of the batch. */
function batchType(logic: BatchLogic, followUp?: Parameters<typeof defineJob>[0]['followUp']) {
  const lifecycle = setup({
    types: { context: {} as { urls: unknown; end: unknown } },
    actors: { work: logic },
  }).createMachine({
    context: ({ input }) => ({ urls: input, end: null }),
    initial: 'working',
    states: {
      working: {
        invoke: {
          id: 'work',
          src: 'work',
          input: ({ context }: { context: { urls: unknown } }) => context.urls,
          onDone: [
            {
              guard: ({ event }) => (event.output as { failed: number }).failed > 0,
              target: 'failed',
              actions: assign({ end: ({ event }) => event.output }),
            },
            { target: 'completed', actions: assign({ end: ({ event }) => event.output }) },
          ],
          onError: 'failed',
        },
      },
      completed: { type: 'final', tags: ['success'] },
      failed: { type: 'final', tags: ['failure'] },
    },
    output: ({ context }: { context: { end: unknown } }) => context.end,
  })
  return defineJob({ type: 'urls', lifecycle, ...(followUp === undefined ? {} : { followUp }) })
}

test('a job runs its items, and its retry runs the failed ones', async () => {
  const bench = new Bench()
  const ran: string[] = []
  let isDown = true
  const type = batchType(
    batch({
      concurrency: 2,
      each: async ({ key, item }) => {
        ran.push(key)
        if (isDown && item === 'bad') throw new Error('down')
        return item
      },
    }),
  )
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, ['a', 'bad', 'c'])
  await bench.clock.advance(1_000)
  const counts = { total: 3, completed: 2, failed: 1, skipped: 0 }
  expect(await ada.get(id)).toMatchObject({ status: 'failed', output: counts, progress: { ...counts, waiting: 0 } })
  isDown = false
  const { id: again } = await ada.retry(id, { items: 'failed' })
  await bench.clock.advance(1_000)
  expect(ran).toEqual(['1', '2', '3', '2'])
  expect(await ada.get(again)).toMatchObject({
    status: 'completed',
    output: { total: 1, completed: 1, failed: 0, skipped: 0 },
  })
  expect(await codeOf(ada.retry(again, { items: 'failed' }))).toBe('INVALID_STATE')
})

test('a fresh retry of the failed items runs these alone, under new keys', async () => {
  const bench = new Bench()
  const keys: string[] = []
  const type = batchType(
    batch({
      each: ({ item, idempotencyKey }) => {
        keys.push(`${item} ${idempotencyKey}`)
        if (item === 'bad') throw new Error('down')
      },
    }),
  )
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, ['a', 'bad'])
  await bench.clock.advance(300)
  const [, first = ''] = keys.splice(0)
  const continued = await ada.retry(id, { items: 'failed' })
  await bench.clock.advance(300)
  expect(keys.splice(0)).toEqual([first])
  const fresh = await ada.retry(continued.id, { items: 'failed', fresh: true })
  await bench.clock.advance(300)
  expect(keys).toEqual([first.replace(id, fresh.id)])
  expect(await ada.get(fresh.id)).toMatchObject({ progress: { total: 1, failed: 1 } })
  expect(await ada.explain(fresh.id)).toContainEqual({ kind: 'retry', retryOf: continued.id, steps: 'fresh' })
})

test('a completed item does not run again, however many retries follow each other', async () => {
  const bench = new Bench()
  const ran: string[] = []
  const type = batchType(
    batch({
      each: ({ item }) => {
        ran.push(String(item))
        if (item === 'bad') throw new Error('down')
      },
    }),
  )
  const { ada } = await bench.start({ jobs: [type] })
  let { id } = await ada.submit(type, ['a', 'bad'])
  for (let count = 0; count < 25; count++) {
    await bench.clock.advance(300)
    id = (await ada.retry(id)).id
  }
  await bench.clock.advance(300)
  expect(ran.filter((item) => item === 'a')).toEqual(['a'])
  expect((await ada.get(id)).progress).toMatchObject({ total: 1, failed: 1 })
})

test('a retry does not run an item whose key a completed item of the retried job has', async () => {
  const bench = new Bench()
  const ran: string[] = []
  const type = batchType(
    batch({
      key: (item) => String(item),
      each: ({ item, index }) => {
        ran.push(`${item} ${index}`)
        if (item === 'bad') throw new Error('down')
      },
    }),
  )
  const { ada } = await bench.start({ jobs: [type] })
  let { id } = await ada.submit(type, ['a', 'bad', 'a', 'bad'])
  await bench.clock.advance(300)
  for (const options of [{ items: 'failed' }, {}] as const) {
    id = (await ada.retry(id, options)).id
    await bench.clock.advance(300)
    expect((await ada.get(id)).progress).toMatchObject({ total: 3, completed: 0, failed: 3 })
    const items: string[] = []
    for await (const { key, attempts, error } of ada.items(id)) items.push(`${key} ${attempts} ${error?.message}`)
    expect(items).toEqual([
      'bad 1 down',
      'a#3 0 the key "a" is the key of item 1 already',
      'bad#4 0 the key "bad" is the key of item 2 already',
    ])
  }
  expect(ran).toEqual(['a 1', 'bad 2', 'bad 2', 'bad 2'])
})

test('a retry ends with an error when the job that it retries is deleted meanwhile', async () => {
  const bench = new Bench()
  const ran: number[] = []
  let isDown = true
  let gate: Promise<void> | undefined
  const type = batchType(
    batch({
      source: async function* () {
        yield 'bad'
        await gate
        for (let count = 0; count < 2_000; count++) yield 'good'
      },
      each: ({ item, index }) => {
        ran.push(index)
        if (item === 'bad' && isDown) throw new Error('down')
      },
    }),
  )
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type)
  await bench.clock.advance(300)
  expect(ran).toHaveLength(2_001)
  isDown = false
  const opened = Promise.withResolvers<void>()
  gate = opened.promise
  const again = await ada.retry(id)
  await bench.clock.advance(300)
  await ada.delete(id)
  opened.resolve()
  await bench.clock.advance(300)
  expect(ran).toHaveLength(2_002)
  expect(await ada.get(again.id)).toMatchObject({ status: 'failed', error: { code: 'INVALID_STATE' } })
})

test('at most 100 recorded items are read at a time, because each may be large', async () => {
  const disk = memoryStorage()
  const limits: number[] = []
  const storage: Storage = {
    open: async (host) => {
      const inner = await disk.open(host)
      const items: typeof inner.items = (id, query) => {
        limits.push(query.limit)
        return inner.items(id, query)
      }
      return { ...inner, items }
    },
  }
  const bench = new Bench(storage)
  let isDown = true
  const each = ({ index }: { index: number }) => {
    if (isDown && index > 1_500) throw new Error('down')
  }
  const type = batchType(batch({ each }))
  const { ada } = await bench.start({ jobs: [type] })
  let { id } = await ada.submit(
    type,
    Array.from({ length: 1_600 }, (_, place) => place),
  )
  await bench.clock.advance(300)
  id = (await ada.retry(id)).id
  await bench.clock.advance(300)
  isDown = false
  id = (await ada.retry(id)).id
  await bench.clock.advance(300)
  expect((await ada.get(id)).progress).toMatchObject({ total: 100, completed: 100 })
  expect(limits.length).toBeGreaterThan(20)
  expect(Math.max(...limits)).toBe(100)
})

describe('after the deletion of a job that was retried', () => {
  /** A job of which item `bad` failed, its retry that waits, and an engine that runs it when the first is deleted. */
  async function deleted(items?: 'failed') {
    const bench = new Bench()
    const ran: string[] = []
    const type = batchType(
      batch({
        each: ({ item }) => {
          ran.push(String(item))
          if (item === 'bad') throw new Error('down')
        },
      }),
    )
    const first = await bench.start({ jobs: [type] })
    const { id } = await first.ada.submit(type, ['a', 'bad'])
    await bench.clock.advance(300)
    await first.engine.stop()
    const idle = await bench.start({ jobs: [type], work: false })
    const again = await idle.ada.retry(id, items === undefined ? {} : { items })
    await idle.ada.delete(id)
    const { ada } = await bench.start({ jobs: [type] })
    await bench.clock.advance(1_000)
    return { bench, ada, ran, id: again.id }
  }

  test.each([undefined, 'failed'] as const)('its retry fails, and runs no item (items: %s)', async (items) => {
    const { ada, ran, id } = await deleted(items)
    expect(ran).toEqual(['a', 'bad'])
    const { status, error, progress } = await ada.get(id)
    expect(status).toBe('failed')
    expect(error).toMatchObject({ code: 'INVALID_STATE' })
    expect(progress).toMatchObject({ completed: 0, failed: 0 })
  })

  test('a retry of the retry is refused, unless it runs all items', async () => {
    const { bench, ada, ran, id } = await deleted()
    expect(await codeOf(ada.retry(id))).toBe('INVALID_STATE')
    await ada.retry(id, { fresh: true })
    await bench.clock.advance(1_000)
    expect(ran).toEqual(['a', 'bad', 'a', 'bad'])
  })
})

test('a retry of a job without a batch has no failed items', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'plain', execute: () => 1 })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, 1)
  await bench.clock.settle()
  expect(await codeOf(ada.retry(id, { items: 'failed' }))).toBe('INVALID_STATE')
})

describe('a retry of some items of a job that has succeeded', () => {
  /** A batch that may be drained, and then a task with a step. The job succeeds, whatever became of the items. */
  async function succeeded(list: readonly string[]) {
    const bench = new Bench()
    const ran: string[] = []
    const keys: string[] = []
    const steps: string[] = []
    const bad = new Set(['bad'])
    const scrape = batch({
      concurrency: 1,
      each: async ({ item, idempotencyKey, draining }) => {
        ran.push(String(item))
        keys.push(idempotencyKey)
        if (item === 'waits') await new Promise((resolve) => draining.addEventListener('abort', resolve))
        if (bad.has(String(item))) throw new Error('down')
      },
    })
    const publish = task({}, async ({ step }) => {
      await step('publish', ({ key }) => void steps.push(key))
    })
    const lifecycle = createMachine({
      context: ({ input }) => ({ list: input }),
      initial: 'scraping',
      states: {
        scraping: {
          invoke: { id: 'work', src: 'scrape', input: ({ context }) => context.list, onDone: 'publishing' },
          on: { drain: { actions: sendTo('work', { type: 'task.drain' }) } },
        },
        publishing: { invoke: { id: 'publish', src: 'publish', onDone: 'done' } },
        done: { type: 'final', tags: 'success' },
      },
    }).provide({ actors: { scrape, publish } })
    const type = defineJob({ type: 'site', lifecycle, input: z.array(z.string()), commands: { drain: z.object({}) } })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, [...list])
    await bench.clock.advance(300)
    const retried = async (of: string, options: Parameters<typeof ada.retry>[1]) => {
      const again = await ada.retry(of, options)
      await bench.clock.advance(300)
      expect(await ada.get(again.id)).toMatchObject({ outcome: 'success' })
      return again.id
    }
    const report = async (of: string) => {
      let text = ''
      for await (const part of ada.report(of, { format: 'json' })) text += part
      return (JSON.parse(text) as { key: string; status: string }[]).map(({ key, status }) => `${key} ${status}`)
    }
    return { ada, bench, bad, id, keys, ran, report, retried, steps }
  }

  /** A job that was drained: an item has failed, one was completed, and two were skipped. */
  async function drained() {
    const world = await succeeded(['bad', 'waits', 'c', 'd'])
    await world.ada.send(world.id, { type: 'drain' })
    await world.bench.clock.advance(300)
    const counts = { total: 4, completed: 1, failed: 1, skipped: 2 }
    expect(await world.ada.get(world.id)).toMatchObject({ outcome: 'success', progress: counts })
    expect(world.ran.splice(0)).toEqual(['bad', 'waits'])
    return world
  }

  test.each(['failed', 'unfinished'] as const)('continues it: keys and recorded steps are kept (%s)', async (items) => {
    const { ada, id, keys, ran, retried, steps } = await succeeded(['a', 'bad'])
    const [, first] = keys.splice(0)
    ran.splice(0)
    const again = await retried(id, { items })
    expect([ran, keys]).toEqual([['bad'], [first]])
    expect(steps).toHaveLength(1)
    expect(await ada.explain(again)).toContainEqual({ kind: 'retry', retryOf: id, steps: 'continued' })
    // A retry of the retry keeps the keys of the first try too.
    await retried(again, { items })
    expect(keys).toEqual([first, first])
    expect(steps).toHaveLength(1)
  })

  test.each(['failed', 'unfinished'] as const)('is new work with fresh: true (%s)', async (items) => {
    const { ada, id, keys, ran, retried, steps } = await succeeded(['a', 'bad'])
    const [, first = ''] = keys.splice(0)
    ran.splice(0)
    const again = await retried(id, { items, fresh: true })
    expect([ran, keys]).toEqual([['bad'], [first.replace(id, again)]])
    expect(steps).toHaveLength(2)
    expect(await ada.explain(again)).toContainEqual({ kind: 'retry', retryOf: id, steps: 'fresh' })
  })

  test('runs what a drain has skipped, and what has failed', async () => {
    const { ada, bad, id, ran, report, retried } = await drained()
    bad.clear()
    const again = await retried(id, { items: 'unfinished' })
    expect(ran).toEqual(['bad', 'c', 'd'])
    expect((await ada.get(again)).progress).toMatchObject({ total: 3, completed: 3, failed: 0, skipped: 0, waiting: 0 })
    const all = ['1 completed', '2 completed', '3 completed', '4 completed']
    expect((await report(again)).toSorted()).toEqual(all)
    expect(await codeOf(ada.retry(again, { items: 'unfinished' }))).toBe('INVALID_STATE')
  })

  test('goes on, retry after retry, from what is unfinished in all of them', async () => {
    const { ada, bad, bench, id, ran, report, retried } = await drained()
    const second = await retried(id, { items: 'failed' })
    expect(ran.splice(0)).toEqual(['bad'])
    const third = await retried(second, { items: 'unfinished' })
    expect(ran.splice(0)).toEqual(['bad', 'c', 'd'])
    expect((await ada.get(third)).progress).toMatchObject({ total: 3, completed: 2, failed: 1 })
    bad.clear()
    const fourth = await retried(third, { items: 'unfinished', fresh: true })
    expect(ran.splice(0)).toEqual(['bad'])
    expect((await report(fourth)).toSorted()).toEqual(['1 completed', '2 completed', '3 completed', '4 completed'])
    await ada.retry(fourth)
    await bench.clock.advance(300)
    expect(ran).toEqual(['bad', 'waits'])
  })

  test('is part of retryMany, and each job without such items is answered by itself', async () => {
    const { ada, bench, id, ran } = await drained()
    const good = await ada.submit('site', ['e'])
    await bench.clock.advance(300)
    ran.splice(0)
    const { items } = await ada.retryMany({ ids: [id, good.id], items: 'unfinished' })
    await bench.clock.advance(300)
    const none = { code: 'INVALID_STATE', message: expect.stringContaining('all items of the job were completed') }
    expect(items).toMatchObject([{ ok: true }, { error: none }])
    expect(ran).toEqual(['bad', 'c', 'd'])
  })

  test('names the values that it takes', async () => {
    const { ada, id } = await succeeded([])
    const odd = { items: 'skipped' } as unknown as { items: 'failed' }
    for (const call of [ada.retry(id, odd), ada.retryMany({ ids: [id], ...odd })]) {
      const refused = { code: 'INVALID_INPUT', message: expect.stringMatching(/'failed'.*'unfinished'.*skipped/) }
      await expect(call).rejects.toMatchObject(refused)
    }
  })
})

describe('a follow-up of a job with a batch', () => {
  const each = ({ item }: { item: unknown }) => {
    if (item === 'bad') throw new Error('down')
  }

  test.each(['failed', 'unfinished'] as const)('may retry its %s items, once there are some', async (items) => {
    const bench = new Bench()
    const type = batchType(batch({ each }), ({ retries }) => (retries < 1 ? [{ kind: 'retry', items }] : []))
    const { ada } = await bench.start({ jobs: [type] })
    const bad = await ada.submit(type, ['a', 'bad'])
    const good = await ada.submit(type, ['a'])
    await bench.clock.advance(1_000)
    const jobs = (await ada.list({ type: 'urls' })).items
    expect(jobs.map(({ retryOf, progress }) => [retryOf, progress?.total])).toEqual([
      [bad.id, 1],
      [undefined, 1],
      [undefined, 2],
    ])
    const failed = (await bench.log(good.id)).flatMap(({ events }) => events)
    expect(failed.find(({ type }) => type === 'job.followUpFailed')).toMatchObject({ error: { code: 'INVALID_STATE' } })
  })

  test('may not retry failed items with another input', async () => {
    const bench = new Bench()
    const type = batchType(batch({ each }), () => [{ kind: 'retry', items: 'failed', input: ['b'] }])
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, ['bad'])
    await bench.clock.advance(1_000)
    const events = (await bench.log(id)).flatMap((row) => row.events)
    expect(events.find((event) => event.type === 'job.followUpFailed')).toMatchObject({
      error: { code: 'INVALID_INPUT' },
    })
  })
})

test('a batch beside another one of its job ends with an error', async () => {
  const bench = new Bench()
  const logic = batch({ source: () => ['a'], each: () => {} })
  const region = (id: string) => ({
    initial: 'on',
    states: {
      on: { invoke: { id, src: 'work', onDone: 'done', onError: 'broken' } },
      done: { type: 'final' as const },
      broken: { type: 'final' as const },
    },
  })
  const lifecycle = createMachine({
    type: 'parallel',
    states: { left: region('first'), right: region('second') },
  }).provide({ actors: { work: logic } })
  const type = defineJob({ type: 'both', lifecycle })
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type)
  await bench.clock.advance(1_000)
  expect((await bench.row(id)).state).toEqual({ left: 'done', right: 'broken' })
})

test('each job of a chart without functions gets the counts of its batch', async () => {
  const bench = new Bench()
  const lifecycle = createMachine({
    initial: 'on',
    states: { on: { invoke: { id: 'work', src: 'work', onDone: 'off' } }, off: { type: 'final' } },
  }).provide({ actors: { work: batch({ items: () => ['a', 'b'], each: () => {} }) } })
  const type = defineJob({ type: 'still', lifecycle })
  const { ada } = await bench.start({ jobs: [type] })
  for (let submitted = 0; submitted < 3; submitted++) {
    const { id } = await ada.submit(type)
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ outcome: 'success', progress: { total: 2, completed: 2 } })
  }
})

test('an agent runs a batch', async () => {
  const bench = new Bench()
  const type = batchType(batch({ function: 'urls' }))
  const { ada, engine } = await bench.start({ jobs: [type] })
  const each = ({ item }: { item: unknown }) => {
    if (item === 'bad') throw new Error('down')
    return item as string
  }
  const functions = [{ name: 'urls', run: batchRun({ key: (item) => `url ${item}`, each }) }]
  const agent = createAgent({ transport: engine.asAgent({ id: 'a1' }).agents, functions, clock: bench.clock })
  await agent.start()
  const { id } = await ada.submit(type, ['a', 'bad', 'c'])
  await bench.clock.advance(1_000)
  const counts = { total: 3, completed: 2, failed: 1, skipped: 0 }
  expect(await ada.get(id)).toMatchObject({ status: 'failed', output: counts, progress: counts })
  const items = await (await bench.probe()).items(id, { after: 0, limit: 10 })
  expect(items.map(({ key, status }) => `${key} ${status}`)).toEqual([
    'url a completed',
    'url bad failed',
    'url c completed',
  ])
  const { id: again } = await ada.retry(id, { items: 'failed' })
  await bench.clock.advance(1_000)
  expect((await ada.get(again)).output).toEqual({ total: 1, completed: 0, failed: 1, skipped: 0 })
  const stopped = agent.stop()
  await bench.clock.advance(60_000)
  await stopped
})

test('an agent may report only valid items, under a claim that it has', async () => {
  const bench = new Bench()
  const type = batchType(batch({ function: 'urls' }))
  const { ada, engine, heard } = await bench.start({ jobs: [type] })
  const { agents } = engine.asAgent({ id: 'a1' })
  await agents.register({ functions: [{ name: 'urls' }] })
  await ada.submit(type, ['a', 'b', 'c'])
  const [task] = await agents.claim()
  if (task === undefined) throw new Error('the agent got no task')
  const claim = { job: task.job.id, token: task.token }
  expect(task.batch).toEqual({ counts: { total: 3, completed: 0, failed: 0, skipped: 0 }, begun: 0, losses: 0 })
  const counts = { total: 3, completed: 0, failed: 0, skipped: 0 }
  const piece = { added: [{ index: 1, key: 'a' }], ended: [], counts, running: 1, begun: 1 }
  await agents.items(claim, piece)
  expect(await agents.recordedItems(claim, { from: 1, to: 9 })).toEqual([
    { index: 1, key: 'a', status: 'waiting', attempts: 0 },
  ])
  expect(await agents.itemKeys(claim, ['a', 'b'])).toEqual([{ key: 'a', index: 1 }])
  await agents.items(claim, { ...piece, added: [{ index: 2, key: 'b' }], begun: 2, running: 2 })
  expect(await codeOf(agents.items(claim, { ...piece, running: -1 }))).toBe('INVALID_INPUT')
  expect(await codeOf(agents.recordedItems(claim, { from: 1, to: 2_000 }))).toBe('INVALID_INPUT')
  expect(await codeOf(agents.items({ ...claim, token: 99 }, piece))).toBe('STALE_CLAIM')
  await agents.fail(claim, 'broken')
  const shown = heard.flatMap((event) => (event.type === 'job.progress' ? [event.progress.running] : []))
  expect(shown).toEqual([1, 2])
  const types = heard.map((event) => event.type)
  expect(types.lastIndexOf('job.progress')).toBeLessThan(types.lastIndexOf('job.transitioned'))
})

test('explore knows what a batch ends with, and what it tells its chart', () => {
  const map = explore(scrapeType({ hears: true }), { inputs: [['a']] })
  expect(map.throws).toEqual([])
  expect(map.deadEnds).toEqual([])
  expect(map.untried).toEqual([])
  expect(map.ends.map(({ state }) => state)).toEqual(['broken', 'done'])
  expect(map.edges.map(({ event }) => event)).toContain('task.progress')
})

test('batchRun of an agent that is given another task than a batch fails it, and says what to invoke', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'urls', agent: {} })
  const { ada, engine } = await bench.start({ jobs: [type] })
  const functions = [{ name: 'urls', run: batchRun({ each: () => 1 }) }]
  const agent = createAgent({ transport: engine.asAgent({ id: 'a1' }).agents, functions, clock: bench.clock })
  await agent.start()
  const { id } = await ada.submit(type, ['a'])
  await bench.clock.advance(1_000)
  expect(await ada.get(id)).toMatchObject({
    status: 'failed',
    error: { code: 'INVALID_DEFINITION', message: expect.stringContaining('invoke batch({ function:') },
  })
  await agent.stop()
})

describe('code that batchRun has not made', () => {
  const wrong = expect.stringContaining('should be made by batchRun({ each })')

  test.each([[['a', 'b']], [[]]])(
    'of an agent fails the batch, and its output is no counts (items: %j)',
    async (list) => {
      const bench = new Bench()
      const type = batchType(batch({ function: 'urls' }))
      const { ada, engine } = await bench.start({ jobs: [type] })
      const functions = [{ name: 'urls', run: () => ({ completed: 2, failed: 0 }) }]
      const agent = createAgent({ transport: engine.asAgent({ id: 'a1' }).agents, functions, clock: bench.clock })
      await agent.start()
      const { id } = await ada.submit(type, list)
      await bench.clock.advance(1_000)
      expect(await ada.get(id)).toMatchObject({ status: 'failed', error: { code: 'INVALID_STATE', message: wrong } })
      const stopped = agent.stop()
      await bench.clock.advance(60_000)
      await stopped
    },
  )

  test.each(['done', 'exit'] as const)('of an agent may not report %s before its last piece', async (how) => {
    const bench = new Bench()
    const type = batchType(batch({ function: 'urls' }))
    const { ada, engine } = await bench.start({ jobs: [type] })
    const { agents } = engine.asAgent({ id: 'a1' })
    await agents.register({ functions: [{ name: 'urls' }] })
    const { id } = await ada.submit(type, ['a'])
    const [held] = await agents.claim()
    if (held === undefined) throw new Error('the agent got no task')
    const claim = { job: held.job.id, token: held.token }
    const end = () => (how === 'done' ? agents.done(claim, 'all') : agents.exit(claim, 0))
    await expect(end()).rejects.toMatchObject({ code: 'INVALID_STATE', message: wrong })
    const counts = { total: 1, completed: 1, failed: 0, skipped: 0 }
    const all = { added: [{ index: 1, key: 'a' }], counts, running: 0, begun: 1 }
    const ended = [{ index: 1, status: 'completed', attempts: 1 }] as const
    await agents.items(claim, { ...all, ended })
    await expect(end()).rejects.toMatchObject({ code: 'INVALID_STATE', message: wrong })
    // The same items again, now as the last piece.
    await agents.items(claim, { ...all, ended, isLast: true })
    await end()
    expect(await ada.get(id)).toMatchObject({ status: 'completed', progress: counts })
  })

  test.each([[['a']], [[]]])('of an executor fails the batch, and is not tried again (items: %j)', async (list) => {
    const bench = new Bench()
    const hands = new Hands()
    const type = scrapeType({ retry: { limit: 3 } })
    const { ada } = await bench.start({ jobs: [type], executors: { hands } })
    const { id } = await ada.submit(type, list)
    await bench.clock.settle()
    hands.attempt().end({ ok: true, output: { completed: 1 } })
    await bench.clock.advance(60_000)
    expect(await ada.get(id)).toMatchObject({ status: 'broken', error: { code: 'INVALID_DEFINITION', message: wrong } })
    expect(hands.attempts).toHaveLength(1)
  })
})
