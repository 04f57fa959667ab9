import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { type Job, type JobFilter, memoryStorage, type Scope, type StorageConnection } from '../../src/index.ts'
import { remove } from '../../src/model/decision.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { JobSearch, type Steps } from '../../src/sqlite/job-search.ts'
import {
  childOf,
  claimed,
  ended,
  insertOf,
  momentAt,
  newJob,
  plain,
  twin,
  unitOf,
  updateOf,
} from '../../src/testing/fixtures.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'

// Whatever is asked for, lists and counts read off the indexes are those of the memory adapter, which looks at every job.

const AT = 1_767_225_600_000
const TENANTS = ['t1', 't2']
const PEOPLE = ['ada', 'eve', 'bob']
const TEAMS = ['x', 'y', 'a "b" \u0000 ü 𝄞']
const STATES = ['queued', 'running', 'completed', 'deleted', 'removed'] as const

const seed = fc.record({
  tenant: fc.constantFrom(...TENANTS),
  createdBy: fc.constantFrom(...PEOPLE),
  type: fc.constantFrom(plain, twin),
  state: fc.constantFrom(...STATES),
  kin: fc.constantFrom('none', 'pipeline', 'child'),
  team: fc.constantFrom(undefined, ...TEAMS),
  kind: fc.constantFrom(undefined, 'k'),
  at: fc.integer({ min: 0, max: 20 }),
})

const text = (...values: readonly string[]) =>
  fc.option(fc.constantFrom(...values, 'none'), { nil: undefined, freq: 1 })
const labels = fc.option(
  fc.constantFrom<Record<string, string>>(
    {},
    ...TEAMS.map((team) => ({ team })),
    { kind: 'k' },
    { team: 'x', kind: 'k' },
  ),
  { nil: undefined, freq: 1 },
)
const narrow = { createdBy: text(...PEOPLE), type: text('plain', 'twin'), pipeline: text('p1', 'p2'), labels }
const scope = fc.record({ tenant: text(...TENANTS), ...narrow })
const filter = fc.record({
  scopes: fc.array(scope, { maxLength: 4 }),
  ...narrow,
  phase: fc.constantFrom(undefined, 'active', 'waiting', 'settled'),
  status: text('queued', 'running', 'completed', 'both'),
  parentId: fc.constantFrom(undefined, undefined, null, 'parent', 'none'),
})

type Seed = typeof seed extends fc.Arbitrary<infer Value> ? Value : never

async function fill(connections: readonly StorageConnection[], seeds: readonly Seed[]): Promise<void> {
  const units = seeds.flatMap((each, index) => unitsOf(each, `job-${(index * 7) % 100}-${index}`))
  for (const connection of connections) {
    const results = await connection.commit(units.map((unit) => ({ ...unit })))
    expect(results.every(({ status }) => status === 'applied')).toBe(true)
  }
}

function unitsOf({ tenant, createdBy, type, state, kin, team, kind, at: offset }: Seed, id: string) {
  const at = AT + offset
  const marks = { ...(team === undefined ? {} : { team }), ...(kind === undefined ? {} : { kind }) }
  const pipeline =
    kin === 'pipeline' ? { pipeline: offset % 2 === 0 ? 'p1' : 'p2', startAt: AT * 2, isWaiting: true } : {}
  const made = newJob({ id, tenant, createdBy, labels: marks, ...pipeline }, at, type)
  // A child is not moved on here, which would need its parent.
  if (kin === 'child')
    return [unitOf(insertOf(state === 'completed' ? settled(childOf('parent', made)) : childOf('parent', made)))]
  const units = [unitOf(insertOf(made))]
  let { job } = made
  const move = (next: typeof made) => {
    units.push(unitOf(updateOf(job, next)))
    job = next.job
  }
  const isFree = type === plain && kin !== 'pipeline'
  if (isFree && state !== 'queued' && state !== 'removed') move(claimed(job, at))
  if (isFree && state === 'completed') move(ended(job, at))
  if (state === 'deleted' || state === 'removed') move(remove(type, job, momentAt(at)))
  return units
}

