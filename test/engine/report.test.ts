import { parse } from 'csv-parse/sync'
import fc from 'fast-check'
import { defineJob, memoryStorage, type Policy, rolePolicy, type Verdict } from 'jobchart'
import type { StoredItem } from 'jobchart/port'
import { describe, expect, test } from 'vitest'
import { Bench, codeOf, type Host, Work } from './bench.ts'
import { batchItem as item, StoredItems } from './stored-items.ts'

const failing = defineJob({ type: 'w', execute: () => Promise.reject(new Error('no')) })
const error = (message: string, code = 'E') => ({ name: 'Error', message, code, stack: 's3cret.ts:1' })

interface Setup extends Host {
  readonly bench: Bench
  readonly disk: StoredItems
}

async function setUp(policy?: Policy): Promise<Setup> {
  const disk = new StoredItems(memoryStorage())
  const bench = new Bench(disk)
  return { bench, disk, ...(await bench.start({ jobs: [failing], ...(policy === undefined ? {} : { policy }) })) }
}

/** A job that has ended, with these items. */
async function jobWith({ bench, disk, ada }: Setup, items: readonly StoredItem[], input?: unknown): Promise<string> {
  const { id } = await ada.submit(failing, input)
  await bench.clock.settle()
  disk.give(id, items)
  return id
}

/** A retry of a job, with these items. */
async function retryWith({ bench, disk, ada }: Setup, of: string, items: readonly StoredItem[]): Promise<string> {
  const { id } = await ada.retry(of)
  await bench.clock.settle()
  disk.give(id, items)
  return id
}

async function textOf(report: AsyncIterable<string>): Promise<string> {
  let text = ''
  for await (const piece of report) text += piece
  return text
}

async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const found: Item[] = []
  for await (const each of items) found.push(each)
  return found
}

const csvOf = async (report: AsyncIterable<string>): Promise<readonly (readonly string[])[]> =>
  parse(await textOf(report))

