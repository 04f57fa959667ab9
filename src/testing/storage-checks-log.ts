import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import type { Scope } from '../port/policy.ts'
import type { EventQuery, StorageConnection } from '../port/storage.ts'
import {
  changesetOf,
  commitOne,
  contextAt,
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

const ODD = 'a "b" \u0000 ü 𝄞'

/** Checks of reading the log with scopes: S28. */
export const logChecks: Checks = {
  'S28 a scope narrows the log by each of its fields': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    assert.equal(await ids(storage, [{}]), 'a b c d e f')
    assert.equal(await ids(storage, []), '')
    assert.equal(await ids(storage, [{ tenant: 't2' }]), 'c')
    assert.equal(await ids(storage, [{ createdBy: 'eve' }]), 'b c')
    assert.equal(await ids(storage, [{ type: 'twin' }]), 'd')
    assert.equal(await ids(storage, [{ pipeline: 'p' }]), 'b')
    assert.equal(await ids(storage, [{ labels: { team: 'x' } }]), 'a e')
    assert.equal(await ids(storage, [{ labels: { team: 'x', [ODD]: ODD } }]), 'e')
    assert.equal(await ids(storage, [{ labels: { [ODD]: ODD } }]), 'e')
    assert.equal(await ids(storage, [{ labels: { [ODD]: 'x' } }]), '')
    assert.equal(await ids(storage, [{ labels: {} }]), 'a b c d e f')
    assert.equal(await ids(storage, [{ tenant: 't1', createdBy: 'eve', type: 'plain', pipeline: 'p' }]), 'b')
    assert.equal(await ids(storage, [{ tenant: 't2', createdBy: 'ada' }]), '')
    assert.equal(await ids(storage, [{ createdBy: "x' OR '1'='1" }]), '')
  },

  'S28 a row in any of several scopes is given, once': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    assert.equal(await ids(storage, [{ tenant: 't2' }, { type: 'twin' }]), 'c d')
    assert.equal(
      await ids(storage, [{ tenant: 't1' }, { createdBy: 'eve' }, { tenant: 't1', createdBy: 'eve' }]),
      'a b c d e f',
    )
    const names = Array.from({ length: 1_500 }, (_, index) => ({ labels: { [`name-${index}`]: 'x' } }))
    const values = Array.from({ length: 700 }, (_, index) => ({ tenant: 't1', labels: { team: `team-${index}` } }))
    assert.equal(await ids(storage, [{ type: 'twin' }, ...names, ...values, { labels: { team: 'x' } }]), 'a d e')
  },

  'S28 a limit counts the matching rows, and a page continues after the last': async ({ clock, open }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const scopes = [{ labels: { team: 'x' } }]
    const [first, ...more] = await storage.events({ after: 0, limit: 1, scopes })
    assert.deepEqual([first?.jobId, more], ['a', []])
    const next = await storage.events({ after: first?.sequence ?? 0, limit: 1, scopes })
    assert.deepEqual(
      next.map(({ jobId }) => jobId),
      ['e'],
    )
  },

  'S28 the rows of a job are narrowed too, and those of a removed job are visible to its creator': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    await fill(storage, clock.now())
    const job = await getJob(storage, 'a')
    await commitOne(storage, updateOf(job, remove(plain, job, contextAt(clock.now()))))
    assert.equal(await storage.get('a'), undefined)
    assert.equal(await ids(storage, [{ labels: { team: 'x' } }]), 'a e a')
    assert.equal(await ids(storage, [{ createdBy: 'ada' }], { jobId: 'a' }), 'a a')
    assert.equal(await ids(storage, [{ createdBy: 'eve' }, { tenant: 't2' }], { jobId: 'a' }), '')
  },

  'S28 a row that begins after `through` is not given; one that begins before it is': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b', 'c']) {
      const made = writeOf(newJob({ id }, at))
      const events = Array.from({ length: 3 }, () => ({ type: 'job.updated' }) as const)
      await storage.commit([changesetOf({ op: 'insert', ...made, events: { ...made.events, events } })])
    }
    const [a = 0, b = 0, c = 0] = (await storage.events({ after: 0, limit: FAR })).map(({ sequence }) => sequence)
    assert.ok(a > 0 && b >= a + 3 && c >= b + 3)
    const begins = async (query: Partial<EventQuery>) =>
      (await storage.events({ after: 0, limit: FAR, ...query })).map(({ sequence }) => sequence)
    for (const scopes of [undefined, [{ tenant: 't1' }]]) {
      const narrow = scopes === undefined ? {} : { scopes }
      assert.deepEqual(await begins({ ...narrow }), [a, b, c])
      assert.deepEqual(await begins({ ...narrow, through: a - 1 }), [])
      assert.deepEqual(await begins({ ...narrow, through: a + 2 }), [a])
      assert.deepEqual(await begins({ ...narrow, through: b }), [a, b])
      assert.deepEqual(await begins({ ...narrow, through: c - 1, jobId: 'b' }), [b])
      assert.deepEqual(await begins({ ...narrow, through: b - 1, jobId: 'b' }), [])
      // The event after `a + 1` is in the row that begins at `a`, so that row is returned too.
      assert.deepEqual(await begins({ ...narrow, after: a + 1, through: b }), [a, b])
      assert.deepEqual(await begins({ ...narrow, after: a + 2, through: b }), [b])
      assert.deepEqual(await begins({ ...narrow, after: b + 1, jobId: 'b' }), [b])
      assert.deepEqual(await begins({ ...narrow, after: b + 2, through: c - 1 }), [])
    }
  },
}

async function fill(storage: StorageConnection, at: number): Promise<void> {
  const jobs = [
    newJob({ id: 'a', labels: { team: 'x' } }, at),
    newJob({ id: 'b', createdBy: 'eve', pipeline: 'p' }, at),
    newJob({ id: 'c', tenant: 't2', createdBy: 'eve' }, at),
    newJob({ id: 'd' }, at, twin),
    newJob({ id: 'e', labels: { team: 'x', [ODD]: ODD } }, at),
    newJob({ id: 'f', labels: { team: 'y' } }, at),
  ]
  for (const job of jobs) await commitOne(storage, insertOf(job))
}

async function ids(
  storage: StorageConnection,
  scopes: readonly Scope[],
  query: Partial<EventQuery> = {},
): Promise<string> {
  const rows = await storage.events({ after: 0, limit: FAR, scopes, ...query })
  return rows.map(({ jobId }) => jobId).join(' ')
}
