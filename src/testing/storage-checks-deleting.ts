import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import type { EventDraft, EventRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import type { StorageConnection } from '../port/storage.ts'
import {
  changed,
  childOf,
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
  tokenOf,
  updateOf,
  writeOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of deleted jobs: S18. */
export const deletingChecks: Checks = {
  'S18 a deleted job is hidden from lists, frees its slot and key, and its row goes when nothing of it runs': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const seed = { id: 'a', pipeline: 'p', idempotencyKey: 'k' }
    const created = newJob(seed, at)
    await commitOne(storage, insertOf(created))
    const running = claimed(created.job, at)
    await commitOne(storage, updateOf(created.job, running))
    const note = { kind: 'log', key: '1', lines: [{ at, text: 'hello' }] } as const
    await commitOne(storage, { op: 'note', jobId: 'a', token: tokenOf(running.job), note })
    await commitOne(storage, updateOf(running.job, removed(running.job, at)))
    const busy = await getJob(storage, 'a')
    assert.equal(busy.deletedAt, at)
    assert.deepEqual(await storage.find({ scopes: [{ tenant: 't1' }] }, { limit: FAR }), { jobs: [] })
    assert.equal(await storage.count({ scopes: [{}] }), 0)
    // The code of the deleted job still runs, so the job still holds its slot. Its idempotency key is free at once.
    const again = insertOf(newJob({ ...seed, id: 'b' }, at))
    assert.deepEqual(await commitOne(storage, again), { status: 'slot-taken', by: 'a' })
    assert.equal((await commitOne(storage, insertOf(newJob({ id: 'c', idempotencyKey: 'k' }, at)))).status, 'applied')
    assert.equal((await storage.logs('a', 0, FAR)).length, 1)
    await commitOne(storage, updateOf(busy, ended(busy, at)))
    assert.equal(await storage.get('a'), undefined)
    assert.deepEqual(await storage.logs('a', 0, FAR), [])
    const rows = await rowsOf(storage, 'a')
    const types = rows.flatMap(({ events }) => events.map(({ type }) => type))
    assert.deepEqual(types, ['job.created', 'task.started', 'job.transitioned', 'job.deleted', 'task.stopped'])
    // The freed key now belongs to the job `c`.
    const taken = insertOf(newJob({ id: 'd', idempotencyKey: 'k' }, at))
    assert.deepEqual(await commitOne(storage, taken), { status: 'duplicate', id: 'c' })
    assert.equal(await storage.slotHolder('t1', 'p'), undefined)
  },

  'S18 a deleted job of which nothing runs goes at once, with its steps, and only at the revision that was read':
    async ({ clock, open }) => {
      const storage = await open()
      const at = clock.now()
      const token = await insertClaimed(storage, at, 'a')
      const note = { kind: 'step', invoke: 'i', ordinal: 1, name: 's' } as const
      await commitOne(storage, { op: 'note', jobId: 'a', token, note })
      const held = await getJob(storage, 'a')
      await commitOne(storage, updateOf(held, ended(held, at)))
      const settled = await getJob(storage, 'a')
      const gone = removed(settled, at)
      assert.deepEqual(await commitOne(storage, updateOf(held, gone)), { status: 'conflict' })
      const { revision } = settled
      const with9 = [updateOf(settled, gone), { op: 'expect', jobId: 'none', revision: 9 }] as const
      assert.deepEqual(await commitOne(storage, ...with9), { status: 'conflict' })
      assert.deepEqual(await getJob(storage, 'a'), settled)
      assert.equal((await storage.steps('a', 'i', 1)).size, 1)
      assert.equal((await commitOne(storage, updateOf(settled, gone))).status, 'applied')
      assert.equal(await storage.get('a'), undefined)
      assert.equal((await storage.steps('a', 'i', 1)).size, 0)
      assert.deepEqual(await storage.recorded(['a']), [])
      assert.deepEqual(await commitOne(storage, { op: 'expect', jobId: 'a', revision }), { status: 'conflict' })
    },

  'S18 the events of a removed job stay, without their payloads': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    await insertClaimed(storage, at, 'kept')
    for (const id of ['kept', 'gone']) await secretive(storage, id, at)
    const [keptBefore, before] = [await rowsOf(storage, 'kept'), await rowsOf(storage, 'gone')]
    const job = await getJob(storage, 'gone')
    const last = removed(job, at)
    const write = updateOf(job, last)
    const result = await commitOne(storage, { ...write, events: { ...write.events, inputs: [{ type: SECRET }] } })
    assert.equal(result.status, 'applied')
    for (const reader of [storage, other]) {
      const rows = await rowsOf(reader, 'gone')
      assert.ok(!JSON.stringify(rows).includes(SECRET))
      assert.deepEqual(rows.slice(0, -1).map(outline), before.map(outline))
      assert.deepEqual(
        rows.at(-1)?.events.map(({ type }) => type),
        ['job.deleted'],
      )
      assert.deepEqual(await rowsOf(reader, 'kept'), keptBefore)
      assert.ok(JSON.stringify(keptBefore).includes(SECRET))
    }
  },

  'S18 the events of a deleted job that still runs lose their payloads with its row': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await secretive(storage, 'a', at)
    const job = await getJob(storage, 'a')
    const running = changed(job, { tasks: claimed(newJob({ id: 'a' }, at).job, at).job.tasks })
    await commitOne(storage, updateOf(job, running))
    const busy = removed(running.job, at)
    await commitOne(storage, updateOf(running.job, busy))
    await commitOne(storage, updateOf(busy.job, ended(busy.job, at)))
    const rows = await rowsOf(storage, 'a')
    assert.ok(rows.length > 3)
    assert.ok(!JSON.stringify(rows).includes(SECRET))
  },

  'S18 with a removed job go its child jobs that have ended, at any depth, and no other job': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const top = newJob({ id: 'top' }, at)
    await commitOne(storage, insertOf(top))
    for (const [id, parent] of [
      ['child', 'top'],
      ['grandchild', 'child'],
      ['stranger', 'other'],
    ] as const) {
      await commitOne(storage, insertOf(childOf(parent, newJob({ id }, at))))
      await settle(storage, id, at)
    }
    const now = await settle(storage, 'top', at)
    await commitOne(storage, updateOf(now, removed(now, at)))
    for (const id of ['top', 'child', 'grandchild']) assert.equal(await storage.get(id), undefined, id)
    assert.equal((await getJob(storage, 'stranger')).id, 'stranger')
    const rows = await rowsOf(storage, 'child')
    assert.deepEqual(
      rows.map(({ inputs }) => inputs),
      rows.map(() => []),
    )
    assert.notEqual(rows.length, 0)
  },

  'S18 a later write of the changeset finds no child job of a removed job, and if it is refused, all stay': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'top' }, at)))
    await commitOne(storage, insertOf(childOf('top', newJob({ id: 'child' }, at))))
    const child = await settle(storage, 'child', at)
    const top = await settle(storage, 'top', at)
    const again = changed(child, { message: 'late' })
    assert.equal((await commitOne(storage, updateOf(top, removed(top, at)), updateOf(child, again))).status, 'conflict')
    for (const job of [top, child]) assert.deepEqual(await storage.get(job.id), job)
  },

  'S18 the id of a removed job may be used again, and starts anew': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const token = await insertClaimed(storage, at, 'a')
    const note = { kind: 'log', key: 'k', lines: [{ at, text: 'old' }] } as const
    await commitOne(storage, { op: 'note', jobId: 'a', token, note })
    const first = await getJob(storage, 'a')
    const done = ended(first, at)
    await commitOne(storage, updateOf(first, done))
    await commitOne(storage, updateOf(done.job, removed(done.job, at)))
    await insertClaimed(storage, at, 'a')
    assert.deepEqual(await storage.logs('a', 0, FAR), [])
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: { ...note, lines: [{ at, text: 'new' }] } })
    assert.deepEqual(await storage.logs('a', 0, FAR), [{ at, text: 'new', number: 1 }])
  },
}

