import { defineJob, type ListOptions, type Policy, rolePolicy, type Verdict } from 'jobchart'
import { expect, test } from 'vitest'
import { Bench, codeOf, type Host, Work } from './bench.ts'

const plain = defineJob({ type: 'plain', execute: () => 1 })
const other = defineJob({ type: 'other', execute: () => 1 })

async function submitMany(bench: Bench, who: Host['ada'], count: number): Promise<readonly string[]> {
  const ids: string[] = []
  for (let index = 0; index < count; index++) {
    // Two jobs in each millisecond, so that the order of ids matters too.
    if (index % 2 === 0) await bench.clock.advance(1)
    ids.push((await who.submit(plain, index)).id)
  }
  return ids
}

async function pages(who: Host['ada'], options: ListOptions, between: () => Promise<unknown> = async () => {}) {
  const items: string[] = []
  for (let cursor: string | undefined; ; ) {
    const page = await who.list(cursor === undefined ? options : { ...options, cursor })
    items.push(...page.items.map(({ id }) => id))
    cursor = page.nextCursor
    if (cursor === undefined) return items
    await between()
  }
}

test.each([1, 2, 7, 25, 26, 100])('pages of %i show each job once, the newest first', async (limit) => {
  const bench = new Bench()
  const { ada, bob } = await bench.start({ jobs: [plain] })
  const ids = await submitMany(bench, ada, 25)
  await submitMany(bench, bob, 3)
  const seen = await pages(ada, { limit })
  expect(seen).toHaveLength(25)
  expect(new Set(seen)).toEqual(new Set(ids))
  const times = await Promise.all(seen.map(async (id) => (await ada.get(id)).createdAt))
  expect(times).toEqual([...times].sort().reverse())
})

test('jobs that are added between two pages cause no skip and no repeat', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [plain] })
  const ids = await submitMany(bench, ada, 9)
  const seen = await pages(ada, { limit: 2 }, async () => {
    await bench.clock.advance(1)
    await ada.submit(plain, 'new')
  })
  expect(new Set(seen)).toEqual(new Set(ids))
  expect(seen).toHaveLength(9)
})

test('I54 a list shows jobs that the principal may see, and each filter narrows it', async () => {
  const bench = new Bench()
  const work = new Work()
  const busy = defineJob({ type: 'busy', execute: work.execute })
  const { ada, bob, admin, engine } = await bench.start({ jobs: [plain, other, busy] })
  const red = await ada.submit(plain, 1, { labels: { team: 'red', site: 'x' } })
  const blue = await ada.submit(other, 1, { labels: { team: 'blue', site: 'x' } })
  const running = await bob.submit(busy, 1, { pipeline: 'p' })
  const foreign = await engine.as({ id: 'ada', tenant: 'acme', role: 'admin' }).submit(plain, 1)
  await bench.clock.settle()
  const listed = async (who: Host['ada'], options?: ListOptions) => (await who.list(options)).items.map(({ id }) => id)
  expect(new Set(await listed(ada))).toEqual(new Set([red.id, blue.id]))
  expect(new Set(await listed(admin))).toEqual(new Set([red.id, blue.id, running.id]))
  expect(await listed(admin, { view: 'mine' })).toEqual([])
  expect(await listed(admin, { type: 'other' })).toEqual([blue.id])
  expect(await listed(admin, { type: other })).toEqual([blue.id])
  expect([await admin.count({ type: other }), await admin.counts({ by: 'type' }, { type: busy })]).toEqual([
    1,
    { busy: 1 },
  ])
  expect(await codeOf(admin.list({ type: 5 as never }))).toBe('INVALID_INPUT')
  expect(await listed(admin, { phase: 'active' })).toEqual([running.id])
  expect(await listed(admin, { status: 'running' })).toEqual([running.id])
  expect(await listed(admin, { pipeline: 'p' })).toEqual([running.id])
  expect(await listed(admin, { labels: { team: 'red' } })).toEqual([red.id])
  expect(await listed(admin, { labels: { team: 'red', site: 'y' } })).toEqual([])
  expect(await listed(ada, { pipeline: 'p' })).toEqual([])
  expect(await listed(engine.system, { type: 'plain' })).toContain(foreign.id)
})

test('I54 a cursor works for its own principal only; another’s is refused like any other text', async () => {
  const bench = new Bench()
  const { ada, admin, engine } = await bench.start({ jobs: [plain] })
  await submitMany(bench, ada, 3)
  const { nextCursor = '' } = await ada.list({ limit: 1 })
  expect(await codeOf(ada.list({ cursor: nextCursor }))).toBe('ok')
  const strangers = [admin, engine.system, engine.as({ id: 'ada', tenant: 'acme', role: 'editor' })]
  for (const session of strangers) expect(await codeOf(session.list({ cursor: nextCursor }))).toBe('INVALID_INPUT')
})

test.each([
  ['empty', ''],
  ['no base64', '💥'],
  ['no JSON', Buffer.from('{').toString('base64url')],
  ['null', Buffer.from('null').toString('base64url')],
  ['an object', Buffer.from('{"id":"x"}').toString('base64url')],
  ['the wrong kinds', Buffer.from('["x",7,"default","ada"]').toString('base64url')],
  ['__proto__', Buffer.from('{"__proto__":[1,"x","default","ada"]}').toString('base64url')],
  ['too long', 'A'.repeat(1_001)],
])('an invalid cursor is refused: %s', async (_, cursor) => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [plain] })
  expect(await codeOf(ada.list({ cursor }))).toBe('INVALID_INPUT')
})

