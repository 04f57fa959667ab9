import assert from 'node:assert/strict'
import { release, remove } from '../model/decision.ts'
import type { Json } from '../model/storable.ts'
import type { StorageConnection, Write } from '../port/storage.ts'
import {
  changed,
  changesetOf,
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
  tokenOf,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of what running code reports: S5 and S33. */
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
    const at = clock.now()
    const lines = [
      { at, text: 'one' },
      { at, text: 'two', stream: 'stderr' },
    ] as const
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

  'S5 notes of a stopping task are kept': async ({ clock, open }) => {
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

  'S5 progress of a settled job is stale, even while its task is stopping': async ({ clock, open }) => {
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

  'S5 reported progress stays when a decision that did not know it is written': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const running = await getJob(storage, 'a')
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: { kind: 'progress', progress } })
    assert.equal((await getJob(storage, 'a')).revision, running.revision)
    assert.equal((await commitOne(storage, updateOf(running, ended(running, clock.now())))).status, 'applied')
    assert.deepEqual((await getJob(storage, 'a')).progress, progress)
  },

  'S5 a decision that changes the progress stores it, unless a note has changed it meanwhile': async ({
    clock,
    open,
  }) => {
    const [storage, reader] = [await open(), await open('other')]
    const token = await insertClaimed(storage, clock.now(), 'a')
    const first = await getJob(storage, 'a')
    const begun = changed(first, { progress: { ...progress, invocation: 1 } })
    assert.equal((await commitOne(storage, updateOf(first, begun))).status, 'applied')
    assert.deepEqual(await getJob(reader, 'a'), begun.job)
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: { kind: 'progress', progress } })
    const late = changed(begun.job, { progress: { ...progress, completed: 9 } })
    assert.deepEqual(await commitOne(storage, updateOf(begun.job, late)), { status: 'conflict' })
    assert.deepEqual((await getJob(storage, 'a')).progress, progress)
    const now = await getJob(storage, 'a')
    assert.equal((await commitOne(storage, updateOf(now, changed(now, late.job)))).status, 'applied')
    assert.deepEqual((await getJob(reader, 'a')).progress, late.job.progress)
  },

  'S5 steps are kept by invoke and ordinal until their job is removed': async ({ clock, open }) => {
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

  'S33 an insert starts with a copy of the steps of another job': async ({ clock, open }) => {
    const storage = await open()
    const first = { a: await insertClaimed(storage, clock.now(), 'a') }
    await putStep(storage, 'a', first.a, 's', 1)
    await putStep(storage, 'a', first.a, 'nothing')
    const insert = { ...insertOf(newJob({ id: 'b', retryOf: 'a' }, clock.now())), stepsOf: 'a' }
    assert.equal((await commitOne(storage, insert)).status, 'applied')
    const copied = new Map<string, unknown>([
      ['s', 1],
      ['nothing', undefined],
    ])
    assert.deepEqual(await storage.steps('b', 'i', 1), copied)
    assert.deepEqual(await (await open('other')).steps('b', 'i', 1), copied)
    // The job `b` has only copied steps, and copied steps are not counted.
    assert.deepEqual(await storage.recorded(['b']), [])
    const created = await getJob(storage, 'b')
    const running = claimed(created, clock.now())
    await commitOne(storage, updateOf(created, running))
    const token = tokenOf(running.job)
    await putStep(storage, 'b', token, 's', 'again')
    await putStep(storage, 'b', token, 'own', 2)
    await putStep(storage, 'a', first.a, 'late', 3)
    assert.deepEqual(await storage.steps('b', 'i', 1), new Map([...copied, ['own', 2]]))
    assert.deepEqual([...(await storage.steps('a', 'i', 1)).keys()].sort(), ['late', 'nothing', 's'])
    assert.deepEqual(await storage.recorded(['b']), [{ jobId: 'b', invocation: 1, count: 1 }])
    // `c` copies the steps of `b`: those that `b` copied, and its own.
    await commitOne(storage, { ...insertOf(newJob({ id: 'c', retryOf: 'b' }, clock.now())), stepsOf: 'b' })
    assert.deepEqual([...(await storage.steps('c', 'i', 1)).keys()].sort(), ['nothing', 'own', 's'])
  },

  'S33 copied steps stay when the job that recorded them is removed': async ({ clock, open }) => {
    const storage = await open()
    await putStep(storage, 'a', await insertClaimed(storage, clock.now(), 'a'), 's', 1)
    await commitOne(storage, { ...insertOf(newJob({ id: 'b' }, clock.now())), stepsOf: 'a' })
    const job = await getJob(storage, 'a')
    const over = ended(job, clock.now())
    await commitOne(storage, updateOf(job, over))
    await commitOne(storage, updateOf(over.job, remove(plain, over.job, contextAt(clock.now()))))
    assert.equal((await storage.steps('a', 'i', 1)).size, 0)
    assert.deepEqual(await storage.steps('b', 'i', 1), new Map([['s', 1]]))
    // `a` was removed, so there are no steps to copy.
    await commitOne(storage, { ...insertOf(newJob({ id: 'c' }, clock.now())), stepsOf: 'a' })
    assert.equal((await storage.steps('c', 'i', 1)).size, 0)
  },

  'S33 a refused changeset copies no steps; a copy sees the steps that its own changeset records': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const note = {
      op: 'note',
      jobId: 'a',
      token,
      note: { kind: 'step', invoke: 'i', ordinal: 1, name: 's', result: 1 },
    } as const
    const insert = { ...insertOf(newJob({ id: 'b' }, clock.now())), stepsOf: 'a' }
    const refused = await commitOne(storage, note, insert, { op: 'expect', jobId: 'a', revision: 99 })
    assert.equal(refused.status, 'conflict')
    assert.equal((await storage.steps('b', 'i', 1)).size, 0)
    assert.equal((await commitOne(storage, note, insert)).status, 'applied')
    assert.deepEqual(await storage.steps('b', 'i', 1), new Map([['s', 1]]))
  },

  'S33 the steps of child jobs are kept with the root of their tree, and copied with it': async ({ clock, open }) => {
    const storage = await open()
    const top = await insertClaimed(storage, clock.now(), 'top')
    for (const [id, parentId] of [
      ['child', 'top'],
      ['grandchild', 'child'],
    ] as const) {
      const child = childOf(parentId, newJob({ id }, clock.now()))
      const tasks = child.job.tasks.map((task) => ({ ...task, status: 'claimed' as const, token: 7 }))
      await storage.commit([
        changesetOf(insertOf(child)),
        changesetOf(updateOf(child.job, changed(child.job, { tasks }))),
      ])
      await putStep(storage, id, 7, id, id, `i/1/${id}`)
    }
    await putStep(storage, 'top', top, 'own', 0)
    const read = async (id: string) => {
      const all = await Promise.all(['i', 'i/1/child', 'i/1/grandchild'].map((invoke) => storage.steps(id, invoke, 1)))
      return all.flatMap((steps) => [...steps.keys()])
    }
    for (const id of ['top', 'child', 'grandchild']) assert.deepEqual(await read(id), ['own', 'child', 'grandchild'])
    assert.deepEqual(await storage.recorded(['child']), [{ jobId: 'child', invocation: 1, count: 1 }])
    assert.deepEqual(await storage.recorded(['top']), [{ jobId: 'top', invocation: 1, count: 1 }])
    await commitOne(storage, { ...insertOf(newJob({ id: 'again' }, clock.now())), stepsOf: 'top' })
    // If a child job is removed, its steps stay with the top job.
    const child = await getJob(storage, 'grandchild')
    await commitOne(storage, updateOf(child, changed(child, { tasks: [], deletedAt: clock.now() })))
    for (const id of ['top', 'again']) assert.deepEqual(await read(id), ['own', 'child', 'grandchild'])
  },

  'S5 lines that a decision writes are kept once per key': async ({ clock, open }) => {
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

async function putStep(
  storage: StorageConnection,
  jobId: string,
  token: number,
  name: string,
  result?: Json,
  invoke = 'i',
): Promise<void> {
  const note = { kind: 'step', invoke, ordinal: 1, name, ...(result === undefined ? {} : { result }) } as const
  assert.equal((await commitOne(storage, { op: 'note', jobId, token, note })).status, 'applied')
}
