import { type CountOptions, defineJob, type ListOptions, type Policy, type Session } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { Bench, codeOf, errorOf } from './bench.ts'

const plain = defineJob({ type: 'plain', execute: () => 1 })
const failing = defineJob({
  type: 'failing',
  execute: () => {
    throw new Error('broken')
  },
})
const endless = defineJob({ type: 'endless', execute: () => new Promise(() => {}) })

const named = (items: readonly { readonly labels: { readonly [name: string]: string } }[]) =>
  items.map(({ labels }) => labels.name).join('')

/** Five jobs, one each second: a succeeded, b failed, c was cancelled, d runs and e waits. */
async function fiveJobs() {
  const bench = new Bench()
  const host = await bench.start({ jobs: [plain, failing, endless] })
  const { ada, engine } = host
  const begin = bench.clock.now()
  const submit = async (name: string, run: (options: object) => Promise<{ readonly id: string }>) => {
    const { id } = await run({ labels: { name } })
    await bench.clock.advance(1_000)
    return id
  }
  await submit('a', (options) => ada.submit(plain, 1, options))
  await submit('b', (options) => ada.submit(failing, 1, options))
  const cancelled = await submit('c', (options) => ada.submit(endless, 1, options))
  await ada.cancel(cancelled)
  await submit('d', (options) => ada.submit(endless, 1, options))
  await submit('e', (options) => ada.submit(plain, 1, { ...options, startAt: begin + 86_400_000 }))
  const listed = async (options: ListOptions, who: Session = ada) => named((await who.list(options)).items)
  return { ...host, bench, ada, engine, begin, listed }
}

describe('a list', () => {
  test('takes an outcome, one or several statuses, and an order', async () => {
    const { listed } = await fiveJobs()
    expect(await listed({})).toBe('edcba')
    expect(await listed({ order: 'oldest' })).toBe('abcde')
    expect(await listed({ order: 'newest' })).toBe('edcba')
    expect(await listed({ outcome: 'success' })).toBe('a')
    expect(await listed({ outcome: 'failure' })).toBe('b')
    expect(await listed({ outcome: 'cancelled' })).toBe('c')
    expect(await listed({ status: 'running' })).toBe('d')
    expect(await listed({ status: ['running'] })).toBe('d')
    expect(await listed({ status: ['completed', 'running', 'nonsense'], order: 'oldest' })).toBe('ad')
    expect(await listed({ status: ['completed', 'failed'], outcome: 'failure' })).toBe('b')
    expect(await listed({ outcome: 'success', type: 'failing' })).toBe('')
  })

  test('takes a time range that includes its beginning and excludes its end', async () => {
    const { listed, ada, begin } = await fiveJobs()
    const at = (second: number) => begin + second * 1_000
    const iso = (second: number) => new Date(at(second)).toISOString()
    expect(await listed({ createdAfter: at(1) })).toBe('edcb')
    expect(await listed({ createdAfter: at(1) + 1 })).toBe('edc')
    expect(await listed({ createdBefore: at(1) })).toBe('a')
    expect(await listed({ createdBefore: iso(2), createdAfter: iso(1) })).toBe('b')
    expect(await listed({ createdAfter: new Date(at(3)), order: 'oldest' })).toBe('de')
    expect(await listed({ createdAfter: at(2), createdBefore: at(2) })).toBe('')
    expect(await listed({ createdAfter: at(3), createdBefore: at(1) })).toBe('')
    const { createdAt } = (await ada.list({ status: 'running' })).items[0] ?? { createdAt: '' }
    expect(await listed({ createdAfter: createdAt })).toBe('ed')
    expect(await listed({ createdBefore: createdAt })).toBe('cba')
    expect(await ada.count({ createdAfter: at(1), outcome: 'failure' })).toBe(1)
  })

  test('continues by its cursor in either order', async () => {
    const { ada } = await fiveJobs()
    for (const order of ['newest', 'oldest'] as const) {
      const names: string[] = []
      for (let cursor: string | undefined; names.length < 10; ) {
        const page = await ada.list({
          order,
          limit: 2,
          status: ['completed', 'failed', 'running', 'cancelled'],
          ...(cursor === undefined ? {} : { cursor }),
        })
        names.push(named(page.items))
        cursor = page.nextCursor
        if (cursor === undefined) break
      }
      expect(names.join('')).toBe(order === 'newest' ? 'dcba' : 'abcd')
    }
  })
})

describe('counts', () => {
  test('are grouped by status, type, phase or outcome, and narrowed like a list', async () => {
    const { ada, bob, begin, engine } = await fiveJobs()
    const by = { status: await ada.counts({ by: 'status' }), type: await ada.counts({ by: 'type' }) }
    expect(by.type).toEqual({ plain: 2, failing: 1, endless: 2 })
    expect(by.status).toMatchObject({ completed: 1, failed: 1, cancelled: 1, running: 1 })
    expect(Object.values(by.status).reduce((sum, each) => sum + each)).toBe(5)
    expect(await ada.counts({ by: 'phase' })).toEqual({ settled: 3, active: 1, waiting: 1 })
    expect(await ada.counts({ by: 'outcome' })).toEqual({ success: 1, failure: 1, cancelled: 1 })
    expect(await ada.counts({ by: 'type' }, { phase: 'settled' })).toEqual({ plain: 1, failing: 1, endless: 1 })
    expect(await ada.counts({ by: 'type' }, { createdAfter: begin + 2_000 })).toEqual({ endless: 2, plain: 1 })
    expect(await ada.counts({ by: 'status' }, { status: ['failed', 'cancelled'] })).toEqual({ failed: 1, cancelled: 1 })
    expect(await ada.counts({ by: 'type' }, { labels: { name: 'b' } })).toEqual({ failing: 1 })
    expect(await bob.counts({ by: 'type' })).toEqual({})
    expect(await engine.system.counts({ by: 'outcome' })).toEqual({ success: 1, failure: 1, cancelled: 1 })
  })

  test('of a view follow the rights of that view', async () => {
    const { ada, admin } = await fiveJobs()
    expect(await codeOf(ada.counts({ by: 'status' }, { view: 'all' }))).toBe('FORBIDDEN')
    expect(await admin.counts({ by: 'phase' }, { view: 'all' })).toEqual({ settled: 3, active: 1, waiting: 1 })
    expect(await admin.counts({ by: 'phase' }, { view: 'mine' })).toEqual({})
  })
})

