import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import { type AnyJobType, defineJob } from '../model/definition.ts'
import type { Job } from '../model/job.ts'
import type { Scope } from '../port/policy.ts'
import type { JobFilter, JobPage, StorageConnection } from '../port/storage.ts'
import {
  childOf,
  claimed,
  commitOne,
  ended,
  insertClaimed,
  insertOf,
  momentAt,
  newJob,
  plain,
  twin,
  updateOf,
} from './fixtures.ts'
import { type Checks, FAR } from './storage-bench.ts'

const limits = { concurrency: 5, key: ({ input }: { readonly input: unknown }) => String(input) }
const limited: AnyJobType = defineJob({ type: 'limited', limits, execute: () => 'done' })

/** Checks of what is asked of jobs without their records, and of many at once: S24 to S27, and lists as S12 has them. */
export const headChecks: Checks = {
  'S24 a head is what a policy may know of a job, and no more': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const labels = { 'a "b"': 'ü 𝄞 \u0000', empty: '' }
    const input = 'x'.repeat(100_000)
    await commitOne(storage, insertOf(newJob({ id: 'full', tenant: 't2', pipeline: 'p', labels, input }, clock.now())))
    await insertClaimed(storage, clock.now(), 'bare')
    for (const reader of [storage, other]) {
      assert.deepEqual(await reader.head('full'), {
        id: 'full',
        tenant: 't2',
        type: 'plain',
        version: '1',
        createdBy: 'ada',
        pipeline: 'p',
        labels,
        status: 'queued',
      })
      const bare = { id: 'bare', tenant: 't1', type: 'plain', version: '1', createdBy: 'ada', labels: {} }
      assert.deepEqual(await reader.head('bare'), { ...bare, status: 'running' })
      assert.equal(await reader.head("x' OR '1'='1"), undefined)
    }
  },

  'S24 there is no head of a job that is deleted, also while its work runs': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, insertOf(newJob({ id: 'idle' }, clock.now())))
    await insertClaimed(storage, clock.now(), 'busy')
    for (const id of ['idle', 'busy']) {
      assert.equal((await storage.head(id))?.id, id)
      await removeJob(storage, id, clock.now())
      assert.equal(await storage.head(id), undefined)
    }
  },

  'S25 many gives the jobs of its ids, each once, without those that are absent or deleted': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    for (const id of ['a', 'b', 'c', 'd']) await commitOne(storage, insertOf(newJob({ id }, clock.now())))
    await insertClaimed(storage, clock.now(), 'busy')
    for (const id of ['d', 'busy']) await removeJob(storage, id, clock.now())
    const asked = ['b', 'none', 'a', 'b', 'd', 'busy', "x' OR '1'='1", 'a']
    const jobs = [...(await storage.many(asked))].sort((a, b) => (a.id < b.id ? -1 : 1))
    assert.deepEqual(jobs, [await storage.get('a'), await storage.get('b')])
    assert.deepEqual(await storage.many([]), [])
    const most = Array.from({ length: 1_000 }, (_, index) => (index === 999 ? 'c' : `none-${index}`))
    assert.deepEqual(await storage.many(most), [await storage.get('c')])
  },

  'S26 a count is how many jobs the list pages through, by every filter': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const every: readonly Omit<JobFilter, 'scopes'>[] = [
      {},
      { type: 'twin' },
      { type: 'none' },
      { phase: 'settled' },
      { phase: 'active' },
      { status: 'running' },
      { status: 'none' },
      { pipeline: 'p' },
      { createdBy: 'eve' },
      { parentId: null },
      { parentId: 'parent' },
      { parentId: 'none' },
      { labels: { team: 'x' } },
      { labels: { team: 'x', kind: 'k' } },
      { type: 'plain', status: 'completed', labels: { kind: 'k' } },
      { pipeline: 'p', createdBy: 'ada', phase: 'waiting' },
    ]
    const counts: number[] = []
    for (const scope of [{}, { tenant: 't1' }, { tenant: 't1', createdBy: 'ada' }, { tenant: 't3' }]) {
      for (const filter of every) counts.push(await agree(storage, { ...filter, scopes: [scope] }))
    }
    assert.deepEqual(counts.slice(0, every.length), [14, 3, 0, 2, 10, 2, 0, 2, 4, 12, 2, 0, 4, 2, 1, 1])
  },

  'S12, S26 a filter that asks for another value than the scope finds nothing': async ({ clock, open }) => {
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
    for (const filter of [{}, { status: 'queued' }, { labels: { kind: 'k' } }, { parentId: null }]) {
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

  'S12, S26, S28 what a scope redacts changes nothing that storage finds': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const scope = { tenant: 't1', createdBy: 'ada' }
    const redacted: Scope = { ...scope, redact: ['labels', 'status'] }
    for (const filter of [{}, { status: 'queued' }, { labels: { team: 'x' } }]) {
      const found = await storage.find({ ...filter, scopes: [scope] }, { limit: FAR })
      assert.deepEqual(await storage.find({ ...filter, scopes: [redacted] }, { limit: FAR }), found)
      assert.equal(await storage.count({ ...filter, scopes: [redacted] }), found.length)
      assert.equal(await storage.count({ ...filter, scopes: [scope, redacted] }), found.length)
    }
    const rows = await storage.events({ after: 0, limit: FAR, scopes: [scope] })
    assert.deepEqual(await storage.events({ after: 0, limit: FAR, scopes: [redacted] }), rows)
  },

  'S27 the holder of a slot is named from when it takes it until it frees it': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    const holders = async () => await Promise.all([storage, other].map((each) => each.slotHolder('t1', 'p')))
    assert.deepEqual(await holders(), [undefined, undefined])
    const first = newJob({ id: 'first', pipeline: 'p' }, at)
    await commitOne(storage, insertOf(first))
    await commitOne(storage, insertOf(newJob({ id: 'waits', pipeline: 'p', isWaiting: true }, at)))
    assert.deepEqual(await holders(), ['first', 'first'])
    assert.equal(await storage.slotHolder('t2', 'p'), undefined)
    assert.equal(await storage.slotHolder('t1', 'q'), undefined)
    const running = claimed(first.job, at)
    await commitOne(storage, updateOf(first.job, running))
    await commitOne(storage, updateOf(running.job, ended(running.job, at)))
    assert.deepEqual(await holders(), [undefined, undefined])
    await commitOne(storage, insertOf(newJob({ id: 'second', pipeline: 'p' }, at)))
    assert.deepEqual(await holders(), ['second', 'second'])
  },

  'S27 what is held or stopping under a key is counted over all connections': async ({ clock, open }) => {
    const [storage, other] = [await open('one'), await open('two')]
    const at = clock.now()
    const hold = async (connection: StorageConnection, id: string, key: string) => {
      const created = newJob({ id, input: key }, at, limited)
      await commitOne(connection, insertOf(created))
      const running = claimed(created.job, at, 'me', limited)
      await commitOne(connection, updateOf(created.job, running))
      return running.job
    }
    const first = await hold(storage, 'a1', 'a')
    const second = await hold(other, 'a2', 'a')
    await hold(storage, 'b1', 'b')
    await commitOne(storage, insertOf(newJob({ id: 'available', input: 'a' }, at, limited)))
    const key = first.tasks[0]?.limitKey ?? ''
    const held = async () => await Promise.all([storage, other].map((each) => each.heldUnder(key)))
    assert.deepEqual(await held(), [2, 2])
    const stopping = remove(limited, second, momentAt(at))
    await commitOne(storage, updateOf(second, stopping))
    assert.deepEqual(await held(), [2, 2])
    await commitOne(other, updateOf(stopping.job, ended(stopping.job, at, limited)))
    assert.deepEqual(await held(), [1, 1])
    await commitOne(storage, updateOf(first, ended(first, at, limited)))
    assert.deepEqual(await held(), [0, 0])
    assert.equal(await storage.heldUnder('none'), 0)
  },

  'S27 several tasks of one job count each': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a' }, at, twin)
    const keyed = { ...created.job, tasks: created.job.tasks.map((task) => ({ ...task, limitKey: 'k' })) }
    await commitOne(storage, insertOf({ ...created, job: keyed }))
    assert.equal(await storage.heldUnder('k'), 0)
    const one = claimed(keyed, at, 'me', twin)
    await commitOne(storage, updateOf(keyed, one))
    assert.equal(await storage.heldUnder('k'), 1)
    await commitOne(storage, updateOf(one.job, claimed(one.job, at, 'me', twin)))
    assert.equal(await storage.heldUnder('k'), 2)
  },
}