describe('the items of a batch', () => {
  test('are listed with their place in the source, in their order, and by one status or several', async () => {
    const setup = await setUp()
    const id = await jobWith(setup, [
      item(1, { input: { url: 'a' }, output: { size: 1 } }),
      item(2, { status: 'failed', attempts: 3, error: error('no such page', '404') }),
      item(3, { status: 'skipped', attempts: 0 }),
      item(4, { status: 'waiting', attempts: 0 }),
    ])
    const [first, second] = await all(setup.ada.items(id))
    expect(first).toEqual({
      number: 4_294_967_297,
      key: 'k1',
      index: 1,
      status: 'completed',
      attempts: 1,
      input: { url: 'a' },
      output: { size: 1 },
      at: '2026-01-01T00:00:00.000Z',
    })
    expect(second?.error).toEqual({ name: 'Error', message: 'no such page', code: '404' })
    const keys = async (options: Parameters<Host['ada']['items']>[1]) =>
      (await all(setup.ada.items(id, options))).map(({ key }) => key)
    expect(await keys({ status: 'waiting' })).toEqual(['k4'])
    expect(await keys({ status: ['skipped', 'failed', 'skipped'] })).toEqual(['k2', 'k3'])
    expect(await keys({ status: ['completed', 'failed', 'skipped', 'waiting'], after: first?.number ?? 0 })).toEqual([
      'k2',
      'k3',
      'k4',
    ])
  })

  test.each([
    [['completed', 'failed']],
    [['failed', 'skipped']],
    [['skipped', 'completed', 'failed', 'waiting']],
  ] as const)('of several statuses come in their order, each once, over many reads: %s', async (status) => {
    const setup = await setUp()
    const statuses = ['completed', 'completed', 'failed', 'completed', 'skipped', 'waiting', 'failed'] as const
    const rows = Array.from({ length: 1_234 }, (_, n) => {
      // Statuses come in runs of different lengths, so that one read is far ahead of another.
      return item(n + 1, { status: statuses[Math.floor(n / (n < 400 ? 150 : 7)) % statuses.length] ?? 'failed' })
    })
    const id = await jobWith(setup, rows)
    const expected = rows.filter((row) => (status as readonly string[]).includes(row.status)).map(({ key }) => key)
    expect((await all(setup.ada.items(id, { status }))).map(({ key }) => key)).toEqual(expected)
    const report = setup.ada.report(id, { format: 'json', status })
    expect(JSON.parse(await textOf(report)).map(({ key }: { readonly key: string }) => key)).toEqual(expected)
  })

  test.each(['input', 'output', 'error', 'message'] as const)(
    'do not show a field that the policy redacts of their job: %s',
    async (field) => {
      const whole = { input: 's3cret', output: 's3cret', error: error('s3cret'), message: 's3cret' }
      for (const safe of [[], ['items'] as const]) {
        const type = defineJob({ type: 'w', safe, execute: () => 1 })
        const disk = new StoredItems(memoryStorage())
        const bench = new Bench(disk)
        const policy: Policy = {
          authorize: (_, action): Verdict => (action === 'submit' ? 'allow' : { redact: [field] }),
          scope: ({ tenant }) => [{ tenant }],
        }
        const { ada } = await bench.start({ jobs: [type], policy })
        const { id } = await ada.submit(type, 1)
        await bench.clock.settle()
        disk.give(id, [item(1, whole)])
        const found = await all(ada.items(id))
        const isHidden = field === 'input' && safe.length === 0
        expect(found.map((each) => Object.keys(each).filter((name) => name in whole))).toEqual(
          isHidden ? [] : [Object.keys(whole).filter((name) => name !== field)],
        )
        const text = await textOf(ada.report(id, { format: 'json' }))
        expect(JSON.parse(text)).toEqual(found.map((each) => ({ ...each, job: id })))
        const header = (await csvOf(ada.report(id, { format: 'csv' })))[0]
        expect(header?.includes('output')).toBe(!isHidden && field !== 'output')
      }
    },
  )

  test('show the stack of an error only where the policy opens it', async () => {
    const setup = await setUp(rolePolicy({ open: ['stack'] }))
    const id = await jobWith(setup, [item(1, { status: 'failed', error: error('no') })])
    expect((await all(setup.ada.items(id)))[0]?.error?.stack).toBe('s3cret.ts:1')
    const closed = await setUp()
    const other = await jobWith(closed, [item(1, { status: 'failed', error: error('no') })])
    expect(await textOf(closed.ada.report(other, { format: 'json' }))).not.toContain('s3cret')
  })

  test('are copies: changing one changes nothing else', async () => {
    const setup = await setUp()
    const id = await jobWith(setup, [item(1, { input: { url: 'a' }, output: { size: 1 } })])
    const [found] = await all(setup.ada.items(id))
    Object.assign(found?.input as object, { url: 'b' })
    Object.assign(found?.output as object, { size: 2 })
    expect((await all(setup.ada.items(id)))[0]).toMatchObject({ input: { url: 'a' }, output: { size: 1 } })
  })
})

