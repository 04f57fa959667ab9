import assert from 'node:assert/strict'
import type { StoredAgent } from '../model/agent.ts'
import { commitOne, FAR } from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

const AT = 1_767_225_600_000

/** Checks of stored agents: S54. */
export const agentChecks: Checks = {
  'S54 an agent is read back as it was written, by its key and by its credential': async ({ open }) => {
    const [storage, other] = [await open(), await open('other')]
    const full: StoredAgent = {
      ...agentOf('t1', 'full'),
      name: 'Größe "1"',
      pools: ['gpu', 'eu'],
      functions: [{ name: '@viewer/extract', version: '2.1' }, { name: 'scan' }],
      credential: 'hash',
      mayJoin: ['gpu'],
      registeredAt: AT + 1,
      seenAt: AT + 2,
    }
    const bare = agentOf('t1', 'bare')
    assert.equal(await storage.putAgent(full), true)
    assert.equal(await storage.putAgent(bare), true)
    for (const each of [storage, other]) {
      assert.deepEqual(await each.agent({ tenant: 't1', id: 'full' }), full)
      assert.deepEqual(await each.agent({ tenant: 't1', id: 'bare' }), bare)
      assert.equal(await each.agent({ tenant: 't2', id: 'full' }), undefined)
      assert.deepEqual(await each.agentByCredential('hash'), full)
      assert.equal(await each.agentByCredential('hash2'), undefined)
    }
    const renewed = { ...full, credential: 'hash2', pools: [], revision: 2 }
    assert.equal(await other.putAgent(renewed), true)
    assert.equal(await storage.agentByCredential('hash'), undefined)
    assert.deepEqual(await storage.agentByCredential('hash2'), renewed)
  },

  'S54 of two writes from one revision, the second writes nothing': async ({ open }) => {
    const [storage, other] = [await open(), await open('other')]
    const first = agentOf('t1', 'a')
    assert.equal(await storage.putAgent({ ...first, revision: 2 }), false)
    assert.equal(await storage.agent(first), undefined)
    assert.equal(await storage.putAgent(first), true)
    assert.equal(await other.putAgent({ ...first, name: 'late' }), false)
    assert.equal(await storage.putAgent({ ...first, name: 'new', revision: 2 }), true)
    assert.equal(await other.putAgent({ ...first, name: 'late', revision: 2 }), false)
    assert.equal(await other.putAgent({ ...first, name: 'early', revision: 4 }), false)
    assert.deepEqual(await other.agent(first), { ...first, name: 'new', revision: 2 })
    const racers = [storage, other].flatMap((each) => Array.from({ length: 10 }, () => each))
    const written = await Promise.all(
      racers.map((each, index) => each.putAgent({ ...first, name: `racer ${index}`, revision: 3 })),
    )
    assert.equal(written.filter((isWritten) => isWritten).length, 1)
    assert.equal((await storage.agent(first))?.name, `racer ${written.indexOf(true)}`)
  },

  'S54 the time of the last call never becomes earlier, and changes no revision': async ({ open }) => {
    const [storage, other] = [await open(), await open('other')]
    const [a, b] = [agentOf('t1', 'a'), agentOf('t1', 'b')]
    for (const agent of [a, b]) await storage.putAgent(agent)
    const seen = (id: string, at: number) => ({ tenant: 't1', id, at })
    await storage.agentsSeen([seen('a', AT + 5), seen('none', AT + 5), { ...seen('b', AT + 5), tenant: 't2' }])
    await other.agentsSeen([seen('a', AT + 4)])
    assert.deepEqual(await storage.agent(a), { ...a, seenAt: AT + 5 })
    assert.deepEqual(await storage.agent(b), b)
    await other.agentsSeen([seen('a', AT + 6), seen('b', AT + 1)])
    assert.deepEqual(await storage.agents({ limit: FAR }), [
      { ...a, seenAt: AT + 6 },
      { ...b, seenAt: AT + 1 },
    ])
    // A write that was made from an older record keeps the later time.
    assert.equal(await storage.putAgent({ ...a, name: 'new', revision: 2 }), true)
    assert.deepEqual(await storage.agent(a), { ...a, name: 'new', seenAt: AT + 6, revision: 2 })
    assert.equal(await storage.putAgent({ ...a, seenAt: AT + 3, revision: 3 }), true)
    assert.equal((await storage.agent(a))?.seenAt, AT + 6)
    assert.equal(await storage.putAgent({ ...a, seenAt: AT + 7, revision: 4 }), true)
    assert.equal((await storage.agent(a))?.seenAt, AT + 7)
  },

  'S54 a removed agent is gone with its credential, its leases have ended, and its id is free': async ({
    clock,
    open,
  }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    const agent = { ...agentOf('t1', 'a'), credential: 'hash', seenAt: AT }
    await storage.putAgent(agent)
    await storage.putAgent(agentOf('t2', 'a'))
    const key = { tenant: 't1', id: 'a' }
    const lease = { jobId: 'j', token: 1, agent: key, until: at + 1_000 }
    await commitOne(storage, { op: 'grant', lease })
    await commitOne(storage, { op: 'grant', lease: { ...lease, jobId: 'k', agent: { ...key, tenant: 't2' } } })
    other.changed()
    await storage.removeAgent(key)
    assert.equal(other.changed(), true)
    assert.equal(await other.agent(key), undefined)
    assert.equal(await other.agentByCredential('hash'), undefined)
    assert.deepEqual(await other.agents({ limit: FAR }), [agentOf('t2', 'a')])
    assert.deepEqual(await other.expiredLeases(at, FAR, 0), [{ ...lease, until: 0 }])
    const report = { op: 'lease', jobId: 'j', token: 1, agent: key, at } as const
    assert.deepEqual(await commitOne(storage, report), { status: 'stale' })
    await storage.removeAgent(key)
    assert.equal(await storage.putAgent(agentOf('t1', 'a')), true)
    assert.deepEqual(await storage.agent(key), agentOf('t1', 'a'))
  },

  'S54 agents are listed by tenant and id, and pages continue after any agent': async ({ open }) => {
    const storage = await open()
    const keys = [
      ['t1', 'a'],
      ['t1', 'b'],
      ['t1', 'ä'],
      ['t2', 'a'],
      ['t2', 'z'],
      ['t3', 'm'],
    ] as const
    for (const [tenant, id] of [...keys].reverse()) await storage.putAgent(agentOf(tenant, id))
    const named = (agents: readonly StoredAgent[]) => agents.map(({ tenant, id }) => [tenant, id])
    assert.deepEqual(named(await storage.agents({ limit: FAR })), keys)
    assert.deepEqual(named(await storage.agents({ limit: 4 })), keys.slice(0, 4))
    assert.deepEqual(named(await storage.agents({ limit: 2, after: { tenant: 't1', id: 'b' } })), keys.slice(2, 4))
    assert.deepEqual(named(await storage.agents({ limit: 2, after: { tenant: 't1', id: 'aa' } })), keys.slice(1, 3))
    assert.deepEqual(named(await storage.agents({ limit: FAR, after: { tenant: 't2', id: 'z' } })), keys.slice(5))
    assert.deepEqual(named(await storage.agents({ limit: FAR, after: { tenant: 't3', id: 'm' } })), [])
    const ofTenant = { tenant: 't2', limit: FAR }
    assert.deepEqual(named(await storage.agents(ofTenant)), keys.slice(3, 5))
    assert.deepEqual(named(await storage.agents({ ...ofTenant, limit: 1 })), keys.slice(3, 4))
    const afterFirst = { ...ofTenant, after: { tenant: 't2', id: 'a' } }
    assert.deepEqual(named(await storage.agents(afterFirst)), keys.slice(4, 5))
    assert.deepEqual(named(await storage.agents({ tenant: 't9', limit: FAR })), [])
  },
}

function agentOf(tenant: string, id: string): StoredAgent {
  return { tenant, id, name: id, pools: [], functions: [], createdBy: 'ada', createdAt: AT, revision: 1 }
}
