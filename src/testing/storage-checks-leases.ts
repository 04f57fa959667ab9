import assert from 'node:assert/strict'
import type { AgentKey, Lease } from '../model/agent.ts'
import { remove } from '../model/decision.ts'
import type { ChangesetResult, StorageConnection, Write } from '../port/storage.ts'
import {
  changesetOf,
  childOf,
  claimedIds,
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
  rowsOf,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

const ann: AgentKey = { tenant: 't1', id: 'ann' }
const bob: AgentKey = { tenant: 't1', id: 'bob' }
/** Another agent than `ann`, with the same id. */
const ann2: AgentKey = { tenant: 't2', id: 'ann' }

/** Checks of leases: S51 to S53. */
export const leaseChecks: Checks = {
  'S51 a granted lease is listed for its agent, by job id and token, and a later grant replaces it': async ({
    clock,
    open,
  }) => {
    const [storage, other] = [await open(), await open('other')]
    const until = clock.now() + 1_000
    const leases = [leaseOf('b', 1, until), leaseOf('a', 10, until + 1), leaseOf('a', 9, until + 2)]
    for (const lease of leases) await commitOne(storage, { op: 'grant', lease })
    await commitOne(storage, { op: 'grant', lease: leaseOf('c', 1, until, bob) })
    await commitOne(storage, { op: 'grant', lease: leaseOf('d', 1, until, ann2) })
    for (const each of [storage, other]) assert.deepEqual(await each.leasesOf(ann), [...leases].reverse())
    assert.deepEqual(await storage.leasesOf({ tenant: 't2', id: 'bob' }), [])
    await commitOne(other, { op: 'grant', lease: leaseOf('b', 1, until + 5, bob) })
    assert.deepEqual(await storage.leasesOf(ann), [leases[2], leases[1]])
    assert.deepEqual(await storage.leasesOf(bob), [leaseOf('b', 1, until + 5, bob), leaseOf('c', 1, until, bob)])
  },

  'S51 a changeset with a lease applies only while that agent has that lease': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    await insertClaimed(storage, at, 'a', 'ann')
    await commitOne(storage, { op: 'grant', lease: leaseOf('a', 1, at + 1_000) })
    const report = (change: Partial<Extract<Write, { readonly op: 'lease' }>>) => {
      const lease: Write = { op: 'lease', jobId: 'a', token: 1, agent: ann, at, ...change }
      const log: Write = { op: 'log', jobId: 'a', key: 'report', lines: [{ at, text: 'done' }] }
      return commitOne(other, log, lease)
    }
    const stale: ChangesetResult = { status: 'stale' }
    assert.deepEqual(await report({ at: at + 1_000 }), stale)
    assert.deepEqual(await report({ at: at + 1_000, until: at + 5_000 }), stale)
    assert.deepEqual(await report({ agent: bob, until: at + 5_000 }), stale)
    assert.deepEqual(await report({ agent: ann2, until: at + 5_000 }), stale)
    assert.deepEqual(await report({ token: 2, until: at + 5_000 }), stale)
    assert.deepEqual(await report({ jobId: 'b', until: at + 5_000 }), stale)
    assert.deepEqual(await storage.leasesOf(ann), [leaseOf('a', 1, at + 1_000)])
    assert.deepEqual(await storage.logs('a', 0, FAR), [])
    assert.equal((await report({ at: at + 999 })).status, 'applied')
    assert.equal((await storage.logs('a', 0, FAR)).length, 1)
    assert.deepEqual(await storage.leasesOf(ann), [leaseOf('a', 1, at + 1_000)])
  },

  'S51 a heartbeat moves the end of a lease, and changes no job, no revision and no event': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await insertClaimed(storage, at, 'a', 'ann')
    const [job, rows] = [await getJob(storage, 'a'), await rowsOf(storage)]
    await commitOne(storage, { op: 'grant', lease: leaseOf('a', 1, at + 1_000) })
    const heartbeat: Write = { op: 'lease', jobId: 'a', token: 1, agent: ann, at: at + 900, until: at + 1_900 }
    assert.deepEqual(await commitOne(storage, heartbeat), { status: 'applied', rows: [] })
    assert.deepEqual(await storage.leasesOf(ann), [leaseOf('a', 1, at + 1_900)])
    assert.deepEqual(await storage.expiredLeases(at + 1_899, FAR, 0), [])
    assert.deepEqual(await storage.expiredLeases(at + 1_900, FAR, 0), [leaseOf('a', 1, at + 1_900)])
    assert.deepEqual([await getJob(storage, 'a'), await rowsOf(storage)], [job, rows])
  },

  'S51 a heartbeat never makes a lease shorter': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await insertClaimed(storage, at, 'a', 'ann')
    await commitOne(storage, { op: 'grant', lease: leaseOf('a', 1, at + 1_000) })
    for (const until of [at + 1_900, at + 1_899, at + 1, 1]) {
      const heartbeat: Write = { op: 'lease', jobId: 'a', token: 1, agent: ann, at, until }
      assert.deepEqual(await commitOne(storage, heartbeat), { status: 'applied', rows: [] })
      assert.deepEqual(await storage.leasesOf(ann), [leaseOf('a', 1, at + 1_900)])
    }
  },

  'S1 a refused changeset leaves every lease as it was': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const leases = [leaseOf('a', 1, at + 1_000), leaseOf('b', 1, at)]
    for (const lease of leases) await commitOne(storage, { op: 'grant', lease })
    const refused = await commitOne(
      storage,
      { op: 'grant', lease: leaseOf('c', 1, at + 9_000) },
      { op: 'grant', lease: leaseOf('a', 1, at + 9_000, bob) },
      { op: 'lease', jobId: 'a', token: 1, agent: bob, at, until: at + 99_000 },
      { op: 'expire', jobId: 'b', token: 1, at },
      { op: 'expect', jobId: 'none', revision: 1 },
    )
    assert.deepEqual(refused, { status: 'conflict' })
    assert.deepEqual(await storage.leasesOf(ann), leases)
    assert.deepEqual(await storage.leasesOf(bob), [])
    assert.deepEqual(await storage.expiredLeases(at + 99_999, FAR, 0), [...leases].reverse())
  },

  'S51 the claim of a task grants its lease, or changes nothing': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b']) await commitOne(storage, insertOf(newJob({ id }, at)))
    const own = decideFor('ann', at)
    const choice = claimOf(at, {
      decide: (ready) => {
        const { id: jobId } = ready.job
        const decided = own(ready)
        if (decided.kind !== 'claim') return decided
        const refused: readonly Write[] = jobId === 'a' ? [{ op: 'expect', jobId, revision: 99 }] : []
        const grant: Write = { op: 'grant', lease: leaseOf(jobId, 1, at + 1_000) }
        return { kind: 'claim', writes: [...decided.writes, grant, ...refused] }
      },
    })
    const { claimed } = await storage.commit([], choice)
    assert.deepEqual(
      claimed.map(({ job }) => job.id),
      ['b'],
    )
    assert.deepEqual(await storage.leasesOf(ann), [leaseOf('b', 1, at + 1_000)])
    assert.deepEqual(await claimedIds(storage, at), ['a'])
  },

  'S51 the leases of a job stay while its task is stopping, and go with its row': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b']) await insertClaimed(storage, at, id, 'ann')
    const child = childOf('a', newJob({ id: 'child' }, at))
    await commitOne(storage, insertOf({ ...child, job: { ...child.job, phase: 'settled', tasks: [] } }))
    for (const id of ['a', 'b', 'child']) await commitOne(storage, { op: 'grant', lease: leaseOf(id, 1, at + 1_000) })
    const running = await getJob(storage, 'a')
    const removed = remove(plain, running, contextAt(at))
    await commitOne(storage, updateOf(running, removed))
    const report: Write = { op: 'lease', jobId: 'a', token: 1, agent: ann, at: at + 1, until: at + 2_000 }
    assert.equal((await commitOne(storage, report)).status, 'applied')
    const stopping = await getJob(storage, 'a')
    // The report of the end and the removal of the row are one changeset.
    assert.equal((await commitOne(storage, report, updateOf(stopping, ended(stopping, at)))).status, 'applied')
    assert.equal(await storage.get('a'), undefined)
    assert.deepEqual(await commitOne(storage, report), { status: 'stale' })
    assert.deepEqual(await storage.leasesOf(ann), [leaseOf('b', 1, at + 1_000)])
    assert.deepEqual(await storage.expiredLeases(at + 99_999, FAR, 0), [leaseOf('b', 1, at + 1_000)])
  },

  'S40 a pruned job leaves no leases': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const id of ['a', 'b']) {
      await insertClaimed(storage, at, id, 'ann')
      for (const token of [1, 2]) await commitOne(storage, { op: 'grant', lease: leaseOf(id, token, at + token) })
    }
    const running = await getJob(storage, 'a')
    await commitOne(storage, updateOf(running, ended(running, at)))
    const rule = { type: plain.type, endedBefore: { success: at + 1 } }
    await pruneAll(storage, { types: [rule], limit: FAR })
    assert.equal(await storage.get('a'), undefined)
    assert.deepEqual(await storage.leasesOf(ann), [leaseOf('b', 1, at + 1), leaseOf('b', 2, at + 2)])
    assert.equal((await storage.expiredLeases(at + 9, FAR, 0)).length, 2)
  },

  'S52 a lease is removed only once it has ended': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    await commitOne(storage, { op: 'grant', lease: leaseOf('a', 1, at) })
    const expire: Write = { op: 'expire', jobId: 'a', token: 1, at: at - 1 }
    assert.deepEqual(await commitOne(other, expire), { status: 'stale' })
    assert.deepEqual(await commitOne(other, { ...expire, token: 2, at }), { status: 'stale' })
    assert.deepEqual(await commitOne(other, { ...expire, jobId: 'b', at }), { status: 'stale' })
    assert.deepEqual(await storage.leasesOf(ann), [leaseOf('a', 1, at)])
    assert.equal((await commitOne(other, { ...expire, at })).status, 'applied')
    assert.deepEqual(await storage.leasesOf(ann), [])
    assert.deepEqual(await commitOne(storage, { ...expire, at }), { status: 'stale' })
  },

  'S52 of a renewal and a loss at the same time, over several connections, exactly one takes effect': async ({
    clock,
    open,
  }) => {
    const connections = [await open('one'), await open('two'), await open('three')] as const
    const [storage, two, three] = connections
    const at = clock.now()
    for (let round = 0; round < 30; round++) {
      const jobId = `job ${round}`
      await commitOne(storage, { op: 'grant', lease: leaseOf(jobId, 1, at) })
      const renewal: Write = { op: 'lease', jobId, token: 1, agent: ann, at: at - 1, until: at + 1_000 }
      const loss: Write = { op: 'expire', jobId, token: 1, at }
      const orders = [
        [renewal, loss],
        [loss, renewal],
      ] as const
      const [first, second] = orders[round % 2] ?? orders[0]
      const results = await Promise.all([commitOne(two, first), commitOne(three, second)])
      assert.deepEqual(results.map(({ status }) => status).sort(), ['applied', 'stale'])
      const isRenewed = results[round % 2]?.status === 'applied'
      const left = (await storage.leasesOf(ann)).filter((lease) => lease.jobId === jobId)
      assert.deepEqual(left, isRenewed ? [leaseOf(jobId, 1, at + 1_000)] : [])
    }
  },

  'S53 ended leases are listed by their end, job id and token, and pages of them do not overlap': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const leases = [
      leaseOf('d', 1, at + 1),
      leaseOf('a', 2, at + 2),
      leaseOf('a', 10, at + 2),
      leaseOf('b', 1, at + 2, bob),
      leaseOf('c', 1, at + 3, ann2),
    ]
    await storage.commit([leases[3], leases[0], leases[4], leases[2], leases[1]].flatMap(granting))
    assert.deepEqual(await storage.expiredLeases(at, FAR, 0), [])
    assert.deepEqual(await storage.expiredLeases(at + 2, FAR, 0), leases.slice(0, 4))
    assert.deepEqual(await storage.expiredLeases(at + 3, 2, 0), leases.slice(0, 2))
    assert.deepEqual(await storage.expiredLeases(at + 3, 2, 2), leases.slice(2, 4))
    assert.deepEqual(await storage.expiredLeases(at + 3, 2, 4), leases.slice(4))
    assert.deepEqual(await storage.expiredLeases(at + 3, 2, 5), [])
  },

  'S53 extended leases last until the given time at least, and those of a removed agent stay ended': async ({
    clock,
    open,
  }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    const leases = [
      leaseOf('a', 1, at - 5),
      leaseOf('b', 1, at + 5),
      leaseOf('c', 1, at + 10),
      leaseOf('d', 1, at, bob),
    ]
    await storage.commit(leases.flatMap(granting))
    await storage.removeAgent(bob)
    other.changed()
    await storage.extendLeases(at + 7)
    assert.equal(other.changed(), true)
    const now = [leaseOf('a', 1, at + 7), leaseOf('b', 1, at + 7), leaseOf('c', 1, at + 10)]
    assert.deepEqual(await other.leasesOf(ann), now)
    assert.deepEqual(await other.expiredLeases(at + 99, FAR, 0), [leaseOf('d', 1, 0, bob), ...now])
    await storage.extendLeases(at)
    assert.deepEqual(await storage.leasesOf(ann), now)
  },
}

function leaseOf(jobId: string, token: number, until: number, agent = ann): Lease {
  return { jobId, token, agent, until }
}

function granting(lease: Lease | undefined) {
  return lease === undefined ? [] : [changesetOf({ op: 'grant', lease })]
}

async function pruneAll(storage: StorageConnection, query: Parameters<StorageConnection['prune']>[0]): Promise<void> {
  for (let after: string | undefined; ; ) {
    const pruned = await storage.prune(after === undefined ? query : { ...query, after })
    if (pruned.after === undefined) return
    after = pruned.after
  }
}