test.each([
  ['a limit of 0', { limit: 0 }],
  ['a limit of 101', { limit: 101 }],
  ['a limit that is no whole number', { limit: 1.5 }],
  ['a limit that is NaN', { limit: Number.NaN }],
  ['a phase that is none', { phase: 'asleep' }],
  ['a view that is none', { view: 'theirs' }],
  ['labels that are no text', { labels: { a: {} } }],
  ['a filter that is none', { owner: 'bob' }],
])('options of a list are checked: %s', async (_, options) => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [plain] })
  expect(await codeOf(ada.list(options as ListOptions))).toBe('INVALID_INPUT')
})

test('a job that the policy hides is left out of the page, and no other', async () => {
  const bench = new Bench()
  const policy: Policy = {
    authorize: (_, action, { labels }) => (action === 'get' && labels.secret === 'yes' ? 'hide' : 'allow'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const { ada } = await bench.start({ jobs: [plain], policy })
  for (let index = 0; index < 10; index++) {
    await bench.clock.advance(1)
    await ada.submit(plain, index, { labels: index % 2 === 0 ? { secret: 'yes' } : {} })
  }
  const seen = await pages(ada, { limit: 3 })
  expect(await Promise.all(seen.map(async (id) => (await ada.get(id)).input))).toEqual([9, 7, 5, 3, 1])
})

test('a job in any of several scopes is shown, once', async () => {
  const bench = new Bench()
  const policy: Policy = {
    authorize: () => 'allow',
    scope: ({ tenant }) => [
      { tenant, type: 'plain' },
      { tenant, labels: { team: 'red' } },
    ],
  }
  const { ada } = await bench.start({ jobs: [plain, other], policy })
  const both = await ada.submit(plain, 1, { labels: { team: 'red' } })
  const byLabel = await ada.submit(other, 1, { labels: { team: 'red' } })
  await ada.submit(other, 1, { labels: { team: 'blue' } })
  expect(new Set((await ada.list()).items.map(({ id }) => id))).toEqual(new Set([both.id, byLabel.id]))
  expect((await ada.list()).items).toHaveLength(2)
})

test('a list interrupted by a stop of the engine says so, and does not omit jobs silently', async () => {
  const bench = new Bench()
  const policy: Policy = {
    authorize: (_, action) => (action === 'get' ? new Promise<Verdict>(() => {}) : 'allow'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const { ada, engine } = await bench.start({ jobs: [plain], policy })
  await ada.submit(plain, 1)
  await engine.idle()
  const code = codeOf(ada.list())
  await bench.clock.settle()
  await engine.stop()
  expect(await code).toBe('ENGINE_STOPPED')
})

test('I54 filtering by a redacted field finds nothing, because the answer would reveal the field', async () => {
  const bench = new Bench()
  const policy: Policy = {
    authorize: (_, action) => (action === 'get' ? { redact: ['labels', 'pipeline'] } : 'allow'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const { ada } = await bench.start({ jobs: [plain], policy })
  await ada.submit(plain, 1, { labels: { team: 'red' }, pipeline: 'p' })
  expect((await ada.list()).items).toHaveLength(1)
  expect((await ada.list({ labels: { team: 'red' } })).items).toEqual([])
  expect((await ada.list({ pipeline: 'p' })).items).toEqual([])
})

test('I54 a scope without a tenant covers the principal’s own tenant, never all', async () => {
  const bench = new Bench()
  const policy: Policy = { authorize: () => 'allow', scope: ({ id }) => [{ createdBy: id }] }
  const { ada, engine } = await bench.start({ jobs: [plain], policy })
  const own = await ada.submit(plain, 1)
  await engine.as({ id: 'ada', tenant: 'acme' }).submit(plain, 2)
  expect((await ada.list()).items.map(({ id }) => id)).toEqual([own.id])
})

test("view 'all' is for callers who may list all jobs, and FORBIDDEN for others", async () => {
  const bench = new Bench()
  const policy = rolePolicy({ reader: ['auditor'], resources: { team: { see: ['member'] } } })
  const { ada, bob, admin, engine } = await bench.start({ jobs: [plain], policy })
  await ada.submit(plain, 1)
  await bob.submit(plain, 1)
  const auditor = engine.as({ id: 'aud', role: 'auditor' })
  const member = engine.as({ id: 'mel', relations: { 'team:red': 'member' } })
  const nobody = engine.as({ id: 'vic', role: 'viewer' })
  for (const who of [admin, auditor, engine.system]) {
    expect(await who.views()).toEqual(['mine', 'assigned', 'all'])
    expect((await who.list({ view: 'all' })).items).toHaveLength(2)
    expect(await who.count({ view: 'all' })).toBe(2)
  }
  for (const who of [ada, member]) {
    expect(await who.views()).toEqual(['mine', 'assigned'])
    expect(await codeOf(who.list({ view: 'all' }))).toBe('FORBIDDEN')
    expect(await codeOf(who.count({ view: 'all' }))).toBe('FORBIDDEN')
  }
  expect((await ada.list()).items).toHaveLength(1)
  expect((await ada.list({ view: 'mine' })).items).toHaveLength(1)
  expect(await nobody.views()).toEqual([])
  expect(await codeOf(nobody.list({ view: 'all' }))).toBe('FORBIDDEN')
})

test("view 'all' asks the policy for an action of its own", async () => {
  const bench = new Bench()
  const byVerdict: Policy = {
    authorize: (_, action) => (action === 'listAll' ? 'deny' : 'allow'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const byScope: Policy = {
    authorize: () => 'allow',
    scope: ({ tenant }, action) => action !== 'listAll' && [{ tenant }],
  }
  for (const policy of [byVerdict, byScope]) {
    const { ada } = await bench.start({ jobs: [plain], policy })
    expect(await ada.views()).toEqual(['mine', 'assigned'])
    expect(await codeOf(ada.list({ view: 'all' }))).toBe('FORBIDDEN')
    expect(await codeOf(ada.list())).toBe('ok')
  }
})
