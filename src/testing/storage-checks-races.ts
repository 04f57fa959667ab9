import assert from 'node:assert/strict'
import { admit, release } from '../model/decision.ts'
import type { Job } from '../model/job.ts'
import type { ChangesetResult, StorageConnection, Write } from '../port/storage.ts'
import {
  claimed,
  commitOne,
  ended,
  insertClaimed,
  insertOf,
  momentAt,
  newJob,
  plain,
  routeOf,
  transitionFor,
  updateOf,
  writeOf,
} from './fixtures.ts'
import type { Bench, Checks } from './storage-bench.ts'

/** How many want one thing at once. */
const MANY = 50
/** Over so many connections. */
const CONNECTIONS = 5
/** More rows than any race writes. */
const ALL = 1_000

const numbers = Array.from({ length: MANY }, (_, index) => index)

/** Checks of fifty that want the same at once, over several connections. */
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

  'S3 of 50 waiting runs that are admitted at once to one slot one is': async (bench) => {
    const race = await racers(bench)
    const at = bench.clock.now()
    const jobs = numbers.map((index) => newJob({ id: `j${index}`, pipeline: 'p', isWaiting: true }, at).job)
    const storage = await bench.open('setup')
    for (const { id } of jobs) await commitOne(storage, insertOf(newJob({ id, pipeline: 'p', isWaiting: true }, at)))
    const results = await race(async (connection, index) => {
      const job = itemAt(jobs, index)
      return await commitOne(connection, updateOf(job, admit(plain, job, momentAt(at))))
    })
    onlyWinner(results)
    const waiting = await storage.find({ scopes: [{ tenant: 't1' }], phase: 'waiting' }, { limit: ALL })
    assert.equal(waiting.length, MANY - 1)
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

  'S2 of 50 ends of one task under one token one is applied': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    await insertClaimed(storage, bench.clock.now(), 'a')
    const held = await stored(storage, 'a')
    const results = await race(async (connection) => {
      return await commitOne(connection, updateOf(held, ended(held, bench.clock.now())))
    })
    onlyWinner(results)
    const rows = await storage.events({ after: 0, limit: ALL, jobId: 'a' })
    assert.equal(rows.length, 3)
  },

  'S9 50 claimers of 50 tasks over several connections get each of them once': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const at = bench.clock.now()
    for (const index of numbers) await commitOne(storage, insertOf(newJob({ id: `j${index}` }, at)))
    const claims = await race(async (connection, index) => {
      return await connection.claim({ routes: [routeOf()], at }, 1, transitionFor(`w${index}`, at))
    })
    const ids = claims.flat().map(({ job }) => job.id)
    assert.deepEqual([ids.length, new Set(ids).size], [MANY, MANY])
    for (const [index, [own]] of claims.entries()) {
      assert.equal((await stored(storage, own?.job.id ?? '')).tasks[0]?.holder, `w${index}`)
    }
  },

  'S9 50 claimers that each want seven of 50 tasks get each of them once': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const at = bench.clock.now()
    for (const index of numbers) await commitOne(storage, insertOf(newJob({ id: `j${index}` }, at)))
    const claims = await race(async (connection, index) => {
      return await connection.claim({ routes: [routeOf()], at }, 7, transitionFor(`w${index}`, at))
    })
    const ids = claims.flat().map(({ job }) => job.id)
    assert.deepEqual([ids.length, new Set(ids).size], [MANY, MANY])
    assert.equal(Math.max(...claims.map(({ length }) => length)), 7)
  },

  'S7 of 50 writes that ask to be claimed at once none goes before what is ready': async (bench) => {
    const race = await racers(bench)
    const at = bench.clock.now()
    await commitOne(await bench.open('setup'), insertOf(newJob({ id: 'first' }, at)))
    const results = await race(async (storage, index) => {
      const created = newJob({ id: `j${index}` }, at)
      const write: Write = { op: 'insert', ...writeOf(created), claimed: writeOf(claimed(created.job, at)) }
      return await commitOne(storage, write)
    })
    for (const result of results) assert.equal(result.status === 'applied' && result.rows[0]?.claimed, false)
  },

  'S5 50 reports of a step that is recorded change nothing, and of another one is kept': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const token = await insertClaimed(storage, bench.clock.now(), 'a')
    const first = { kind: 'step', invocation: 1, name: 'step 0', result: 'first' } as const
    await commitOne(storage, { op: 'note', jobId: 'a', token, note: first })
    const results = await race(async (connection, index) => {
      const note = { kind: 'step', invocation: 1, name: `step ${index % 2}`, result: index } as const
      return await commitOne(connection, { op: 'note', jobId: 'a', token, note })
    })
    assert.ok(results.every(({ status }) => status === 'applied'))
    const steps = await storage.steps('a', 1)
    assert.deepEqual([steps.size, steps.get('step 0')], [2, 'first'])
    assert.ok(numbers.some((index) => index === steps.get('step 1')))
    assert.deepEqual(await (await bench.open('after')).steps('a', 1), steps)
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

  'S5 of 50 notes under a token that is given back meanwhile exactly the applied ones are kept': async (bench) => {
    const race = await racers(bench)
    const storage = await bench.open('setup')
    const token = await insertClaimed(storage, bench.clock.now(), 'a')
    const at = bench.clock.now()
    const held = await stored(storage, 'a')
    const results = await race(async (connection, index) => {
      if (index === MANY / 2) {
        return await commitOne(connection, updateOf(held, release(plain, held, token, momentAt(at))))
      }
      const note = { kind: 'log', key: `k${index}`, lines: [{ at, text: `line ${index}` }] } as const
      return await commitOne(connection, { op: 'note', jobId: 'a', token, note })
    })
    assert.equal(results[MANY / 2]?.status, 'applied')
    const kept = results.filter(({ status }) => status === 'applied').length - 1
    assert.equal(results.filter(({ status }) => status === 'stale').length, MANY - 1 - kept)
    assert.equal((await storage.logs('a', 0, ALL)).length, kept)
  },

  'S6 50 commits over several connections are numbered without a gap, and no reader sees one meanwhile': async (
    bench,
  ) => {
    const race = await racers(bench)
    const reader = await bench.open('reader')
    const at = bench.clock.now()
    let isOver = false
    const reading = (async () => {
      while (!isOver) {
        expectNoGap(await reader.events({ after: 0, limit: ALL }))
        await new Promise<void>((resume) => bench.clock.turn(resume))
      }
    })()
    const results = await race(async (storage, index) => {
      return await commitOne(storage, ...[0, 1].map((part) => insertOf(newJob({ id: `j${index}.${part}` }, at))))
    })
    isOver = true
    await reading
    const rows = await reader.events({ after: 0, limit: ALL })
    expectNoGap(rows)
    assert.equal(rows.length, 2 * MANY)
    // A unit's rows stand together, as it was told.
    const told = results.flatMap((result) => (result.status === 'applied' ? [result.rows] : []))
    for (const [first, second] of told) {
      assert.ok(first && second)
      assert.equal(second.sequence, first.sequence + first.events.events.length)
    }
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
        const jobs = await storage.find({ scopes: [{ tenant: 't1' }] }, page)
        const last = jobs.at(-1)
        if (last === undefined) return
        seen.push(...jobs.map(({ id }) => id))
        after = { createdAt: last.createdAt, id: last.id }
        await new Promise<void>((resume) => bench.clock.turn(resume))
      }
    })()
    await race(async (connection, index) => {
      // Some come behind the page that is being read, and some before it.
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

  'S16 of 50 that register another chart for one version at once one is kept': async (bench) => {
    const race = await racers(bench)
    const refused = await race((storage, index) =>
      storage.register([{ type: 'a', version: '1', hash: `h${index}` }], false),
    )
    assert.equal(refused.filter(({ length }) => length === 0).length, 1)
  },
}

type Race = <Result>(run: (storage: StorageConnection, index: number) => Promise<Result>) => Promise<readonly Result[]>

/** Starts fifty at once, spread over the connections. */
async function racers({ open }: Bench): Promise<Race> {
  const names = Array.from({ length: CONNECTIONS }, (_, index) => `racer${index}`)
  const connections = await Promise.all(names.map((name) => open(name)))
  return (run) => Promise.all(numbers.map((index) => run(itemAt(connections, index % CONNECTIONS), index)))
}

/** The place of the one unit that was applied. */
function onlyWinner(results: readonly ChangesetResult[]): number {
  assert.equal(results.filter(({ status }) => status === 'applied').length, 1)
  return results.findIndex(({ status }) => status === 'applied')
}

function expectNoGap(rows: readonly { readonly sequence: number; readonly events: readonly unknown[] }[]): void {
  let next = 1
  for (const { sequence, events } of rows) {
    assert.equal(sequence, next)
    next += events.length
  }
}

async function count({ open }: Bench): Promise<number> {
  return (await (await open('counting')).find({ scopes: [{}] }, { limit: ALL })).length
}

async function stored(storage: StorageConnection, id: string): Promise<Job> {
  const job = await storage.get(id)
  assert.ok(job)
  return job
}

function itemAt<Item>(items: readonly Item[], index: number): Item {
  const item = items[index]
  assert.ok(item !== undefined)
  return item
}
