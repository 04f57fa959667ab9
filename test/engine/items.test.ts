import { defineJob, type Policy, type Verdict } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { Bench, codeOf, errorOf, Work } from './bench.ts'

async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}

describe('items', () => {
  test('lists the parts of its work that the code reported, by number', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'batch',
      execute: async ({ item }) => {
        await item('a', { output: { size: 1 } })
        await item('b', { status: 'failed', message: 'no such page' })
        await item('c')
      },
    })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await bench.clock.settle()
    const found = await all(ada.items(id))
    expect(found.map(({ number, key, status }) => [number, key, status])).toEqual([
      [1, 'a', 'completed'],
      [2, 'b', 'failed'],
      [3, 'c', 'completed'],
    ])
    expect(found[0]).toMatchObject({ output: { size: 1 }, at: '2026-01-01T00:00:00.000Z' })
    expect(await all(ada.items(id, { status: 'failed' }))).toMatchObject([{ key: 'b', message: 'no such page' }])
    expect(await all(ada.items(id, { after: 2 }))).toMatchObject([{ key: 'c' }])
  })

  test('are all given, in their order, also where there are more than one read gives', async () => {
    const bench = new Bench()
    const count = 1_001
    const type = defineJob({
      type: 'batch',
      execute: async ({ item }) => {
        for (let n = 1; n <= count; n++) await item(`part ${n}`)
      },
    })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await ada.result(id)
    const found = await all(ada.items(id))
    expect(found.map(({ number, key }) => `${number} ${key}`)).toEqual(
      Array.from({ length: count }, (_, index) => `${index + 1} part ${index + 1}`),
    )
  })

  test('let other work of the process go on while many are read', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'batch',
      execute: async ({ item }) => {
        for (let n = 1; n <= 1_001; n++) await item(`part ${n}`)
      },
    })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await ada.result(id)
    let turns = 0
    const count = () => {
      turns++
      counting = setImmediate(count)
    }
    let counting = setImmediate(count)
    await all(ada.items(id))
    clearImmediate(counting)
    expect(turns).toBeGreaterThanOrEqual(10)
  })

  test('a later attempt replaces the item of an earlier one, under its number', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'batch',
      retry: { limit: 1, backoff: 0 },
      execute: async ({ item, attempt }) => {
        await item('a', attempt === 1 ? { status: 'failed' } : {})
        if (attempt === 1) throw new Error('once more')
        await item('b')
      },
    })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await bench.clock.advance(1_000)
    expect(await all(ada.items(id))).toMatchObject([
      { number: 1, key: 'a', status: 'completed' },
      { number: 2, key: 'b', status: 'completed' },
    ])
  })

  test('I16 an attempt that is stopping records items until it has stopped or is abandoned', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', killGrace: '5s', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await ada.cancel(id)
    expect(await codeOf(work.run().context.item('last'))).toBe('ok')
    await bench.clock.advance(30_000)
    expect(await codeOf(work.run().context.item('late'))).toBe('STALE_CLAIM')
    expect(await all(ada.items(id))).toMatchObject([{ key: 'last' }])
  })

  test('have keys of up to 2,000 characters, such as URLs', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    const url = `https://example.com/?q=${'x'.repeat(1_977)}`
    for (const status of ['failed', 'completed'] as const) await work.run().context.item(url, { status })
    await work.run().context.item(`${url.slice(0, -1)}y`)
    expect((await all(ada.items(id))).map(({ key, status }) => [key.length, status])).toEqual([
      [2_000, 'completed'],
      [2_000, 'completed'],
    ])
  })

  test.each([
    ['an empty key', '', {}],
    ['a key of 2,001 characters', 'x'.repeat(2_001), {}],
    ['a key that is not well-formed', '\ud800', {}],
    ['a status that is none', 'a', { status: 'fine' }],
    ['an output that cannot be stored', 'a', { output: Number.NaN }],
    ['a report that is none', 'a', 3],
    ['a report that is null', 'a', null],
    ['a field that there is not', 'a', { result: 5 }],
  ])('are refused for %s', async (_, key, report) => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    await ada.submit(type, 1)
    const code = await codeOf(work.run().context.item(key, report as never))
    expect(['INVALID_INPUT', 'NOT_STORABLE']).toContain(code)
  })

  test.each([
    ['a number below zero', { after: -1 }],
    ['a status that is none', { status: 'fine' }],
  ])('a read of them is refused for %s', async (_, options) => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => 1 })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    expect(await codeOf(all(ada.items(id, options as never)))).toBe('INVALID_INPUT')
  })

  test('I58 are hidden where the input is redacted, unless the type says that they are safe', async () => {
    const policy: Policy = {
      authorize: (_, action): Verdict => (action === 'submit' ? 'allow' : { redact: ['input'] }),
      scope: ({ tenant }) => [{ tenant }],
    }
    for (const safe of [[], ['items'] as const]) {
      const bench = new Bench()
      const type = defineJob({ type: 'w', safe, execute: async ({ item }) => await item('s3cret') })
      const { ada } = await bench.start({ jobs: [type], policy })
      const { id } = await ada.submit(type, 1)
      await bench.clock.settle()
      expect((await all(ada.items(id))).length).toBe(safe.length)
    }
  })
})

