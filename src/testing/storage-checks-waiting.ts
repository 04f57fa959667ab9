import assert from 'node:assert/strict'
import { admit, remove, send } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import type { StorageConnection } from '../port/storage.ts'
import {
  claimed,
  commitOne,
  ended,
  insertClaimed,
  insertOf,
  momentAt,
  newJob,
  plain,
  routeOf,
  transitionFor,
  updateOf,
} from './fixtures.ts'
import { type Checks, FAR } from './storage-bench.ts'

const types = [{ type: plain.type, version: plain.version }]

/** Checks of waiting and deleted jobs: S17 and S18. */
export const waitingChecks: Checks = {
  'S17 the turns of a pipeline go by priority, then by when a job may start, then by age': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await wait(storage, at, { id: 'first' })
    await wait(storage, at, { id: 'later', startAt: at + 100 })
    await wait(storage, at, { id: 'second' })
    await wait(storage, at, { id: 'urgent', priority: 5 })
    await wait(storage, at, { id: 'most-urgent', priority: 9, startAt: at + 100 })
    await wait(storage, at, { id: 'other', pipeline: 'q', priority: 9 })
    const order: string[] = []
    for (const when of [at, at, at, at + 100, at + 100, at + 100]) {
      const next = await storage.nextWaiting(types, 't1', 'p', when)
      if (next === undefined) continue
      order.push(next.id)
      await commitOne(storage, updateOf(next, admit(plain, next, momentAt(when))))
      await commitOne(storage, updateOf(await get(storage, next.id), cancelled(await get(storage, next.id), when)))
    }
    assert.deepEqual(order, ['urgent', 'first', 'second', 'most-urgent', 'later'])
    assert.equal((await storage.nextWaiting(types, 't1', 'q', at))?.id, 'other')
    assert.equal(await storage.nextWaiting([], 't1', 'q', at), undefined)
    assert.equal(await storage.nextWaiting(types, 't2', 'q', at), undefined)
  },

  'S17 of the waiting, one of each free pipeline may be admitted, and all of none': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'holder', pipeline: 'taken' }, at)))
    await wait(storage, at, { id: 'blocked', pipeline: 'taken' })
    for (const id of ['a1', 'a2']) await wait(storage, at, { id, pipeline: 'a' })
    await wait(storage, at, { id: 'b1', pipeline: 'b', startAt: at + 50 })
    await wait(storage, at, { id: 'z1', pipeline: 'a', tenant: 't2' })
    await commitOne(storage, insertOf(newJob({ id: 'none', isWaiting: true }, at)))
    await commitOne(storage, insertOf(newJob({ id: 'none-later', isWaiting: true, startAt: at + 50 }, at)))
    const ids = async (when: number, limit = FAR, skip = 0) =>
      (await storage.admissible(types, when, limit, skip)).map(({ id }) => id).sort()
    assert.deepEqual(await ids(at), ['a1', 'none', 'z1'])
    assert.deepEqual(await ids(at + 50), ['a1', 'b1', 'none', 'none-later', 'z1'])
    assert.equal((await ids(at + 50, 2)).length, 2)
    assert.equal((await ids(at + 50, FAR, 4)).length, 1)
    assert.deepEqual(await storage.admissible([], at, FAR, 0), [])
  },

  'S17 a waiting job holds no slot, is not claimed, and is listed by its phase': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await wait(storage, at, { id: 'a' })
    await wait(storage, at, { id: 'b' })
    const query = { routes: [routeOf()], at: at + FAR }
    assert.deepEqual(await storage.claim(query, FAR, transitionFor('me', at)), [])
    assert.deepEqual(await storage.due(types, at + FAR, FAR, 0), [])
    const result = await commitOne(storage, insertOf(newJob({ id: 'c', pipeline: 'p' }, at)))
    assert.equal(result.status, 'applied')
    const waiting = await storage.find({ scopes: [{ tenant: 't1' }], phase: 'waiting' }, { limit: FAR })
    assert.deepEqual(waiting.map(({ id }) => id).sort(), ['a', 'b'])
    const a = await get(storage, 'a')
    const refused = await commitOne(storage, updateOf(a, admit(plain, a, momentAt(at))))
    assert.deepEqual(refused, { status: 'slot-taken', by: 'c' })
  },

  'S18 a deleted job is hidden from lists, frees its slot and key, and goes when nothing of it runs': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const seed = { id: 'a', pipeline: 'p', idempotencyKey: 'k' }
    await commitOne(storage, insertOf(newJob(seed, at)))
    const created = await get(storage, 'a')
    const running = claimed(created, at)
    await commitOne(storage, updateOf(created, running))
    const note = { kind: 'log', key: '1', lines: [{ at, text: 'hello' }] } as const
    await commitOne(storage, { op: 'note', jobId: 'a', token: running.job.tasks[0]?.token ?? 0, note })
    await commitOne(storage, updateOf(running.job, remove(plain, running.job, momentAt(at))))
    const busy = await get(storage, 'a')
    assert.equal(busy.deletedAt, at)
    assert.deepEqual(await storage.find({ scopes: [{ tenant: 't1' }] }, { limit: FAR }), [])
    // What still runs holds the slot; the key is free at once.
    const again = insertOf(newJob({ ...seed, id: 'b' }, at))
    assert.deepEqual(await commitOne(storage, again), { status: 'slot-taken', by: 'a' })
    assert.equal((await commitOne(storage, insertOf(newJob({ id: 'c', idempotencyKey: 'k' }, at)))).status, 'applied')
    await commitOne(storage, updateOf(busy, stopped(busy, at)))
    assert.equal(await storage.get('a'), undefined)
    assert.deepEqual(await storage.logs('a', 0, FAR), [])
    assert.equal((await storage.events({ after: 0, limit: FAR, jobId: 'a' })).length, 4)
  },

  'S18 a deleted job of which nothing runs goes at once, with its steps, and only as it was read': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const token = await insertClaimed(storage, at, 'a')
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: { kind: 'step', invocation: 1, name: 's' } })
    const held = await get(storage, 'a')
    const done = ended(held, at)
    await commitOne(storage, updateOf(held, done))
    const settled = await get(storage, 'a')
    const gone = remove(plain, settled, momentAt(at))
    assert.equal((await commitOne(storage, updateOf(held, gone))).status, 'conflict')
    assert.equal((await commitOne(storage, updateOf(settled, gone))).status, 'applied')
    assert.equal(await storage.get('a'), undefined)
    assert.equal((await storage.steps('a', 1)).size, 0)
  },
}

type Seed = Parameters<typeof newJob>[0]

async function wait(storage: StorageConnection, at: number, seed: Seed): Promise<void> {
  await commitOne(storage, insertOf(newJob({ pipeline: 'p', ...seed, isWaiting: true }, at)))
}

async function get(storage: StorageConnection, id: string): Promise<Job> {
  const job = await storage.get(id)
  assert.ok(job)
  return job
}

function cancelled(job: Job, at: number) {
  return send(plain, job, { type: 'cancel' }, momentAt(at))
}

/** The deleted job whose code has stopped. */
function stopped(job: Job, at: number) {
  return ended(job, at)
}
