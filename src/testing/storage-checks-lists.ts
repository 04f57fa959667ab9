import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import type { Scope } from '../port/policy.ts'
import type { CountedField, JobFilter, JobPage, JobPosition, StorageConnection } from '../port/storage.ts'
import {
  changed,
  changesetOf,
  childOf,
  claimed,
  commitOne,
  contextAt,
  ended,
  FAR,
  getJob,
  insertOf,
  newJob,
  plain,
  twin,
  updateOf,
  writeOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

type Narrow = Omit<JobFilter, 'scopes'>

/** Checks of lists and counts: S12, S26 and S30. */
export const listChecks: Checks = {
  'S12 pages neither skip nor repeat a row while others come and go, in both orders': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const ids = Array.from({ length: 25 }, (_, index) => `j${String(index).padStart(2, '0')}`)
    for (const [index, id] of ids.entries()) await commitOne(storage, insertOf(newJob({ id }, at + (index >> 2))))
    for (const order of ['newest', 'oldest'] as const) {
      const seen: string[] = []
      let after: JobPosition | undefined
      for (let number = 0; number < 20; number++) {
        const page = { limit: 7, order, ...(after === undefined ? {} : { after }) }
        const found = await storage.find({ scopes: [{ tenant: 't1' }] }, page)
        seen.push(...found.jobs.map(({ id }) => id))
        if (found.after === undefined) break
        after = found.after
        // Between two pages, a job is added that sorts before the page, and one that was added earlier is removed.
        const createdAt = order === 'newest' ? at + FAR : at - FAR
        await commitOne(storage, insertOf(newJob({ id: `${order}-${number}`, labels: { is: 'new' } }, createdAt)))
        const gone = `${order}-${number - 1}`
        if (number > 0) await move(storage, gone, (job) => remove(plain, job, contextAt(at)))
      }
      const old = seen.filter((id) => id.startsWith('j'))
      assert.deepEqual(old, order === 'newest' ? [...ids].reverse() : ids)
      await removeAll(storage, { labels: { is: 'new' } })
    }
  },

  'S12 a list shows the jobs in any of its scopes, and each filter narrows it': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const jobs = [
      newJob({ id: 'a', labels: { team: 'x' } }, at),
      newJob({ id: 'b', createdBy: 'eve', pipeline: 'p' }, at + 1),
      newJob({ id: 'c', tenant: 't2' }, at + 2),
      newJob({ id: 'd', createdBy: 'eve' }, at + 3, twin),
    ]
    for (const job of jobs) await commitOne(storage, insertOf(job))
    const ids = async (filter: JobFilter, page: Partial<JobPage> = {}) =>
      (await storage.find(filter, { limit: FAR, ...page })).jobs.map(({ id }) => id).join('')
    const scopes = [{ tenant: 't1' }]
    assert.equal(await ids({ scopes: [] }), '')
    assert.equal(await ids({ scopes }), 'dba')
    assert.equal(await ids({ scopes: [{}] }), 'dcba')
    assert.equal(await ids({ scopes: [{}] }, { order: 'oldest' }), 'abcd')
    assert.equal(await ids({ scopes: [{}] }, { order: 'newest', limit: 2 }), 'dc')
    assert.equal(await ids({ scopes: [{ tenant: 't1', createdBy: 'ada' }, { tenant: 't2' }] }), 'ca')
    assert.equal(await ids({ scopes: [...scopes, { tenant: 't1', createdBy: 'eve' }] }), 'dba')
    assert.equal(await ids({ scopes, type: 'twin' }), 'd')
    assert.equal(await ids({ scopes, pipeline: 'p' }), 'b')
    assert.equal(await ids({ scopes, labels: { team: 'x' } }), 'a')
    assert.equal(await ids({ scopes, labels: { team: 'y' } }), '')
    assert.equal(await ids({ scopes, phase: 'settled' }), '')
    assert.equal(await ids({ scopes, status: ['queued'] }), 'ba')
    assert.equal(await ids({ scopes, status: ['both', 'none', 'queued'] }), 'dba')
    assert.equal(await ids({ scopes, status: [] }), '')
    assert.equal(await ids({ scopes, createdBy: "x' OR '1'='1" }), '')
    assert.equal(await ids({ scopes: [{}], createdAfter: at + 1 }), 'dcb')
    assert.equal(await ids({ scopes: [{}], createdBefore: at + 3 }), 'cba')
    assert.equal(await ids({ scopes: [{}], createdAfter: at + 1, createdBefore: at + 2 }), 'b')
    assert.equal(await ids({ scopes: [{}], createdAfter: at + 2, createdBefore: at + 2 }), '')
  },

  'S26 a count equals the number of jobs that the list pages through, by every filter': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await fill(storage, at)
    const counted: readonly (readonly [Narrow, number])[] = [
      [{}, 14],
      [{ type: 'twin' }, 3],
      [{ type: 'none' }, 0],
      [{ phase: 'settled' }, 2],
      [{ phase: 'active' }, 10],
      [{ outcome: 'success' }, 1],
      [{ outcome: 'failure' }, 1],
      [{ outcome: 'cancelled' }, 0],
      [{ status: ['running'] }, 2],
      [{ status: ['running', 'completed', 'running'] }, 4],
      [{ status: ['none'] }, 0],
      [{ status: [] }, 0],
      [{ pipeline: 'p' }, 2],
      [{ createdBy: 'eve' }, 4],
      [{ parentId: null }, 12],
      [{ parentId: 'parent' }, 2],
      [{ parentId: 'none' }, 0],
      [{ labels: { team: 'x' } }, 4],
      [{ labels: { team: 'x', kind: 'k' } }, 2],
      [{ type: 'plain', status: ['completed'], labels: { kind: 'k' } }, 1],
      [{ pipeline: 'p', createdBy: 'ada', phase: 'waiting' }, 1],
      [{ createdAfter: at + 3 }, 7],
      [{ createdBefore: at + 3 }, 7],
      [{ createdAfter: at + 1, createdBefore: at + 5, createdBy: 'eve' }, 4],
      [{ outcome: 'failure', createdAfter: at + 6 }, 0],
    ]
    for (const scope of [{}, { tenant: 't1' }, { tenant: 't1', createdBy: 'ada' }, { tenant: 't3' }]) {
      for (const [filter, expected] of counted) {
        const count = await agree(storage, { ...filter, scopes: [scope] })
        if (Object.keys(scope).length === 0) assert.equal(count, expected, JSON.stringify(filter))
      }
    }
  },

  'S26 counts gives for each value the same number as count': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const read = async (by: CountedField, filter: JobFilter) => Object.fromEntries(await storage.counts(by, filter))
    const all = { scopes: [{}] }
    assert.deepEqual(await read('type', all), { plain: 11, twin: 3 })
    assert.deepEqual(await read('phase', all), { active: 10, waiting: 2, settled: 2 })
    assert.deepEqual(await read('outcome', all), { success: 1, failure: 1 })
    const statuses = await read('status', all)
    for (const [status, count] of Object.entries(statuses)) {
      assert.equal(await storage.count({ ...all, status: [status] }), count)
    }
    assert.equal(
      Object.values(statuses).reduce((sum, each) => sum + each, 0),
      14,
    )
    assert.deepEqual(await read('type', { scopes: [{ tenant: 't1', createdBy: 'eve' }] }), { plain: 2, twin: 1 })
    assert.deepEqual(await read('status', { ...all, status: ['running'], labels: { team: 'y' } }), { running: 1 })
    assert.deepEqual(await read('phase', { ...all, outcome: 'success' }), { settled: 1 })
    const overlapping = [{ tenant: 't1' }, { tenant: 't1', createdBy: 'eve' }, { tenant: 't2' }]
    assert.deepEqual(await read('type', { scopes: overlapping }), { plain: 11, twin: 3 })
    assert.deepEqual(await read('phase', { scopes: [] }), {})
    assert.deepEqual(await read('phase', { scopes: [{ tenant: 't3' }] }), {})
  },

  'S26 a count stops at 10,001': async ({ clock, open }) => {
    const storage = await open()
    const { job, events, ...rest } = newJob({ id: 'x', labels: { team: 'x' } }, clock.now())
    for (let batch = 0; batch < 11; batch++) {
      const ids = Array.from({ length: batch < 10 ? 1_000 : 7 }, (_, index) => `j${batch}-${index}`)
      await storage.commit(ids.map((id) => changesetOf(insertOf({ ...rest, events, job: { ...job, id } }))))
    }
    assert.equal(await storage.count({ scopes: [{}] }), 10_001)
    assert.equal(await storage.count({ scopes: [{ tenant: 't1' }], status: ['queued'] }), 10_001)
    assert.deepEqual(await storage.counts('status', { scopes: [{ tenant: 't1' }] }), new Map([['queued', 10_001]]))
    await removeAll(storage, {}, 7)
    assert.equal(await storage.count({ scopes: [{}] }), 10_000)
    const { jobs } = await storage.find({ scopes: [{}] }, { limit: 1_000 })
    assert.equal(jobs.length, 1_000)
  },

  'S12, S26 a filter that contradicts the scope finds nothing': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const scope = { tenant: 't1', createdBy: 'ada', type: 'plain', pipeline: 'p', labels: {} }
    const labelled = { tenant: 't1', labels: { team: 'x' } }
    assert.ok((await agree(storage, { scopes: [labelled], labels: { team: 'x' } })) > 0)
    assert.ok((await agree(storage, { scopes: [scope], createdBy: 'ada' })) > 0)
    for (const filter of [{ createdBy: 'eve' }, { type: 'twin' }, { pipeline: 'q' }]) {
      assert.equal(await agree(storage, { ...filter, scopes: [scope] }), 0)
    }
    assert.equal(await agree(storage, { scopes: [labelled], labels: { team: 'y' } }), 0)
  },

  'S26 overlapping scopes count a job once': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const ofAda = { tenant: 't1', createdBy: 'ada' }
    const ofTeam = { tenant: 't1', labels: { team: 'x' } }
    assert.equal(await agree(storage, { scopes: [] }), 0)
    const one = await agree(storage, { scopes: [ofAda] })
    assert.equal(await agree(storage, { scopes: [ofAda, { ...ofAda }] }), one)
    assert.equal(await agree(storage, { scopes: [ofAda, { ...ofAda, type: 'plain' }] }), one)
    const all = await agree(storage, { scopes: [{ tenant: 't1' }] })
    assert.equal(await agree(storage, { scopes: [ofAda, { tenant: 't1' }, ofTeam] }), all)
    for (const filter of [{}, { status: ['queued'] }, { labels: { kind: 'k' } }, { parentId: null }]) {
      await agree(storage, { ...filter, scopes: [ofAda, ofTeam, { tenant: 't2', createdBy: 'eve' }] })
    }
  },

  'S12, S26 a list and a count take any number of scopes': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const relations = Array.from({ length: 700 }, (_, index) => ({ tenant: 't1', labels: { team: `team-${index}` } }))
    const scopes = [...relations, { tenant: 't1', labels: { team: 'x' } }, { tenant: 't2' }]
    const expected = await agree(storage, { scopes: scopes.slice(-2) })
    assert.ok(expected > 0)
    assert.equal(await agree(storage, { scopes }), expected)
  },

  'S12, S26, S28 redaction in a scope changes nothing that the storage finds': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const scope = { tenant: 't1', createdBy: 'ada' }
    const redacted: Scope = { ...scope, redact: ['labels', 'status'] }
    for (const filter of [{}, { status: ['queued'] }, { labels: { team: 'x' } }]) {
      const found = await storage.find({ ...filter, scopes: [scope] }, { limit: FAR })
      assert.deepEqual(await storage.find({ ...filter, scopes: [redacted] }, { limit: FAR }), found)
      assert.equal(await storage.count({ ...filter, scopes: [redacted] }), found.jobs.length)
      assert.equal(await storage.count({ ...filter, scopes: [scope, redacted] }), found.jobs.length)
    }
    const rows = await storage.events({ after: 0, limit: FAR, scopes: [scope] })
    assert.deepEqual(await storage.events({ after: 0, limit: FAR, scopes: [redacted] }), rows)
  },

  'S30 a list without filters gives full pages, even if few of the jobs match': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await many(storage, at)
    const ofAda = [{ tenant: 't1', createdBy: 'ada' }]
    const filters: readonly Narrow[] = [
      { type: 'twin' },
      { status: ['rare'] },
      { outcome: 'failure' },
      { pipeline: 'p' },
      { parentId: 'parent' },
      { labels: { team: 'rare' } },
      {},
    ]
    for (const scopes of [[{ tenant: 't1' }], ofAda]) {
      for (const filter of filters) {
        for (const order of ['newest', 'oldest'] as const) {
          const pages = await pagesOf(storage, { ...filter, scopes }, { limit: 4, order })
          const full = pages.slice(0, Math.floor(pages.flat().length / 4))
          assert.ok(full.length >= 2 && full.every(({ length }) => length === 4), JSON.stringify(filter))
        }
        await agree(storage, { ...filter, scopes })
      }
    }
  },

  'S30 any other list can be paged to its end': async ({ clock, open }) => {
    const storage = await open()
    await many(storage, clock.now())
    const filters: readonly Narrow[] = [
      { labels: { team: 'rare', odd: 'yes' } },
      { phase: 'waiting', createdBy: 'eve' },
      { status: ['rare', 'none'], type: 'twin', parentId: null },
    ]
    for (const filter of filters) {
      for (const order of ['newest', 'oldest'] as const) {
        const pages = await pagesOf(storage, { ...filter, scopes: [{}] }, { limit: 4, order })
        assert.equal(pages.flat().length, await storage.count({ ...filter, scopes: [{}] }))
      }
    }
  },
}

