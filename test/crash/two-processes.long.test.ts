import { expect, test } from 'vitest'
import { aftermath, attemptsOf, faultsOf, locksLeft, lossesOf } from './aftermath.ts'
import { Life, testFolder } from './life.ts'
import type { LifeOptions } from './life-options.ts'

const wait = { do: 'submit', type: 'wait', input: {} } as const

test('two processes share the work of one file, and a third that starts takes nothing from them', async () => {
  const folder = testFolder()
  const [a, b] = await Promise.all([started({ folder, concurrency: 2 }), started({ folder, concurrency: 2 })])
  for (let job = 0; job < 4; job++) a.tell(wait)
  // Each has room for two tasks, so that both have to take some.
  await Promise.all([a.said('entered'), a.said('entered'), b.said('entered'), b.said('entered')])

  const c = await started({ folder })
  a.tell(wait)
  const { id } = await c.said('entered')
  expect(c.saidSoFar('entered')).toEqual([])

  for (const life of [a, b, c]) life.tell({ do: 'open' })
  const ends = await Promise.all([a.finish(), b.finish(), c.finish()])
  expect(ends).toEqual([clean, clean, clean])
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  expect(found.traces).toHaveLength(5)
  for (const trace of found.traces) {
    expect(trace).toMatchObject({ job: { status: 'completed' }, runs: { handler: 1 }, effects: { effect: 1 } })
    expect(attemptsOf(trace)).toEqual([1])
    expect(lossesOf(trace)).toBe(0)
  }
  const pids = found.traces.map(({ job, pids }) => (job.id === id ? 'c' : pids[0] === a.pid ? 'a' : 'b'))
  expect(pids.sort()).toEqual(['a', 'a', 'b', 'b', 'c'])
})

test('no task is run by two processes under load', async () => {
  const folder = testFolder()
  const lives = await Promise.all([1, 2].map((seed) => started({ folder, concurrency: 5, seed })))
  const load = (name: string) => {
    for (const [index, life] of lives.entries())
      life.tell({ do: 'load', name: `${name}-${index}`, lanes: 15, jobs: 60 })
  }
  load('early')
  const third = await started({ folder, concurrency: 5, seed: 3 })
  // More jobs than the two have room for, however much of the first load they have done by now.
  load('late')
  for (const life of [...lives, ...lives]) await life.said('loaded')
  await Promise.all([...lives, third].map((life) => life.finish()))

  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  expect(found.traces).toHaveLength(240)
  const odd = found.traces.filter((trace) => trace.runs.handler !== 1 || attemptsOf(trace).length !== 1)
  expect(odd).toEqual([])
  expect(found.traces.filter(({ job }) => job.status !== 'completed')).toEqual([])
  const workers = new Set(found.traces.flatMap(({ pids }) => pids))
  expect(workers).toEqual(new Set([...lives, third].map(({ pid }) => pid)))
})

test('a cancel in one process stops the work in another, and the slot is free when that work has ended', async () => {
  const folder = testFolder()
  // It polls the file for the cancel, without waiting for a sweep.
  const a = await started({ folder, sweepMs: HOUR_MS })
  a.tell({ ...wait, pipeline: 'nightly' })
  const { id = '' } = await a.said('entered')

  const b = await started({ folder })
  b.tell({ do: 'cancel', id })
  await b.said('cancelled')
  expect(await a.said('stop seen')).toMatchObject({ id, attempt: 1 })

  b.tell({ ...wait, pipeline: 'nightly' })
  expect(await b.said('refused')).toEqual({ at: 'refused', code: 'ALREADY_RUNNING', id })
  // Its code continues after the stop, and records its effect before it ends.
  a.tell({ do: 'open' })
  await a.said('stopped')
  b.tell({ do: 'open' })
  b.tell({ ...wait, pipeline: 'nightly' })
  await b.said('submitted')

  expect(await Promise.all([a.finish(), b.finish()])).toEqual([clean, clean])
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  expect(found.traces).toMatchObject([
    { job: { id, status: 'cancelled', outcome: 'cancelled' }, runs: { handler: 1 }, effects: { effect: 1 } },
    { job: { status: 'completed', outcome: 'success' }, effects: { effect: 1 } },
  ])
})