describe('a report as CSV', () => {
  test('has a line for each item, with a column for each field of inputs and outputs', async () => {
    const setup = await setUp()
    const id = await jobWith(setup, [
      item(1, { input: { url: 'a', depth: 1 }, output: { statusCode: 200, tags: ['x', 'y'], isNew: false } }),
      item(2, { status: 'failed', attempts: 3, input: { url: 'b, "c"\nd' }, error: error('no such page', '404') }),
      item(3, { input: 'plain', output: -5 }),
    ])
    const text = await textOf(setup.ada.report(id, { format: 'csv' }))
    expect(parse(text, { columns: true })).toEqual([
      {
        ...{ key: 'k1', status: 'completed', attempts: '1', reason: '', code: '', job: id },
        ...{ 'input.url': 'a', 'input.depth': '1', input: '' },
        ...{ 'output.statusCode': '200', 'output.tags': '["x","y"]', 'output.isNew': 'false', output: '' },
      },
      {
        ...{ key: 'k2', status: 'failed', attempts: '3', reason: 'no such page', code: '404', job: id },
        ...{ 'input.url': 'b, "c"\nd', 'input.depth': '', input: '' },
        ...{ 'output.statusCode': '', 'output.tags': '', 'output.isNew': '', output: '' },
      },
      {
        ...{ key: 'k3', status: 'completed', attempts: '1', reason: '', code: '', job: id },
        ...{ 'input.url': '', 'input.depth': '', input: 'plain' },
        ...{ 'output.statusCode': '', 'output.tags': '', 'output.isNew': '', output: '-5' },
      },
    ])
    expect(text.split('\n')[0]).toBe(
      'key,status,attempts,reason,code,job,input.url,input.depth,input,output.statusCode,output.tags,output.isNew,output',
    )
  })

  test.each(['=1+1', '+1', '-1', '@SUM(A1)', '\t=1', '\r=1', '＝1'])(
    'gives a text that a spreadsheet would run an apostrophe, in each column: %j',
    async (text) => {
      const setup = await setUp()
      const whole = { key: text, input: { [text]: text }, output: text, error: error(text, text) }
      const id = await jobWith(setup, [item(1, whole), item(2, { input: text, message: text })])
      const rows = await csvOf(setup.ada.report(id, { format: 'csv' }))
      expect(rows.flat().filter((cell) => cell === text)).toEqual([])
      expect(rows.flat().filter((cell) => cell === `'${text}`)).toHaveLength(7)
      const named = await csvOf(setup.ada.report(id, { format: 'csv', columns: [`input.${text}`, 'key'] }))
      expect(named[1]).toEqual([`'${text}`, `'${text}`])
    },
  )

  test('has the columns that are asked for, also fields of fields and fields with a dot in their name', async () => {
    const setup = await setUp()
    const id = await jobWith(setup, [
      item(1, { input: { page: { url: 'a', 'x.y': 1 }, 'page.url': 'b' }, output: { page: { url: 'c' } } }),
      item(2, { status: 'failed', input: { constructor: 'own' }, error: error('no') }),
    ])
    const columns = ['index', 'input.page.url', 'input.page.x.y', 'output.page.url', 'input.constructor', 'reason']
    expect(await csvOf(setup.ada.report(id, { format: 'csv', columns }))).toEqual([
      columns,
      ['1', 'b', '1', 'c', '', ''],
      ['2', '', '', '', 'own', 'no'],
    ])
    expect(JSON.parse(await textOf(setup.ada.report(id, { format: 'json', columns: ['key', 'input.page'] })))).toEqual([
      { key: 'k1', 'input.page': { url: 'a', 'x.y': 1 } },
      { key: 'k2' },
    ])
  })

  test('puts fields of later items that its header does not name into a last column, so that nothing is lost', async () => {
    const setup = await setUp()
    const rows = Array.from({ length: 250 }, (_, n) => item(n + 1, { output: { [n < 200 ? 'early' : 'late']: n } }))
    // An output of the only item of another status has a column of its own, however late it comes.
    const id = await jobWith(setup, [...rows, item(251, { status: 'failed', input: { url: 'z' } })])
    const lines = parse(await textOf(setup.ada.report(id, { format: 'csv' })), { columns: true }) as readonly object[]
    expect(Object.keys(lines[0] ?? {}).slice(6)).toEqual(['input.url', 'output.early', 'more'])
    expect(lines[0]).toMatchObject({ 'output.early': '0', more: '' })
    expect(lines[249]).toMatchObject({ 'output.early': '', more: '{"output.late":249}' })
    expect(lines[250]).toMatchObject({ 'input.url': 'z', more: '' })
  })

  test.each(['=1+1', '+1', '-1', '@sum', '\t=1', '\r=1', '\n=1', '＝1'])(
    'shows %j as text, not as a formula',
    async (text) => {
      const setup = await setUp()
      const id = await jobWith(setup, [item(1, { key: text, input: { text }, output: text, error: error(text) })])
      const columns = ['key', 'reason', 'input.text', 'output']
      expect((await csvOf(setup.ada.report(id, { format: 'csv', columns })))[1]).toEqual(columns.map(() => `'${text}`))
    },
  )

  test('of a job without items has the header only, and as JSON it is an empty list', async () => {
    const setup = await setUp()
    const id = await jobWith(setup, [])
    expect(await textOf(setup.ada.report(id, { format: 'csv' }))).toBe('key,status,attempts,reason,code,job\n')
    expect(await textOf(setup.ada.report(id, { format: 'json' }))).toBe('[]\n')
  })

  test('has the items that code reported by `item`', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'w',
      execute: async ({ item: report }) => {
        await report('a', { output: { size: 1 } })
        await report('b', { status: 'failed', message: 'no such page' })
      },
    })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    await bench.clock.settle()
    expect(await csvOf(ada.report(id, { format: 'csv' }))).toEqual([
      ['key', 'status', 'attempts', 'reason', 'code', 'job', 'output.size'],
      ['a', 'completed', '', '', '', id, '1'],
      ['b', 'failed', '', 'no such page', '', id, ''],
    ])
  })

  test('holds one page of items at a time, of any number', async () => {
    const setup = await setUp()
    const count = 20_000
    const id = await jobWith(
      setup,
      Array.from({ length: count }, (_, n) => item(n + 1)),
    )
    let lines = -1
    let pieceMax = 0
    for await (const piece of setup.ada.report(id, { format: 'csv' })) {
      lines += piece.split('\n').length - 1
      pieceMax = Math.max(pieceMax, piece.length)
    }
    expect(lines).toBe(count)
    expect(setup.disk.rowsAtOnceMax).toBe(100)
    expect(pieceMax).toBeLessThan(20_000)
  })
})