/** Stores 14 jobs that lists show, and two deleted ones. */
export async function fill(storage: StorageConnection, at: number): Promise<void> {
  const jobs = [
    newJob({ id: 'a', labels: { team: 'x' } }, at),
    newJob({ id: 'b', labels: { team: 'x', kind: 'k' } }, at),
    newJob({ id: 'c', createdBy: 'eve', labels: { team: 'x', kind: 'k' } }, at + 1),
    newJob({ id: 'd', createdBy: 'eve', pipeline: 'p', isWaiting: true }, at + 1),
    newJob({ id: 'e', pipeline: 'p', isWaiting: true }, at + 2),
    newJob({ id: 'f' }, at + 2, twin),
    newJob({ id: 'g', createdBy: 'eve' }, at + 2, twin),
    newJob({ id: 'h', tenant: 't2', createdBy: 'eve', labels: { team: 'x' } }, at + 3),
    newJob({ id: 'i', tenant: 't2' }, at + 3, twin),
    childOf('parent', newJob({ id: 'j' }, at + 4)),
    childOf('parent', newJob({ id: 'k' }, at + 4)),
    newJob({ id: 'l', labels: { kind: 'k' } }, at + 5),
    newJob({ id: 'm' }, at + 5),
    newJob({ id: 'n', labels: { team: 'y' } }, at + 5),
    newJob({ id: 'gone', labels: { team: 'x' } }, at + 5),
    newJob({ id: 'going', labels: { team: 'x' } }, at + 5),
  ]
  for (const job of jobs) await commitOne(storage, insertOf(job))
  for (const id of ['l', 'm', 'n', 'a', 'going']) await move(storage, id, (job) => claimed(job, at))
  for (const id of ['l', 'm']) await move(storage, id, (job) => ended(job, at))
  await move(storage, 'm', (job) => changed(job, { outcome: 'failure' }))
  for (const id of ['gone', 'going']) await removeJob(storage, id, at)
}

