import assert from 'node:assert/strict'
import type { StorageConnection } from '../port/storage.ts'
import {
  changed,
  changesetOf,
  claimed,
  commitOne,
  ended,
  getJob,
  insertOf,
  newJob,
  plain,
  type Seed,
  twin,
  updateOf,
} from './fixtures.ts'
import type { Bench, Checks } from './storage-bench.ts'

/** How many inserts compete, and over how many connections. */
const MANY = 50
const CONNECTIONS = 5

/** Checks of unique keys: S34. */
export const uniqueKeyChecks: Checks = {
  'S34 a second job of a unique key is refused until the first has ended, and the first is named': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const insert = (seed: Seed) => commitOne(storage, insertOf(newJob({ uniqueKey: 'k', ...seed }, clock.now())))
    assert.equal((await insert({ id: 'a' })).status, 'applied')
    assert.equal((await getJob(storage, 'a')).uniqueKey, 'k')
    assert.deepEqual(await insert({ id: 'b' }), { status: 'not-unique', by: 'a' })
    assert.equal(await storage.get('b'), undefined)
    const job = await getJob(storage, 'a')
    const running = claimed(job, clock.now())
    await commitOne(storage, updateOf(job, running))
    assert.deepEqual(await insert({ id: 'b' }), { status: 'not-unique', by: 'a' })
    await commitOne(storage, updateOf(running.job, ended(running.job, clock.now())))
    assert.equal((await insert({ id: 'b' })).status, 'applied')
    assert.deepEqual(await (await open('other')).get('b').then((found) => found?.uniqueKey), 'k')
    // The job has ended, and still shows the key that it had.
    assert.equal((await getJob(storage, 'a')).uniqueKey, 'k')
  },

  'S34 a unique key belongs to its tenant and type, whoever creates the job': async ({ clock, open }) => {
    const storage = await open()
    const insert = (seed: Seed, type = plain) => {
      return commitOne(storage, insertOf(newJob({ uniqueKey: 'k', ...seed }, clock.now(), type)))
    }
    assert.equal((await insert({ id: 'a' })).status, 'applied')
    assert.equal((await insert({ id: 'b', tenant: 't2' })).status, 'applied')
    assert.equal((await insert({ id: 'c' }, twin)).status, 'applied')
    assert.equal((await insert({ id: 'd', uniqueKey: 'K' })).status, 'applied')
    assert.equal((await insert({ id: 'e', uniqueKey: '' })).status, 'applied')
    assert.deepEqual(await insert({ id: 'f', createdBy: 'eve' }), { status: 'not-unique', by: 'a' })
    assert.deepEqual(await insert({ id: 'g', tenant: 't2', createdBy: 'eve' }), { status: 'not-unique', by: 'b' })
  },

  'S34 a waiting job holds its unique key, and a deleted one frees it': async ({ clock, open }) => {
    const storage = await open()
    const waiting = newJob({ id: 'a', uniqueKey: 'k', isWaiting: true }, clock.now())
    await commitOne(storage, insertOf(waiting))
    const next = insertOf(newJob({ id: 'b', uniqueKey: 'k' }, clock.now()))
    assert.deepEqual(await commitOne(storage, next), { status: 'not-unique', by: 'a' })
    // The job is deleted, but its row stays while its code stops.
    const tasks = waiting.job.tasks.map((task) => ({ ...task, status: 'stopping' as const, token: 1 }))
    await commitOne(storage, updateOf(waiting.job, changed(waiting.job, { deletedAt: clock.now(), tasks })))
    assert.equal((await commitOne(storage, next)).status, 'applied')
  },

  'S34 idempotency keys are checked before unique keys, and slots and queues after them': async ({ clock, open }) => {
    const storage = await open()
    const seed = { pipeline: 'p', uniqueKey: 'k', idempotencyKey: 'i' }
    await commitOne(storage, insertOf(newJob({ id: 'a', ...seed }, clock.now())))
    const insert = (more: Partial<Seed>) => {
      return commitOne(storage, { ...insertOf(newJob({ id: 'b', ...seed, ...more }, clock.now())), queuedMax: 1 })
    }
    assert.deepEqual(await insert({}), { status: 'duplicate', id: 'a' })
    assert.deepEqual(await insert({ idempotencyKey: 'j' }), { status: 'not-unique', by: 'a' })
    assert.deepEqual(await insert({ idempotencyKey: 'j', uniqueKey: 'l' }), { status: 'slot-taken', by: 'a' })
  },

  'S34 a changeset whose job ends may pass its unique key to the next, even if it keeps the slot': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const first = newJob({ id: 'a', uniqueKey: 'k', pipeline: 'p' }, clock.now())
    const running = claimed(first.job, clock.now())
    await storage.commit([changesetOf(insertOf(first)), changesetOf(updateOf(first.job, running))])
    const tasks = running.job.tasks.map((task) => ({ ...task, status: 'stopping' as const }))
    const settled = changed(running.job, { phase: 'settled', outcome: 'failure', endedAt: clock.now(), tasks })
    const next = insertOf(newJob({ id: 'b', uniqueKey: 'k', pipeline: 'p', isWaiting: true }, clock.now()))
    assert.equal((await commitOne(storage, next, updateOf(running.job, settled))).status, 'applied')
    const third = insertOf(newJob({ id: 'c', uniqueKey: 'k' }, clock.now()))
    assert.deepEqual(await commitOne(storage, third), { status: 'not-unique', by: 'b' })
  },

  'S34 of two jobs with one key in a changeset neither is stored, and the key stays free': async ({ clock, open }) => {
    const storage = await open()
    const insert = (id: string) => insertOf(newJob({ id, uniqueKey: 'k' }, clock.now()))
    assert.equal((await commitOne(storage, insert('a'), insert('b'))).status, 'not-unique')
    for (const id of ['a', 'b']) assert.equal(await storage.get(id), undefined)
    const refused = await commitOne(storage, insert('a'), { op: 'expect', jobId: 'none', revision: 1 })
    assert.equal(refused.status, 'conflict')
    assert.equal((await commitOne(storage, insert('b'))).status, 'applied')
  },

  'S34 of 50 inserts of one unique key over several connections one is stored, and the others name it': async (
    bench,
  ) => {
    const race = await racers(bench)
    for (const round of [1, 2, 3]) {
      const results = await race((storage, index) => {
        return commitOne(storage, insertOf(newJob({ id: `${round}-${index}`, uniqueKey: 'k' }, bench.clock.now())))
      })
      const winner = results.findIndex(({ status }) => status === 'applied')
      for (const [index, result] of results.entries()) {
        if (index !== winner) assert.deepEqual(result, { status: 'not-unique', by: `${round}-${winner}` })
      }
      const storage = await bench.open(`end ${round}`)
      const job = await getJob(storage, `${round}-${winner}`)
      const running = claimed(job, bench.clock.now())
      await commitOne(storage, updateOf(job, running))
      await commitOne(storage, updateOf(running.job, ended(running.job, bench.clock.now())))
    }
  },

  'S34 if 50 inserts take a unique key while its holder ends, at most one is stored': async (bench) => {
    const first = newJob({ id: 'first', uniqueKey: 'k' }, bench.clock.now())
    const running = claimed(first.job, bench.clock.now())
    const setup = await bench.open('setup')
    await setup.commit([changesetOf(insertOf(first)), changesetOf(updateOf(first.job, running))])
    const race = await racers(bench)
    const results = await race((storage, index) => {
      if (index === MANY / 2) return commitOne(storage, updateOf(running.job, ended(running.job, bench.clock.now())))
      return commitOne(storage, insertOf(newJob({ id: `j${index}`, uniqueKey: 'k' }, bench.clock.now())))
    })
    const stored = results.flatMap(({ status }, index) => (status === 'applied' && index !== MANY / 2 ? [index] : []))
    assert.ok(stored.length <= 1)
    for (const result of results) {
      if (result.status === 'not-unique') assert.ok(result.by === 'first' || result.by === `j${stored[0]}`)
    }
  },
}

type Run<Result> = (storage: StorageConnection, index: number) => Promise<Result>

/** Opens the connections. Returns a function that starts 50 calls at once, spread over the connections. */
async function racers({ open }: Bench) {
  const connections = await Promise.all(Array.from({ length: CONNECTIONS }, (_, index) => open(`racer${index}`)))
  const all = Array.from({ length: MANY / CONNECTIONS }, () => connections).flat()
  return <Result>(run: Run<Result>) => Promise.all(all.map((storage, index) => run(storage, index)))
}
