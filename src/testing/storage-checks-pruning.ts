import assert from 'node:assert/strict'
import type { Decision } from '../model/decision.ts'
import { progressRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { Pruned, PruneQuery, StorageConnection } from '../port/storage.ts'
import {
  changesetOf,
  childOf,
  claimed,
  commitOne,
  ended,
  FAR,
  getJob,
  insertClaimed,
  insertOf,
  newJob,
  plain,
  rowsOf,
  type Seed,
  tokenOf,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

const HOUR = 3_600_000

/** Checks of pruning: S40 to S42. */
export const pruningChecks: Checks = {
  'S40 jobs that ended before the time of their outcome go with their lines, items and steps, and no event tells of it':
    async ({ clock, open }) => {
      const storage = await open()
      const at = clock.now()
      await insertEnded(storage, at, { id: 'old', idempotencyKey: 'k', labels: { team: 'blue' } })
      await insertEnded(storage, at + HOUR, { id: 'young' })
      await insertClaimed(storage, at, 'running')
      await commitOne(storage, insertOf(newJob({ id: 'available' }, at)))
      const last = await storage.lastSequence()
      assert.deepEqual(await pruneAll(storage, { types: [{ type: plain.type, endedBefore: { failure: FOREVER } }] }), {
        ...NONE,
      })
      const pruned = await pruneAll(storage, { types: [endedBefore(at + HOUR)] })
      assert.deepEqual(pruned, { ...NONE, jobs: 1, lines: 2 })
      assert.equal(await storage.get('old'), undefined)
      assert.deepEqual(await storage.logs('old', 0, FAR), [])
      assert.deepEqual(await storage.items('old', { after: 0, limit: FAR }), [])
      assert.deepEqual((await storage.steps('old', 'i', 1)).size, 0)
      assert.equal(await storage.count({ scopes: [{ labels: { team: 'blue' } }] }), 0)
      assert.equal(await storage.lastSequence(), last)
      for (const id of ['young', 'running', 'available']) assert.equal((await getJob(storage, id)).id, id)
      // The idempotency key of the removed job is free again.
      const again = insertOf(newJob({ id: 'again', idempotencyKey: 'k' }, at))
      assert.equal((await commitOne(storage, again)).status, 'applied')
    },

  'S40 the events of a pruned job stay without payloads, and scopes still find them': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    const created = newJob({ id: 'a', pipeline: 'p', labels: { team: 'blue' } }, at)
    const insert = insertOf(created)
    const [event, ...rest] = insert.events.events
    assert.ok(event?.type === 'job.created')
    const events = { ...insert.events, events: [{ ...event, message: SECRET }, ...rest], inputs: [SECRET] }
    await commitOne(storage, { ...insert, events })
    await end(storage, created.job, at)
    const before = await rowsOf(storage, 'a')
    assert.ok(JSON.stringify(before).includes(SECRET))
    await pruneAll(storage, { types: [endedBefore(at + 1)] })
    for (const reader of [storage, other]) {
      const rows = await rowsOf(reader, 'a')
      assert.ok(!JSON.stringify(rows).includes(SECRET))
      assert.deepEqual(
        rows.map(({ sequence, jobSequence, by }) => ({ sequence, jobSequence, by })),
        before.map(({ sequence, jobSequence, by }) => ({ sequence, jobSequence, by })),
      )
      const scopes = [{ tenant: 't1', createdBy: 'ada', type: plain.type, pipeline: 'p', labels: { team: 'blue' } }]
      assert.equal((await reader.events({ after: 0, limit: FAR, scopes })).length, rows.length)
    }
  },

  'S40 a job goes after all its child jobs, which do not go without it': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const types = [endedBefore(at + 1)]
    await insertEnded(storage, at, { id: 'top' })
    await insertEnded(storage, at, { id: 'child' }, 'top')
    await insertEnded(storage, at, { id: 'grandchild' }, 'child')
    const running = childOf('child', newJob({ id: 'busy' }, at))
    await commitOne(storage, insertOf(running))
    const held = ofChild(running.job, (job) => claimed(job, at))
    await commitOne(storage, updateOf(running.job, held))
    await insertEnded(storage, at + HOUR, { id: 'later' })
    await insertEnded(storage, at, { id: 'child of later' }, 'later')
    await pruneAll(storage, { types })
    for (const id of ['top', 'child', 'busy', 'later', 'child of later'])
      assert.equal((await getJob(storage, id)).id, id)
    await end(storage, held.job, at)
    await pruneAll(storage, { types })
    const left = await storage.many(['top', 'child', 'grandchild', 'busy', 'later', 'child of later'])
    assert.deepEqual(left.map(({ id }) => id).sort(), ['child of later', 'later'])
  },

  'S40 beyond `max`, the oldest ended jobs of a tenant and type go': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (let n = 1; n <= 5; n++) await insertEnded(storage, at + n, { id: `one ${n}` })
    for (let n = 1; n <= 2; n++) await insertEnded(storage, at + n, { id: `two ${n}`, tenant: 't2' })
    await insertClaimed(storage, at, 'running')
    const types = [{ type: plain.type, endedBefore: {}, max: 2 }]
    assert.equal((await pruneAll(storage, { types })).jobs, 3)
    assert.deepEqual(await idsOf(storage), ['one 4', 'one 5', 'running', 'two 1', 'two 2'])
    assert.equal((await pruneAll(storage, { types: [{ type: 'other', endedBefore: {}, max: 0 }] })).jobs, 0)
    assert.equal((await pruneAll(storage, { types: [{ type: plain.type, endedBefore: {}, max: 0 }] })).jobs, 4)
    assert.deepEqual(await idsOf(storage), ['running'])
  },

  'S41 old rows of the log go when their job is gone, and the others keep their numbers': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['gone', 'kept', 'gone too']) await insertEnded(storage, at, { id })
    await insertEnded(storage, at + HOUR, { id: 'gone later' })
    const kept = await rowsOf(storage, 'kept')
    await pruneAll(storage, { types: [{ type: plain.type, endedBefore: {}, max: 3 }] })
    await pruneAll(storage, { types: [], eventsBefore: at + 1 })
    assert.equal(await storage.get('gone'), undefined)
    assert.deepEqual(await rowsOf(storage, 'gone'), [])
    assert.deepEqual(await rowsOf(storage, 'kept'), kept)
    const last = await storage.lastSequence()
    // All jobs are removed with their old rows of the log. The newest rows stay.
    const pruned = await pruneAll(storage, { types: [endedBefore(FOREVER)], eventsBefore: at + 1 })
    assert.equal(pruned.jobs, 3)
    const rows = await rowsOf(storage)
    assert.deepEqual([...new Set(rows.map(({ jobId }) => jobId))], ['gone later'])
    assert.equal((await storage.events({ after: 0, limit: FAR, scopes: [{ tenant: 't1' }] })).length, rows.length)
    await pruneAll(storage, { types: [], eventsBefore: FOREVER })
    assert.deepEqual(await rowsOf(storage), [])
    assert.equal(await storage.lastSequence(), last)
    await commitOne(storage, insertOf(newJob({ id: 'next' }, at)))
    assert.equal((await rowsOf(storage))[0]?.sequence, last + 1)
  },

  'S41 old rows of progress go, also those of a running job': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await insertClaimed(storage, at, 'a')
    const report = async (after: number) => {
      const events = progressRow(await getJob(storage, 'a'), { kind: 'system', id: 'engine' }, PROGRESS, at + after)
      await commitOne(storage, { op: 'append', events })
    }
    const before = (await rowsOf(storage)).length
    for (const after of [1, 2, HOUR]) await report(after)
    assert.equal((await pruneAll(storage, { types: [], progressBefore: at + HOUR })).events, 2)
    assert.equal((await rowsOf(storage)).length, before + 1)
    await report(HOUR + 1)
    assert.equal((await pruneAll(storage, { types: [], progressBefore: FOREVER })).events, 2)
    assert.equal((await rowsOf(storage)).length, before)
  },

  'S41 lines of jobs that ended before the time go, and the jobs stay': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await insertEnded(storage, at, { id: 'old' })
    await insertEnded(storage, at + HOUR, { id: 'young' })
    const token = await insertClaimed(storage, at, 'running')
    await commitOne(storage, { op: 'note', jobId: 'running', token, note: lines(at) })
    const types = [{ type: plain.type, endedBefore: {}, linesBefore: at + HOUR }]
    assert.deepEqual(await pruneAll(storage, { types }), { ...NONE, lines: 2 })
    assert.equal((await getJob(storage, 'old')).id, 'old')
    const left = await Promise.all(['old', 'young', 'running'].map((id) => storage.logs(id, 0, FAR)))
    assert.deepEqual(
      left.map(({ length }) => length),
      [0, 2, 2],
    )
  },

  'S42 calls of one row each remove as much as one call, and each pass ends': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (let n = 1; n <= 4; n++) {
      await insertEnded(storage, at + n, { id: `top ${n}` })
      for (const part of ['a', 'b']) await insertEnded(storage, at + n, { id: `${part} ${n}` }, `top ${n}`)
    }
    await insertClaimed(storage, at, 'running')
    const query = { types: [endedBefore(at + 4)], eventsBefore: at + 4, progressBefore: at, limit: 1 }
    const { pruned, calls } = await pruneInCalls(storage, query)
    assert.ok(calls >= 4)
    assert.equal(pruned.jobs, 9)
    assert.equal(pruned.lines, 18)
    assert.deepEqual([...(await idsOf(storage))], ['a 4', 'b 4', 'running', 'top 4'])
    const byNumber = { types: [{ type: plain.type, endedBefore: {}, max: 0 }], eventsBefore: FOREVER, limit: 1 }
    assert.equal((await pruneInCalls(storage, byNumber)).pruned.jobs, 3)
    assert.deepEqual(await idsOf(storage), ['running'])
  },

  'S42 two connections may prune at once, and each job goes once': async ({ clock, open }) => {
    const connections = [await open(), await open('other')]
    const [storage] = connections
    assert.ok(storage !== undefined)
    const at = clock.now()
    for (let n = 1; n <= 20; n++) await insertEnded(storage, at, { id: `${n}` })
    const query = { types: [endedBefore(FOREVER)], limit: 3 }
    const pruned = await Promise.all(connections.map((each) => pruneInCalls(each, query)))
    assert.equal(
      pruned.reduce((sum, each) => sum + each.pruned.jobs, 0),
      20,
    )
    assert.deepEqual(await idsOf(storage), [])
  },

  'S42 a job that cannot be decoded stays, is named, and holds up no other': async ({ clock, open, damage }) => {
    if (damage === undefined) return
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'broken', 'z']) await insertEnded(storage, at, { id })
    await damage('broken')
    for (const types of [[endedBefore(FOREVER)], [{ type: plain.type, endedBefore: {}, max: 0 }]]) {
      const pruned = await pruneAll(storage, { types })
      assert.deepEqual([...new Set(pruned.unreadable)], ['broken'])
    }
    assert.equal(await storage.count({ scopes: [{}] }), 1)
  },
}