describe('the report of a retry', () => {
  const rowsOf = async (report: AsyncIterable<string>) =>
    (JSON.parse(await textOf(report)) as readonly { key: string; status: string; job: string }[]).map(
      ({ key, status, job }) => [key, status, job],
    )

  test('has the newest row of each item, with the id of its job, over all tries', async () => {
    const setup = await setUp()
    const failed = { status: 'failed' } as const
    const one = await jobWith(setup, [item(1), item(2, failed), item(3, failed), item(4, failed)])
    const two = await retryWith(setup, one, [item(2, failed), item(3), item(4, failed)])
    const three = await retryWith(setup, two, [item(4), item(5)])
    expect(await rowsOf(setup.ada.report(three, { format: 'json' }))).toEqual([
      ['k1', 'completed', one],
      ['k2', 'failed', two],
      ['k3', 'completed', two],
      ['k4', 'completed', three],
      ['k5', 'completed', three],
    ])
    expect(await rowsOf(setup.ada.report(three, { format: 'json', status: 'failed' }))).toEqual([['k2', 'failed', two]])
    expect(await rowsOf(setup.ada.report(one, { format: 'json', status: 'failed' }))).toHaveLength(3)
    expect(
      (await csvOf(setup.ada.report(three, { format: 'csv' }))).map(([key, status]) => `${key} ${status}`),
    ).toEqual(['key status', 'k1 completed', 'k2 failed', 'k3 completed', 'k4 completed', 'k5 completed'])
  })

  test.each([1, 2, 3, 7, 100])('is whole over many reads, when every n-th item was run again: n = %i', async (n) => {
    const setup = await setUp()
    const indexes = Array.from({ length: 777 }, (_, index) => index + 1)
    const one = await jobWith(
      setup,
      indexes.map((index) => item(index, index % n === 0 ? { status: 'failed' } : {})),
    )
    const two = await retryWith(
      setup,
      one,
      indexes.filter((index) => index % n === 0).map((index) => item(index)),
    )
    const expected = indexes.map((index) => [`k${index}`, 'completed', index % n === 0 ? two : one])
    setup.disk.rowsAtOnceMax = 0
    expect(await rowsOf(setup.ada.report(two, { format: 'json' }))).toEqual(expected)
    expect(setup.disk.rowsAtOnceMax).toBe(100)
  })

  test('law: is the newest row of each index, whatever each try has run, and of any status', async () => {
    const statuses = ['completed', 'failed', 'skipped', 'waiting'] as const
    const rows = fc.array(fc.tuple(fc.integer({ min: 1, max: 400 }), fc.constantFrom(...statuses)), {
      maxLength: 400,
      size: 'max',
    })
    const tries = fc.array(rows, { minLength: 2, maxLength: 4, size: 'max' })
    const status = fc.option(fc.subarray([...statuses], { minLength: 1 }), { nil: undefined })
    await fc.assert(
      fc.asyncProperty(tries, status, async (each, asked) => {
        const setup = await setUp()
        const newest = new Map<number, readonly [string, string, string]>()
        let id = ''
        for (const given of each) {
          const own = [...new Map(given)].sort(([a], [b]) => a - b)
          const items = own.map(([index, status]) => item(index, { status }))
          id = id === '' ? await jobWith(setup, items) : await retryWith(setup, id, items)
          for (const [index, status] of own) newest.set(index, [`k${index}`, status, id])
        }
        const expected = [...newest].sort(([a], [b]) => a - b).map(([, row]) => row)
        const options = asked === undefined ? {} : { status: asked }
        const found = await rowsOf(setup.ada.report(id, { format: 'json', ...options }))
        expect(found).toEqual(expected.filter(([, status]) => asked?.some((one) => one === status) !== false))
        await setup.bench.end()
      }),
      { numRuns: 25 },
    )
  })

  test('ends at a job that the caller may not read, and at one that was deleted', async () => {
    let hidden = ''
    const policy: Policy = {
      authorize: (_, __, { jobId }): Verdict => (jobId === hidden ? 'hide' : 'allow'),
      scope: ({ tenant }) => [{ tenant }],
    }
    const setup = await setUp(policy)
    const one = await jobWith(setup, [item(1)])
    const two = await retryWith(setup, one, [item(2)])
    const three = await retryWith(setup, two, [item(3)])
    const jobsOf = async (id: string) =>
      (await rowsOf(setup.ada.report(id, { format: 'json' }))).map(([, , job]) => job)
    expect(await jobsOf(three)).toEqual([one, two, three])
    hidden = two
    expect(await jobsOf(three)).toEqual([three])
    expect(await codeOf(jobsOf(two))).toBe('JOB_NOT_FOUND')
    hidden = ''
    await setup.ada.delete(one)
    expect(await jobsOf(three)).toEqual([two, three])
  })

  test('ends where the caller may not know which job was retried', async () => {
    const policy: Policy = {
      authorize: (_, action): Verdict => (action === 'items' ? { redact: ['retryOf'] } : 'allow'),
      scope: ({ tenant }) => [{ tenant }],
    }
    const setup = await setUp(policy)
    const one = await jobWith(setup, [item(1)])
    const two = await retryWith(setup, one, [item(2)])
    expect(await textOf(setup.ada.report(two, { format: 'json' }))).not.toContain(one)
  })

  test('has no items of a job with another input, because its items are others', async () => {
    const retried = defineJob({
      type: 'w',
      execute: () => Promise.reject(new Error('no')),
      followUp: ({ retries = 0 }) => (retries === 0 ? [{ kind: 'retry', input: 'other' }] : []),
    })
    const disk = new StoredItems(memoryStorage())
    const bench = new Bench(disk)
    const { ada } = await bench.start({ jobs: [retried] })
    const { id } = await ada.submit(retried, 'one')
    await bench.clock.advance(1_000)
    const again = (await ada.list()).items.find(({ retryOf }) => retryOf === id)?.id ?? ''
    disk.give(id, [item(1), item(2), item(3)])
    disk.give(again, [item(1), item(2)])
    expect(await rowsOf(ada.report(again, { format: 'json' }))).toEqual([
      ['k1', 'completed', again],
      ['k2', 'completed', again],
    ])
  })
})

