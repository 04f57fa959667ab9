import assert from 'node:assert/strict'
import { admit, remove } from '../model/decision.ts'
import type { ChangesetResult, StorageConnection } from '../port/storage.ts'
import {
  changesetOf,
  childOf,
  claimed,
  claimNow,
  claimOf,
  commitOne,
  contextAt,
  insertOf,
  newJob,
  plain,
  type Seed,
  twin,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of bounded queues: S22. */
export const queueChecks: Checks = {
  'S22 an insert beyond the bound is full, and writes nothing': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b']) assert.equal((await bounded(storage, at, 2, { id })).status, 'applied')
    assert.deepEqual(await bounded(storage, at, 2, { id: 'c' }), { status: 'full' })
    assert.equal(await storage.get('c'), undefined)
    assert.equal((await bounded(storage, at, 3, { id: 'c' })).status, 'applied')
    // An insert without a bound is never refused.
    assert.equal((await commitOne(storage, insertOf(newJob({ id: 'd' }, at)))).status, 'applied')
  },

  'S22 the inserts of one commit count each other, although its claim takes their tasks': async ({ clock, open }) => {
    const storage = await open()
    const writes = ['a', 'b', 'c'].map((id) => ({ ...insertOf(newJob({ id }, clock.now())), queuedMax: 2 }))
    const { results, claimed: taken } = await storage.commit(
      writes.map((write) => changesetOf(write)),
      claimOf(clock.now()),
    )
    assert.deepEqual(
      results.map(({ status }) => status),
      ['applied', 'applied', 'full'],
    )
    assert.equal(taken.length, 2)
    const [unbounded, bound] = ['d', 'e'].map((id) => insertOf(newJob({ id }, clock.now())))
    assert.ok(unbounded !== undefined && bound !== undefined)
    const second = await storage.commit(
      [changesetOf(unbounded), changesetOf({ ...bound, queuedMax: 1 })],
      claimOf(clock.now()),
    )
    assert.deepEqual(
      second.results.map(({ status }) => status),
      ['applied', 'full'],
    )
  },

  'S22 the inserts of one commit count each other': async ({ clock, open }) => {
    const storage = await open()
    const writes = ['a', 'b', 'c'].map((id) => ({ ...insertOf(newJob({ id }, clock.now())), queuedMax: 2 }))
    const { results } = await storage.commit(writes.map((write) => changesetOf(write)))
    assert.deepEqual(
      results.map(({ status }) => status),
      ['applied', 'applied', 'full'],
    )
    const both = ['d', 'e'].map((id) => ({ ...insertOf(newJob({ id }, clock.now())), queuedMax: 3 }))
    assert.deepEqual(await commitOne(storage, ...both), { status: 'full' })
    assert.equal(await storage.get('d'), undefined)
  },

  'S22 a queue counts its own tenant and type, and waiting jobs too, but no child jobs': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'other', tenant: 't2' }, at)))
    await commitOne(storage, insertOf(newJob({ id: 'twin' }, at, twin)))
    await commitOne(storage, insertOf(childOf('twin', newJob({ id: 'child' }, at))))
    assert.equal((await bounded(storage, at, 1, { id: 'later', isWaiting: true, startAt: at + 9 })).status, 'applied')
    assert.equal((await bounded(storage, at, 1, { id: 'b' })).status, 'full')
    assert.equal((await bounded(storage, at, 1, { id: 'c', tenant: 't3' })).status, 'applied')
  },

  'S22 a job that has begun, has ended or is deleted frees its place': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const jobs = ['begins', 'is-deleted', 'is-claimed'].map((id) => newJob({ id }, at))
    const [begins, isDeleted] = jobs
    assert.ok(begins !== undefined && isDeleted !== undefined)
    for (const job of jobs) await commitOne(storage, insertOf(job))
    assert.equal((await bounded(storage, at, 3, { id: 'x' })).status, 'full')
    await commitOne(storage, updateOf(begins.job, claimed(begins.job, at)))
    assert.equal((await bounded(storage, at, 3, { id: 'x' })).status, 'applied')
    const waiting = newJob({ id: 'waits', isWaiting: true }, at)
    await commitOne(storage, insertOf(waiting))
    await commitOne(storage, updateOf(waiting.job, admit(plain, waiting.job, contextAt(at))))
    assert.equal((await bounded(storage, at, 4, { id: 'y' })).status, 'full')
    await commitOne(storage, updateOf(isDeleted.job, remove(plain, isDeleted.job, contextAt(at))))
    assert.equal((await bounded(storage, at, 4, { id: 'y' })).status, 'applied')
    assert.equal((await claimNow(storage, at, { room: 1 })).length, 1)
    assert.equal((await bounded(storage, at, 4, { id: 'z' })).status, 'applied')
    assert.equal((await bounded(storage, at, 4, { id: 'zz' })).status, 'full')
  },

  'S22 keys and slots are checked before the bound': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'first', idempotencyKey: 'k', pipeline: 'p' }, at)))
    const repeated = await bounded(storage, at, 1, { id: 'again', idempotencyKey: 'k', pipeline: 'p' })
    assert.deepEqual(repeated, { status: 'duplicate', id: 'first' })
    const taken = await bounded(storage, at, 1, { id: 'second', pipeline: 'p' })
    assert.deepEqual(taken, { status: 'slot-taken', by: 'first' })
    const waiting = { id: 'second', pipeline: 'p', isWaiting: true }
    assert.equal((await bounded(storage, at, 1, waiting)).status, 'full')
  },

  'S22 of 50 inserts at once over two connections, as many are stored as the bound allows': async ({ clock, open }) => {
    const connections = [await open(), await open('other')]
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, n) => {
        const storage = connections[n % 2]
        assert.ok(storage !== undefined)
        return bounded(storage, clock.now(), 7, { id: `job-${n}` })
      }),
    )
    assert.equal(results.filter(({ status }) => status === 'applied').length, 7)
    assert.equal(results.filter(({ status }) => status === 'full').length, 43)
  },
}

function bounded(storage: StorageConnection, at: number, queuedMax: number, seed: Seed): Promise<ChangesetResult> {
  return commitOne(storage, { ...insertOf(newJob(seed, at)), queuedMax })
}