const SECRET = 'the secret'

function removed(job: Job, at: number) {
  return remove(plain, job, contextAt(at))
}

/**
 * Stores the job if there is none yet, and adds events of several kinds. The payload of each event contains `SECRET`.
 */
async function secretive(storage: StorageConnection, id: string, at: number): Promise<void> {
  const error = { name: SECRET, message: SECRET, code: SECRET, stack: SECRET }
  const said: readonly EventDraft[] = [
    { type: 'job.transitioned', from: 'a', to: 'b', outcome: 'failure', reason: SECRET, message: SECRET, error },
    { type: 'job.emitted', event: { type: SECRET, deep: [SECRET] } },
    { type: 'job.followUpFailed', kind: 'submit', error },
    { type: 'task.retried', task: 'execute', attempt: 1, availableAt: '2026-01-01T00:00:00.000Z', error },
    { type: 'task.lost', task: 'execute', attempt: 1, reason: SECRET },
  ]
  const known = await storage.get(id)
  if (known === undefined) {
    const created = writeOf(newJob({ id }, at))
    const [event, ...rest] = created.events.events
    assert.ok(event?.type === 'job.created')
    const events = [{ ...event, reason: SECRET, message: SECRET }, ...rest]
    await commitOne(storage, { op: 'insert', ...created, events: { ...created.events, events, inputs: [SECRET] } })
  }
  const job = await getJob(storage, id)
  const next = changed(job, { eventCount: job.eventCount + said.length, tasks: [] })
  const { events } = writeOf({ ...next, events: said, inputs: [{ type: SECRET }] })
  await commitOne(storage, { ...updateOf(job, next), events })
}

/** The part of a row of events that stays after a deletion. */
function outline({ events, inputs: _, ...row }: EventRow) {
  return { ...row, events: events.map(({ type }) => type) }
}

async function settle(storage: StorageConnection, id: string, at: number): Promise<Job> {
  const created = await getJob(storage, id)
  const end = { phase: 'settled', outcome: 'success', endedAt: at, tasks: [] } as const
  await commitOne(storage, updateOf(created, changed(created, end)))
  return await getJob(storage, id)
}
