import assert from 'node:assert/strict'
import { claimedIds, commitOne, insertOf, newJob, plain, twin } from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of paused job types: S44. */
export const pauseChecks: Checks = {
  'S44 no connection claims a task of a paused type, and all do again once it is resumed': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    const paused = { type: plain.type, reason: 'too slow', at }
    for (const id of ['a', 'b']) await commitOne(storage, insertOf(newJob({ id }, at)))
    await commitOne(storage, insertOf(newJob({ id: 'twin' }, at, twin)))
    await storage.pauseType({ ...paused, reason: 'first' })
    await other.pauseType(paused)
    await storage.pauseType({ ...paused, type: 'another' })
    for (const each of [storage, other]) {
      assert.deepEqual(await each.pausedTypes(), [{ ...paused, type: 'another' }, paused])
      assert.deepEqual(await claimedIds(each, at), [])
    }
    assert.deepEqual(await claimedIds(storage, at, { type: twin }), ['twin', 'twin'])
    await other.resumeType(plain.type)
    await other.resumeType(plain.type)
    assert.deepEqual(await claimedIds(storage, at), ['a', 'b'])
    assert.deepEqual(await storage.pausedTypes(), [{ ...paused, type: 'another' }])
  },

  'S44 a pause also holds for the types of child jobs, and for no type whose name only begins alike': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const types = ['render', 'render/part', 'render/part/piece', 'renderer'].map((type) => ({ ...plain, type }))
    for (const type of types) await commitOne(storage, insertOf(newJob({ id: type.type }, at, type)))
    await storage.pauseType({ type: 'render', reason: 'stop', at })
    const claimed = await Promise.all(types.map((type) => claimedIds(storage, at, { type })))
    assert.deepEqual(claimed, [[], [], [], ['renderer']])
  },

  'S44 a pause outlives the connection that made it, and other connections hear of a change': async ({
    clock,
    open,
  }) => {
    const [storage, other] = [await open(), await open('other')]
    other.changed()
    await storage.pauseType({ type: plain.type, reason: 'stop', at: clock.now() })
    assert.equal(other.changed(), true)
    await storage.resumeType(plain.type)
    assert.equal(other.changed(), true)
    await storage.pauseType({ type: plain.type, reason: 'stop', at: clock.now() })
    await storage.close()
    assert.equal((await (await open('third')).pausedTypes()).length, 1)
  },
}
