import assert from 'node:assert/strict'
import type { Task } from '../model/task.ts'
import type { Claim, Write } from '../port/storage.ts'
import {
  changed,
  changesetOf,
  childOf,
  claimedIds,
  claimNow,
  claimOf,
  commitOne,
  decideFor,
  FAR,
  getJob,
  historyOf,
  insertOf,
  newJob,
  parentOf,
  routeOf,
  rowsOf,
  type Seed,
  twin,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of claims: S9. */
export const claimingChecks: Checks = {
  'S9 claims go by priority, then by due time, then by age': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const { job } of inClaimOrder(at)) await commitOne(storage, insertOf(job))
    const three = await claimNow(storage, at, { room: 3 })
    const rest = await claimNow(storage, at)
    const ids = [...three, ...rest].map(({ job }) => job.id)
    assert.deepEqual(ids, ['urgent', 'older', 'old', 'same-time', 'least'])
    assert.deepEqual(await getJob(storage, 'urgent'), three[0]?.job)
  },

  'S9 tasks of jobs that the same commit stores are claimed in order among others': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const jobs = inClaimOrder(at)
    for (const { job, isStored } of jobs) if (isStored) await commitOne(storage, insertOf(job))
    const changesets = jobs.filter(({ isStored }) => !isStored).map(({ job }) => changesetOf(insertOf(job)))
    const { results, claimed: taken } = await storage.commit(changesets, claimOf(at, { room: 4 }))
    assert.deepEqual(
      results.map(({ status }) => status),
      ['applied', 'applied', 'applied'],
    )
    // `old` and `same-time` have the same time. `same-time` was stored first, so it is the older job.
    const ids = taken.map(({ job }) => job.id)
    assert.deepEqual(ids, ['urgent', 'older', 'same-time', 'old'])
    for (const { job } of taken) assert.deepEqual(await getJob(storage, job.id), job)
    assert.deepEqual(await claimedIds(storage, at), ['least'])
  },

  'S9 a claim gives a job with its progress, though a decision of the same commit did not know it': async (bench) => {
    const storage = await bench.open()
    const at = bench.clock.now()
    const stored = newJob({ id: 'a' }, at, twin)
    await commitOne(storage, insertOf(stored))
    const [left] = await claimNow(storage, at, { type: twin, room: 1 })
    const token = left?.job.tasks.find(({ status }) => status === 'claimed')?.token ?? 0
    const progress = { completed: 1, failed: 0, running: 0, total: 2 }
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: { kind: 'progress', progress } })
    const before = left?.job ?? stored.job
    const changesets = [changesetOf(updateOf(before, changed(before, { message: 'changed' })))]
    const { claimed: taken } = await storage.commit(changesets, claimOf(at, { type: twin }))
    assert.equal(taken.length, 1)
    assert.deepEqual(taken[0]?.job, await getJob(storage, 'a'))
    assert.deepEqual(taken[0]?.job.progress, progress)
  },

  'S9 a job that is stored and claimed in one commit has all its events in order': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const other = newJob({ id: 'other' }, at)
    await commitOne(storage, insertOf(other))
    const changesets = [
      changesetOf(insertOf(newJob({ id: 'a' }, at))),
      changesetOf(updateOf(other.job, changed(other.job, { message: 'changed' }))),
      changesetOf(insertOf(newJob({ id: 'b' }, at)), insertOf(newJob({ id: 'c' }, at))),
    ]
    const claim = claimOf(at)
    const { results, claimed: taken } = await storage.commit(changesets, claim)
    assert.deepEqual(
      taken.map(({ job, invocation }) => [job.id, invocation]),
      [
        ['other', 1],
        ['a', 1],
        ['b', 1],
        ['c', 1],
      ],
    )
    const started = ['task.started', 'job.transitioned']
    for (const id of ['a', 'b', 'c']) assert.deepEqual(await historyOf(storage, id), ['job.created', ...started])
    assert.deepEqual(await historyOf(storage, 'other'), ['job.created', 'job.updated', ...started])
    for (const id of ['a', 'b', 'c', 'other']) {
      const job = await getJob(storage, id)
      assert.deepEqual([job.tasks[0]?.status, job.tasks[0]?.holder], ['claimed', 'me'])
      assert.equal(job.eventCount, (await historyOf(storage, id)).length)
    }
    // Each event is stored once, and `landed` finds it by the changeset that wrote it.
    const told = [
      ...results.flatMap((each) => (each.status === 'applied' ? each.rows : [])),
      ...taken.flatMap(({ rows }) => rows),
    ]
    const names = [claim.id, ...changesets.map(({ id }) => id)]
    const stored = (await rowsOf(storage)).slice(1)
    assert.deepEqual(await storage.landed(names, 0), stored)
    assert.deepEqual(
      told.sort((a, b) => a.sequence - b.sequence),
      stored.map(({ sequence, changeset: _, ...events }) => ({ sequence, events })),
    )
  },

  'S9 the tasks of a refused changeset are not claimed': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const first = newJob({ id: 'first', idempotencyKey: 'k' }, at)
    await commitOne(storage, insertOf(first))
    const changesets = [
      changesetOf(insertOf(newJob({ id: 'with' }, at)), insertOf(newJob({ id: 'again', idempotencyKey: 'k' }, at))),
      changesetOf(updateOf({ ...first.job, revision: 7 }, changed(first.job, { tasks: [] }))),
      changesetOf(insertOf(newJob({ id: 'last' }, at))),
    ]
    const { results, claimed: taken } = await storage.commit(changesets, claimOf(at))
    assert.deepEqual(
      results.map(({ status }) => status),
      ['duplicate', 'conflict', 'applied'],
    )
    assert.deepEqual(
      taken.map(({ job }) => job.id),
      ['first', 'last'],
    )
  },

  'S9 no more tasks are claimed than each executor has room for': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const put = async (id: string, executor: string, priority = 0) => {
      const { job, ...rest } = newJob({ id, priority }, at)
      const tasks = job.tasks.map((task): Task => ({ ...task, executor }))
      await commitOne(storage, insertOf({ ...rest, job: { ...job, tasks } }))
    }
    for (const id of ['a1', 'a2', 'a3']) await put(id, 'a', 1)
    for (const id of ['b1', 'b2', 'b3']) await put(id, 'b')
    await put('c1', 'c', 9)
    await put('d1', 'd', 9)
    const routes = ['a', 'b', 'c', 'd'].map((executor) => ({ ...routeOf(), executor }))
    const claim = async (room: Readonly<Record<string, number>>) => {
      const query = { ...claimOf(at, { routes }), room: new Map(Object.entries(room)) }
      return (await storage.commit([], query)).claimed.map(({ job }) => job.id)
    }
    assert.deepEqual(await claim({ a: 1, b: 2, c: 0 }), ['a1', 'b1', 'b2'])
    assert.deepEqual(await claim({ a: 5 }), ['a2', 'a3'])
    assert.deepEqual(await claim({ b: 1, c: 1, d: 1 }), ['c1', 'd1', 'b3'])
  },

  'S9 a claim takes only its routes': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'a' }, at)))
    const executor = { ...routeOf(), executor: 'other' }
    const elsewhere = [executor, { ...routeOf(), version: '2' }, { ...routeOf(), type: 'other' }]
    const room = new Map([
      ['default', FAR],
      ['other', FAR],
    ])
    const claim = { ...claimOf(at, { routes: elsewhere }), room }
    assert.deepEqual((await storage.commit([], claim)).claimed, [])
    assert.deepEqual(await claimedIds(storage, at, { routes: [] }), [])
    assert.deepEqual(await claimedIds(storage, at, { routes: [...elsewhere, routeOf()] }), ['a'])
  },

  'S9 a task that a claim leaves stays ready, takes no room, and delays no task behind it': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b', 'c', 'd']) await commitOne(storage, insertOf(newJob({ id }, at)))
    const before = await rowsOf(storage)
    const asked: string[] = []
    const decide: Claim['decide'] = (ready) => {
      asked.push(ready.job.id)
      return ready.job.id < 'c' ? { kind: 'leave' } : decideFor('me', at)(ready)
    }
    const changesets = [changesetOf(insertOf(newJob({ id: 'aa', priority: 1 }, at)))]
    const { results, claimed: taken } = await storage.commit(changesets, claimOf(at, { decide, room: 1 }))
    assert.equal(results[0]?.status, 'applied')
    assert.deepEqual(
      taken.map(({ job }) => job.id),
      ['c'],
    )
    assert.deepEqual(asked, ['aa', 'a', 'b', 'c'])
    assert.equal((await rowsOf(storage, 'a')).length, before.filter(({ jobId }) => jobId === 'a').length)
    assert.deepEqual(await claimedIds(storage, at), ['aa', 'a', 'b', 'd'])
  },

  'S9 a claim that is stopped keeps its claimed tasks, and leaves the rest': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b', 'c']) await commitOne(storage, insertOf(newJob({ id }, at)))
    const asked: string[] = []
    const decide: Claim['decide'] = (ready) => {
      asked.push(ready.job.id)
      return ready.job.id === 'a' ? decideFor('me', at)(ready) : { kind: 'stop' }
    }
    assert.deepEqual(await claimedIds(storage, at, { decide }), ['a'])
    assert.deepEqual(asked, ['a', 'b'])
    assert.deepEqual(await claimedIds(storage, at), ['b', 'c'])
  },

  'S9 a claimed task whose write is refused stays unchanged, and the others are claimed': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const seeds: readonly Seed[] = [
      { id: 'holder', pipeline: 'p' },
      { id: 'keyed', idempotencyKey: 'k' },
    ]
    for (const seed of seeds) await commitOne(storage, insertOf({ ...newJob(seed, at), ...withoutTasks(seed, at) }))
    const extra: Readonly<Record<string, Write>> = {
      conflict: { op: 'expect', jobId: 'holder', revision: 99 },
      'slot-taken': insertOf(newJob({ id: 'new', pipeline: 'p' }, at)),
      duplicate: insertOf(newJob({ id: 'new', idempotencyKey: 'k' }, at)),
      stale: { op: 'note', jobId: 'holder', token: 5, note: { kind: 'log', key: 'k', lines: [{ at, text: 'x' }] } },
      applied: { op: 'expect', jobId: 'holder', revision: 1 },
    }
    for (const id of Object.keys(extra)) await commitOne(storage, insertOf(newJob({ id }, at)))
    const before = await rowsOf(storage)
    const decide: Claim['decide'] = (ready) => {
      const decision = decideFor('me', at)(ready)
      const more = extra[ready.job.id]
      return decision.kind !== 'claim' || more === undefined
        ? decision
        : { ...decision, writes: [...decision.writes, more] }
    }
    assert.deepEqual(await claimedIds(storage, at, { decide }), ['applied'])
    assert.equal(await storage.get('new'), undefined)
    assert.equal((await rowsOf(storage)).length, before.length + 1)
    assert.deepEqual(await claimedIds(storage, at), ['conflict', 'slot-taken', 'duplicate', 'stale'])
  },

  'S9 each task is passed to a claim at most once, even if it stays available': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b']) await commitOne(storage, insertOf(newJob({ id }, at)))
    const asked: string[] = []
    const decide: Claim['decide'] = ({ job }) => {
      asked.push(job.id)
      return { kind: 'claim', writes: [updateOf(job, changed(job, { message: 'not claimed' }))] }
    }
    await claimNow(storage, at, { decide })
    assert.deepEqual(asked, ['a', 'b'])
    assert.equal((await getJob(storage, 'a')).message, 'not claimed')
    assert.deepEqual(await claimedIds(storage, at), ['a', 'b'])
  },

  'S9 a claim may write its job under another version, and leave its task unclaimed': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a' }, at)
    await commitOne(storage, insertOf(created))
    const moved = changed(created.job, { version: 'next' })
    const route = routeOf()
    const claim = (version: string) =>
      claimNow(storage, at, {
        routes: [{ ...route, version }],
        decide: (ready) =>
          ready.job.version === 'next'
            ? decideFor('me', at)(ready)
            : { kind: 'claim', writes: [updateOf(ready.job, moved)] },
      })
    await claim(route.version)
    assert.deepEqual(await getJob(storage, 'a'), moved.job)
    assert.deepEqual(await claim(route.version), [])
    assert.equal((await claim('next')).length, 1)
    assert.equal((await getJob(storage, 'a')).tasks[0]?.status, 'claimed')
  },

  'S9, S32 a claim is decided on the current job tree, and may write several jobs or none': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const parent = parentOf('child', newJob({ id: 'parent', priority: 1 }, at))
    const child = childOf('parent', newJob({ id: 'child' }, at))
    await commitOne(storage, insertOf(parent), insertOf(child))
    const renamed = changed(parent.job, { message: 'renamed' })
    const isStale: { now: boolean } = { now: true }
    const trees: (string | undefined)[] = []
    const decide: Claim['decide'] = ({ job, task, tree }) => {
      const above = tree('parent')
      trees.push(above?.message, tree('child')?.id, tree('none')?.id)
      const before = isStale.now ? parent.job : above
      if (before === undefined) return { kind: 'stop' }
      const tasks = [{ ...task, status: 'claimed' as const, holder: 'me', token: 1 }]
      const both = [
        updateOf(before, changed(before, { message: 'its child began' })),
        updateOf(job, changed(job, { tasks })),
      ]
      return { kind: 'claim', writes: both }
    }
    const update = changesetOf(updateOf(parent.job, renamed))
    const refused = await storage.commit([update], claimOf(at, { decide }))
    assert.deepEqual([refused.results[0]?.status, refused.claimed], ['applied', []])
    assert.deepEqual(await getJob(storage, 'parent'), renamed.job)
    assert.deepEqual(await getJob(storage, 'child'), child.job)
    isStale.now = false
    const [taken] = await claimNow(storage, at, { decide })
    assert.deepEqual(trees, ['renamed', 'child', undefined, 'renamed', 'child', undefined])
    assert.deepEqual([taken?.job.id, taken?.invocation, taken?.rows.length], ['child', 1, 2])
    assert.equal((await getJob(storage, 'parent')).message, 'its child began')
    assert.deepEqual(await getJob(storage, 'child'), taken?.job)
  },

  'S9 a task that an earlier task of the claim removed is not passed on': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const left = newJob({ id: 'left' }, at, twin)
    const same = newJob({ id: 'same' }, at)
    await storage.commit([{ id: 'a' }, { id: 'b' }].map((seed) => changesetOf(insertOf(newJob(seed, at)))))
    for (const job of [left, same]) await commitOne(storage, insertOf(job))
    const asked: string[] = []
    const decide: Claim['decide'] = (ready) => {
      asked.push(ready.job.id)
      const decision = decideFor('me', at)(ready)
      const gone = [left, same].map(({ job }) => updateOf(job, changed(job, { tasks: [] })))
      if (decision.kind !== 'claim' || ready.job.id !== 'a') return decision
      return { kind: 'claim', writes: [...decision.writes, ...gone] }
    }
    assert.deepEqual(await claimedIds(storage, at, { routes: [routeOf(), routeOf(twin)], decide }), ['a', 'b'])
    assert.deepEqual(asked, ['a', 'b'])
  },
}

/** Five jobs. A check stores those with `isStored` before the others. */
function inClaimOrder(at: number) {
  return [
    { job: newJob({ id: 'older' }, at - 20), isStored: false },
    { job: newJob({ id: 'old' }, at - 10), isStored: false },
    { job: newJob({ id: 'urgent', priority: 1 }, at), isStored: false },
    { job: newJob({ id: 'same-time' }, at - 10), isStored: true },
    { job: newJob({ id: 'least', priority: -1 }, at - 99), isStored: true },
  ]
}

function withoutTasks(seed: Seed, at: number) {
  const { job } = newJob(seed, at)
  return { job: { ...job, tasks: [] } }
}