const SECRET = 'the secret'
const FOREVER = Number.MAX_SAFE_INTEGER
const NONE: Pruned = { jobs: 0, events: 0, lines: 0, unreadable: [] }
const PROGRESS = { completed: 1, failed: 0, running: 0 }

function endedBefore(at: number): PruneQuery['types'][number] {
  return { type: plain.type, endedBefore: { success: at, failure: at, cancelled: at } }
}

async function pruneAll(storage: StorageConnection, query: Omit<PruneQuery, 'limit'>): Promise<Pruned> {
  return (await pruneInCalls(storage, { ...query, limit: FAR })).pruned
}

async function pruneInCalls(storage: StorageConnection, query: PruneQuery) {
  let pruned = NONE
  let calls = 0
  for (let after: string | undefined, isMore = true; isMore; isMore = after !== undefined) {
    const each = await storage.prune(after === undefined ? query : { ...query, after })
    assert.ok(++calls < 1_000, 'the pass does not end')
    pruned = {
      jobs: pruned.jobs + each.jobs,
      events: pruned.events + each.events,
      lines: pruned.lines + each.lines,
      unreadable: [...pruned.unreadable, ...each.unreadable],
    }
    after = each.after
  }
  return { pruned, calls }
}

function lines(at: number) {
  const texts = ['one', 'two'].map((text) => ({ at, text }))
  return { kind: 'log', key: 'k', lines: texts } as const
}

