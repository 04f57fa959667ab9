import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import { BATCH_NUMBERS, batchNumber } from '../model/item.ts'
import type { ItemQuery, Note, StorageConnection, Write } from '../port/storage.ts'
import {
  changed,
  commitOne,
  contextAt,
  ended,
  FAR,
  getJob,
  insertClaimed,
  insertOf,
  newJob,
  plain,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

type ItemsNote = Extract<Note, { kind: 'items' }>
type Piece = Partial<Omit<ItemsNote, 'kind'>>

/** Checks of the items of batches: S55 to S57. */
export const batchChecks: Checks = {
  'S55 rows are added as waiting, ended once, and numbered by invocation and index': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const token = await insertClaimed(storage, clock.now(), 'a')
    const added = [
      { index: 1, key: 'one', input: { url: 'x' } },
      { index: 2, key: '2' },
      { index: 4, key: 'four', input: null },
    ]
    const ends = [
      { index: 2, status: 'failed', attempts: 3, error },
      { index: 1, status: 'completed', attempts: 1, output: { rows: [1] } },
    ] as const
    const repeated = [1, 2, 9].map((index) => ({ index, status: 'skipped', attempts: 7, output: 'again' }) as const)
    for (const piece of [{ added }, { ended: ends, at: 2 }, { added, at: 3 }, { ended: repeated, at: 4 }]) {
      assert.equal((await commitOne(storage, put(token, piece))).status, 'applied')
    }
    const rows = [
      { ...row(1), key: 'one', status: 'completed', at: 2, attempts: 1, input: { url: 'x' }, output: { rows: [1] } },
      { ...row(2), key: '2', status: 'failed', at: 2, attempts: 3, error },
      { ...row(4), key: 'four', status: 'waiting', at: 1, attempts: 0, input: null },
    ]
    for (const reader of [storage, other]) assert.deepEqual(await read(reader), rows)
  },

  'S11 a job keeps its batches, and which items of the retried job run again': async ({ clock, open }) => {
    const [storage, reader] = [await open(), await open('other')]
    const created = newJob({ id: 'a' }, clock.now())
    const runs = [{ invoke: 'i', ordinal: 1, completed: 2, failed: 1 }]
    const again = { items: 'failed', runs, jobs: 1 } as const
    await commitOne(storage, insertOf({ ...created, job: { ...created.job, again } }))
    const job = await getJob(reader, 'a')
    assert.deepEqual(job, { ...created.job, again })
    const running = changed(job, { batches: [{ invoke: 'i/1/j', ordinal: 2, invocation: 3 }] })
    await commitOne(storage, updateOf(job, running))
    assert.deepEqual(await getJob(reader, 'a'), running.job)
  },

  'S55 a note may add many rows, in any order, and end rows that it adds': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    await commitOne(storage, put(token, { added: addedOf(30, 33), ended: endsOf(31) }))
    await commitOne(storage, put(token, { added: addedOf(1, 65), ended: endsOf(64, 1, 31), at: 2 }))
    const rows = await read(storage)
    assert.deepEqual(
      rows.map(({ number }) => number),
      addedOf(1, 65).map(({ index }) => batchNumber(1, index)),
    )
    const done = rows.filter(({ status }) => status === 'completed')
    assert.deepEqual(
      done.map(({ key, at }) => [key, at]),
      [
        ['1', 2],
        ['31', 1],
        ['64', 2],
      ],
    )
  },

  'S55 the progress is stored with the rows, in the same changeset': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const before = await getJob(storage, 'a')
    const progress = { completed: 1, failed: 0, skipped: 2, running: 1, total: 9, at: 1, token }
    const whole = { ...progress, invocation: 1, begun: 2, careful: 2 }
    await commitOne(storage, put(token, { added: addedOf(1, 2), ended: endsOf(1), progress: whole }))
    assert.deepEqual(await getJob(storage, 'a'), { ...before, progress: whole })
    const refused = [put(token, { added: addedOf(3, 3), ended: endsOf(2) }), other(99)]
    assert.deepEqual(await commitOne(storage, ...refused), { status: 'conflict' })
    assert.deepEqual(await getJob(storage, 'a'), { ...before, progress: whole })
    assert.deepEqual(
      (await read(storage)).map(({ status }) => status),
      ['completed', 'waiting'],
    )
    assert.deepEqual(await storage.recorded(['a']), [{ jobId: 'a', invocation: 1, count: 2 }])
    await commitOne(storage, put(token, { added: addedOf(3, 3), ended: endsOf(2) }), other(before.revision))
    assert.equal((await read(storage)).length, 3)
  },

  'S5, S55 a note of items is stale under an old token and once the job has settled': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    await commitOne(storage, put(token, { added: addedOf(1, 2) }))
    const late = { added: addedOf(3, 3), ended: endsOf(1), progress: { completed: 1, failed: 0, running: 0 } }
    assert.deepEqual(await commitOne(storage, put(token + 1, late)), { status: 'stale' })
    assert.deepEqual(await commitOne(storage, put(token, late, 'none')), { status: 'stale' })
    const job = await getJob(storage, 'a')
    const tasks = job.tasks.map((task) => ({ ...task, status: 'stopping' as const }))
    const settled = changed(job, { tasks, phase: 'settled', outcome: 'cancelled', endedAt: clock.now() })
    await commitOne(storage, updateOf(job, settled))
    assert.deepEqual(await commitOne(storage, put(token, late)), { status: 'stale' })
    assert.deepEqual(await getJob(storage, 'a'), { ...settled.job, progress: NONE })
    const rows = await read(storage)
    assert.deepEqual(
      rows.map(({ status }) => status),
      ['waiting', 'waiting'],
    )
  },

  'S29, S55 reported items keep their own numbers and their own limit beside a batch': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const report = async (key: string) => {
      const item = { key, status: 'completed', at: 1 } as const
      const note: Note = { kind: 'item', invocation: 1, item, max: 2 }
      return (await commitOne(storage, { op: 'note', jobId: 'a', token, note })).status
    }
    await commitOne(storage, put(token, { added: addedOf(1, 3) }))
    assert.deepEqual([await report('1'), await report('x'), await report('y')], ['applied', 'applied', 'full'])
    assert.deepEqual(
      (await read(storage)).map(({ number, key, attempts }) => [number, key, attempts]),
      [[1, '1', undefined], [2, 'x', undefined], ...[1, 2, 3].map((index) => [batchNumber(1, index), `${index}`, 0])],
    )
    const reported = await read(storage, { to: BATCH_NUMBERS })
    assert.equal(reported.length, 2)
  },

  'S55 items are read by status, from and to a number, over several invocations': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    await commitOne(storage, put(token, { invocation: 2, added: addedOf(1, 5), ended: endsOf(2, 4) }))
    const skipped = { index: 3, status: 'skipped', attempts: 0 } as const
    await commitOne(storage, put(token, { invocation: 1, added: addedOf(1, 4), ended: [...endsOf(1), skipped] }))
    const found = async (query: Partial<ItemQuery>) =>
      (await read(storage, query)).map(({ invocation, number }) => `${invocation}/${number % BATCH_NUMBERS}`)
    assert.deepEqual(await found({ status: 'completed' }), ['1/1', '2/2', '2/4'])
    assert.deepEqual(await found({ status: 'waiting' }), ['1/2', '1/4', '2/1', '2/3', '2/5'])
    assert.deepEqual(await found({ status: 'skipped' }), ['1/3'])
    assert.deepEqual(await found({ status: 'failed' }), [])
    assert.deepEqual(await found({ after: batchNumber(1, 3), limit: 2 }), ['1/4', '2/1'])
    const range = { after: batchNumber(2, 1), to: batchNumber(2, 4) }
    assert.deepEqual(await found(range), ['2/2', '2/3', '2/4'])
    assert.deepEqual(await found({ ...range, status: 'waiting' }), ['2/3'])
    assert.deepEqual(await found({ ...range, status: 'completed', limit: 1 }), ['2/2'])
  },

  'S55 ended rows and new careful marks count as recorded, waiting rows do not': async ({ clock, open }) => {
    const [storage, reader] = [await open(), await open('other')]
    const token = await insertClaimed(storage, clock.now(), 'a')
    const counts: number[] = []
    const mark = (careful: number) => ({ progress: { ...NONE, careful } })
    const pieces = [
      { added: addedOf(1, 5) },
      { ended: endsOf(1, 2) },
      { ended: endsOf(1, 2) },
      mark(3),
      mark(3),
      { ended: endsOf(3), ...mark(4) },
      {},
      mark(4),
    ]
    for (const piece of pieces) {
      await commitOne(storage, put(token, piece))
      counts.push((await reader.recorded(['a']))[0]?.count ?? 0)
    }
    assert.deepEqual(counts, [0, 2, 2, 3, 3, 5, 5, 6])
    const step: Note = { kind: 'step', invoke: 'i', ordinal: 1, name: 's' }
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: step }, put(token, { invocation: 7, ...mark(1) }))
    const recorded = [...(await reader.recorded(['a']))].sort((a, b) => a.invocation - b.invocation)
    assert.deepEqual(recorded, [
      { jobId: 'a', invocation: 1, count: 7 },
      { jobId: 'a', invocation: 7, count: 1 },
    ])
  },

  'S56 the waiting rows of one invocation are ended, as begun or not': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    await commitOne(storage, put(token, { added: addedOf(1, 5), ended: endsOf(2) }))
    await commitOne(storage, put(token, { invocation: 2, added: addedOf(1, 1) }))
    const end = { op: 'endItems', jobId: 'a', invocation: 1, begun: 3, error, at: 9 } as const
    assert.deepEqual(await commitOne(storage, end, other(99)), { status: 'conflict' })
    assert.equal((await read(storage, { status: 'waiting' })).length, 5)
    for (const write of [end, end, { ...end, jobId: 'none' }, { ...end, invocation: 5 }]) {
      assert.equal((await commitOne(storage, write)).status, 'applied')
    }
    assert.deepEqual(
      (await read(storage)).map(({ status, at, error: lost, attempts }) => [status, at, lost?.message, attempts]),
      [
        ['failed', 9, error.message, 0],
        ['completed', 1, undefined, 1],
        ['failed', 9, error.message, 0],
        ['skipped', 9, undefined, 0],
        ['skipped', 9, undefined, 0],
        ['waiting', 1, undefined, 0],
      ],
    )
    assert.deepEqual(await storage.recorded(['a']), [{ jobId: 'a', invocation: 1, count: 5 }])
  },

  'S57 stored keys of one invocation are found, with their indexes': async ({ clock, open }) => {
    const [storage, reader] = [await open(), await open('other')]
    const token = await insertClaimed(storage, clock.now(), 'a')
    const keys = ['one', '2', 'K', '1', '007', '1e0', odd]
    const added = keys.map((key, place) => ({ index: place + 1, key }))
    await commitOne(storage, put(token, { added, ended: endsOf(1) }))
    await commitOne(storage, put(token, { invocation: 2, added: [{ index: 1, key: 'other' }] }))
    const asked = ['one', '2', '1', '3', '007', '7', 'k', 'K', 'other', '', '0', '-1', '1.5', `${2 ** 40}`, odd, '1e0']
    const found = [...(await reader.itemKeys('a', 1, asked))].sort((a, b) => a.index - b.index)
    assert.deepEqual(
      found,
      added.map(({ index, key }) => ({ key, index })),
    )
    assert.deepEqual(await reader.itemKeys('a', 2, asked), [{ key: 'other', index: 1 }])
    assert.deepEqual(await reader.itemKeys('a', 3, asked), [])
    assert.deepEqual(await reader.itemKeys('none', 1, asked), [])
  },

  'S11, S55 an item of a batch is read back deep-equal, whatever its values': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const values = [null, '', 0, -1.5, 1e300, false, [], {}, { deep: [[null, { [odd]: odd }]] }, odd]
    const added = values.map((input, place) => ({ index: place + 1, key: `${odd} ${place}`, input }))
    const ends = values.map((output, place) => {
      return { index: place + 1, status: 'failed', attempts: place, output, error: { ...error, message: odd } } as const
    })
    await commitOne(storage, put(token, { added, ended: ends }))
    assert.deepEqual(
      await read(storage),
      added.map(({ index, ...rest }, place) => ({ ...row(index), at: 1, ...rest, ...withoutIndex(ends[place]) })),
    )
  },

  'S18, S55 many items go with their deleted job, and a new job of its id has none': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    await commitOne(storage, put(token, { added: addedOf(1, 2_500), ended: endsOf(1, 2_000) }))
    const job = await getJob(storage, 'a')
    const over = ended(job, clock.now())
    await commitOne(storage, updateOf(job, over))
    await commitOne(storage, updateOf(over.job, remove(plain, over.job, contextAt(clock.now()))))
    const again = await insertClaimed(storage, clock.now(), 'a')
    for (let beat = 1; beat <= 3; beat++) {
      assert.deepEqual(await read(storage), [])
      assert.deepEqual(await storage.itemKeys('a', 1, ['1', '2500']), [])
      assert.deepEqual(await storage.recorded(['a']), [])
      await storage.beat(clock.now() + beat)
    }
    await commitOne(storage, put(again, { added: addedOf(1, 1) }))
    await storage.prune({ types: [], limit: 1_000 })
    assert.equal((await read(storage)).length, 1)
  },

  'S40, S42, S55 a pass removes a job with many items in bounded calls': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    await commitOne(storage, put(token, { added: addedOf(1, 3_500) }))
    const job = await getJob(storage, 'a')
    await commitOne(storage, updateOf(job, ended(job, clock.now())))
    const types = [{ type: plain.type, endedBefore: { success: clock.now() + 1 } }]
    let jobs = 0
    let calls = 0
    for (let after: string | undefined; calls === 0 || after !== undefined; calls++) {
      const pruned = await storage.prune({ types, limit: 500, ...(after === undefined ? {} : { after }) })
      jobs += pruned.jobs
      after = pruned.after
      assert.ok(calls < 50)
    }
    assert.equal(jobs, 1)
    assert.equal(await storage.get('a'), undefined)
    assert.deepEqual(await read(storage), [])
  },
}