function settled(made: ReturnType<typeof newJob>): ReturnType<typeof newJob> {
  return { ...made, job: { ...made.job, phase: 'settled', status: 'completed', tasks: [], endedAt: AT } }
}

async function pages(storage: Pick<StorageConnection, 'find'>, asked: JobFilter, limit: number) {
  const found: Job[] = []
  for (;;) {
    const last = found.at(-1)
    const page = last === undefined ? { limit } : { limit, after: { createdAt: last.createdAt, id: last.id } }
    const jobs = await storage.find(asked, page)
    found.push(...jobs)
    if (jobs.length < limit) return found
  }
}

function given<Value extends object>(value: Value): Value {
  const entries = Object.entries(value).filter(([, each]) => each !== undefined)
  return Object.fromEntries(entries) as Value
}

function asked({ scopes, ...rest }: typeof filter extends fc.Arbitrary<infer Value> ? Value : never): JobFilter {
  // What is absent is left out, as the engine does.
  return { ...given(rest), scopes: scopes.map((each) => given(each) as Scope) } as JobFilter
}

describe('with jobs of every kind', () => {
  let memory: StorageConnection
  let sqlite: StorageConnection
  let db: DatabaseSync

  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'jobchart-lists-'))
    const file = join(folder, 'jobs.db')
    const host = { clock: virtualClock(), instance: 'me' }
    memory = await memoryStorage().open(host)
    sqlite = await sqliteStorage(file, { durability: 'normal' }).open(host)
    await fill([memory, sqlite], fc.sample(seed, { numRuns: 400, seed: 7 }))
    db = new DatabaseSync(file, { readOnly: true })
    return async () => {
      db.close()
      await sqlite.close()
      rmSync(folder, { recursive: true, force: true })
    }
  })

  test('S12, S26 every list and every count is that of all jobs looked at one by one', async () => {
    await fc.assert(
      fc.asyncProperty(filter, fc.integer({ min: 1, max: 60 }), async (drawn, limit) => {
        const wanted = asked(drawn)
        const expected = await pages(memory, wanted, 1_000)
        expect(await pages(sqlite, wanted, limit)).toEqual(expected)
        expect(await sqlite.count(wanted)).toBe(expected.length)
      }),
      { numRuns: 600 },
    )
  })

  test('S12, S26 so it is where a turn is over after a few rows', async () => {
    let turns = 0
    const through = <Result>(steps: Steps<Result>): Result => {
      for (;;) {
        const step = steps.next()
        if (step.done === true) return step.value
        turns++
      }
    }
    const search = new JobSearch((sql) => db.prepare(sql), 40)
    await fc.assert(
      fc.asyncProperty(filter, fc.integer({ min: 1, max: 60 }), async (drawn, limit) => {
        const wanted = asked(drawn)
        const expected = await pages(memory, wanted, 1_000)
        const find = async (...list: Parameters<StorageConnection['find']>) => through(search.list(...list))
        expect(await pages({ find }, wanted, limit)).toEqual(expected)
        expect(through(search.count(wanted))).toBe(expected.length)
      }),
      { numRuns: 600 },
    )
    expect(turns).toBeGreaterThan(1_000)
  })

  test('S12, S26 any number of scopes is one list', async () => {
    const relations = Array.from({ length: 3_000 }, (_, index) => ({
      tenant: 't1',
      labels: { team: `other-${index}` },
    }))
    const scopes = [...relations, { tenant: 't1', labels: { team: 'x' } }, { tenant: 't1', createdBy: 'ada' }]
    const expected = await pages(memory, { scopes: scopes.slice(-2) }, 1_000)
    expect(expected.length).toBeGreaterThan(20)
    expect(await pages(sqlite, { scopes }, 10)).toEqual(expected)
    expect(await sqlite.count({ scopes })).toBe(expected.length)
  })
})
