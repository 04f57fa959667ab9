import assert from 'node:assert/strict'
import { release } from '../model/decision.ts'
import type { Write } from '../port/storage.ts'
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
  twin,
  unitOf,
  updateOf,
  writeOf,
} from './fixtures.ts'
import { type Checks, FAR } from './storage-bench.ts'

/** Checks of what is written: S1 to S8. */
export const writingChecks: Checks = {
  'S1 a unit with one refused write leaves no trace of its others': async ({ clock, open }) => {
    const storage = await open()
    const first = newJob({ id: 'a' }, clock.now())
    const second = newJob({ id: 'b' }, clock.now())
    await commitOne(storage, insertOf(first))
    const stale: Write = { op: 'update', revision: 9, ...writeOf(claimed(first.job, clock.now())) }
    const result = await commitOne(storage, insertOf(second), stale)
    assert.equal(result.status, 'conflict')
    assert.equal(await storage.get('b'), undefined)
    assert.equal((await storage.events({ after: 0, limit: FAR })).length, 1)
  },

  'S1 units of one commit are judged in order, each on its own': async ({ clock, open }) => {
    const storage = await open()
    const { job, ...rest } = newJob({ id: 'a' }, clock.now())
    const next = claimed(job, clock.now())
    const update = updateOf(job, next)
    const units = [unitOf(insertOf({ job, ...rest })), unitOf(update), unitOf(update)]
    const results = await storage.commit(units)
    assert.deepEqual(
      results.map(({ status }) => status),
      ['applied', 'applied', 'conflict'],
    )
    assert.deepEqual(await storage.get('a'), next.job)
  },

  'S2 of 50 writers that read one revision exactly one wins': async ({ clock, open }) => {
    const storage = await open()
    const created = newJob({ id: 'a' }, clock.now())
    await commitOne(storage, insertOf(created))
    const writers = Array.from({ length: 50 }, (_, index) =>
      updateOf(created.job, claimed(created.job, clock.now(), `w${index}`)),
    )
    const results = await Promise.all(writers.map((write) => commitOne(storage, write)))
    assert.equal(results.filter(({ status }) => status === 'applied').length, 1)
    assert.equal(results.filter(({ status }) => status === 'conflict').length, 49)
  },

  'S2 an update of a job that is not there is a conflict': async ({ clock, open }) => {
    const storage = await open()
    const { job } = newJob({ id: 'a' }, clock.now())
    assert.equal((await commitOne(storage, updateOf(job, claimed(job, clock.now())))).status, 'conflict')
    assert.equal(await storage.lastSequence(), 0)
  },

  'S3 of 50 jobs that want one slot exactly one is stored, and the others name it': async ({ clock, open }) => {
    const storage = await open()
    const jobs = Array.from({ length: 50 }, (_, index) => newJob({ id: `j${index}`, pipeline: 'p' }, clock.now()))
    const results = await storage.commit(jobs.map((job) => unitOf(insertOf(job))))
    const [winner] = jobs
    assert.equal(results.filter(({ status }) => status === 'applied').length, 1)
    for (const result of results.slice(1)) assert.deepEqual(result, { status: 'slot-taken', by: winner?.job.id })
  },

  'S3 a slot is of one tenant: the same pipeline elsewhere is free': async ({ clock, open }) => {
    const storage = await open()
    const here = newJob({ id: 'a', pipeline: 'p' }, clock.now())
    const there = newJob({ id: 'b', pipeline: 'p', tenant: 't2' }, clock.now())
    assert.equal((await commitOne(storage, insertOf(here))).status, 'applied')
    assert.equal((await commitOne(storage, insertOf(there))).status, 'applied')
  },

  'S3 a unit that frees the slot and takes it is applied, in whatever order it says so': async ({ clock, open }) => {
    const storage = await open()
    const first = newJob({ id: 'a', pipeline: 'p' }, clock.now())
    const running = claimed(first.job, clock.now())
    await storage.commit([unitOf(insertOf(first)), unitOf(updateOf(first.job, running))])
    const second = newJob({ id: 'b', pipeline: 'p' }, clock.now())
    const result = await commitOne(storage, insertOf(second), updateOf(running.job, ended(running.job, clock.now())))
    assert.equal(result.status, 'applied')
  },

  'S4 a key is looked at before the slot, and names the first job': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, insertOf(newJob({ id: 'a', pipeline: 'p', idempotencyKey: 'k' }, clock.now())))
    const again = newJob({ id: 'b', pipeline: 'p', idempotencyKey: 'k' }, clock.now())
    assert.deepEqual(await commitOne(storage, insertOf(again)), { status: 'duplicate', id: 'a' })
  },

  'S4 a key is of one tenant, creator and type': async ({ clock, open }) => {
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

  'S5 each kind of note under an old token is stale, and changes nothing': async ({ clock, open }) => {
    const storage = await open()
    const created = newJob({ id: 'a' }, clock.now())
    const first = claimed(created.job, clock.now())
    const token = first.job.tasks[0]?.token ?? 0
    const released = release(plain, first.job, token, momentAt(clock.now()))
    const second = claimed(released.job, clock.now(), 'other')
    await storage.commit([
      unitOf(insertOf(created)),
      unitOf(updateOf(created.job, first)),
      unitOf(updateOf(first.job, released)),
      unitOf(updateOf(released.job, second)),
    ])
    const progress = { completed: 1, failed: 0, running: 0, total: 2 }
    const notes = [
      { kind: 'progress', progress },
      { kind: 'log', key: 'k', lines: [{ at: clock.now(), text: 'late' }] },
      { kind: 'step', invocation: 1, name: 's', result: 1 },
    ] as const
    for (const note of notes) {
      assert.equal((await commitOne(storage, { op: 'note', jobId: 'a', token, note })).status, 'stale')
    }
    assert.deepEqual(await storage.get('a'), second.job)
    assert.deepEqual(await storage.logs('a', 0, FAR), [])
    assert.equal((await storage.steps('a', 1)).size, 0)
  },

  'S5 notes under the held token are kept, and repeating one changes nothing': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const lines = ['one', 'two'].map((text) => ({ at: clock.now(), text }))
    const notes = [
      { kind: 'progress', progress: { completed: 1, failed: 0, running: 0, total: 2 } },
      { kind: 'log', key: 'k', lines },
      { kind: 'step', invocation: 1, name: 's', result: { rows: [1, 2] } },
      { kind: 'step', invocation: 1, name: 'nothing' },
    ] as const
    for (const note of [...notes, ...notes]) {
      assert.equal((await commitOne(storage, { op: 'note', jobId: 'a', token, note })).status, 'applied')
    }
    assert.deepEqual((await storage.get('a'))?.progress, notes[0].progress)
    const stored = await storage.logs('a', 0, FAR)
    assert.deepEqual(stored, [
      { ...lines[0], number: 1 },
      { ...lines[1], number: 2 },
    ])
    assert.deepEqual(await storage.logs('a', 1, FAR), stored.slice(1))
    assert.deepEqual(
      await storage.steps('a', 1),
      new Map<string, unknown>([
        ['s', { rows: [1, 2] }],
        ['nothing', undefined],
      ]),
    )
  },

  'S5 what a report wrote stays when a transition writes': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    const running = await storage.get('a')
    assert.ok(running)
    const progress = { completed: 2, failed: 0, running: 0, total: 2 }
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: { kind: 'progress', progress } })
    await commitOne(storage, updateOf(running, ended(running, clock.now())))
    assert.deepEqual((await storage.get('a'))?.progress, progress)
  },

  'S5 forgotten steps of one invocation are gone, those of another stay': async ({ clock, open }) => {
    const storage = await open()
    const token = await insertClaimed(storage, clock.now(), 'a')
    for (const invocation of [1, 2]) {
      await commitOne(storage, {
        op: 'note',
        jobId: 'a',
        token,
        note: { kind: 'step', invocation, name: 's', result: invocation },
      })
    }
    await commitOne(storage, { op: 'forget', jobId: 'a', invocation: 1 })
    assert.equal((await storage.steps('a', 1)).size, 0)
    assert.equal((await storage.steps('a', 2)).get('s'), 2)
  },

  'S6 events are numbered in order without gaps, also over refused units': async ({ clock, open }) => {
    const storage = await open()
    const a = newJob({ id: 'a' }, clock.now())
    const running = claimed(a.job, clock.now())
    const b = newJob({ id: 'b' }, clock.now())
    const results = await storage.commit([
      unitOf(insertOf(a)),
      unitOf(updateOf({ ...a.job, revision: 7 }, running)),
      unitOf(updateOf(a.job, running)),
      unitOf(insertOf(b)),
    ])
    const rows = await storage.events({ after: 0, limit: FAR })
    let next = 1
    for (const row of rows) {
      assert.equal(row.sequence, next)
      next += row.events.length
    }
    assert.equal(await storage.lastSequence(), next - 1)
    const sequences = results.flatMap((result) =>
      result.status === 'applied' ? result.rows.map(({ sequence }) => sequence) : [],
    )
    assert.deepEqual(
      sequences,
      rows.map(({ sequence }) => sequence),
    )
    assert.deepEqual(
      rows.filter(({ jobId }) => jobId === 'a').map(({ jobSequence }) => jobSequence),
      [1, 2],
    )
  },

  'S6 rows are read after a sequence, of all jobs or of one': async ({ clock, open }) => {
    const storage = await open()
    for (const id of ['a', 'b', 'c']) await commitOne(storage, insertOf(newJob({ id }, clock.now())))
    const ids = async (after: number, jobId?: string) =>
      (await storage.events({ after, limit: FAR, ...(jobId === undefined ? {} : { jobId }) })).map((row) => row.jobId)
    assert.deepEqual(await ids(0), ['a', 'b', 'c'])
    assert.deepEqual(await ids(1), ['b', 'c'])
    assert.deepEqual(await ids(0, 'b'), ['b'])
    assert.deepEqual(await ids(3), [])
    assert.equal((await storage.events({ after: 0, limit: 2 })).length, 2)
  },

  'S7 a write is claimed at once when nothing ready goes before it': async ({ clock, open }) => {
    const storage = await open()
    const created = newJob({ id: 'a' }, clock.now())
    const write: Write = { op: 'insert', ...writeOf(created), claimed: writeOf(claimed(created.job, clock.now())) }
    const result = await commitOne(storage, write)
    assert.equal(result.status === 'applied' && result.rows[0]?.claimed, true)
    assert.equal((await storage.get('a'))?.tasks[0]?.status, 'claimed')
  },

  'S7 a write is left offered when something ready of its route goes before it': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, insertOf(newJob({ id: 'first' }, clock.now())))
    const created = newJob({ id: 'a' }, clock.now())
    const write: Write = { op: 'insert', ...writeOf(created), claimed: writeOf(claimed(created.job, clock.now())) }
    const result = await commitOne(storage, write)
    assert.equal(result.status === 'applied' && result.rows[0]?.claimed, false)
    assert.deepEqual(await storage.get('a'), created.job)
  },

  'S7 a write goes before what is ready with a lower priority': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, insertOf(newJob({ id: 'first' }, clock.now())))
    const urgent = newJob({ id: 'a', priority: 5 }, clock.now())
    const write: Write = { op: 'insert', ...writeOf(urgent), claimed: writeOf(claimed(urgent.job, clock.now())) }
    const result = await commitOne(storage, write)
    assert.equal(result.status === 'applied' && result.rows[0]?.claimed, true)
  },

  'S7 units of one commit look at what those before them left ready': async ({ clock, open }) => {
    const storage = await open()
    const ready = newJob({ id: 'ready', idempotencyKey: 'k' }, clock.now())
    await commitOne(storage, insertOf(ready))
    const asking = (id: string): Write => {
      const created = newJob({ id }, clock.now())
      return { op: 'insert', ...writeOf(created), claimed: writeOf(claimed(created.job, clock.now())) }
    }
    const taking = updateOf(ready.job, claimed(ready.job, clock.now()))
    const again = insertOf(newJob({ id: 'again', idempotencyKey: 'k' }, clock.now()))
    const results = await storage.commit([
      // What it takes, and finds nothing after, is ready again once it is refused.
      unitOf(taking, asking('refused'), again),
      unitOf(asking('behind')),
      unitOf(taking),
      unitOf(asking('behind-behind')),
    ])
    const claims = results.map((result) => (result.status === 'applied' ? result.rows.at(-1)?.claimed : result.status))
    assert.deepEqual(claims, ['duplicate', false, false, false])
    await storage.claim({ routes: [routeOf()], at: clock.now() }, 10, transitionFor('me', clock.now()))
    const next = await storage.commit([
      unitOf(asking('first')),
      unitOf(asking('second')),
      unitOf(insertOf(newJob({ id: 'left' }, clock.now()))),
      unitOf(asking('third')),
    ])
    const then = next.map((result) => result.status === 'applied' && result.rows[0]?.claimed)
    assert.deepEqual(then, [true, true, false, false])
  },

  'S8 what landed is found by its unit, and what did not is not': async ({ clock, open }) => {
    const storage = await open()
    const landed = unitOf(insertOf(newJob({ id: 'a' }, clock.now())))
    await storage.commit([landed])
    const rows = await storage.landed([landed.id, 'never'], 0)
    assert.deepEqual(
      rows.map(({ unit, sequence }) => ({ unit, sequence })),
      [{ unit: landed.id, sequence: 1 }],
    )
    assert.deepEqual(await storage.landed([landed.id], 1), [])
  },
}
