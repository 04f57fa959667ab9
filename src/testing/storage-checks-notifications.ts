import assert from 'node:assert/strict'
import type { EventRow } from '../model/event.ts'
import type { NewNotification } from '../model/notification.ts'
import type { NotificationQuery } from '../port/notification-storage.ts'
import type { PipelineWrite, StorageConnection, Write } from '../port/storage.ts'
import { changed, claimed, commitOne, FAR, getJob, insertOf, newJob, updateOf } from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

const ada = { tenant: 't1', person: 'ada', role: 'editor' }
const bob = { tenant: 't1', person: 'bob', role: 'viewer' }
const all = { tenant: 't1', person: 'system' }

/** Checks of notifications, read marks and subscriptions: S45 to S49. */
export const notificationChecks: Checks = {
  'S45 a notification is read back deep-equal, by every connection, and once per key': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const full = notificationOf('job', 'key', {
      rule: 'a\u2028"é',
      tells: 'outcome',
      level: 'alerts',
      channels: ['mail', 'inApp'],
      audience: { role: 'editor' },
    })
    await commitOne(storage, insertOf(newJob({ id: 'job' }, clock.now())), notify(full))
    await commitOne(storage, notify({ ...full, rule: 'another' }))
    for (const reader of [storage, other]) {
      assert.deepEqual(await reader.notification('key'), { ...full, number: 1 })
      assert.equal(await reader.notification('none'), undefined)
      assert.equal(await reader.lastNotification(), 1)
      assert.deepEqual(await numbers(reader, { reader: all }), [1])
    }
  },

  'S45 numbers rise, are not used twice, and a refused changeset stores none': async ({ clock, open }) => {
    const storage = await open()
    assert.equal(await storage.lastNotification(), 0)
    await commitOne(storage, insertOf(newJob({ id: 'job' }, clock.now())))
    await commitOne(storage, notify(notificationOf('job', 'one')), notify(notificationOf('job', 'two')))
    const refused: Write = { op: 'expect', jobId: 'job', revision: 7 }
    assert.equal((await commitOne(storage, notify(notificationOf('job', 'three')), refused)).status, 'conflict')
    assert.equal(await storage.notification('three'), undefined)
    await remove(storage, 'job')
    await commitOne(storage, insertOf(newJob({ id: 'next' }, clock.now())), notify(notificationOf('next', 'four')))
    assert.ok(((await storage.notification('four'))?.number ?? 0) > 2)
  },

  'S45 a notification about a job or pipeline without a row is not stored, and its changeset is applied': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const insert = insertOf(newJob({ id: 'job' }, clock.now()))
    const writes = [notify(notificationOf('none', 'a')), notify(notificationOf(undefined, 'b')), insert]
    assert.equal((await commitOne(storage, ...writes)).status, 'applied')
    assert.deepEqual(await numbers(storage, { reader: all }), [])
    // The notification may come before its job in the changeset: the storage writes the job first.
    const second = insertOf(newJob({ id: 'second', pipeline: 'p', uniqueKey: 'u' }, clock.now()))
    await commitOne(storage, notify(notificationOf('second', 'c')), second)
    assert.notEqual(await storage.notification('c'), undefined)
  },

  'S46 notifications are deleted with the row of their job': async ({ clock, open }) => {
    const storage = await open()
    const now = clock.now()
    const created = newJob({ id: 'job' }, now)
    await commitOne(storage, insertOf(created), notify(notificationOf('job', 'a')))
    await commitOne(storage, insertOf(newJob({ id: 'other' }, now)), notify(notificationOf('other', 'b')))
    await commitOne(storage, updateOf(created.job, claimed(created.job, now)))
    await storage.markRead(ada, { numbers: [1] })
    const job = await getJob(storage, 'job')
    const deleted = changed(job, { deletedAt: now })
    await commitOne(storage, updateOf(job, deleted))
    assert.notEqual(await storage.notification('a'), undefined, 'while its code may run, the row stays')
    const gone = changed(deleted.job, { tasks: [] })
    await commitOne(storage, updateOf(deleted.job, gone), notify(notificationOf('job', 'late')))
    assert.deepEqual(await numbers(storage, { reader: all }), [2])
    assert.equal(await storage.notification('late'), undefined)
  },

  'S46 notifications are deleted when their job is pruned': async ({ clock, open }) => {
    const storage = await open()
    const now = clock.now()
    const created = newJob({ id: 'job' }, now)
    const { job } = created
    const settled = { phase: 'settled', outcome: 'success', endedAt: now, tasks: [] } as const
    await commitOne(storage, insertOf(created), notify(notificationOf('job', 'job done')))
    await commitOne(storage, updateOf(job, changed(job, settled)))
    assert.notEqual(await storage.notification('job done'), undefined)
    await storage.prune({ types: [{ type: job.type, endedBefore: { success: now + 1 } }], limit: 100 })
    assert.equal(await storage.get('job'), undefined)
    assert.equal(await storage.notification('job done'), undefined)
  },

  'S46 notifications about a pipeline are deleted with it, and those about its jobs stay': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, pipelineOf(0), notify(notificationOf(undefined, 'skipped')))
    await commitOne(
      storage,
      insertOf(newJob({ id: 'job', pipeline: 'p' }, clock.now())),
      notify(notificationOf('job', 'ended')),
    )
    assert.deepEqual(await numbers(storage, { reader: all }), [2, 1])
    await commitOne(storage, { op: 'pipeline', tenant: 't1', id: 'p', revision: 1, after: null })
    assert.deepEqual(await numbers(storage, { reader: all }), [2])
  },

  'S47 a reader gets what is for the creator, the role and, if subscribed, subscribers': async ({ clock, open }) => {
    const storage = await open()
    await storage.subscribe({ tenant: 't1', person: 'bob', level: 'all' })
    await storage.subscribe({ tenant: 't2', person: 'ada', level: 'all' })
    await commitOne(
      storage,
      insertOf(newJob({ id: 'job' }, clock.now())),
      notify(notificationOf('job', 'creator')),
      notify(notificationOf('job', 'subscribers', { audience: 'subscribers' })),
      notify(notificationOf('job', 'editors', { audience: { role: 'editor' } })),
      notify(notificationOf('job', 'viewers', { audience: { role: 'viewer' } })),
    )
    assert.deepEqual(await keys(storage, { reader: ada }), ['editors', 'creator'])
    assert.deepEqual(await keys(storage, { reader: bob }), ['viewers', 'subscribers'])
    assert.deepEqual(await keys(storage, { reader: { ...ada, tenant: 't2' } }), [])
    assert.deepEqual(await keys(storage, { reader: { ...ada, role: '' } }), ['creator'])
    assert.equal((await keys(storage, { reader: all })).length, 4)
  },

  'S47 pages neither skip nor repeat, in both orders, however much is not for the reader': async ({ clock, open }) => {
    const storage = await open()
    await storage.subscribe({ tenant: 't1', person: 'ada', pipeline: 'none', level: 'all' })
    const count = 2_500
    const writes = Array.from({ length: count }, (_, index) => {
      const audience = index % 500 === 0 ? ('creator' as const) : ('subscribers' as const)
      return notify(notificationOf('job', `n${index}`, { audience }))
    })
    await commitOne(storage, insertOf(newJob({ id: 'job' }, clock.now())), ...writes)
    for (const order of ['newest', 'oldest'] as const) {
      const found = await numbers(storage, { reader: ada, order, limit: 2 })
      const oldest = [1, 501, 1_001, 1_501, 2_001]
      assert.deepEqual(found, order === 'oldest' ? oldest : oldest.reverse())
      assert.deepEqual(
        await numbers(storage, { reader: ada, order, after: 1_001 }),
        found.slice(found.indexOf(1_001) + 1),
      )
    }
  },

  'S48 a mark is one person’s, may be made twice, and goes with its notification': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    await commitOne(
      storage,
      insertOf(newJob({ id: 'job' }, clock.now())),
      ...['a', 'b', 'c', 'd'].map((key) => notify(notificationOf('job', key, { audience: { role: 'editor' } }))),
    )
    const unread = async (person: string, tenant = 't1') => {
      return await numbers(other, { reader: { tenant, person }, unread: true, order: 'oldest' })
    }
    await storage.markRead(ada, { numbers: [3, 3, 99] })
    await storage.markRead(ada, { numbers: [3] })
    assert.deepEqual(await unread('ada'), [1, 2, 4])
    await storage.markRead(ada, { before: 2 })
    await storage.markRead(ada, { before: 1 })
    assert.deepEqual(await unread('ada'), [2, 4])
    assert.deepEqual(await unread('bob'), [1, 2, 3, 4])
    assert.deepEqual(await unread('ada', 't2'), [1, 2, 3, 4])
    const { notifications } = await other.notifications({ reader: ada, limit: FAR, order: 'oldest' })
    assert.deepEqual(
      notifications.map(({ isRead }) => isRead),
      [true, false, true, false],
    )
  },

  'S49 a subscription is read back, and written again keeps its begin unless it was none': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const key = { tenant: 't1', person: 'ada', type: 'plain' } as const
    assert.deepEqual(await storage.subscribe({ ...key, level: 'none' }), { ...key, level: 'none', since: 0 })
    await commitOne(storage, insertOf(newJob({ id: 'job' }, clock.now())), notify(notificationOf('job', 'a')))
    assert.deepEqual(await storage.subscribe({ ...key, level: 'all' }), { ...key, level: 'all', since: 1 })
    await commitOne(storage, notify(notificationOf('job', 'b')))
    assert.deepEqual(await storage.subscribe({ ...key, level: 'alerts' }), { ...key, level: 'alerts', since: 1 })
    await storage.subscribe({ tenant: 't1', person: 'ada', level: 'all' })
    await storage.subscribe({ tenant: 't1', person: 'ada', pipeline: 'p', level: 'all' })
    await storage.subscribe({ tenant: 't1', person: 'bob', level: 'all' })
    assert.deepEqual(await other.subscriptions(ada), [
      { tenant: 't1', person: 'ada', level: 'all', since: 2 },
      { tenant: 't1', person: 'ada', pipeline: 'p', level: 'all', since: 2 },
      { ...key, level: 'alerts', since: 1 },
    ])
    await storage.unsubscribe(key)
    await storage.unsubscribe(key)
    assert.equal((await other.subscriptions(ada)).length, 2)
    assert.deepEqual(await other.subscriptions({ ...ada, tenant: 't2' }), [])
  },

  'S49 subscribers are those who would read a notification, by id, in pages': async ({ clock, open }) => {
    const storage = await open()
    const people = ['a', 'b', 'c', 'd', 'e', 'é', 'B']
    for (const person of people) await storage.subscribe({ tenant: 't1', person, level: 'all' })
    await storage.subscribe({ tenant: 't1', person: 'b', type: 'plain', level: 'alerts' })
    await storage.subscribe({ tenant: 't1', person: 'c', pipeline: 'p', level: 'none' })
    await storage.subscribe({ tenant: 't1', person: 'f', type: 'plain', level: 'alerts' })
    await storage.subscribe({ tenant: 't1', person: 'f', pipeline: 'p', level: 'all' })
    await storage.subscribe({ tenant: 't1', person: 'g', type: 'other', level: 'all' })
    await storage.subscribe({ tenant: 't2', person: 'h', level: 'all' })
    const notification = notificationOf('job', 'a', { audience: 'subscribers' })
    await commitOne(storage, insertOf(newJob({ id: 'job', pipeline: 'p' }, clock.now())), notify(notification))
    await storage.subscribe({ tenant: 't1', person: 'late', level: 'all' })
    const stored = await storage.notification('a')
    assert.ok(stored !== undefined)
    const expected = ['B', 'a', 'd', 'e', 'f', 'é']
    assert.deepEqual(await storage.subscribers(stored, FAR), expected)
    assert.deepEqual(await storage.subscribers(stored, 2), expected.slice(0, 2))
    assert.deepEqual(await storage.subscribers(stored, 3, 'a'), expected.slice(2, 5))
    for (const person of [...people, 'f', 'g', 'h', 'late']) {
      const told = await numbers(storage, { reader: { tenant: 't1', person, role: '' } })
      assert.equal(told.length, expected.includes(person) ? 1 : 0, person)
    }
  },
}