/** Stores 1,200 jobs. Every sixtieth is of a rare kind. */
export async function many(storage: StorageConnection, at: number): Promise<void> {
  const [of, twins] = [newJob({ id: 'x' }, at), newJob({ id: 'x' }, at, twin)]
  const jobs = Array.from({ length: 1_200 }, (_, index): Job => {
    const isRare = index % 60 === 0
    const { job } = index % 24 < 3 ? twins : of
    return {
      ...job,
      id: `j${String((index * 7) % 1_200).padStart(4, '0')}`,
      createdAt: at + (index >> 1),
      createdBy: index % 12 === 0 ? 'ada' : 'eve',
      ...(index % 20 < 3 ? { assignee: 'max' } : {}),
      labels: isRare ? { team: 'rare', ...(index % 120 === 0 ? { odd: 'yes' } : {}) } : { team: 'common' },
      ...(isRare ? { status: 'rare', pipeline: 'p', parentId: 'parent', outcome: 'failure', phase: 'settled' } : {}),
    }
  })
  const { events, inputs } = of
  await storage.commit(jobs.map((job) => changesetOf({ op: 'insert', ...writeOf({ job, events, inputs }) })))
}

/** Writes the next record of a stored job. */
export async function move(
  storage: StorageConnection,
  id: string,
  decide: (job: Job) => Parameters<typeof updateOf>[1],
): Promise<void> {
  const job = await getJob(storage, id)
  assert.equal((await commitOne(storage, updateOf(job, decide(job)))).status, 'applied')
}

