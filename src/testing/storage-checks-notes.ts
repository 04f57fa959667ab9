import assert from 'node:assert/strict'
import { release } from '../model/decision.ts'
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
  tokenOf,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of what running work reports: S5. */
export const noteChecks: Checks = {
  'S5 each kind of note under an old token is stale, and changes nothing': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a' }, at)
    const first = claimed(created.job, at)
    const token = tokenOf(first.job)
    const released = release(plain, first.job, token, contextAt(at))
    const second = claimed(released.job, at, 'other')
    await storage.commit([
      changesetOf(insertOf(created)),
      changesetOf(updateOf(created.job, first)),
      changesetOf(updateOf(first.job, released)),
      changesetOf(updateOf(released.job, second)),
    ])
    const notes = [
      { kind: 'progress', progress },
      { kind: 'log', key: 'k', lines: [{ at, text: 'late' }] },
      { kind: 'step', invoke: 'i', ordinal: 1, name: 's', result: 1 },
      { kind: 'item', invocation: 1, item: { key: 'k', status: 'completed', at }, max: FAR },
    ] as const
    for (const note of notes) {
      assert.deepEqual(await commitOne(storage, { op: 'note', jobId: 'a', token, note }), { status: 'stale' })
      assert.deepEqual(await commitOne(storage, { op: 'note', jobId: 'none', token, note }), { status: 'stale' })
    }
    assert.deepEqual(await getJob(storage, 'a'), second.job)
    assert.deepEqual(await storage.logs('a', 0, FAR), [])
    assert.equal((await storage.steps('a', 'i', 1)).size, 0)
    assert.deepEqual(await storage.items('a', { after: 0, limit: FAR }), [])
  },

  'S5 notes under the claimed token are kept, and repeating one changes nothing': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const lines = ['one', 'two'].map((text) => ({ at: clock.now(), text }))
    const notes = [
      { kind: 'progress', progress },
      { kind: 'log', key: 'k', lines },
      { kind: 'step', invoke: 'i', ordinal: 1, name: 's', result: { rows: [1, 2] } },
      { kind: 'step', invoke: 'i', ordinal: 1, name: 'nothing' },
    ] as const
    for (const note of [...notes, ...notes]) {
      assert.equal((await commitOne(storage, { op: 'note', jobId: 'a', token, note })).status, 'applied')
    }
    assert.deepEqual((await getJob(storage, 'a')).progress, progress)
    const stored = await storage.logs('a', 0, FAR)
    assert.deepEqual(stored, [
      { ...lines[0], number: 1 },
      { ...lines[1], number: 2 },
    ])
    assert.deepEqual(await storage.logs('a', 1, FAR), stored.slice(1))
    assert.deepEqual(await storage.logs('a', 0, 1), stored.slice(0, 1))
    const steps = new Map<string, unknown>([
      ['s', { rows: [1, 2] }],
      ['nothing', undefined],
    ])
    assert.deepEqual(await storage.steps('a', 'i', 1), steps)
  },

  'S5 notes of a task that is stopping are kept': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const token = await insertClaimed(storage, at, 'a')
    const job = await getJob(storage, 'a')
    const tasks = job.tasks.map((task) => ({ ...task, status: 'stopping' as const }))
    await commitOne(storage, updateOf(job, changed(job, { tasks })))
    const note = { kind: 'log', key: 'k', lines: [{ at, text: 'stopping' }] } as const
    assert.equal((await commitOne(storage, { op: 'note', jobId: 'a', token, note })).status, 'applied')
    assert.deepEqual(await storage.logs('a', 0, FAR), [{ at, text: 'stopping', number: 1 }])
  },

  'S5 progress of a job that has settled is stale, though its task is stopping': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const token = await insertClaimed(storage, at, 'a')
    const job = await getJob(storage, 'a')
    const tasks = job.tasks.map((task) => ({ ...task, status: 'stopping' as const }))
    const settled = changed(job, { tasks, phase: 'settled', outcome: 'cancelled', endedAt: at })
    await commitOne(storage, updateOf(job, settled))
    const progress = { completed: 1, failed: 0, running: 0, total: 2 }
    const note = { kind: 'progress', progress } as const
    assert.deepEqual(await commitOne(storage, { op: 'note', jobId: 'a', token, note }), { status: 'stale' })
    assert.equal((await getJob(storage, 'a')).progress, undefined)
  },

  'S5 progress that was reported stays when a decision writes that did not know it': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const running = await getJob(storage, 'a')
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: { kind: 'progress', progress } })
    assert.equal((await getJob(storage, 'a')).revision, running.revision)
    assert.equal((await commitOne(storage, updateOf(running, ended(running, clock.now())))).status, 'applied')
    assert.deepEqual((await getJob(storage, 'a')).progress, progress)
  },

  'S5 steps are kept by invoke and ordinal until their job goes': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const other = await insertClaimed(storage, clock.now(), 'b')
    const put = async (jobId: string, invoke: string, ordinal: number, result: string) => {
      const note = { kind: 'step', invoke, ordinal, name: 's', result } as const
      await commitOne(storage, { op: 'note', jobId, token: jobId === 'a' ? token : other, note })
    }
    await put('a', 'i', 1, 'first')
    await put('a', 'i', 2, 'second')
    await put('a', 'i/1', 1, 'another invoke')
    await put('b', 'i', 1, 'another job')
    const running = await getJob(storage, 'a')
    await commitOne(storage, updateOf(running, ended(running, clock.now())))
    const read = async (jobId: string, invoke: string, ordinal: number) =>
      (await storage.steps(jobId, invoke, ordinal)).get('s')
    assert.deepEqual(
      [await read('a', 'i', 1), await read('a', 'i', 2), await read('a', 'i/1', 1), await read('b', 'i', 1)],
      ['first', 'second', 'another invoke', 'another job'],
    )
    assert.equal(await read('a', 'i', 3), undefined)
  },

  'S5 lines that a move of a job writes are kept once by their key': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a' }, at)
    const log = (key: string, text: string): Write => ({ op: 'log', jobId: 'a', key, lines: [{ at, text }] })
    await commitOne(storage, insertOf(created), log('1', 'created'))
    const running = claimed(created.job, at)
    await commitOne(storage, updateOf(created.job, running), log('2', 'claimed'))
    await commitOne(storage, log('2', 'claimed again'))
    const note = { kind: 'log', key: '3', lines: [{ at, text: 'noted' }] } as const
    await commitOne(storage, { op: 'note', jobId: 'a', token: tokenOf(running.job), note })
    const lines = await storage.logs('a', 0, FAR)
    assert.deepEqual(
      lines.map(({ number, text }) => `${number} ${text}`),
      ['1 created', '2 claimed', '3 noted'],
    )
  },
}

const progress = { completed: 1, failed: 0, running: 0, total: 2 }