describe('the rights to a report', () => {
  test('are those of items, asked again at each read', async () => {
    let may: Verdict = 'allow'
    const policy: Policy = {
      authorize: (_, action): Verdict => (action === 'items' ? may : 'allow'),
      scope: ({ tenant }) => [{ tenant }],
    }
    const setup = await setUp(policy)
    const id = await jobWith(
      setup,
      Array.from({ length: 500 }, (_, n) => item(n + 1)),
    )
    may = 'deny'
    const refused = setup.ada.report(id, { format: 'csv' })
    expect(await codeOf(refused[Symbol.asyncIterator]().next())).toBe('FORBIDDEN')
    may = 'allow'
    let pieces = 0
    const read = async () => {
      for await (const _ of setup.ada.report(id, { format: 'csv' })) if (++pieces === 3) may = 'deny'
    }
    expect(await codeOf(read())).toBe('FORBIDDEN')
    expect(pieces).toBe(3)
  })

  test('a report ends with the reason of its signal', async () => {
    const setup = await setUp()
    const id = await jobWith(
      setup,
      Array.from({ length: 500 }, (_, n) => item(n + 1)),
    )
    const controller = new AbortController()
    const reason = new Error('enough')
    const read = async () => {
      const options = { format: 'json', signal: controller.signal } as const
      for await (const _ of setup.ada.report(id, options)) controller.abort(reason)
    }
    await expect(read()).rejects.toBe(reason)
  })

  test('a report of a running job has what is stored so far', async () => {
    const disk = new StoredItems(memoryStorage())
    const bench = new Bench(disk)
    const type = defineJob({ type: 'w', execute: new Work().obedient })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    disk.give(id, [item(1), item(2, { status: 'waiting', attempts: 0 })])
    expect((await csvOf(ada.report(id, { format: 'csv' }))).map(([, status]) => status)).toEqual([
      'status',
      'completed',
      'waiting',
    ])
  })
})