/** Stores a job that has lines, an item and a step, and has succeeded. */
async function insertEnded(storage: StorageConnection, at: number, seed: Seed, parentId?: string): Promise<void> {
  const fresh = newJob(seed, at)
  const created = parentId === undefined ? fresh : childOf(parentId, fresh)
  const running = ofChild(created.job, (job) => claimed(job, at))
  await storage.commit([changesetOf(insertOf(created)), changesetOf(updateOf(created.job, running))])
  const [jobId, token] = [seed.id, tokenOf(running.job)]
  const item = { kind: 'item', invocation: 1, item: { key: 'k', status: 'completed', at }, max: 9 } as const
  const step = { kind: 'step', invoke: 'i', ordinal: 1, name: 's' } as const
  for (const note of [lines(at), item, step]) await commitOne(storage, { op: 'note', jobId, token, note })
  await end(storage, running.job, at)
}

async function end(storage: StorageConnection, job: Job, at: number): Promise<void> {
  const isClaimed = job.tasks.some(({ status }) => status === 'claimed')
  const running = isClaimed ? job : claimed(job, at).job
  if (!isClaimed) await commitOne(storage, updateOf(job, claimed(job, at)))
  await commitOne(
    storage,
    updateOf(
      running,
      ofChild(running, (each) => ended(each, at)),
    ),
  )
}

/** Decides on a child job as on a job without a parent. */
function ofChild({ parentId, ...job }: Job, decide: (job: Job) => Decision): Decision {
  const decision = decide(job)
  return parentId === undefined ? decision : childOf(parentId, decision)
}

async function idsOf(storage: StorageConnection): Promise<readonly string[]> {
  const ids = ['running', ...Array.from({ length: 20 }, (_, n) => `${n + 1}`)]
  for (let n = 1; n <= 5; n++) ids.push(`one ${n}`, `two ${n}`, `top ${n}`, `a ${n}`, `b ${n}`)
  return (await storage.many(ids)).map(({ id }) => id).sort()
}
