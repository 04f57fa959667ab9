import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import type { Scope } from '../port/policy.ts'
import type { JobFilter, StorageConnection } from '../port/storage.ts'
import {
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
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'
import { agree, fill, many, move, pagesOf, removeJob } from './storage-checks-lists.ts'

const MAX = { assignee: 'max' }
const OF_MAX = [{ tenant: 't1', ...MAX }]

/** Checks of assignees: S36 and S37. */
export const assigneeChecks: Checks = {
  'S36 a record, a summary and an event say who the assignee is, and only if there is one': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const seed of [{ id: 'a', assignee: 'max \u0000' }, { id: 'b' }]) {
      await commitOne(storage, insertOf(newJob(seed, at)))
      await move(storage, seed.id, (job) => claimed(job, at))
    }
    const read = async (id: string) => [
      await storage.get(id),
      await storage.summary(id),
      ...(await storage.summaries([id])),
      ...(await storage.events({ after: 0, limit: FAR, jobId: id })),
    ]
    const said = (await read('a')).map((each) => each?.assignee)
    assert.deepEqual(
      said,
      Array.from({ length: 5 }, () => 'max \u0000'),
    )
    for (const each of await read('b')) assert.ok(each !== undefined && !('assignee' in each))
  },

  'S36 a scope and a filter by the assignee narrow a list, a count and the counts': async ({ clock, open }) => {
    const storage = await open()
    await fillAssigned(storage, clock.now())
    const counted: readonly (readonly [JobFilter, number])[] = [
      [{ scopes: [MAX] }, 5],
      [{ scopes: [{}], ...MAX }, 5],
      [{ scopes: [{ tenant: 't1' }], ...MAX }, 4],
      [{ scopes: OF_MAX }, 4],
      [{ scopes: OF_MAX, ...MAX }, 4],
      [{ scopes: OF_MAX, assignee: 'eve' }, 0],
      [{ scopes: [{ tenant: 't1', assignee: 'nobody' }] }, 0],
      [{ scopes: OF_MAX, phase: 'settled' }, 1],
      [{ scopes: OF_MAX, status: ['queued'], parentId: null }, 1],
      [{ scopes: OF_MAX, parentId: 'parent' }, 1],
      [{ scopes: OF_MAX, labels: { team: 'x' } }, 1],
      [{ scopes: OF_MAX, createdBy: 'eve' }, 1],
      [{ scopes: OF_MAX, pipeline: 'p' }, 1],
      [{ scopes: [{ tenant: 't1', ...MAX, createdBy: 'ada', type: 'plain' }] }, 3],
    ]
    await agreeAll(storage, counted)
  },

  'S36 a job that was created by a person and is assigned to that person is counted once': async ({ clock, open }) => {
    const storage = await open()
    await fillAssigned(storage, clock.now())
    const ofEve = { tenant: 't1', createdBy: 'eve' }
    const counted: readonly (readonly [JobFilter, number])[] = [
      [{ scopes: [ofEve, { tenant: 't1', assignee: 'eve' }] }, 5],
      [{ scopes: [{ tenant: 't1', assignee: 'eve' }, ofEve] }, 5],
      [{ scopes: [ofEve, ...OF_MAX] }, 8],
      [{ scopes: [...OF_MAX, ofEve], parentId: null }, 7],
      [{ scopes: [...OF_MAX, ofEve, { tenant: 't1', labels: { team: 'x' } }] }, 10],
    ]
    await agreeAll(storage, counted)
  },

  'S36 a scope narrows the log by the assignee, also after the job was removed': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await fillLog(storage, at)
    const read = async () => [
      await idsOf(storage, [{ assignee: 'max' }]),
      await idsOf(storage, [{ tenant: 't1', assignee: 'max' }]),
      await idsOf(storage, [{ assignee: 'max', createdBy: 'eve' }]),
      await idsOf(storage, [{ assignee: 'nobody' }]),
      await idsOf(storage, [{ createdBy: 'eve' }, { assignee: 'eve' }]),
      await idsOf(storage, [{ assignee: 'eve', labels: { team: 'x' } }]),
      await idsOf(storage, [{ assignee: 'max', labels: { team: 'x' } }]),
    ]
    assert.deepEqual(await read(), ['g h', 'g', '', '', 'b i', 'i', ''])
    const job = await getJob(storage, 'g')
    await commitOne(storage, updateOf(job, remove(plain, job, contextAt(at))))
    assert.equal(await storage.get('g'), undefined)
    assert.deepEqual(await read(), ['g h g', 'g g', '', '', 'b i', 'i', ''])
  },

  'S37 lists of the jobs of one assignee give full pages, even if few of them match': async ({ clock, open }) => {
    const storage = await open()
    await many(storage, clock.now())
    const filters: readonly Omit<JobFilter, 'scopes'>[] = [
      {},
      { type: 'twin' },
      { status: ['rare'] },
      { outcome: 'failure' },
    ]
    for (const filter of filters) {
      for (const order of ['newest', 'oldest'] as const) {
        const pages = await pagesOf(storage, { ...filter, scopes: OF_MAX }, { limit: 4, order })
        const full = pages.slice(0, Math.floor(pages.flat().length / 4))
        assert.ok(full.length >= 2 && full.every(({ length }) => length === 4), JSON.stringify(filter))
      }
      await agree(storage, { ...filter, scopes: OF_MAX })
    }
  },

  'S36 a pipeline has no assignee, so no scope with an assignee covers it': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const fixed = { tenant: 't1', id: 'p', createdBy: 'max', type: 'plain', overlap: 'reject', priority: 0 } as const
    const after = { ...fixed, labels: {}, createdAt: at, updatedAt: at, revision: 1 }
    await commitOne(storage, { op: 'pipeline', tenant: 't1', id: 'p', revision: 0, after })
    const found = async (...scopes: readonly Scope[]) => (await storage.pipelines({ scopes }, { limit: FAR })).length
    assert.deepEqual([await found({ tenant: 't1' }), await found(MAX), await found(...OF_MAX)], [1, 0, 0])
    assert.equal(await found(...OF_MAX, { createdBy: 'max' }), 1)
  },
}

