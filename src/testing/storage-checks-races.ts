import assert from 'node:assert/strict'
import { admit, release } from '../model/decision.ts'
import type { ChangesetResult, StorageConnection, StoredEvents } from '../port/storage.ts'
import {
  changesetOf,
  claimed,
  claimNow,
  claimOf,
  commitOne,
  contextAt,
  ended,
  getJob,
  insertClaimed,
  insertOf,
  newJob,
  plain,
  rowsOf,
  updateOf,
} from './fixtures.ts'
import type { Bench, Checks } from './storage-bench.ts'

/** How many calls compete. */
const MANY = 50
/** How many connections make these calls. */
const CONNECTIONS = 5
/** A limit above the number of rows that any race writes. */
const ALL = 1_000

const numbers = Array.from({ length: MANY }, (_, index) => index)

/** Checks of 50 calls that compete at the same time, over several connections. */
export const raceChecks: Checks = {
  'S4 of 50 inserts of one key over several connections one is stored, and the others name it': async (bench) => {
    const race = await racers(bench)
    const results = await race(async (storage, index) => {
      const seed = { id: `j${index}`, idempotencyKey: 'k', pipeline: 'p' }
      return await commitOne(storage, insertOf(newJob(seed, bench.clock.now())))
    })
    const winner = onlyWinner(results)
    for (const [index, result] of results.entries()) {
      if (index !== winner) assert.deepEqual(result, { status: 'duplicate', id: `j${winner}` })
    }
    assert.equal(await count(bench), 1)
  },

  'S3 of 50 inserts for one slot over several connections one is stored, and the others name it': async (bench) => {
    const race = await racers(bench)
    const results = await race(async (storage, index) => {
      return await commitOne(storage, insertOf(newJob({ id: `j${index}`, pipeline: 'p' }, bench.clock.now())))
    })
    const winner = onlyWinner(results)
    for (const [index, result] of results.entries()) {
      if (index !== winner) assert.deepEqual(result, { status: 'slot-taken', by: `j${winner}` })
    }
    assert.equal(await count(bench), 1)
  },

  'S3 if 50 waiting runs are admitted to one slot at once, one is admitted': async (bench) => {
    const race = await racers(bench)
    const at = bench.clock.now()
    const jobs = numbers.map((index) => newJob({ id: `j${index}`, pipeline: 'p', isWaiting: true }, at).job)
    const storage = await bench.open('setup')
    for (const { id } of jobs) await commitOne(storage, insertOf(newJob({ id, pipeline: 'p', isWaiting: true }, at)))
    const results = await race(async (connection, index) => {
      const job = itemAt(jobs, index)
      return await commitOne(connection, updateOf(job, admit(plain, job, contextAt(at))))
    })
    onlyWinner(results)
    assert.equal(await storage.count({ scopes: [{ tenant: 't1' }], phase: 'waiting' }), MANY - 1)
  },

  'S2 of 50 updates of one revision over several connections one is applied': async (bench) => {
    const race = await racers(bench)
    const created = newJob({ id: 'a' }, bench.clock.now())
    await commitOne(await bench.open('setup'), insertOf(created))
    const results = await race(async (storage, index) => {
      return await commitOne(storage, updateOf(created.job, claimed(created.job, bench.clock.now(), `w${index}`)))
    })
    const winner = onlyWinner(results)
    assert.equal(results.filter(({ status }) => status === 'conflict').length, MANY - 1)
    assert.equal((await (await bench.open('after')).get('a'))?.tasks[0]?.holder, `w${winner}`)
  },

  'S2 if 50 ends of one task are written under one token, one is applied': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    await insertClaimed(storage, bench.clock.now(), 'a')
    const held = await getJob(storage, 'a')
    const results = await race(async (connection) => {
      return await commitOne(connection, updateOf(held, ended(held, bench.clock.now())))
    })
    onlyWinner(results)
    assert.equal((await rowsOf(storage, 'a')).length, 3)
  },

  'S9 if 50 claims want one task at once, one gets it': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const at = bench.clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'a' }, at)))
    const claims = await race((connection, index) => claimNow(connection, at, { room: 1, holder: `w${index}` }))
    // Competing claims may hinder each other so that none gets the task. Then the next claim gets it.
    const taken = [...claims.flat(), ...(await claimNow(storage, at))]
    assert.equal(taken.length, 1)
    assert.equal((await getJob(storage, 'a')).tasks[0]?.status, 'claimed')
    assert.equal((await rowsOf(storage, 'a')).length, 2)
  },

  'S9 50 claimers that each want some of 50 tasks get each task once': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const at = bench.clock.now()
    for (const room of [1, 7]) {
      for (const index of numbers) await commitOne(storage, insertOf(newJob({ id: `j${room}/${index}` }, at)))
      const claims: (readonly [holder: string, id: string])[] = []
      // A claim that competes with others may get no task, so claims are repeated.
      for (let round = 0; round < MANY && claims.length < MANY; round++) {
        await race(async (connection, index) => {
          const holder = `w${index}`
          const taken = await claimNow(connection, at, { room, holder })
          assert.ok(taken.length <= room)
          claims.push(...taken.map(({ job }) => [holder, job.id] as const))
        })
      }
      assert.deepEqual([claims.length, new Set(claims.map(([, id]) => id)).size], [MANY, MANY])
      for (const [holder, id] of claims) assert.equal((await getJob(storage, id)).tasks[0]?.holder, holder)
    }
  },

  'S9 50 commits that each store a job and claim one give each job to one of them': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const at = bench.clock.now()
    const holders = new Map<string, string>()
    await race(async (connection, index) => {
      const holder = `w${index}`
      const changesets = [changesetOf(insertOf(newJob({ id: `j${index}` }, at)))]
      const { results, claimed: taken } = await connection.commit(changesets, claimOf(at, { room: 1, holder }))
      assert.equal(results[0]?.status, 'applied')
      for (const { job } of taken) {
        assert.ok(!holders.has(job.id))
        holders.set(job.id, holder)
      }
    })
    for (const { job } of await claimNow(storage, at, { holder: 'after' })) holders.set(job.id, 'after')
    assert.equal(holders.size, MANY)
    for (const [id, holder] of holders) assert.equal((await getJob(storage, id)).tasks[0]?.holder, holder)
  },

  'S5 50 reports of a recorded step change nothing, and 50 of a new step record one': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const token = await insertClaimed(storage, bench.clock.now(), 'a')
    const first = { kind: 'step', invoke: 'i', ordinal: 1, name: 'step 0', result: 'first' } as const
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: first })
    const results = await race(async (connection, index) => {
      const note = { kind: 'step', invoke: 'i', ordinal: 1, name: `step ${index % 2}`, result: index } as const
      return await commitOne(connection, { op: 'note', jobId: 'a', token, note })
    })
    assert.ok(results.every(({ status }) => status === 'applied'))
    const steps = await storage.steps('a', 'i', 1)
    assert.deepEqual([steps.size, steps.get('step 0')], [2, 'first'])
    assert.ok(numbers.some((index) => index === steps.get('step 1')))
    assert.deepEqual(await (await bench.open('after')).steps('a', 'i', 1), steps)
  },

  'S5 50 log notes under one token are numbered without a gap': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const token = await insertClaimed(storage, bench.clock.now(), 'a')
    const at = bench.clock.now()
    await race(async (connection, index) => {
      const note = { kind: 'log', key: `k${index}`, lines: [{ at, text: `line ${index}` }] } as const
      return await commitOne(connection, { op: 'note', jobId: 'a', token, note })
    })
    const lines = await storage.logs('a', 0, ALL)
    assert.deepEqual(
      lines.map(({ number }) => number),
      numbers.map((index) => index + 1),
    )
    assert.equal(new Set(lines.map(({ text }) => text)).size, MANY)
  },

  'S5 if 50 notes are written while their token is given back, exactly the applied ones are kept': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const token = await insertClaimed(storage, bench.clock.now(), 'a')
    const at = bench.clock.now()
    const held = await getJob(storage, 'a')
    const results = await race(async (connection, index) => {
      if (index === MANY / 2) {
        return await commitOne(connection, updateOf(held, release(plain, held, token, contextAt(at))))
      }
      const note = { kind: 'log', key: `k${index}`, lines: [{ at, text: `line ${index}` }] } as const
      return await commitOne(connection, { op: 'note', jobId: 'a', token, note })
    })
    assert.equal(results[MANY / 2]?.status, 'applied')
    const kept = results.filter(({ status }) => status === 'applied').length - 1
    assert.equal(results.filter(({ status }) => status === 'stale').length, MANY - 1 - kept)
    assert.equal((await storage.logs('a', 0, ALL)).length, kept)
  },

  'S6 a reader that follows the log during 50 commits skips no row': async (bench) => {
    const race = await racers(bench)
    const reader = await bench.open('reader')
    const at = bench.clock.now()
    const seen: StoredEvents[] = []
    let isOver = false
    const follow = async () => {
      const last = seen.at(-1)
      const after = last === undefined ? 0 : last.sequence + last.events.length - 1
      seen.push(...(await reader.events({ after, limit: ALL })))
    }
    const reading = (async () => {
      while (!isOver) {
        await follow()
        await new Promise<void>((resume) => bench.clock.turn(resume))
      }
    })()
    const results = await race(async (storage, index) => {
      return await commitOne(storage, ...[0, 1].map((part) => insertOf(newJob({ id: `j${index}.${part}` }, at))))
    })
    isOver = true
    await reading
    await follow()
    assert.equal(seen.length, 2 * MANY)
    assert.deepEqual(seen, await rowsOf(await bench.open('after')))
    expectRising(seen)
    const told = results.flatMap((result) => (result.status === 'applied' ? result.rows : []))
    const sequences = told.map(({ sequence }) => sequence).sort((a, b) => a - b)
    assert.deepEqual(
      sequences,
      seen.map(({ sequence }) => sequence),
    )
  },

  'S12 pages neither skip nor repeat a row while 50 writers insert': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const at = bench.clock.now()
    for (const index of numbers) await commitOne(storage, insertOf(newJob({ id: `old${index}` }, at + index)))
    const seen: string[] = []
    const paging = (async () => {
      for (let after: { createdAt: number; id: string } | undefined; ; ) {
        const page = { limit: 7, ...(after === undefined ? {} : { after }) }
        const found = await storage.find({ scopes: [{ tenant: 't1' }] }, page)
        seen.push(...found.jobs.map(({ id }) => id))
        if (found.after === undefined) return
        after = found.after
        await new Promise<void>((resume) => bench.clock.turn(resume))
      }
    })()
    await race(async (connection, index) => {
      // Half of the new jobs sort before the page being read, half after it.
      const createdAt = index % 2 === 0 ? at - index : at + ALL + index
      return await commitOne(connection, insertOf(newJob({ id: `new${index}` }, createdAt)))
    })
    await paging
    assert.equal(new Set(seen).size, seen.length)
    assert.equal(seen.filter((id) => id.startsWith('old')).length, MANY)
  },

  'S14 ten instances that open at once are listed to each other': async (bench) => {
    const names = Array.from({ length: 10 }, (_, index) => `i${index}`)
    const all = await Promise.all(names.map((name) => bench.open(name)))
    for (const [index, storage] of all.entries()) {
      const listed = (await storage.others()).map(({ id }) => id).sort()
      assert.deepEqual(
        listed,
        names.filter((_, other) => other !== index),
      )
    }
  },

  'S16 if 50 different charts for one version are registered at once, one is kept': async (bench) => {
    const race = await racers(bench)
    const refused = await race((storage, index) =>
      storage.register([{ type: 'a', version: '1', hash: `h${index}` }], false),
    )
    assert.equal(refused.filter(({ length }) => length === 0).length, 1)
  },
}

type Race = <Result>(run: (storage: StorageConnection, index: number) => Promise<Result>) => Promise<readonly Result[]>

/** Opens the connections. Returns a function that starts 50 calls at once, spread over the connections. */
async function racers({ open }: Bench): Promise<Race> {
  const names = Array.from({ length: CONNECTIONS }, (_, index) => `racer${index}`)
  const connections = await Promise.all(names.map((name) => open(name)))
  return (run) => Promise.all(numbers.map((index) => run(itemAt(connections, index % CONNECTIONS), index)))
}

/** The index of the only changeset that was applied. */
function onlyWinner(results: readonly ChangesetResult[]): number {
  assert.equal(results.filter(({ status }) => status === 'applied').length, 1)
  return results.findIndex(({ status }) => status === 'applied')
}

function expectRising(rows: readonly StoredEvents[]): void {
  let next = 1
  for (const { sequence, events } of rows) {
    assert.ok(sequence >= next)
    next = sequence + events.length
  }
}

async function count({ open }: Bench): Promise<number> {
  return await (await open('counting')).count({ scopes: [{}] })
}

function itemAt<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  assert.ok(item !== undefined)
  return item
}
