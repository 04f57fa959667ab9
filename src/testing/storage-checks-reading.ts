import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Claim, StorageConnection } from '../port/storage.ts'
import {
  changed,
  changesetOf,
  claimed,
  claimNow,
  claimOf,
  commitOne,
  contextAt,
  decideFor,
  ended,
  FAR,
  getJob,
  insertClaimed,
  insertOf,
  newJob,
  plain,
  plainOnly,
  rowsOf,
  tokenOf,
  twin,
  updateOf,
  writeOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of reads of single jobs, and of due and held jobs: S11, S13, S23, S24, S25 and S27. */
export const readingChecks: Checks = {
  'S11 a record is read back deep-equal, whatever its values, by every connection': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const input = { text: 'ü 𝄞 \u0000 "\'', list: [[], {}, null, 0, -1.5, 1e300], deep: { a: { b: [true] } } }
    const labels = { 'a b': 'c', empty: '' }
    const created = newJob({ id: 'a', input, labels, pipeline: 'p', idempotencyKey: 'k', priority: -3 }, clock.now())
    const { results } = await storage.commit([changesetOf(insertOf(created))])
    for (const reader of [storage, other]) {
      assert.deepEqual(await reader.get('a'), created.job)
      const [row] = await rowsOf(reader)
      const { sequence, changeset: _, ...events } = row ?? { sequence: 0, changeset: '' }
      assert.deepEqual(events, writeOf(created).events)
      assert.deepEqual(results, [{ status: 'applied', rows: [{ events, sequence }] }])
    }
  },

  'S11 a change of one of many tasks changes no other': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    const created = newJob({ id: 'a' }, at)
    const [task] = created.job.tasks
    assert.ok(task)
    const tasks = Array.from({ length: 40 }, (_, index) => ({
      ...task,
      id: `task ${index}`,
      invocation: index + 1,
      input: { index },
      inbox: [{ type: 'hello', index }],
    }))
    let job: Job = { ...created.job, tasks, counter: 40 }
    await commitOne(storage, insertOf({ ...created, job }))
    assert.deepEqual(await other.get('a'), job)
    // If a task is the same object in both records, a storage may assume that it is unchanged. These moves change,
    // remove, add, copy and reorder tasks.
    const moves: readonly ((each: Job['tasks']) => Job['tasks'])[] = [
      (each) => each.map((one) => (one.invocation === 7 ? { ...one, input: 'changed' } : one)),
      (each) => each.filter(({ invocation }) => invocation !== 1),
      (each) => [...each, { ...task, id: 'new', invocation: 41 }],
      (each) => [...each.slice(0, 20), { ...task, id: 'between', invocation: 42 }, ...each.slice(20)],
      (each) => [...each.slice(0, 10), ...each.slice(11), ...each.slice(10, 11)],
      (each) => [...each.slice(0, 5), ...each.slice(20, 25), ...each.slice(5, 20), ...each.slice(25)],
      (each) => [...each.slice(1, 12), ...each.slice(20), { ...task, id: 'newest', invocation: 43 }],
      (each) => each.filter(({ invocation }) => invocation % 2 === 0),
      (each) => each.map((one) => ({ ...one })),
      (each) => [...each].reverse(),
      () => [],
    ]
    for (const move of moves) {
      const next = changed(job, { tasks: move(job.tasks) })
      assert.equal((await commitOne(storage, updateOf(job, next))).status, 'applied')
      job = next.job
      assert.deepEqual(await storage.get('a'), job)
      assert.deepEqual(await other.get('a'), job)
      const ready = new Set<Task>()
      const decide: Claim['decide'] = ({ task: each }) => {
        ready.add(each)
        return { kind: 'leave' }
      }
      await claimNow(storage, at, { decide })
      assert.deepEqual([...ready].sort(byInvocation), [...job.tasks].sort(byInvocation))
    }
  },

  'S11 records are values: neither a written nor a read one is changed later': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = frozen(newJob({ id: 'a', input: { list: [1] }, labels: { team: 'x' } }, at))
    const insert = frozen(insertOf(created))
    const decide: Claim['decide'] = (ready) => frozen(decideFor('me', at)(ready))
    const { claimed: taken } = await storage.commit([changesetOf(insert)], claimOf(at, { decide }))
    const running = await getJob(storage, 'a')
    const kept = structuredClone(running)
    assert.deepEqual(taken[0]?.job, kept)
    const rows = await rowsOf(storage)
    const rowsKept = structuredClone(rows)
    const progress = { completed: 1, failed: 0, running: 0, total: 1 }
    const note = frozen({ kind: 'progress', progress } as const)
    await commitOne(storage, { op: 'note', jobId: 'a', token: tokenOf(running), note })
    const done = frozen(ended(running, at))
    await commitOne(storage, frozen(updateOf(running, done)))
    await commitOne(storage, frozen(updateOf(done.job, remove(plain, done.job, contextAt(at)))))
    assert.deepEqual(running, kept)
    assert.deepEqual(rows, rowsKept)
  },

  'S13 held tasks are found by their holder, also while they are stopping': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await insertClaimed(storage, at, 'a', 'one')
    await insertClaimed(storage, at, 'b', 'two')
    await insertClaimed(storage, at, 'c', 'one')
    await insertClaimed(storage, at, 'done', 'one')
    await commitOne(storage, insertOf(newJob({ id: 'd' }, at)))
    const both = newJob({ id: 'both' }, at, twin)
    const first = claimed(both.job, at, 'one', twin)
    const second = claimed(first.job, at, 'two', twin)
    await commitOne(storage, insertOf(both))
    await commitOne(storage, updateOf(both.job, first))
    await commitOne(storage, updateOf(first.job, second))
    await move(storage, 'c', (job) => remove(plain, job, contextAt(at)))
    await move(storage, 'done', (job) => ended(job, at))
    const held = async (instance: string) => (await storage.held(instance)).map(({ id }) => id).sort()
    assert.deepEqual(await held('one'), ['a', 'both', 'c'])
    assert.deepEqual(await held('two'), ['b', 'both'])
    assert.deepEqual(await held('three'), [])
  },

  'S13 due jobs are found by time and type, the oldest first': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const timer = { id: 't', event: { type: 'tick' } }
    for (const [id, dueAt] of [
      ['late', at + 20],
      ['early', at + 10],
      ['never', undefined],
    ] as const) {
      const created = newJob({ id }, at)
      const job = dueAt === undefined ? created.job : { ...created.job, timers: [{ ...timer, dueAt }] }
      await commitOne(storage, insertOf({ ...created, job }))
    }
    const due = async (now: number, limit = FAR, skip = 0, version = plain.version) =>
      (await storage.due([{ type: plain.type, version }], now, limit, skip)).map(({ id }) => id)
    assert.deepEqual(await due(at + 9), [])
    assert.deepEqual(await due(at + 10), ['early'])
    assert.deepEqual(await due(at + 20), ['early', 'late'])
    assert.deepEqual(await due(at + 20, 1), ['early'])
    assert.deepEqual(await due(at + 20, FAR, 1), ['late'])
    assert.deepEqual(await due(at + 20, FAR, 0, 'another'), [])
    await move(storage, 'early', (job) => changed(job, { timers: [] }))
    await move(storage, 'never', (job) => changed(job, { timers: [{ ...timer, dueAt: at + 5 }] }))
    assert.deepEqual(await due(at + 20), ['never', 'late'])
    // Also due: the deadline of an attempt, and the end of the time that code has to stop.
    await move(storage, 'late', (job) => changed(job, { timers: [], tasks: bounded(job, { deadlineAt: at + 2 }) }))
    assert.deepEqual(await due(at + 20), ['late', 'never'])
    await move(storage, 'late', (job) => changed(job, { tasks: bounded(job, { stopBy: at + 8 }) }))
    assert.deepEqual(await due(at + 7), ['late', 'never'])
  },

  'S23 a job whose record is broken fails alone': async ({ clock, open, damage }) => {
    if (damage === undefined) return
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    for (const id of ['a', 'broken', 'c']) await commitOne(storage, insertOf(newJob({ id }, at)))
    await insertClaimed(storage, at, 'claimed')
    await damage('broken')
    for (const reader of [storage, other]) {
      await assert.rejects(reader.get('broken'), { code: 'JOB_UNREADABLE', jobId: 'broken' })
      const loaded = await reader.load({ jobs: ['a', 'broken'], pipelines: [], types: plainOnly, at })
      assert.throws(() => loaded.job('broken'), { code: 'JOB_UNREADABLE', jobId: 'broken' })
      assert.equal(loaded.job('a')?.id, 'a')
      const many = (await reader.many(['a', 'broken', 'c'])).map(({ id }) => id).sort()
      assert.deepEqual(many, ['a', 'c'])
      const page = await reader.find({ scopes: [{}] }, { limit: FAR })
      assert.deepEqual(page.jobs.map(({ id }) => id).sort(), ['a', 'c', 'claimed'])
      assert.equal(await reader.count({ scopes: [{}] }), 4)
      assert.equal((await reader.summary('broken'))?.status, 'queued')
      assert.equal((await reader.summaries(['a', 'broken'])).length, 2)
    }
    const ids = (await claimNow(storage, at)).map(({ job }) => job.id)
    assert.deepEqual(ids, ['a', 'c'])
  },

  'S24 a summary has what a policy may know of a job, and no more': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const labels = { 'a "b"': 'ü 𝄞 \u0000', empty: '' }
    const input = 'x'.repeat(100_000)
    await commitOne(storage, insertOf(newJob({ id: 'full', tenant: 't2', pipeline: 'p', labels, input }, clock.now())))
    await insertClaimed(storage, clock.now(), 'bare')
    const type = { type: 'plain', version: '1', createdBy: 'ada' }
    const full = { id: 'full', tenant: 't2', ...type, pipeline: 'p', labels, status: 'queued' }
    const bare = { id: 'bare', tenant: 't1', ...type, labels: {}, status: 'running' }
    for (const reader of [storage, other]) {
      assert.deepEqual(await reader.summary('full'), full)
      assert.deepEqual(await reader.summary('bare'), bare)
      assert.equal(await reader.summary("x' OR '1'='1"), undefined)
      const both = await reader.summaries(['full', 'none', 'bare', 'full'])
      assert.deepEqual([...both].sort(byId), [bare, full])
      assert.deepEqual(await reader.summaries([]), [])
    }
  },

  'S24 a deleted job has no summary, even while its work runs': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, insertOf(newJob({ id: 'idle' }, clock.now())))
    await insertClaimed(storage, clock.now(), 'busy')
    for (const id of ['idle', 'busy']) {
      assert.equal((await storage.summary(id))?.id, id)
      await move(storage, id, (job) => remove(plain, job, contextAt(clock.now())))
      assert.equal(await storage.summary(id), undefined)
      assert.deepEqual(await storage.summaries([id]), [])
    }
  },

  'S25 many gives the jobs of its ids, each once, without missing or deleted ones': async ({ clock, open }) => {
    const storage = await open()
    for (const id of ['a', 'b', 'c', 'd']) await commitOne(storage, insertOf(newJob({ id }, clock.now())))
    await insertClaimed(storage, clock.now(), 'busy')
    for (const id of ['d', 'busy']) await move(storage, id, (job) => remove(plain, job, contextAt(clock.now())))
    const asked = ['b', 'none', 'a', 'b', 'd', 'busy', "x' OR '1'='1", 'a']
    const jobs = [...(await storage.many(asked))].sort(byId)
    assert.deepEqual(jobs, [await storage.get('a'), await storage.get('b')])
    assert.deepEqual(await storage.many([]), [])
    const most = Array.from({ length: 1_000 }, (_, index) => (index === 999 ? 'c' : `none-${index}`))
    assert.deepEqual(await storage.many(most), [await storage.get('c')])
  },

  'S27 the holder of a slot is named from taking it until freeing it': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    const holders = async () => await Promise.all([storage, other].map((each) => each.slotHolder('t1', 'p')))
    assert.deepEqual(await holders(), [undefined, undefined])
    const first = newJob({ id: 'first', pipeline: 'p' }, at)
    await commitOne(storage, insertOf(first))
    await commitOne(storage, insertOf(newJob({ id: 'waits', pipeline: 'p', isWaiting: true }, at)))
    assert.deepEqual(await holders(), ['first', 'first'])
    assert.equal(await storage.slotHolder('t2', 'p'), undefined)
    assert.equal(await storage.slotHolder('t1', 'q'), undefined)
    const running = claimed(first.job, at)
    await commitOne(storage, updateOf(first.job, running))
    await commitOne(storage, updateOf(running.job, ended(running.job, at)))
    assert.deepEqual(await holders(), [undefined, undefined])
    await commitOne(storage, insertOf(newJob({ id: 'second', pipeline: 'p' }, at)))
    assert.deepEqual(await holders(), ['second', 'second'])
  },
}

type Move = (job: Job) => Parameters<typeof updateOf>[1]

async function move(storage: StorageConnection, id: string, decide: Move): Promise<void> {
  const job = await getJob(storage, id)
  assert.equal((await commitOne(storage, updateOf(job, decide(job)))).status, 'applied')
}

function bounded(job: Job, times: { readonly deadlineAt?: number; readonly stopBy?: number }): Job['tasks'] {
  return job.tasks.map((task) => ({ ...task, ...times, status: 'claimed' as const }))
}

function byInvocation(a: Task, b: Task): number {
  return a.invocation - b.invocation
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : 1
}

/** Freezes a value with everything in it. */
function frozen<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value) && !isType(value)) {
    Object.freeze(value)
    for (const each of Object.values(value)) frozen(each)
  }
  return value
}

// A decision contains its job type, which holds functions, so it is not frozen.
function isType(value: object): boolean {
  return value === plain
}
