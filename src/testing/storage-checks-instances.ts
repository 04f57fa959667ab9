import assert from 'node:assert/strict'
import type { StorageConnection } from '../port/storage.ts'
import { claimNow, commitOne, ended, getJob, insertClaimed, insertOf, newJob, routeOf, updateOf } from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of instances, of opening and of stored charts: S14 to S16, and S35. */
export const instanceChecks: Checks = {
  'S14 an instance is listed while it is open, and seen as gone as soon as its process has ended': async ({ open }) => {
    const one = await open('one')
    const two = await open('two')
    assert.deepEqual(await isGone(two), { one: false })
    await one.close()
    assert.deepEqual(await isGone(two), { one: true })
    await two.forget('one')
    assert.deepEqual(await isGone(two), {})
  },

  'S14 a beat updates the heartbeat, and lists a forgotten instance again': async ({ clock, open }) => {
    const silent = await open('silent')
    const two = await open('two')
    const [before] = await two.others()
    await clock.advance(10)
    assert.deepEqual(await two.others(), [before])
    await silent.beat(clock.now())
    assert.notEqual((await two.others())[0]?.heartbeat, before?.heartbeat)
    await two.forget('silent')
    await silent.beat(clock.now())
    assert.deepEqual(await isGone(two), { silent: false })
  },

  'S14 a claim lists a forgotten instance again': async ({ clock, open }) => {
    const silent = await open('silent')
    const two = await open('two')
    await two.forget('silent')
    assert.equal((await claimNow(silent, clock.now(), { holder: 'silent' })).length, 0)
    await commitOne(two, insertOf(newJob({ id: 'a' }, clock.now())))
    assert.equal((await claimNow(silent, clock.now(), { holder: 'silent' })).length, 1)
    await silent.close()
    assert.deepEqual(await isGone(two), { silent: true })
  },

  'S35 the latest time of a beat is kept, also that of a forgotten instance': async ({ clock, open }) => {
    const one = await open('one')
    const start = clock.now()
    assert.equal(await one.lastBeat(), 0)
    await one.beat(start + 5_000)
    await one.beat(start + 2_000)
    const two = await open('two')
    assert.equal(await two.lastBeat(), start + 5_000)
    await one.close()
    await two.forget('one')
    await two.beat(start + 3_000)
    assert.equal(await two.lastBeat(), start + 5_000)
    await two.close()
    assert.equal(await (await open('three')).lastBeat(), start + 5_000)
  },

  'S14 a write of another connection is noticed, and read': async ({ clock, open }) => {
    const one = await open('one')
    const two = await open('two')
    two.changed()
    await commitOne(one, insertOf(newJob({ id: 'a' }, clock.now())))
    assert.equal(two.changed(), true)
    assert.equal((await two.get('a'))?.id, 'a')
    await claimNow(one, clock.now())
    assert.equal(two.changed(), true)
  },

  'S15 a committed write is there when the storage is opened again': async ({ clock, open }) => {
    const first = await open('one')
    const created = newJob({ id: 'a' }, clock.now())
    await commitOne(first, insertOf(created))
    await first.close()
    await first.close()
    const second = await open('two')
    assert.deepEqual(await second.get('a'), created.job)
    await assert.rejects(async () => await first.get('a'), { code: 'STORAGE_UNAVAILABLE' })
    await assert.rejects(async () => await first.commit([]), { code: 'STORAGE_UNAVAILABLE' })
  },

  'S15 of ten processes that open at once one makes the schema': async ({ clock, open }) => {
    const all = await Promise.all(Array.from({ length: 10 }, (_, index) => open(`i${index}`)))
    const [first] = all
    assert.ok(first)
    await commitOne(first, insertOf(newJob({ id: 'a' }, clock.now())))
    for (const storage of all) assert.equal((await storage.get('a'))?.id, 'a')
  },

  'S16 a chart is kept for each version of a type, and a different one is refused': async ({ open }) => {
    const one = await open('one')
    const two = await open('two')
    const chart = (type: string, version: string, hash: string) => ({ type, version, hash })
    assert.deepEqual(await one.register([chart('a', '1', 'x'), chart('a', '2', 'y')], false), [])
    assert.deepEqual(await two.register([chart('a', '1', 'x'), chart('b', '1', 'z')], false), [])
    const mixed = [chart('a', '2', 'other'), chart('c', '1', 'new')]
    assert.deepEqual(await two.register(mixed, false), [{ type: 'a', version: '2' }])
    // These charts would be refused if the refused call had stored anything.
    assert.deepEqual(await one.register([chart('c', '1', 'else')], false), [])
    assert.deepEqual(await one.register([chart('a', '2', 'y')], false), [])
  },

  'S16 a chart may be replaced while no job of its version is unsettled': async ({ clock, open }) => {
    const storage = await open()
    const { type, version } = routeOf()
    await storage.register([{ type, version, hash: 'x' }], false)
    await insertClaimed(storage, clock.now(), 'done')
    const running = await getJob(storage, 'done')
    await commitOne(storage, updateOf(running, ended(running, clock.now())))
    assert.deepEqual(await storage.register([{ type, version, hash: 'y' }], false), [{ type, version }])
    assert.deepEqual(await storage.register([{ type, version, hash: 'y' }], true), [])
    await commitOne(storage, insertOf(newJob({ id: 'a' }, clock.now())))
    assert.deepEqual(await storage.register([{ type, version, hash: 'z' }], true), [{ type, version }])
    assert.deepEqual(await storage.register([{ type, version, hash: 'y' }], false), [])
  },
}

async function isGone(storage: StorageConnection): Promise<{ readonly [id: string]: boolean }> {
  return Object.fromEntries((await storage.others()).map(({ id, isGone }) => [id, isGone]))
}
