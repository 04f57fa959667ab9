import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import type { Write } from '../port/storage.ts'
import {
  changed,
  changesetOf,
  claimed,
  commitOne,
  contextAt,
  ended,
  FAR,
  getJob,
  insertClaimed,
  insertOf,
  newJob,
  plain,
  rowsOf,
  twin,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of changesets and of the log that they write: S1 to S4, S6 and S8. */
export const writingChecks: Checks = {
  'S1 a changeset with one refused write leaves no trace of its others': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const first = newJob({ id: 'a' }, at)
    await commitOne(storage, insertOf(first))
    const token = await insertClaimed(storage, at, 'busy')
    const busy = await getJob(storage, 'busy')
    const before = await rowsOf(storage)
    const refused: Write = updateOf({ ...first.job, revision: 9 }, claimed(first.job, at))
    const lines = [{ at, text: 'line' }]
    const item = { key: 'k', status: 'completed', at } as const
    const result = await commitOne(
      storage,
      insertOf(newJob({ id: 'b', pipeline: 'p', idempotencyKey: 'k' }, at)),
      updateOf(busy, changed(busy, { message: 'changed' })),
      { op: 'note', jobId: 'busy', token, note: { kind: 'log', key: 'n', lines } },
      { op: 'note', jobId: 'busy', token, note: { kind: 'step', invoke: 'i', ordinal: 1, name: 's' } },
      { op: 'note', jobId: 'busy', token, note: { kind: 'item', invocation: 1, item, max: FAR } },
      { op: 'note', jobId: 'busy', token, note: { kind: 'progress', progress } },
      { op: 'log', jobId: 'busy', key: 'l', lines },
      refused,
    )
    assert.deepEqual(result, { status: 'conflict' })
    assert.equal(await storage.get('b'), undefined)
    assert.deepEqual(await getJob(storage, 'busy'), busy)
    assert.deepEqual(await storage.logs('busy', 0, FAR), [])
    assert.deepEqual(await storage.items('busy', { after: 0, limit: FAR }), [])
    assert.equal((await storage.steps('busy', 'i', 1)).size, 0)
    assert.deepEqual(await rowsOf(storage), before)
    // The refused changeset has left nothing, so its slot, its key and its id are free.
    const again = insertOf(newJob({ id: 'b', pipeline: 'p', idempotencyKey: 'k' }, at))
    assert.equal((await commitOne(storage, again)).status, 'applied')
  },

  'S1 changesets of one commit are checked in order, and each sees the applied ones before it': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const created = newJob({ id: 'a' }, clock.now())
    const next = claimed(created.job, clock.now())
    const another = () => updateOf(created.job, claimed(created.job, clock.now(), 'another'))
    const { results, claimed: taken } = await storage.commit([
      changesetOf(another()),
      changesetOf(insertOf(created)),
      changesetOf(updateOf(created.job, next)),
      changesetOf(another()),
      changesetOf(updateOf(next.job, ended(next.job, clock.now()))),
    ])
    const statuses = results.map(({ status }) => status)
    assert.deepEqual(statuses, ['conflict', 'applied', 'applied', 'conflict', 'applied'])
    assert.deepEqual(taken, [])
    assert.equal((await getJob(storage, 'a')).phase, 'settled')
  },

  'S1 an empty commit writes nothing': async ({ open }) => {
    const storage = await open()
    assert.deepEqual(await storage.commit([]), { results: [], claimed: [] })
    assert.equal(await storage.lastSequence(), 0)
  },

  'S2 an update of a missing job is a conflict': async ({ clock, open }) => {
    const storage = await open()
    const { job } = newJob({ id: 'a' }, clock.now())
    assert.deepEqual(await commitOne(storage, updateOf(job, claimed(job, clock.now()))), { status: 'conflict' })
    assert.equal(await storage.lastSequence(), 0)
  },

  'S2 an expected revision that differs makes the changeset a conflict, and changes nothing': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const looked = newJob({ id: 'looked' }, at)
    const other = newJob({ id: 'other' }, at)
    await storage.commit([changesetOf(insertOf(looked)), changesetOf(insertOf(other))])
    const before = await rowsOf(storage)
    const update = updateOf(other.job, changed(other.job, { message: 'changed' }))
    const expect = (jobId: string, revision: number): Write => ({ op: 'expect', jobId, revision })
    const { revision } = looked.job
    for (const look of [expect('looked', revision + 1), expect('looked', 0), expect('none', 1)]) {
      assert.deepEqual(await commitOne(storage, update, look), { status: 'conflict' })
    }
    assert.deepEqual(await getJob(storage, 'other'), other.job)
    assert.deepEqual(await rowsOf(storage), before)
    const result = await commitOne(storage, update, expect('looked', revision))
    assert.ok(result.status === 'applied')
    assert.equal(result.rows.length, 1)
    assert.deepEqual(await getJob(storage, 'looked'), looked.job)
  },

  'S2 an update made from a record that the same commit refused is a conflict': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const created = newJob({ id: 'a' }, clock.now())
    await commitOne(storage, insertOf(created))
    const theirs = changed(created.job, { message: 'theirs' })
    await commitOne(other, updateOf(created.job, theirs))
    const ours = changed(created.job, { message: 'ours' })
    const next = changed(ours.job, { message: 'ours again' })
    // The stored record has the same revision as `ours`, which was refused, but it is a different record.
    const { results } = await storage.commit([
      changesetOf(updateOf(created.job, ours)),
      changesetOf(updateOf(ours.job, next)),
      changesetOf(updateOf(next.job, changed(next.job, { message: 'and again' }))),
    ])
    const statuses = results.map(({ status }) => status)
    assert.deepEqual(statuses, ['conflict', 'conflict', 'conflict'])
    assert.deepEqual(await getJob(storage, 'a'), theirs.job)
  },

  'S3 of 50 jobs that want one slot exactly one is stored, and the others name it': async ({ clock, open }) => {
    const storage = await open()
    const jobs = Array.from({ length: 50 }, (_, index) => newJob({ id: `j${index}`, pipeline: 'p' }, clock.now()))
    const { results } = await storage.commit(jobs.map((job) => changesetOf(insertOf(job))))
    const [winner, ...others] = results
    assert.equal(winner?.status, 'applied')
    for (const result of others) assert.deepEqual(result, { status: 'slot-taken', by: 'j0' })
  },

  'S3 a slot belongs to one tenant: the same pipeline of another tenant is free': async ({ clock, open }) => {
    const storage = await open()
    const here = newJob({ id: 'a', pipeline: 'p' }, clock.now())
    const there = newJob({ id: 'b', pipeline: 'p', tenant: 't2' }, clock.now())
    assert.equal((await commitOne(storage, insertOf(here))).status, 'applied')
    assert.equal((await commitOne(storage, insertOf(there))).status, 'applied')
  },

  'S3 a changeset that frees the slot and takes it is applied, in any order of its writes': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const first = newJob({ id: 'a', pipeline: 'p' }, at)
    const running = claimed(first.job, at)
    await storage.commit([changesetOf(insertOf(first)), changesetOf(updateOf(first.job, running))])
    const second = newJob({ id: 'b', pipeline: 'p' }, at)
    const free = updateOf(running.job, ended(running.job, at))
    const result = await commitOne(storage, insertOf(second), free)
    assert.ok(result.status === 'applied')
    const rows = await rowsOf(storage)
    const told = result.rows.map(({ sequence, events }) => ({ sequence, jobId: events.jobId }))
    const stored = rows.slice(-2).map(({ sequence, jobId }) => ({ sequence, jobId }))
    assert.deepEqual(told, stored)
    assert.equal(await storage.slotHolder('t1', 'p'), 'b')
  },

  'S4 a key is checked before the slot, and names the first job': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, insertOf(newJob({ id: 'a', pipeline: 'p', idempotencyKey: 'k' }, clock.now())))
    const again = newJob({ id: 'b', pipeline: 'p', idempotencyKey: 'k' }, clock.now())
    assert.deepEqual(await commitOne(storage, insertOf(again)), { status: 'duplicate', id: 'a' })
  },

  'S4 a key belongs to one tenant, creator and type': async ({ clock, open }) => {
    const storage = await open()
    const key = { idempotencyKey: 'k' }
    const others = [
      newJob({ id: 'a', ...key }, clock.now()),
      newJob({ id: 'b', ...key, tenant: 't2' }, clock.now()),
      newJob({ id: 'c', ...key, createdBy: 'eve' }, clock.now()),
      newJob({ id: 'd', ...key }, clock.now(), twin),
    ]
    for (const job of others) assert.equal((await commitOne(storage, insertOf(job))).status, 'applied')
  },

  'S4 a key is kept as long as the row of its job, also after it has ended': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a', idempotencyKey: 'k' }, at)
    const running = claimed(created.job, at)
    await commitOne(storage, insertOf(created))
    await commitOne(storage, updateOf(created.job, running))
    await commitOne(storage, updateOf(running.job, ended(running.job, at)))
    const again = insertOf(newJob({ id: 'b', idempotencyKey: 'k' }, at))
    assert.deepEqual(await commitOne(storage, again), { status: 'duplicate', id: 'a' })
    const settled = await getJob(storage, 'a')
    await commitOne(storage, updateOf(settled, remove(plain, settled, contextAt(at))))
    assert.equal((await commitOne(storage, again)).status, 'applied')
  },

  'S6 sequences rise over the whole log, and those of a job have no gap, also over refused changesets': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const a = newJob({ id: 'a' }, clock.now())
    const running = claimed(a.job, clock.now())
    const b = newJob({ id: 'b' }, clock.now())
    const { results } = await storage.commit([
      changesetOf(insertOf(a)),
      changesetOf(updateOf({ ...a.job, revision: 7 }, running)),
      changesetOf(updateOf(a.job, running)),
      changesetOf(insertOf(b)),
    ])
    const rows = await rowsOf(storage)
    let next = 1
    for (const row of rows) {
      assert.ok(row.sequence >= next)
      next = row.sequence + row.events.length
    }
    assert.equal(await storage.lastSequence(), next - 1)
    const told = results.flatMap((result) => (result.status === 'applied' ? result.rows : []))
    assert.deepEqual(
      told,
      rows.map(({ sequence, changeset: _, ...events }) => ({ sequence, events })),
    )
    assert.deepEqual(
      rows.filter(({ jobId }) => jobId === 'a').map(({ jobSequence }) => jobSequence),
      [1, 2],
    )
  },

  'S6 rows are read after a sequence, of all jobs or of one': async ({ clock, open }) => {
    const storage = await open()
    for (const id of ['a', 'b', 'c']) await commitOne(storage, insertOf(newJob({ id }, clock.now())))
    const [first, , third] = await rowsOf(storage)
    assert.ok(first && third)
    const ids = async (after: number, jobId?: string) =>
      (await storage.events({ after, limit: FAR, ...(jobId === undefined ? {} : { jobId }) })).map((row) => row.jobId)
    assert.deepEqual(await ids(0), ['a', 'b', 'c'])
    assert.deepEqual(await ids(first.sequence), ['b', 'c'])
    assert.deepEqual(await ids(0, 'b'), ['b'])
    assert.deepEqual(await ids(first.sequence, 'a'), [])
    assert.deepEqual(await ids(third.sequence), [])
    assert.equal((await storage.events({ after: 0, limit: 2 })).length, 2)
  },

  'S6 a row without a job write is in the log with its changeset': async ({ clock, open }) => {
    const storage = await open()
    const created = newJob({ id: 'a' }, clock.now())
    await commitOne(storage, insertOf(created))
    const [row] = await rowsOf(storage)
    assert.ok(row)
    const { sequence: _, changeset: __, ...scope } = row
    const events = { ...scope, jobSequence: 0, events: [{ type: 'job.progress', progress }] } as const
    const changeset = changesetOf({ op: 'append', events })
    await storage.commit([changeset])
    const [, appended] = await rowsOf(storage)
    const { sequence, ...rest } = appended ?? { sequence: 0 }
    assert.ok(sequence > row.sequence)
    assert.deepEqual(rest, { ...events, changeset: changeset.id })
  },

  'S8 an applied changeset is found by its id, and a refused one is not': async ({ clock, open }) => {
    const storage = await open()
    const job = newJob({ id: 'a' }, clock.now())
    const landed = changesetOf(insertOf(job), insertOf(newJob({ id: 'b' }, clock.now())))
    const refused = changesetOf(insertOf(newJob({ id: 'c' }, clock.now())), updateOf({ ...job.job, revision: 5 }, job))
    await storage.commit([landed, refused])
    const rows = await storage.landed([refused.id, landed.id, 'never'], 0)
    const stored = await rowsOf(storage)
    assert.deepEqual(rows, stored)
    assert.ok(rows.every(({ changeset }) => changeset === landed.id))
    const [first, second] = rows
    assert.deepEqual(await storage.landed([landed.id], first?.sequence ?? 0), [second])
    assert.deepEqual(await storage.landed([landed.id], second?.sequence ?? 0), [])
    assert.deepEqual(await storage.landed([refused.id], 0), [])
  },
}

const progress = { completed: 1, failed: 0, running: 0, total: 2 }
