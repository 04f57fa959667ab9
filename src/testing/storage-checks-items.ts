import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import type { Item } from '../model/item.ts'
import type { ItemQuery, StorageConnection, Write } from '../port/storage.ts'
import { commitOne, contextAt, ended, FAR, getJob, insertClaimed, plain, updateOf } from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of items, and of the numbers of recorded steps and items: S29. */
export const itemChecks: Checks = {
  'S29 items are numbered by their first reports, and later reports replace earlier ones': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const token = await insertClaimed(storage, clock.now(), 'a')
    const first = item('one', { status: 'failed', message: 'not yet', output: { tries: 1 } })
    for (const each of [first, item('two'), item('one', { at: 7 }), item('three')]) {
      assert.equal((await commitOne(storage, put(token, each))).status, 'applied')
    }
    for (const reader of [storage, other]) {
      assert.deepEqual(await read(reader), [
        { ...item('one', { at: 7 }), number: 1, invocation: 1 },
        { ...item('two'), number: 2, invocation: 1 },
        { ...item('three'), number: 3, invocation: 1 },
      ])
    }
    assert.deepEqual(await storage.items('b', { after: 0, limit: FAR }), [])
  },

  'S29 items are read by their current status, in pages': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    for (const [index, status] of (['failed', 'completed', 'failed', 'failed', 'completed'] as const).entries()) {
      await commitOne(storage, put(token, item(`k${index + 1}`, { status })))
    }
    await commitOne(storage, put(token, item('k3', { status: 'completed' })))
    const numbers = async (query: Partial<ItemQuery>) => (await read(storage, query)).map(({ number }) => number)
    assert.deepEqual(await numbers({ status: 'failed' }), [1, 4])
    assert.deepEqual(await numbers({ status: 'completed' }), [2, 3, 5])
    assert.deepEqual(await numbers({ status: 'completed', after: 2, limit: 1 }), [3])
    assert.deepEqual(await numbers({ status: 'failed', after: 4 }), [])
    assert.deepEqual(await numbers({ after: 1, limit: 2 }), [2, 3])
    assert.deepEqual(await numbers({ after: 5 }), [])
  },

  'S29 a new key beyond the maximum of a job is full, and a known key is not': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const other = await insertClaimed(storage, clock.now(), 'b')
    const report = async (key: string, status: Item['status'] = 'completed') =>
      (await commitOne(storage, put(token, item(key, { status }), 2))).status
    assert.deepEqual([await report('one'), await report('two'), await report('three')], ['applied', 'applied', 'full'])
    assert.equal(await report('one', 'failed'), 'applied')
    assert.equal((await commitOne(storage, put(other, item('one'), 2, 'b'))).status, 'applied')
    const kept = (await read(storage)).map(({ key, status }) => [key, status])
    assert.deepEqual(kept, [
      ['one', 'failed'],
      ['two', 'completed'],
    ])
  },

  'S29 a refused changeset leaves no item behind': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    await commitOne(storage, put(token, item('one'), 2))
    const writes = [
      put(token, item('one', { status: 'failed' }), 2),
      put(token, item('two'), 2),
      put(token, item('three'), 2),
    ]
    assert.deepEqual(await commitOne(storage, ...writes), { status: 'full' })
    assert.deepEqual(await read(storage), [{ ...item('one'), number: 1, invocation: 1 }])
    await commitOne(storage, put(token, item('four'), 2))
    assert.deepEqual(
      (await read(storage)).map(({ number }) => number),
      [1, 2],
    )
  },

  'S5, S29 an item is kept only while its task is claimed under its token': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    assert.equal((await commitOne(storage, put(token, item('one')))).status, 'applied')
    assert.deepEqual(await commitOne(storage, put(token + 1, item('two'))), { status: 'stale' })
    assert.deepEqual(await commitOne(storage, put(token, item('two'), FAR, 'none')), { status: 'stale' })
    const job = await getJob(storage, 'a')
    await commitOne(storage, updateOf(job, ended(job, clock.now())))
    assert.deepEqual(await commitOne(storage, put(token, item('one', { status: 'failed' }))), { status: 'stale' })
    assert.deepEqual(await read(storage), [{ ...item('one'), number: 1, invocation: 1 }])
  },

  'S18, S29 items are removed with their job’s row, and not before': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const other = await insertClaimed(storage, clock.now(), 'b')
    for (const key of ['one', 'two']) await commitOne(storage, put(token, item(key)))
    await commitOne(storage, put(other, item('one'), FAR, 'b'))
    const job = await getJob(storage, 'a')
    const stopping = remove(plain, job, contextAt(clock.now()))
    await commitOne(storage, updateOf(job, stopping))
    assert.equal((await read(storage)).length, 2)
    await commitOne(storage, updateOf(stopping.job, ended(stopping.job, clock.now())))
    assert.deepEqual(await read(storage), [])
    assert.equal((await storage.items('b', { after: 0, limit: FAR })).length, 1)
    const again = await insertClaimed(storage, clock.now(), 'a')
    await commitOne(storage, put(again, item('new')))
    assert.deepEqual(await read(storage), [{ ...item('new'), number: 1, invocation: 1 }])
  },

  'S11, S29 an item is read back deep-equal, whatever its values': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const odd = 'ü 𝄞 \u0000 \u2028 "\'; DROP TABLE items; --'
    const outputs = [null, '', 0, -1.5, 1e300, false, [], {}, { deep: [[null, { [odd]: odd }]] }, odd]
    const items = [
      ...outputs.map((output, index) =>
        item(`${odd} ${index}`, { output, message: odd, at: 1_767_225_600_000 + index }),
      ),
      item('x'.repeat(2_000), { message: '' }),
      item('K'),
      item('k'),
      item(' k'),
    ]
    await storage.commit([{ id: 'items', writes: items.map((each) => put(token, each)) }])
    assert.deepEqual(
      await read(storage),
      items.map((each, index) => ({ ...each, number: index + 1, invocation: 1 })),
    )
  },

  'S29 items of several invocations are kept beside each other, and numbered in one row': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    for (const [key, invocation] of [
      ['one', 1],
      ['one', 2],
      ['two', 2],
      ['one', 1],
    ] as const) {
      await commitOne(storage, put(token, item(key, { at: invocation }), 3, 'a', invocation))
    }
    assert.deepEqual(await read(storage), [
      { ...item('one', { at: 1 }), number: 1, invocation: 1 },
      { ...item('one', { at: 2 }), number: 2, invocation: 2 },
      { ...item('two', { at: 2 }), number: 3, invocation: 2 },
    ])
    assert.deepEqual(await commitOne(storage, put(token, item('two'), 3)), { status: 'full' })
  },

  'S29 steps and items are counted by the invocation that recorded them first': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const token = await insertClaimed(storage, clock.now(), 'a')
    const elsewhere = await insertClaimed(storage, clock.now(), 'b')
    await insertClaimed(storage, clock.now(), 'c')
    const step = (name: string): Write => {
      return { op: 'note', jobId: 'a', token, note: { kind: 'step', invoke: 'i', ordinal: 1, name } }
    }
    const lines = [{ at: 1, text: 'a line is no record' }]
    const log: Write = { op: 'note', jobId: 'a', token, note: { kind: 'log', key: 'k', lines } }
    for (const write of [step('s'), step('t'), step('s'), put(token, item('one')), put(token, item('one')), log]) {
      await commitOne(storage, write)
    }
    await commitOne(storage, put(elsewhere, item('one'), FAR, 'b'))
    for (const reader of [storage, other]) {
      const recorded = [...(await reader.recorded(['a', 'b', 'c', 'none']))].sort((a, b) => b.count - a.count)
      assert.deepEqual(recorded, [
        { jobId: 'a', invocation: 1, count: 3 },
        { jobId: 'b', invocation: 1, count: 1 },
      ])
      assert.deepEqual(await reader.recorded(['b']), [{ jobId: 'b', invocation: 1, count: 1 }])
      assert.deepEqual(await reader.recorded([]), [])
    }
  },
}

function item(key: string, more: Partial<Item> = {}): Item {
  return { key, status: 'completed', at: 1, ...more }
}

function put(token: number, reported: Item, max = FAR, jobId = 'a', invocation = 1): Write {
  return { op: 'note', jobId, token, note: { kind: 'item', invocation, item: reported, max } }
}

async function read(storage: StorageConnection, query: Partial<ItemQuery> = {}) {
  return await storage.items('a', { after: 0, limit: FAR, ...query })
}