const error = { name: 'Error', message: 'no such page' }
const odd = 'ü 𝄞 \u0000 \u2028 "\'; DROP TABLE items; --'
const NONE = { completed: 0, failed: 0, running: 0 }

function row(index: number, invocation = 1) {
  return { number: batchNumber(invocation, index), invocation }
}

/** Items from one index to another, with their indexes as keys. */
function addedOf(from: number, to: number): ItemsNote['added'] {
  return Array.from({ length: to - from + 1 }, (_, place) => ({ index: from + place, key: `${from + place}` }))
}

function endsOf(...indexes: readonly number[]): ItemsNote['ended'] {
  return indexes.map((index) => ({ index, status: 'completed', attempts: 1 }))
}

function withoutIndex({ index, ...rest }: Partial<ItemsNote['ended'][number]> = {}) {
  return rest
}

function put(token: number, piece: Piece, jobId = 'a'): Write {
  const usual = { kind: 'items', invocation: 1, added: [], ended: [], progress: NONE, at: 1 } as const
  return { op: 'note', jobId, token, note: { ...usual, ...piece } }
}

function other(revision: number): Write {
  return { op: 'expect', jobId: 'a', revision }
}

async function read(storage: StorageConnection, query: Partial<ItemQuery> = {}) {
  return await storage.items('a', { after: 0, limit: FAR, ...query })
}