// 14 jobs that are listed, and two that are deleted.
async function fill(storage: StorageConnection, at: number): Promise<void> {
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
  for (const id of ['gone', 'going']) await removeJob(storage, id, at)
}

async function move(
  storage: StorageConnection,
  id: string,
  decide: (job: Job) => ReturnType<typeof newJob>,
): Promise<void> {
  const job = await storage.get(id)
  assert.ok(job)
  assert.equal((await commitOne(storage, updateOf(job, decide(job)))).status, 'applied')
}

async function removeJob(storage: StorageConnection, id: string, at: number): Promise<void> {
  await move(storage, id, (job) => remove(plain, job, momentAt(at)))
}

// Counts, lists in one page and lists in small ones: all tell the same.
async function agree(storage: StorageConnection, filter: JobFilter): Promise<number> {
  const whole = (await storage.find(filter, { limit: FAR })).map(({ id }) => id)
  const paged: string[] = []
  for (let page: JobPage | undefined = { limit: 2 }; page !== undefined; ) {
    const jobs: readonly Job[] = await storage.find(filter, page)
    paged.push(...jobs.map(({ id }) => id))
    const last = jobs.at(-1)
    page = last === undefined ? undefined : { limit: 2, after: { createdAt: last.createdAt, id: last.id } }
  }
  assert.deepEqual(paged, whole)
  const jobs = await storage.many([...'abcdefghijklmn', 'gone', 'going'])
  const wanted = jobs.filter((job) => filter.scopes.some((scope) => isAsked(job, filter) && isAsked(job, scope)))
  assert.deepEqual([...whole].sort(), wanted.map(({ id }) => id).sort(), JSON.stringify(filter))
  const count = await storage.count(filter)
  assert.equal(count, whole.length, JSON.stringify(filter))
  return count
}

// What a list is narrowed to, job by job.
function isAsked(job: Job, { labels = {}, parentId, ...fields }: Scope & Partial<JobFilter>): boolean {
  const { tenant, createdBy, type, pipeline, phase, status } = fields
  const pairs: readonly (readonly [asked: string | null | undefined, has: string | undefined])[] = [
    [tenant, job.tenant],
    [createdBy, job.createdBy],
    [type, job.type],
    [pipeline, job.pipeline],
    [phase, job.phase],
    [status, job.status],
    [parentId, job.parentId],
    ...Object.entries(labels).map(([name, value]) => [value, job.labels[name]] as const),
  ]
  return pairs.every(([asked, has]) => asked === undefined || asked === (has ?? null))
}
