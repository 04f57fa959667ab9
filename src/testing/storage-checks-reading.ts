import assert from 'node:assert/strict'
import type { StorageConnection } from '../port/storage.ts'
import {
  commitOne,
  ended,
  insertClaimed,
  insertOf,
  newJob,
  routeOf,
  transitionFor,
  twin,
  updateOf,
  writeOf,
} from './fixtures.ts'
import { type Checks, FAR } from './storage-bench.ts'

/** Checks of claims, reads, instances and opening: S9 to S16. */
export const readingChecks: Checks = {
  'S9 claims go by priority, then by due time, then by age': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const waiting = [
      newJob({ id: 'old' }, at - 10),
      newJob({ id: 'older' }, at - 20),
      newJob({ id: 'urgent', priority: 1 }, at),
      newJob({ id: 'same-time' }, at - 10),
      newJob({ id: 'least', priority: -1 }, at - 99),
    ]
    for (const job of waiting) await commitOne(storage, insertOf(job))
    const query = { routes: [routeOf()], at }
    const three = await storage.claim(query, 3, transitionFor('me', at))
    const rest = await storage.claim(query, FAR, transitionFor('me', at))
    assert.deepEqual(
      [...three, ...rest].map(({ job }) => job.id),
      ['urgent', 'older', 'old', 'same-time', 'least'],
    )
    assert.deepEqual(await storage.get('urgent'), three[0]?.job)
  },

  'S9 of 50 claims of one task exactly one gets it': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, insertOf(newJob({ id: 'a' }, clock.now())))
    const query = { routes: [routeOf()], at: clock.now() }
    const claims = Array.from({ length: 50 }, (_, index) =>
      storage.claim(query, 1, transitionFor(`w${index}`, clock.now())),
    )
    assert.equal((await Promise.all(claims)).flat().length, 1)
  },

  'S9 a claim takes only its routes, and what its transition leaves stays': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'a' }, at)))
    const elsewhere = {
      routes: [
        { ...routeOf(), executor: 'other' },
        { ...routeOf(), version: '2' },
      ],
      at,
    }
    assert.deepEqual(await storage.claim(elsewhere, FAR, transitionFor('me', at)), [])
    assert.deepEqual(await storage.claim({ routes: [routeOf()], at }, FAR, () => 'leave'), [])
    assert.equal((await storage.claim({ routes: [routeOf()], at }, FAR, transitionFor('me', at))).length, 1)
  },

  'S10 a task is not ready before its time': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'a' }, at + 1_000)))
    const claim = (now: number) => storage.claim({ routes: [routeOf()], at: now }, FAR, transitionFor('me', now))
    assert.equal((await claim(at + 999)).length, 0)
    assert.equal((await claim(at + 1_000)).length, 1)
  },

  'S10 each of two tasks offered at once is claimed once': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'a' }, at, twin)))
    const claim = (limit: number) =>
      storage.claim({ routes: [routeOf(twin)], at }, limit, transitionFor('me', at, twin))
    const first = await claim(1)
    const second = await claim(FAR)
    assert.deepEqual([...first, ...second].map(({ invocation }) => invocation).sort(), [1, 2])
    assert.deepEqual(await claim(FAR), [])
    assert.equal(
      (await storage.get('a'))?.tasks.every(({ status }) => status === 'claimed'),
      true,
    )
  },

  'S11 a record is read back deep-equal, whatever its values': async ({ clock, open }) => {
    const storage = await open()
    const input = { text: 'ü 𝄞 \u0000 "\'', list: [[], {}, null, 0, -1.5, 1e300], deep: { a: { b: [true] } } }
    const labels = { 'a b': 'c', empty: '' }
    const created = newJob({ id: 'a', input, labels, pipeline: 'p', idempotencyKey: 'k', priority: -3 }, clock.now())
    await commitOne(storage, insertOf(created))
    assert.deepEqual(await storage.get('a'), created.job)
    const [row] = await storage.events({ after: 0, limit: 1 })
    const { sequence, unit, ...kept } = row ?? { sequence: 0, unit: '' }
    assert.deepEqual(kept, writeOf(created).events)
  },

  "S11 what is read is nobody else's: changing it changes nothing stored": async ({ clock, open }) => {
    const storage = await open()
    const created = newJob({ id: 'a', input: { list: [1] } }, clock.now())
    await commitOne(storage, insertOf(created))
    const { input } = (await storage.get('a')) ?? {}
    if (typeof input === 'object' && input !== null && 'list' in input) (input.list as number[]).push(2)
    assert.deepEqual((await storage.get('a'))?.input, { list: [1] })
  },

  'S12 pages neither skip nor repeat a row while others come and go': async ({ clock, open }) => {
    const storage = await open()
    for (let index = 0; index < 25; index++) {
      await commitOne(
        storage,
        insertOf(newJob({ id: `j${String(index).padStart(2, '0')}` }, clock.now() + (index >> 2))),
      )
    }
    const seen: string[] = []
    let after: { createdAt: number; id: string } | undefined
    for (let page = 0; page < 10; page++) {
      const jobs = await storage.find(
        { scopes: [{ tenant: 't1' }] },
        { limit: 7, ...(after === undefined ? {} : { after }) },
      )
      const last = jobs.at(-1)
      if (last === undefined) break
      seen.push(...jobs.map(({ id }) => id))
      after = { createdAt: last.createdAt, id: last.id }
      await commitOne(storage, insertOf(newJob({ id: `new${page}` }, clock.now() + FAR)))
    }
    const expected = Array.from({ length: 25 }, (_, index) => `j${String(24 - index).padStart(2, '0')}`)
    assert.deepEqual(seen, expected)
  },

  'S12 a list shows what one of its scopes covers, and each filter narrows it': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const jobs = [
      newJob({ id: 'a', labels: { team: 'x' } }, at),
      newJob({ id: 'b', createdBy: 'eve', pipeline: 'p' }, at + 1),
      newJob({ id: 'c', tenant: 't2' }, at + 2),
      newJob({ id: 'd', createdBy: 'eve' }, at + 3, twin),
    ]
    for (const job of jobs) await commitOne(storage, insertOf(job))
    const ids = async (filter: Parameters<StorageConnection['find']>[0]) =>
      (await storage.find(filter, { limit: FAR })).map(({ id }) => id).join('')
    const tenant = [{ tenant: 't1' }]
    assert.equal(await ids({ scopes: [] }), '')
    assert.equal(await ids({ scopes: tenant }), 'dba')
    assert.equal(await ids({ scopes: [{}] }), 'dcba')
    assert.equal(await ids({ scopes: [{ tenant: 't1', createdBy: 'ada' }, { tenant: 't2' }] }), 'ca')
    assert.equal(await ids({ scopes: [...tenant, { tenant: 't1', createdBy: 'eve' }] }), 'dba')
    assert.equal(await ids({ scopes: tenant, type: 'twin' }), 'd')
    assert.equal(await ids({ scopes: tenant, pipeline: 'p' }), 'b')
    assert.equal(await ids({ scopes: tenant, labels: { team: 'x' } }), 'a')
    assert.equal(await ids({ scopes: tenant, labels: { team: 'y' } }), '')
    assert.equal(await ids({ scopes: tenant, phase: 'settled' }), '')
    assert.equal(await ids({ scopes: tenant, status: 'queued' }), 'ba')
    assert.equal(await ids({ scopes: tenant, createdBy: "x' OR '1'='1" }), '')
  },

  'S13 held work is found by who holds it': async ({ clock, open }) => {
    const storage = await open()
    await insertClaimed(storage, clock.now(), 'a', 'one')
    await insertClaimed(storage, clock.now(), 'b', 'two')
    await commitOne(storage, insertOf(newJob({ id: 'c' }, clock.now())))
    assert.deepEqual(
      (await storage.held('one')).map(({ id }) => id),
      ['a'],
    )
  },

  'S13 what falls due is found by its time and type, the oldest first': async ({ clock, open }) => {
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
    const due = async (now: number, version = '1') =>
      (await storage.due([{ type: 'plain', version }], now, FAR, 0)).map(({ id }) => id)
    assert.deepEqual(await due(at + 9), [])
    assert.deepEqual(await due(at + 10), ['early'])
    assert.deepEqual(await due(at + 20), ['early', 'late'])
    assert.deepEqual(await due(at + 20, '2'), [])
  },

  'S14 an instance is listed while it is open, and seen to be gone at once when its process has ended': async ({
    open,
  }) => {
    const one = await open('one')
    const two = await open('two')
    assert.deepEqual(await isGone(two), { one: false })
    await one.close()
    assert.deepEqual(await isGone(two), { one: true })
    await two.forget('one')
    assert.deepEqual(await isGone(two), {})
  },

  'S14 a beat changes the heartbeat, and lists an instance again that was forgotten': async ({ clock, open }) => {
    const silent = await open('silent')
    const two = await open('two')
    const [before] = await two.others()
    await clock.advance(10)
    assert.deepEqual(await two.others(), [before])
    await silent.beat()
    assert.notEqual((await two.others())[0]?.heartbeat, before?.heartbeat)
    await two.forget('silent')
    await silent.beat()
    assert.deepEqual(await isGone(two), { silent: false })
  },

  'S14 an instance that was forgotten is listed again by what it claims': async ({ clock, open }) => {
    const silent = await open('silent')
    const two = await open('two')
    await commitOne(two, insertOf(newJob({ id: 'a' }, clock.now())))
    await two.forget('silent')
    const query = { routes: [routeOf()], at: clock.now() }
    assert.equal((await silent.claim(query, 1, transitionFor('silent', clock.now()))).length, 1)
    await silent.close()
    assert.deepEqual(await isGone(two), { silent: true })
  },

  'S14 what another connection wrote is noticed once, own writes are not': async ({ clock, open }) => {
    const one = await open('one')
    const two = await open('two')
    one.changed()
    two.changed()
    await commitOne(one, insertOf(newJob({ id: 'a' }, clock.now())))
    assert.equal(one.changed(), false)
    assert.equal(two.changed(), true)
    assert.equal(two.changed(), false)
    assert.equal((await two.get('a'))?.id, 'a')
  },

  'S15 what was committed is there when the storage is opened again': async ({ clock, open }) => {
    const first = await open('one')
    const created = newJob({ id: 'a' }, clock.now())
    await commitOne(first, insertOf(created))
    await first.close()
    await first.close()
    const second = await open('two')
    assert.deepEqual(await second.get('a'), created.job)
    await assert.rejects(async () => await first.get('a'), { code: 'STORAGE_UNAVAILABLE' })
  },

  'S15 ten starters at once make one schema': async ({ clock, open }) => {
    const all = await Promise.all(Array.from({ length: 10 }, (_, index) => open(`i${index}`)))
    const [first] = all
    assert.ok(first)
    await commitOne(first, insertOf(newJob({ id: 'a' }, clock.now())))
    for (const storage of all) assert.equal((await storage.get('a'))?.id, 'a')
  },

  'S16 a chart is kept for each version of a type, and another one is given back': async ({ open }) => {
    const one = await open('one')
    const two = await open('two')
    const chart = (type: string, version: string, hash: string) => ({ type, version, hash })
    assert.deepEqual(await one.register([chart('a', '1', 'x'), chart('a', '2', 'y')], false), [])
    assert.deepEqual(await two.register([chart('a', '1', 'x'), chart('b', '1', 'z')], false), [])
    const mixed = [chart('a', '2', 'other'), chart('c', '1', 'new')]
    assert.deepEqual(await two.register(mixed, false), [{ type: 'a', version: '2' }])
    // Nothing of the refused call was kept.
    assert.deepEqual(await one.register([chart('c', '1', 'else')], false), [])
    assert.deepEqual(await one.register([chart('a', '2', 'y')], false), [])
  },

  'S16 a chart may be replaced while no job of its version is unsettled': async ({ clock, open }) => {
    const storage = await open()
    const { type, version } = routeOf()
    await storage.register([{ type, version, hash: 'x' }], false)
    await insertClaimed(storage, clock.now(), 'done')
    const held = await storage.get('done')
    assert.ok(held)
    await commitOne(storage, updateOf(held, ended(held, clock.now())))
    assert.deepEqual(await storage.register([{ type, version, hash: 'y' }], false), [{ type, version }])
    assert.deepEqual(await storage.register([{ type, version, hash: 'y' }], true), [])
    await commitOne(storage, insertOf(newJob({ id: 'a' }, clock.now())))
    assert.deepEqual(await storage.register([{ type, version, hash: 'z' }], true), [{ type, version }])
    assert.deepEqual(await storage.register([{ type, version, hash: 'y' }], false), [])
  },

  'S9 a claim may write its job under another version, and leave its task unclaimed': async ({ clock, open }) => {
    const storage = await open()
    const created = newJob({ id: 'a' }, clock.now())
    await commitOne(storage, insertOf(created))
    const route = routeOf()
    const moved = { ...created.job, version: 'next', revision: created.job.revision + 1 }
    const claim = (version: string) =>
      storage.claim({ routes: [{ ...route, version }], at: clock.now() }, 5, (known, task) =>
        known.version === 'next'
          ? transitionFor('me', clock.now())(known, task)
          : writeOf({ ...created, job: moved, events: [{ type: 'job.updated' }] }),
      )
    await claim(route.version)
    assert.deepEqual(await storage.get('a'), moved)
    assert.deepEqual(await claim(route.version), [])
    assert.equal((await claim('next')).length, 1)
    assert.equal((await storage.get('a'))?.tasks[0]?.status, 'claimed')
  },
}

async function isGone(storage: StorageConnection): Promise<{ readonly [id: string]: boolean }> {
  return Object.fromEntries((await storage.others()).map(({ id, isGone }) => [id, isGone]))
}
