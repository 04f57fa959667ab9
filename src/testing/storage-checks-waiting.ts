import assert from 'node:assert/strict'
import { admit, send } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import type { StorageConnection, Turn, TypeKey } from '../port/storage.ts'
import {
  changed,
  claimNow,
  commitOne,
  contextAt,
  FAR,
  getJob,
  insertOf,
  newJob,
  plain,
  plainOnly,
  type Seed,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of jobs that wait for their start time or for a slot: S17. */
export const waitingChecks: Checks = {
  'S17 the turns of a pipeline go by priority, then by start time, then by age': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await wait(storage, at, { id: 'first' })
    await wait(storage, at, { id: 'later', startAt: at + 100 })
    await wait(storage, at, { id: 'second' })
    await wait(storage, at, { id: 'urgent', priority: 5 })
    await wait(storage, at, { id: 'most-urgent', priority: 9, startAt: at + 100 })
    await wait(storage, at, { id: 'other', pipeline: 'q', priority: 9 })
    const order: string[] = []
    for (const when of [at, at, at, at + 100, at + 100, at + 100]) {
      const { next } = await turn(storage, 'p', when)
      if (next === undefined) continue
      order.push(next.id)
      await commitOne(storage, updateOf(next, admit(plain, next, contextAt(when))))
      assert.equal((await turn(storage, 'p', when)).holder, next.id)
      const admitted = await getJob(storage, next.id)
      await commitOne(storage, updateOf(admitted, cancelled(admitted, when)))
    }
    assert.deepEqual(order, ['urgent', 'first', 'second', 'most-urgent', 'later'])
  },

  'S17 a run that waits for its turn alone is due, even if it was created later than now': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const later = at + 1_000_000
    await wait(storage, later, { id: 'late' })
    await wait(storage, later, { id: 'timed', startAt: later + 1, priority: 9 })
    await wait(storage, at, { id: 'early', startAt: at + 1 })
    assert.equal((await turn(storage, 'p', at)).next?.id, 'late')
    assert.deepEqual(
      (await storage.admissible(plainOnly, at, 9, 0)).map(({ id }) => id),
      ['late'],
    )
    assert.equal((await turn(storage, 'p', at + 1)).next?.id, 'early')
    assert.equal((await turn(storage, 'p', later + 1)).next?.id, 'timed')
  },

  'S17 the turns of several pipelines are loaded at once, by tenant and for the requested types only': async ({
    clock,
    open,
  }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'holder', pipeline: 'p' }, at)))
    await wait(storage, at, { id: 'p1' })
    await wait(storage, at, { id: 'q1', pipeline: 'q' })
    const keys = ['p', 'q', 'r'].flatMap((id) => ['t1', 't2'].map((tenant) => ({ tenant, id })))
    for (const reader of [storage, other]) {
      const read = async (types: readonly TypeKey[]) => {
        const loaded = await reader.load({ jobs: ['p1'], pipelines: keys, types, at })
        assert.equal(loaded.job('p1')?.id, 'p1')
        return keys.map(({ tenant, id }) => told(loaded.turn({ tenant, id })))
      }
      assert.deepEqual(await read(plainOnly), ['holder p1', '- -', '- q1', '- -', '- -', '- -'])
      assert.deepEqual(await read([]), ['holder -', '- -', '- -', '- -', '- -', '- -'])
      const version = [{ type: plain.type, version: 'another' }]
      assert.deepEqual(await read(version), ['holder -', '- -', '- -', '- -', '- -', '- -'])
    }
    const { next } = await turn(storage, 'q', at)
    assert.deepEqual(next, await storage.get('q1'))
  },

  'S17 one waiting job of each free pipeline may be admitted, and all without a pipeline': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'holder', pipeline: 'taken' }, at)))
    await wait(storage, at, { id: 'blocked', pipeline: 'taken' })
    for (const id of ['a1', 'a2']) await wait(storage, at, { id, pipeline: 'a' })
    await wait(storage, at, { id: 'b1', pipeline: 'b', startAt: at + 50 })
    await wait(storage, at, { id: 'z1', pipeline: 'a', tenant: 't2' })
    await commitOne(storage, insertOf(newJob({ id: 'none', isWaiting: true }, at)))
    await commitOne(storage, insertOf(newJob({ id: 'none-later', isWaiting: true, startAt: at + 50 }, at)))
    const ids = async (when: number, limit = FAR, skip = 0) =>
      (await storage.admissible(plainOnly, when, limit, skip)).map(({ id }) => id).sort()
    assert.deepEqual(await ids(at), ['a1', 'none', 'z1'])
    const all = await ids(at + 50)
    assert.deepEqual(all, ['a1', 'b1', 'none', 'none-later', 'z1'])
    const paged = [...(await ids(at + 50, 2)), ...(await ids(at + 50, 2, 2)), ...(await ids(at + 50, FAR, 4))]
    assert.deepEqual(paged.sort(), all)
    assert.deepEqual(await storage.admissible([], at, FAR, 0), [])
    const holder = await getJob(storage, 'holder')
    await commitOne(storage, updateOf(holder, cancelled(holder, at)))
    assert.deepEqual(await ids(at), ['a1', 'blocked', 'none', 'z1'])
  },

  'S17 a waiting job holds no slot, is not claimed or due, and is listed by its phase': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await wait(storage, at, { id: 'a' })
    await wait(storage, at, { id: 'b' })
    const b = await getJob(storage, 'b')
    const timers = [{ id: 't', event: { type: 'tick' }, dueAt: 5 }]
    await commitOne(storage, updateOf(b, changed(b, { timers })))
    assert.deepEqual(await claimNow(storage, at + FAR), [])
    assert.deepEqual(await storage.due(plainOnly, at + FAR, FAR, 0), [])
    const result = await commitOne(storage, insertOf(newJob({ id: 'c', pipeline: 'p' }, at)))
    assert.equal(result.status, 'applied')
    const { jobs } = await storage.find({ scopes: [{ tenant: 't1' }], phase: 'waiting' }, { limit: FAR })
    assert.deepEqual(jobs.map(({ id }) => id).sort(), ['a', 'b'])
    const a = await getJob(storage, 'a')
    const refused = await commitOne(storage, updateOf(a, admit(plain, a, contextAt(at))))
    assert.deepEqual(refused, { status: 'slot-taken', by: 'c' })
    assert.equal((await turn(storage, 'p', at)).next?.id, 'a')
  },

  'S17 a waiting job that is deleted, or has ended, has no turn': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b', 'c']) await wait(storage, at, { id })
    const a = await getJob(storage, 'a')
    await commitOne(storage, updateOf(a, changed(a, { deletedAt: at })))
    const b = await getJob(storage, 'b')
    await commitOne(storage, updateOf(b, cancelled(b, at)))
    assert.equal((await turn(storage, 'p', at)).next?.id, 'c')
    assert.deepEqual(
      (await storage.admissible(plainOnly, at, FAR, 0)).map(({ id }) => id),
      ['c'],
    )
  },
}

async function wait(storage: StorageConnection, at: number, seed: Seed): Promise<void> {
  await commitOne(storage, insertOf(newJob({ pipeline: 'p', ...seed, isWaiting: true }, at)))
}

async function turn(storage: StorageConnection, id: string, at: number): Promise<Turn> {
  const key = { tenant: 't1', id }
  const loaded = await storage.load({ jobs: [], pipelines: [key], types: plainOnly, at })
  return loaded.turn(key)
}

function told({ holder = '-', next }: Turn): string {
  return `${holder} ${next?.id ?? '-'}`
}

function cancelled(job: Job, at: number) {
  return send(plain, job, { type: 'cancel' }, contextAt(at))
}
