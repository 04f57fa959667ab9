import assert from 'node:assert/strict'
import { remove } from '../model/decision.ts'
import { type AnyJobType, defineJob } from '../model/definition.ts'
import { heldKeys, type Job } from '../model/job.ts'
import type { ChangesetResult, Claimed, ClaimedWrite, Route, StorageConnection, Write } from '../port/storage.ts'
import { claimed, commitOne, ended, insertOf, momentAt, newJob, transitionFor, updateOf, writeOf } from './fixtures.ts'
import { type Checks, FAR } from './storage-bench.ts'

const limits = { concurrency: 2, key: ({ input }: { readonly input: unknown }) => String(input) }
const limited: AnyJobType = defineJob({ type: 'limited', limits, execute: () => 'done' })
/** Another type, whose tasks share their keys with the first's. */
const other: AnyJobType = defineJob({ type: 'other', limits, execute: () => 'done' })

/** Checks of limits: S19 and S20. */
export const limitChecks: Checks = {
  'S19 one claim takes no more of a key than may be held': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3']) await wait(storage, at, id, 'a')
    await wait(storage, at, 'b1', 'b')
    assert.deepEqual(await ids(claim(storage, at)), ['a1', 'a2', 'b1'])
    assert.deepEqual(await ids(claim(storage, at)), [])
  },

  'S19 a key is full for every connection, and for every type that shares it': async ({ clock, open }) => {
    const [one, two] = [await open('one'), await open('two')]
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3']) await wait(one, at, id, 'a')
    await wait(two, at, 'o1', 'a', other)
    assert.deepEqual(await ids(claim(one, at, 1)), ['a1'])
    assert.deepEqual(await ids(claim(two, at, FAR, other)), ['o1'])
    assert.deepEqual(await ids(claim(one, at)), [])
    assert.deepEqual(await ids(claim(two, at)), [])
  },

  'S19 two routes of one claim share their key': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2']) await wait(storage, at, id, 'a')
    for (const id of ['o1', 'o2']) await wait(storage, at, id, 'a', other)
    const routes = [routeOf(limited, 3), routeOf(other, 3)]
    const taken = await storage.claim({ routes, at }, FAR, (job, task) =>
      transitionFor('me', at, job.type === 'other' ? other : limited)(job, task),
    )
    assert.deepEqual(
      taken.map(({ job }) => job.id),
      ['a1', 'a2', 'o1'],
    )
  },

  'S19 of 50 claimers no more than the limit get a task': async ({ clock, open }) => {
    const connections = [await open('one'), await open('two'), await open('three')]
    const at = clock.now()
    const [first] = connections
    assert.ok(first)
    for (let index = 0; index < 20; index++) await wait(first, at, `a${index}`, 'a')
    const claims = Array.from({ length: 50 }, (_, index) => claim(connections[index % 3] ?? first, at, 1))
    assert.equal((await Promise.all(claims)).flat().length, 2)
  },

  'S19 a write is claimed at once only while its key has room': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const atOnce = async (id: string, key: string) => isClaimed(await commitOne(storage, insertAtOnce(at, id, key)))
    assert.deepEqual([await atOnce('a1', 'a'), await atOnce('a2', 'a'), await atOnce('a3', 'a')], [true, true, false])
    assert.equal((await get(storage, 'a3')).tasks[0]?.status, 'available')
    assert.equal(await atOnce('b1', 'b'), true)
  },

  'S19 a write that is claimed at once passes nothing of a key that has room': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await wait(storage, at, 'a1', 'a')
    assert.equal(isClaimed(await commitOne(storage, insertAtOnce(at, 'b1', 'b'))), false)
    for (const id of ['a2', 'a3']) await wait(storage, at, id, 'a')
    assert.deepEqual(await ids(claim(storage, at)), ['a1', 'b1', 'a2'])
    // What waits for a full key does not hold it up.
    assert.equal(isClaimed(await commitOne(storage, insertAtOnce(at, 'b2', 'b'))), true)
  },

  'S19 an update that would make a key over-full is refused, and changes nothing': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3']) await wait(storage, at, id, 'a')
    const [first] = await claim(storage, at)
    const waiting = await get(storage, 'a3')
    const write: Write = { op: 'update', revision: waiting.revision, ...held(waiting, at) }
    assert.deepEqual(await commitOne(storage, write), { status: 'full' })
    assert.deepEqual(await get(storage, 'a3'), waiting)
    assert.ok(first)
    await commitOne(storage, updateOf(first.job, ended(first.job, at, limited)))
    assert.equal((await commitOne(storage, write)).status, 'applied')
  },

  'S19 a place is free again after an end, and after a deleted job has stopped': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3', 'a4', 'a5']) await wait(storage, at, id, 'a')
    const [first, second] = await claim(storage, at)
    assert.ok(first && second)
    await commitOne(storage, updateOf(first.job, ended(first.job, at, limited)))
    assert.deepEqual(await ids(claim(storage, at)), ['a3'])
    const deleted = remove(limited, second.job, momentAt(at))
    await commitOne(storage, updateOf(second.job, deleted))
    assert.equal(heldKeys(deleted.job).length, 1)
    assert.deepEqual(await ids(claim(storage, at)), [])
    await commitOne(storage, updateOf(deleted.job, ended(deleted.job, at, limited)))
    assert.deepEqual(await ids(claim(storage, at)), ['a4'])
  },

  'S19 a task with a key that its route gives no number is claimed, and a changed number holds': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3', 'a4', 'a5']) await wait(storage, at, id, 'a')
    const claimBy = (route: Route, limit: number) =>
      ids(storage.claim({ routes: [route], at }, limit, transitionFor('me', at, limited)))
    assert.deepEqual(await claimBy(routeOf(limited, 1), FAR), ['a1'])
    assert.deepEqual(await claimBy(routeOf(limited, 3), FAR), ['a2', 'a3'])
    const { limits: _, ...unlimited } = routeOf(limited, 1)
    assert.deepEqual(await claimBy(unlimited, 1), ['a4'])
    assert.deepEqual(await claimBy(routeOf(limited, 3), FAR), [])
  },

  'S20 keys with room go by the order of their first tasks, and full ones hide nothing': async ({ clock, open }) => {
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
    for (let index = 0; index < 6; index++) order.push(...(await ids(claim(storage, at, 1))))
    assert.deepEqual(order, ['d1', 'b1', 'c2', 'c1', 'e2'])
  },

  'S20 what a claim leaves of a key keeps no other of it waiting': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a1', 'a2', 'a3', 'a4']) await wait(storage, at, id, 'a')
    const passing = transitionFor('me', at, limited)
    const query = { routes: [routeOf(limited, 1)], at }
    const taken = storage.claim(query, FAR, (job, task) => (job.id < 'a3' ? 'leave' : passing(job, task)))
    assert.deepEqual(await ids(taken), ['a3'])
  },
}

function routeOf(type: AnyJobType, concurrency: number): Route {
  return { type: type.type, version: type.version, executor: 'default', limits: new Map([['execute', concurrency]]) }
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

function claim(storage: StorageConnection, at: number, limit = FAR, type = limited): Promise<readonly Claimed[]> {
  return storage.claim({ routes: [routeOf(type, 2)], at }, limit, transitionFor('me', at, type))
}

async function ids(taken: Promise<readonly Claimed[]>): Promise<readonly string[]> {
  return (await taken).map(({ job }) => job.id)
}

function held(job: Job, at: number): ClaimedWrite {
  const key = job.tasks[0]?.limitKey ?? ''
  return { ...writeOf(claimed(job, at, 'me', limited)), limit: { key, concurrency: 2 } }
}

function insertAtOnce(at: number, id: string, key: string): Write {
  const created = newJob({ id, input: key }, at, limited)
  return { op: 'insert', ...writeOf(created), claimed: held(created.job, at) }
}

function isClaimed(result: ChangesetResult): boolean {
  return result.status === 'applied' && result.rows[0]?.claimed === true
}

async function get(storage: StorageConnection, id: string): Promise<Job> {
  const job = await storage.get(id)
  assert.ok(job)
  return job
}
