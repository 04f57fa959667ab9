import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import { type AnyJobType, defineJob } from '../model/definition.ts'
import { heldKeys, type Job } from '../model/job.ts'
import type { Claim, StorageConnection, Write } from '../port/storage.ts'
import {
  changed,
  changesetOf,
  claimed,
  claimedIds,
  claimNow,
  claimOf,
  commitOne,
  contextAt,
  decideFor,
  ended,
  FAR,
  getJob,
  insertOf,
  newJob,
  routeOf,
  twin,
  updateOf,
  writeOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

const limits = { concurrency: 2, key: ({ input }: { readonly input: unknown }) => String(input) }
const limited: AnyJobType = defineJob({ type: 'limited', limits, execute: () => 'done' })
/** A second type, whose tasks have the same limit keys as those of the first type. */
const other: AnyJobType = defineJob({ type: 'other', limits, execute: () => 'done' })

/** Checks of limits: S19, S20 and S27. */
export const limitChecks: Checks = {
  'S19 one claim takes no more tasks of a key than its limit': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3']) await wait(storage, at, id, 'a')
    await wait(storage, at, 'b1', 'b')
    assert.deepEqual(await claim(storage, at), ['a1', 'a2', 'b1'])
    assert.deepEqual(await claim(storage, at), [])
  },

  'S19 jobs that the same commit stores count too': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await wait(storage, at, 'a1', 'a')
    const changesets = ['a2', 'a3', 'b1'].map((id) => changesetOf(insertOf(limitedJob(id, at))))
    const { claimed: taken } = await storage.commit(changesets, claimOf(at, choice()))
    assert.deepEqual(
      taken.map(({ job }) => job.id),
      ['a1', 'a2', 'b1'],
    )
    const a1 = await getJob(storage, 'a1')
    const next = await storage.commit([changesetOf(updateOf(a1, ended(a1, at, limited)))], claimOf(at, choice()))
    assert.deepEqual(
      next.claimed.map(({ job }) => job.id),
      ['a3'],
    )
  },

  'S19 a key is full for every connection, and for every type that shares it': async ({ clock, open }) => {
    const [one, two] = [await open('one'), await open('two')]
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3']) await wait(one, at, id, 'a')
    await wait(two, at, 'o1', 'a', other)
    assert.deepEqual(await claim(one, at, 1), ['a1'])
    assert.deepEqual(await claim(two, at, FAR, other), ['o1'])
    assert.deepEqual(await claim(one, at), [])
    assert.deepEqual(await claim(two, at), [])
  },

  'S19 two routes of one claim share their key': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2']) await wait(storage, at, id, 'a')
    for (const id of ['o1', 'o2']) await wait(storage, at, id, 'a', other)
    const routes = [routeOf(limited, 3), routeOf(other, 3)]
    const decide: Claim['decide'] = (ready) => decideFor('me', at, ready.job.type === 'other' ? other : limited)(ready)
    assert.deepEqual(await claimedIds(storage, at, { routes, decide }), ['a1', 'a2', 'o1'])
  },

  'S19 of 50 claims at once no more than the limit get a task': async ({ clock, open }) => {
    const connections = [await open('one'), await open('two'), await open('three')]
    const at = clock.now()
    const [first] = connections
    assert.ok(first)
    for (let index = 0; index < 20; index++) await wait(first, at, `a${index}`, 'a')
    const claims = Array.from({ length: 50 }, (_, index) => claim(connections[index % 3] ?? first, at, 1))
    const ids = (await Promise.all(claims)).flat()
    // Two claims at once may hinder each other so that a task is left. So claims are repeated.
    for (let round = 0; round < 20; round++) ids.push(...(await claim(first, at, 1)))
    assert.deepEqual([ids.length, new Set(ids).size], [2, 2])
  },

  'S19 a changeset that would exceed the limit of a key is refused, and changes nothing': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3']) await wait(storage, at, id, 'a')
    const [first] = await claimNow(storage, at, choice())
    const waiting = await getJob(storage, 'a3')
    const write: Write = { ...held(waiting, 2, at), op: 'update', before: waiting }
    const created = limitedJob('a4', at)
    const insert: Write = { ...held(created.job, 2, at), op: 'insert' }
    for (const refused of [write, insert]) {
      const result = await commitOne(storage, insertOf(newJob({ id: 'beside' }, at)), refused)
      assert.deepEqual(result, { status: 'full' })
    }
    assert.deepEqual(await getJob(storage, 'a3'), waiting)
    for (const id of ['beside', 'a4']) assert.equal(await storage.get(id), undefined)
    assert.ok(first)
    await commitOne(storage, updateOf(first.job, ended(first.job, at, limited)))
    assert.equal((await commitOne(storage, write)).status, 'applied')
    assert.deepEqual(await commitOne(storage, insert), { status: 'full' })
  },

  'S19 a limit counts the tasks of the written row, and each task is checked against its own limit': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a' }, at, twin)
    const keyed = { ...created.job, tasks: created.job.tasks.map((task) => ({ ...task, limitKey: 'k' })) }
    await commitOne(storage, insertOf({ ...created, job: keyed }))
    const one = claimed(keyed, at, 'me', twin)
    const both = claimed(one.job, at, 'me', twin)
    const update = (before: Job, decision: typeof one, concurrency: number): Write => {
      return { op: 'update', before, ...writeOf(decision), limits: [{ key: 'k', concurrency }] }
    }
    const merged = { ...both, job: { ...both.job, revision: one.job.revision, eventCount: one.job.eventCount } }
    assert.deepEqual(await commitOne(storage, update(keyed, merged, 1)), { status: 'full' })
    assert.equal((await commitOne(storage, update(keyed, one, 1))).status, 'applied')
    assert.deepEqual(await commitOne(storage, update(one.job, both, 1)), { status: 'full' })
    assert.equal((await commitOne(storage, update(one.job, both, 2))).status, 'applied')
    // Two tasks already run under the key. This write adds none, so the limit does not refuse it.
    const renamed = { ...writeOf(changed(both.job, { message: 'renamed' })), op: 'update', before: both.job } as const
    assert.equal((await commitOne(storage, renamed)).status, 'applied')
  },

  'S19 a task stays ready if the write that claims it would exceed a limit': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'b1']) await wait(storage, at, id, id.slice(0, 1))
    const { limits: _, ...route } = routeOf(limited, 1)
    const decide: Claim['decide'] = ({ job }) => {
      return { kind: 'claim', writes: [{ op: 'update', before: job, ...held(job, 1, at) }] }
    }
    const before = await getJob(storage, 'a2')
    assert.deepEqual(await claimedIds(storage, at, { routes: [route], decide }), ['a1', 'b1'])
    assert.deepEqual(await getJob(storage, 'a2'), before)
  },

  'S19 a place is free again after an end, and after a deleted job has stopped': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3', 'a4', 'a5']) await wait(storage, at, id, 'a')
    const [first, second] = await claimNow(storage, at, choice())
    assert.ok(first && second)
    await commitOne(storage, updateOf(first.job, ended(first.job, at, limited)))
    assert.deepEqual(await claim(storage, at), ['a3'])
    const deleted = remove(limited, second.job, contextAt(at))
    await commitOne(storage, updateOf(second.job, deleted))
    assert.equal(heldKeys(deleted.job).length, 1)
    assert.deepEqual(await claim(storage, at), [])
    await commitOne(storage, updateOf(deleted.job, ended(deleted.job, at, limited)))
    assert.deepEqual(await claim(storage, at), ['a4'])
  },

  'S19 a task with a key but without a limit in its route is claimed, and a changed limit applies': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3', 'a4', 'a5']) await wait(storage, at, id, 'a')
    const claimBy = (concurrency: number | undefined, room: number) =>
      claimedIds(storage, at, { type: limited, routes: [routeOf(limited, concurrency)], room })
    assert.deepEqual(await claimBy(1, FAR), ['a1'])
    assert.deepEqual(await claimBy(3, FAR), ['a2', 'a3'])
    assert.deepEqual(await claimBy(undefined, 1), ['a4'])
    assert.deepEqual(await claimBy(3, FAR), [])
  },

  'S20 keys with room go in the order of their first tasks, and full keys delay none': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (let index = 0; index < 5; index++) await wait(storage, at - 50, `full${index}`, 'full')
    assert.equal((await claim(storage, at, 2)).length, 2)
    await wait(storage, at - 10, 'c1', 'c')
    await wait(storage, at - 30, 'b1', 'b')
    await wait(storage, at - 20, 'c2', 'c')
    await wait(storage, at - 5, 'd1', 'd', limited, 7)
    await wait(storage, at + 5, 'e1', 'e', limited, 9)
    await wait(storage, at - 1, 'e2', 'e')
    const order = []
    for (let index = 0; index < 6; index++) order.push(...(await claim(storage, at, 1)))
    assert.deepEqual(order, ['d1', 'b1', 'c2', 'c1', 'e2'])
  },

  'S20 tasks with and without a key go in one order': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await wait(storage, at - 20, 'a1', 'a')
    await commitOne(storage, insertOf(newJob({ id: 'p1' }, at - 10)))
    await wait(storage, at - 5, 'a2', 'a')
    await commitOne(storage, insertOf(newJob({ id: 'p2', priority: 1 }, at)))
    await wait(storage, at - 1, 'a3', 'a')
    const routes = [routeOf(limited, 2), routeOf()]
    const decide: Claim['decide'] = (ready) => {
      return ready.job.type === 'plain' ? decideFor('me', at)(ready) : decideFor('me', at, limited)(ready)
    }
    assert.deepEqual(await claimedIds(storage, at, { routes, decide }), ['p2', 'a1', 'p1', 'a2'])
  },

  'S20 a task that a claim leaves under a key delays no other task of the key': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3', 'a4']) await wait(storage, at, id, 'a')
    const decide: Claim['decide'] = (ready) =>
      ready.job.id < 'a3' ? { kind: 'leave' } : decideFor('me', at, limited)(ready)
    assert.deepEqual(await claimedIds(storage, at, { routes: [routeOf(limited, 1)], decide }), ['a3'])
  },

  'S27 claimed and stopping tasks of a key are counted over all connections': async ({ clock, open }) => {
    const [storage, second] = [await open('one'), await open('two')]
    const at = clock.now()
    const hold = async (connection: StorageConnection, id: string) => {
      const created = limitedJob(id, at)
      await commitOne(connection, insertOf(created))
      const running = claimed(created.job, at, 'me', limited)
      await commitOne(connection, updateOf(created.job, running))
      return running.job
    }
    const a1 = await hold(storage, 'a1')
    const a2 = await hold(second, 'a2')
    await hold(storage, 'b1')
    await wait(storage, at, 'a3', 'a')
    const key = a1.tasks[0]?.limitKey ?? ''
    const count = async () => await Promise.all([storage, second].map((each) => each.heldUnder(key)))
    assert.deepEqual(await count(), [2, 2])
    const stopping = remove(limited, a2, contextAt(at))
    await commitOne(storage, updateOf(a2, stopping))
    assert.deepEqual(await count(), [2, 2])
    await commitOne(second, updateOf(stopping.job, ended(stopping.job, at, limited)))
    assert.deepEqual(await count(), [1, 1])
    await commitOne(storage, updateOf(a1, ended(a1, at, limited)))
    assert.deepEqual(await count(), [0, 0])
    assert.equal(await storage.heldUnder('none'), 0)
  },

  'S27 several tasks of one job count each': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a' }, at, twin)
    const keyed = { ...created.job, tasks: created.job.tasks.map((task) => ({ ...task, limitKey: 'k' })) }
    await commitOne(storage, insertOf({ ...created, job: keyed }))
    assert.equal(await storage.heldUnder('k'), 0)
    const one = claimed(keyed, at, 'me', twin)
    await commitOne(storage, updateOf(keyed, one))
    assert.equal(await storage.heldUnder('k'), 1)
    const two = claimed(one.job, at, 'me', twin)
    await commitOne(storage, updateOf(one.job, two))
    assert.equal(await storage.heldUnder('k'), 2)
    // `left` ends, and `right` goes on under another key.
    const [left, right] = two.job.tasks
    assert.ok(left && right)
    await commitOne(storage, updateOf(two.job, changed(two.job, { tasks: [{ ...right, limitKey: 'other' }] })))
    assert.deepEqual([await storage.heldUnder('k'), await storage.heldUnder('other')], [0, 1])
  },
}

/** A job of {@link limited}. Its limit key is the first letter of its id. */
function limitedJob(id: string, at: number) {
  return newJob({ id, input: id.slice(0, 1) }, at, limited)
}

async function wait(
  storage: StorageConnection,
  at: number,
  id: string,
  key: string,
  type = limited,
  priority = 0,
): Promise<void> {
  await commitOne(storage, insertOf(newJob({ id, input: key, priority }, at, type)))
}

function choice(type = limited) {
  return { type, routes: [routeOf(type, 2)] }
}

function claim(storage: StorageConnection, at: number, room = FAR, type = limited): Promise<readonly string[]> {
  return claimedIds(storage, at, { ...choice(type), room })
}

/** The write that claims the task of a job of {@link limited}. It carries the limit of the task's key. */
function held(job: Job, concurrency: number, at: number) {
  const key = job.tasks[0]?.limitKey ?? ''
  return { ...writeOf(claimed(job, at, 'me', limited)), limits: [{ key, concurrency }] }
}