describe('a redacted field', () => {
  const hiding = (...redact: readonly string[]): Policy => ({
    authorize: (_, action) => (action === 'get' ? { redact } : 'allow'),
    scope: ({ tenant }) => [{ tenant, redact }],
  })
  const filters: readonly (readonly [string, CountOptions])[] = [
    ['outcome', { outcome: 'success' }],
    ['status', { status: ['completed', 'failed'] }],
    ['phase', { phase: 'settled' }],
    ['type', { type: 'plain' }],
  ]

  test.each(filters)('cannot be filtered or grouped by: %s', async (field, filter) => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [plain], policy: hiding(field) })
    await ada.submit(plain, 1)
    for (const call of [ada.list(filter), ada.count(filter), ada.counts({ by: 'type' }, filter)]) {
      expect(await codeOf(call)).toBe('FORBIDDEN')
    }
    const by = field as 'status'
    const error = await errorOf(ada.counts({ by }))
    expect([error.code, error.message]).toEqual(['FORBIDDEN', expect.stringContaining(field)])
    const other = field === 'type' ? 'status' : 'type'
    expect(Object.values(await ada.counts({ by: other }))).toEqual([1])
  })

  test('does not include the time of creation, by which every caller may order and filter', async () => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [plain], policy: hiding('status', 'createdAt', 'endedAt') })
    await ada.submit(plain, 1)
    expect((await ada.list({ createdAfter: 0, order: 'oldest' })).items).toHaveLength(1)
    expect(await ada.counts({ by: 'type' }, { createdAfter: 0 })).toEqual({ plain: 1 })
  })
})

const misuses: readonly (readonly [string, (session: Session) => Promise<unknown>])[] = [
  ['outcome', (session) => session.list({ outcome: 'lost' as 'failure' })],
  ['status', (session) => session.list({ status: [] })],
  ['status', (session) => session.list({ status: [5] as unknown as string[] })],
  ['status', (session) => session.list({ status: Array.from({ length: 101 }, (_, index) => `${index}`) })],
  ['order', (session) => session.list({ order: 'random' as 'newest' })],
  ['order', (session) => session.count({ order: 'newest' } as object)],
  ['by', (session) => session.counts({} as { by: 'status' })],
  ['by', (session) => session.counts(undefined as unknown as { by: 'status' })],
  ['by', (session) => session.counts({ by: 'input' as 'status' })],
  ['group', (session) => session.counts({ by: 'status', group: 1 } as { by: 'status' })],
  ['limit', (session) => session.counts({ by: 'status' }, { limit: 5 } as object)],
  ['createdAfter', (session) => session.list({ createdAfter: 'yesterday' })],
  ['createdBefore', (session) => session.count({ createdBefore: Number.NaN })],
  ['createdBefore', (session) => session.count({ createdBefore: new Date(Number.NaN) })],
]

test.each(misuses)('an unsupported option of list is refused by name: %s', async (option, run) => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [plain] })
  const error = await errorOf(run(ada))
  expect([error.code, error.message]).toEqual(['INVALID_INPUT', expect.stringContaining(option)])
})

const times: readonly (readonly [string, unknown, RegExp])[] = [
  [
    'a date',
    '2027-01-01',
    /startAt: should be an ISO 8601 time with an offset.*found "2027-01-01", which has no offset/,
  ],
  ['a local time', '2027-01-01T02:00:00', /has no offset/],
  ['a local time with a fraction', '2027-01-01T02:00:00.5', /has no offset/],
  ['no time', 'tomorrow', /found "tomorrow"$/],
  ['a local time without seconds', '2027-01-01T02:00', /has no offset/],
  ['a date that is none', '2027-13-01T00:00:00Z', /found "2027-13-01T00:00:00Z"$/],
  ['a number that is none', Number.NaN, /found NaN$/],
  ['a negative number', -1, /found -1$/],
  ['a fraction', 1.5, /found 1.5$/],
  ['a Date that is none', new Date(Number.NaN), /found an object$/],
  ['an object', {}, /found an object$/],
  ['null', null, /found null$/],
]

test.each(times)('an invalid time is refused with what is missing: %s', async (_, startAt, expected) => {
  const bench = new Bench()
  const typed = defineJob({ type: 'typed', input: z.number(), execute: () => 1 })
  const { ada } = await bench.start({ jobs: [typed] })
  const error = await errorOf(ada.submit(typed, 1, { startAt } as object))
  expect([error.code, error.message]).toEqual(['INVALID_INPUT', expect.stringMatching(expected)])
  expect(error.issues?.[0]?.path).toEqual(['startAt'])
})

test.each(['2027-01-01T02:00:00Z', '2027-01-01T02:00:00+02:00', 1_800_000_000_000, new Date(1_800_000_000_000)])(
  'a time may be ISO 8601 with an offset, milliseconds or a Date: %s',
  async (startAt) => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [plain] })
    expect((await ada.submit(plain, 1, { startAt })).startAt).toBe(new Date(startAt).toISOString())
  },
)