// Jobs of `fill`, and seven assigned ones, of which one is removed.
async function fillAssigned(storage: StorageConnection, at: number): Promise<void> {
  await fill(storage, at)
  const jobs = [
    newJob({ id: 'o', ...MAX, labels: { team: 'x' } }, at + 6),
    newJob({ id: 'p', ...MAX, createdBy: 'eve', pipeline: 'p', isWaiting: true }, at + 6),
    newJob({ id: 'q', assignee: 'eve', createdBy: 'eve' }, at + 7, twin),
    newJob({ id: 'r', ...MAX, tenant: 't2' }, at + 7),
    childOf('parent', newJob({ id: 's', ...MAX }, at + 8)),
    newJob({ id: 't', ...MAX }, at + 8),
    newJob({ id: 'u', ...MAX }, at + 8),
  ]
  for (const job of jobs) await commitOne(storage, insertOf(job))
  await move(storage, 't', (job) => claimed(job, at))
  await move(storage, 't', (job) => ended(job, at))
  await removeJob(storage, 'u', at)
}

async function agreeAll(
  storage: StorageConnection,
  counted: readonly (readonly [filter: JobFilter, expected: number])[],
): Promise<void> {
  for (const [filter, expected] of counted) {
    assert.equal(await agree(storage, filter), expected, JSON.stringify(filter))
    const counts = [...(await storage.counts('phase', filter)).values()]
    assert.equal(
      counts.reduce((sum, each) => sum + each, 0),
      expected,
    )
  }
}

async function fillLog(storage: StorageConnection, at: number): Promise<void> {
  for (const seed of [
    { id: 'a' },
    { id: 'b', createdBy: 'eve' },
    { id: 'g', ...MAX },
    { id: 'h', ...MAX, tenant: 't2' },
    { id: 'i', assignee: 'eve', labels: { team: 'x' } },
  ]) {
    await commitOne(storage, insertOf(newJob(seed, at)))
  }
}

async function idsOf(storage: StorageConnection, scopes: readonly Scope[]): Promise<string> {
  const rows = await storage.events({ after: 0, limit: FAR, scopes })
  return rows.map(({ jobId }) => jobId).join(' ')
}