test('a living process takes over the tasks of a dead one at its next sweep', async () => {
  const folder = testFolder()
  const a = await started({ folder })
  a.tell({ ...wait, pipeline: 'nightly' })
  await a.said('entered')
  // It sees that the process has died, and need not wait until a silent engine counts as dead.
  const b = await started({ folder, deadAfterMs: HOUR_MS })
  await a.kill()
  expect(await b.said('entered')).toMatchObject({ attempt: 2 })
  b.tell({ do: 'open' })
  expect(await b.finish()).toEqual(clean)
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  expect(found.traces).toMatchObject([{ job: { status: 'completed' }, effects: { effect: 1 } }])
})

test('a process frozen for longer than its lease loses its task, and its late report is refused', async () => {
  const folder = testFolder()
  const { a, b } = await frozen(folder)
  // Both run the code now; only the new token is valid.
  a.tell({ do: 'open' })
  await a.said('refused: STALE_CLAIM')
  b.tell({ do: 'open' })
  expect(await Promise.all([a.finish(), b.finish()])).toEqual([clean, clean])
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  expect(found.traces).toMatchObject([{ job: { status: 'completed' }, effects: { effect: 1 }, runs: { handler: 2 } }])
  expect(found.traces.map(attemptsOf)).toEqual([[1, 2]])
})

test('a process that thaws is alive again: tasks that it claims afterwards stay its own', async () => {
  const folder = testFolder()
  const { a, b, id: lost } = await frozen(folder)
  b.tell({ do: 'open', id: lost })
  a.tell(wait)
  const { id = '' } = await a.said('entered')
  expect(await a.said('submitted')).toEqual({ at: 'submitted', id })
  // B finds a dead process twice. So at least one whole check of B happens after A got its job.
  for (let look = 0; look < 2; look++) {
    const other = await started({ folder, concurrency: 1 })
    other.tell(wait)
    const { id: left = '' } = await other.said('entered')
    await other.kill()
    expect(await b.said('entered'), 'B takes what the dead one left').toMatchObject({ id: left, attempt: 2 })
    b.tell({ do: 'open', id: left })
  }
  for (const life of [a, b]) life.tell({ do: 'open' })
  expect(await Promise.all([a.finish(), b.finish()])).toEqual([clean, clean])
  const found = await aftermath(folder)
  expect(faultsOf(found)).toEqual([])
  const trace = found.traces.find(({ job }) => job.id === id)
  expect(trace).toMatchObject({ job: { status: 'completed' }, pids: [a.pid] })
  expect(trace && attemptsOf(trace)).toEqual([1])
  expect(locksLeft(folder)).toEqual([])
})

const HOUR_MS = 3_600_000
const clean = { code: 0, signal: null }

async function started(options: LifeOptions): Promise<Life> {
  const life = new Life(options)
  await life.said('ready')
  return life
}

/** A process that was suspended while it held a task, until another one took that over, and that continues now. */
async function frozen(folder: string): Promise<{ a: Life; b: Life; id: string }> {
  const times = { heartbeatMs: 100, deadAfterMs: 3_000, sweepMs: 50 }
  const a = await started({ folder, concurrency: 2, ...times })
  a.tell(wait)
  const { id = '' } = await a.said('entered')
  await a.said('submitted')
  const b = await started({ folder, concurrency: 3, ...times })
  // In no transaction: a process suspended inside one holds SQLite's write lock, and all others wait for it.
  a.tell({ do: 'freeze' })
  await a.said('frozen')
  expect(await b.said('entered')).toMatchObject({ id, attempt: 2 })
  a.thaw()
  return { a, b, id }
}