function notificationOf(
  jobId: string | undefined,
  key: string,
  fields: Partial<NewNotification> = {},
): NewNotification {
  return {
    key,
    ...(jobId === undefined ? {} : { jobId }),
    rule: 'success',
    level: 'all',
    channels: ['inApp'],
    audience: 'creator',
    row: rowOf(jobId ?? ''),
    ...fields,
  }
}

function rowOf(jobId: string): EventRow {
  return {
    jobId,
    jobType: 'plain',
    tenant: 't1',
    createdBy: 'ada',
    pipeline: 'p',
    labels: { team: 'data' },
    at: 5,
    by: { kind: 'user', id: 'ada' },
    jobSequence: 2,
    events: [{ type: 'job.transitioned', from: 'a', to: 'b', outcome: 'success', message: 'é\u2028"' }],
    inputs: [],
  }
}

function notify(notification: NewNotification): Write {
  return { op: 'notify', notification }
}

function pipelineOf(revision: number): PipelineWrite {
  const times = { createdAt: 1, updatedAt: 1, revision: revision + 1 }
  const fields = { type: 'plain', overlap: 'reject', priority: 0, labels: {} } as const
  const after = { tenant: 't1', id: 'p', createdBy: 'ada', ...fields, ...times }
  return { op: 'pipeline', tenant: 't1', id: 'p', revision, after }
}

async function remove(storage: StorageConnection, id: string): Promise<void> {
  const job = await getJob(storage, id)
  await commitOne(storage, updateOf(job, changed(job, { deletedAt: job.updatedAt, tasks: [] })))
}

type Asked = Omit<NotificationQuery, 'limit'> & { readonly limit?: number }

/** The notifications of all pages. */
async function pages(storage: StorageConnection, { limit = FAR, ...query }: Asked) {
  const found = []
  for (let after = query.after; ; ) {
    const page = await storage.notifications({ ...query, limit, ...(after === undefined ? {} : { after }) })
    assert.ok(page.notifications.length <= limit)
    found.push(...page.notifications)
    after = page.after
    if (after === undefined) return found
  }
}

async function numbers(storage: StorageConnection, query: Asked): Promise<readonly number[]> {
  return (await pages(storage, query)).map(({ number }) => number)
}

async function keys(storage: StorageConnection, query: Asked): Promise<readonly string[]> {
  return (await pages(storage, query)).map(({ key }) => key)
}