describe('count', () => {
  test('is how many jobs a list would page through, by every filter', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => 1 })
    const { ada, bob, admin } = await bench.start({ jobs: [type] })
    for (let n = 0; n < 3; n++) await ada.submit(type, n, { labels: { n: String(n % 2) } })
    await bob.submit(type, 1, { startAt: '2030-01-01T00:00:00Z' })
    await bench.clock.settle()
    const filters = [
      {},
      { view: 'mine' },
      { phase: 'waiting' },
      { status: 'completed' },
      { labels: { n: '0' } },
      { createdBy: 'bob' },
      { createdBy: 'bob', view: 'mine' },
      { type: 'none' },
    ] as const
    for (const who of [ada, bob, admin]) {
      for (const filter of filters) expect(await who.count(filter)).toBe((await who.list(filter)).items.length)
    }
    expect(await Promise.all([ada, bob, admin].map((who) => who.count()))).toEqual([3, 1, 4])
    expect(await codeOf(ada.count({ limit: 5 } as never))).toBe('INVALID_INPUT')
  })

  test('and list refuse to filter by a field that the policy redacts', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: () => 1 })
    const policy: Policy = {
      authorize: (_, action): Verdict => (action === 'submit' ? 'allow' : { redact: ['labels'] }),
      scope: ({ tenant }) => [{ tenant, redact: ['labels'] }],
    }
    const { ada } = await bench.start({ jobs: [type], policy })
    await ada.submit(type, 1, { labels: { team: 'red' } })
    expect(await ada.count()).toBe(1)
    const filter = { labels: { team: 'red' } }
    const refusals = await Promise.all([errorOf(ada.count(filter)), errorOf(ada.list(filter))])
    expect(refusals.map(({ code, issues }) => [code, issues?.[0]?.path])).toEqual([
      ['FORBIDDEN', ['labels']],
      ['FORBIDDEN', ['labels']],
    ])
  })
})

test('a cursor does not reveal the position of a hidden job', async () => {
  const bench = new Bench()
  const type = defineJob({ type: 'w', execute: () => 1 })
  // A faulty policy: its scope covers more jobs than it shows.
  const policy: Policy = {
    authorize: ({ id }, action, { createdBy }): Verdict => (action === 'submit' || createdBy === id ? 'allow' : 'hide'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const { ada, bob } = await bench.start({ jobs: [type], policy })
  const own: string[] = []
  const hidden: string[] = []
  for (let n = 0; n < 9; n++) {
    await bench.clock.advance(1)
    const who = n % 3 === 0 ? ada : bob
    ;(who === ada ? own : hidden).push((await who.submit(type, n)).id)
  }
  const seen: string[] = []
  let cursors = ''
  for (let cursor: string | undefined; ; ) {
    const page = await ada.list({ limit: 1, ...(cursor === undefined ? {} : { cursor }) })
    seen.push(...page.items.map(({ id }) => id))
    cursor = page.nextCursor
    if (cursor === undefined) break
    cursors += Buffer.from(cursor, 'base64url').toString()
  }
  expect(seen).toEqual(own.reverse())
  for (const id of hidden) expect(cursors).not.toContain(id)
})

describe('a view', () => {
  test('is updated by progress, and by nothing after its end', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    const { id, updatedAt } = await ada.submit(type, 1)
    await bench.clock.advance(1_000)
    work.run().context.progress({ completed: 1, total: 2 })
    await bench.clock.settle()
    const working = await ada.get(id)
    expect(Date.parse(working.updatedAt) - Date.parse(updatedAt)).toBe(1_000)
    expect(working.progress).toEqual({ completed: 1, failed: 0, running: 0, total: 2 })
    const { endedAt } = await ada.cancel(id)
    await bench.clock.advance(1_000)
    work.run().finish()
    await bench.clock.settle()
    expect(await ada.get(id)).toMatchObject({ endedAt, updatedAt: endedAt })
  })

  test('shows private parts only where the policy opens them', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().execute })
    const policy: Policy = {
      authorize: ({ role }, action): Verdict =>
        action === 'submit' || role !== 'admin' ? 'allow' : { redact: [], open: ['context', 'tasks'] },
      scope: ({ tenant }) => [{ tenant }],
    }
    const { ada, admin } = await bench.start({ jobs: [type], policy })
    const { id } = await ada.submit(type, 1)
    expect(await admin.get(id)).toMatchObject({
      context: {},
      tasks: [{ id: 'execute', status: 'claimed', attempt: 1 }],
    })
    expect(Object.keys(await ada.get(id))).not.toContain('tasks')
  })

  test('that answers a command shows no more than get would', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().execute })
    const policy: Policy = {
      authorize: (_, action): Verdict => (action === 'get' ? { redact: ['input'] } : 'allow'),
      scope: ({ tenant }) => [{ tenant }],
    }
    const { ada } = await bench.start({ jobs: [type], policy })
    const { id } = await ada.submit(type, 's3cret')
    const answers = [await ada.cancel(id), await ada.result(id)]
    expect(JSON.stringify(answers)).not.toContain('s3cret')
    expect(await codeOf(ada.retry(id))).toBe('FORBIDDEN')
  })
})

test('an attempt learns the progress that an earlier one reported', async () => {
  const bench = new Bench()
  const told: unknown[] = []
  const type = defineJob({
    type: 'w',
    retry: { limit: 1, backoff: 0 },
    execute: ({ progress, reported, attempt }) => {
      told.push(reported)
      progress({ completed: 3, total: 4 })
      if (attempt === 1) throw new Error('once more')
    },
  })
  const { ada } = await bench.start({ jobs: [type] })
  await ada.submit(type, 1)
  await bench.clock.advance(1_000)
  expect(told).toEqual([undefined, { completed: 3, failed: 0, running: 0, total: 4 }])
})