/** Removes a stored job. */
export async function removeJob(storage: StorageConnection, id: string, at: number): Promise<void> {
  await move(storage, id, (job) => remove(plain, job, contextAt(at)))
}

async function removeAll(storage: StorageConnection, filter: Narrow, limit = FAR): Promise<void> {
  const { jobs } = await storage.find({ ...filter, scopes: [{}] }, { limit })
  for (const { id } of jobs) await removeJob(storage, id, 1)
}

/** The ids on each page of a list, up to its last page. */
export async function pagesOf(
  storage: StorageConnection,
  filter: JobFilter,
  page: JobPage,
): Promise<readonly (readonly string[])[]> {
  const pages: string[][] = []
  for (let after: JobPosition | undefined; ; ) {
    const found = await storage.find(filter, { ...page, ...(after === undefined ? {} : { after }) })
    pages.push(found.jobs.map(({ id }) => id))
    assert.ok(found.jobs.length <= page.limit)
    if (found.after === undefined) return pages
    after = found.after
  }
}

/**
 * The number of jobs in a list. Checks that all ways to read it agree: counts, one large page, and small pages in both
 * orders.
 */
export async function agree(storage: StorageConnection, filter: JobFilter): Promise<number> {
  const whole = (await pagesOf(storage, filter, { limit: FAR })).flat()
  assert.deepEqual((await pagesOf(storage, filter, { limit: 2 })).flat(), whole)
  const oldest = (await pagesOf(storage, filter, { limit: 3, order: 'oldest' })).flat()
  assert.deepEqual(oldest.reverse(), whole)
  const all = (await pagesOf(storage, { scopes: [{}] }, { limit: 1_000 })).flat()
  const jobs = await storage.many(all.slice(0, 1_000))
  const rest = await storage.many(all.slice(1_000))
  const wanted = [...jobs, ...rest].filter((job) => isAskedByAny(job, filter)).sort(newestFirst)
  assert.deepEqual(
    whole,
    wanted.map(({ id }) => id),
    JSON.stringify(filter),
  )
  const count = await storage.count(filter)
  assert.equal(count, whole.length, JSON.stringify(filter))
  return count
}

function newestFirst(a: Job, b: Job): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : -1)
}

function isAskedByAny(job: Job, filter: JobFilter): boolean {
  return filter.scopes.some((scope) => isAsked(job, filter) && isAsked(job, scope))
}

// Whether a job matches a filter. Written again here, so that the storage is not compared with itself.
function isAsked(job: Job, { labels = {}, parentId, status, ...fields }: Scope & Partial<JobFilter>): boolean {
  const { tenant, createdBy, assignee, type, pipeline, phase, outcome } = fields
  const { createdAfter = 0, createdBefore = Infinity } = fields
  const pairs: readonly (readonly [asked: string | null | undefined, has: string | undefined])[] = [
    [tenant, job.tenant],
    [createdBy, job.createdBy],
    [assignee, job.assignee],
    [type, job.type],
    [pipeline, job.pipeline],
    [phase, job.phase],
    [outcome, job.outcome],
    [parentId, job.parentId],
    ...Object.entries(labels).map(([name, value]) => [value, job.labels[name]] as const),
  ]
  if (job.createdAt < createdAfter || job.createdAt >= createdBefore) return false
  if (status !== undefined && !status.includes(job.status)) return false
  return pairs.every(([asked, has]) => asked === undefined || asked === (has ?? null))
}
