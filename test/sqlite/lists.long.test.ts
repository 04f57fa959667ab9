import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { memoryStorage, type Scope } from '../../src/index.ts'
import { remove } from '../../src/model/decision.ts'
import type { Job, JobFilter, StorageConnection } from '../../src/port/index.ts'
import type { JobPage, JobPosition } from '../../src/port/storage.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { JobSearch } from '../../src/sqlite/job-search.ts'
import { JobTable } from '../../src/sqlite/job-table.ts'
import { Kinds } from '../../src/sqlite/kinds.ts'
import { Names } from '../../src/sqlite/names.ts'
import { preparing } from '../../src/sqlite/statement.ts'
import {
  changesetOf,
  childOf,
  claimed,
  contextAt,
  ended,
  insertOf,
  newJob,
  plain,
  twin,
  updateOf,
} from '../../src/testing/fixtures.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { shareOf } from '../share.ts'

// The lists and counts must equal those of the memory storage, which checks every job.

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
  status: fc.option(fc.subarray(['queued', 'running', 'completed', 'both', 'none']), { nil: undefined, freq: 1 }),
  outcome: fc.constantFrom(undefined, undefined, 'success', 'failure'),
  createdAfter: fc.constantFrom(undefined, undefined, AT + 5, AT + 6, AT + 30),
  createdBefore: fc.constantFrom(undefined, undefined, AT + 15, AT + 6, AT),
  parentId: fc.constantFrom(undefined, undefined, null, 'parent', 'none'),
})

type Seed = typeof seed extends fc.Arbitrary<infer Value> ? Value : never

async function fill(connections: readonly StorageConnection[], seeds: readonly Seed[]): Promise<void> {
  const changesets = seeds.flatMap((each, index) => changesetsOf(each, `job-${(index * 7) % 100}-${index}`))
  for (const connection of connections) {
    const { results } = await connection.commit(changesets.map((changeset) => ({ ...changeset })))
    expect(results.every(({ status }) => status === 'applied')).toBe(true)
  }
}

function changesetsOf({ tenant, createdBy, type, state, kin: role, team, kind, at: offset }: Seed, id: string) {
  const at = AT + offset
  const marks = { ...(team === undefined ? {} : { team }), ...(kind === undefined ? {} : { kind }) }
  const pipeline =
    role === 'pipeline' ? { pipeline: offset % 2 === 0 ? 'p1' : 'p2', startAt: AT * 2, isWaiting: true } : {}
  const made = newJob({ id, tenant, createdBy, labels: marks, ...pipeline }, at, type)
  // A child is not moved here, because that would need its parent.
  if (role === 'child')
    return [changesetOf(insertOf(state === 'completed' ? settled(childOf('parent', made)) : childOf('parent', made)))]
  const changesets = [changesetOf(insertOf(made))]
  let { job } = made
  const write = (next: typeof made) => {
    changesets.push(changesetOf(updateOf(job, next)))
    job = next.job
  }
  const isFree = type === plain && role !== 'pipeline'
  if (isFree && state !== 'queued' && state !== 'removed') write(claimed(job, at))
  if (isFree && state === 'completed') write(ended(job, at))
  if (state === 'deleted' || state === 'removed') write(remove(type, job, contextAt(at)))
  return changesets
}

function settled(made: ReturnType<typeof newJob>): ReturnType<typeof newJob> {
  return {
    ...made,
    job: { ...made.job, phase: 'settled', outcome: 'success', status: 'completed', tasks: [], endedAt: AT },
  }
}

async function pages(storage: Pick<StorageConnection, 'find'>, wanted: JobFilter, page: JobPage) {
  const found: Job[] = []
  for (let after: JobPosition | undefined; ; ) {
    const part = await storage.find(wanted, { ...page, ...(after === undefined ? {} : { after }) })
    expect(part.jobs.length).toBeLessThanOrEqual(page.limit)
    found.push(...part.jobs)
    if (part.after === undefined) return found
    after = part.after
  }
}

function given<Value extends object>(value: Value): Value {
  const entries = Object.entries(value).filter(([, each]) => each !== undefined)
  return Object.fromEntries(entries) as Value
}

function askedFor({ scopes, ...rest }: typeof filter extends fc.Arbitrary<infer Value> ? Value : never): JobFilter {
  // Absent options are left out, as the engine does.
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

  const page = fc.record({ limit: fc.integer({ min: 1, max: 60 }), order: fc.constantFrom('newest', 'oldest') })

  async function compare(found: Pick<StorageConnection, 'find' | 'count' | 'counts'>): Promise<void> {
    await fc.assert(
      fc.asyncProperty(filter, page, async (drawn, asked) => {
        const wanted = askedFor(drawn)
        const expected = await pages(memory, wanted, { ...asked, limit: 1_000 })
        expect(await pages(found, wanted, asked)).toEqual(expected)
        expect(await found.count(wanted)).toBe(expected.length)
        for (const by of ['status', 'type', 'phase', 'outcome'] as const) {
          const counts = new Map<string, number>()
          for (const { [by]: value } of expected)
            if (value !== undefined) counts.set(value, (counts.get(value) ?? 0) + 1)
          expect(await found.counts(by, wanted)).toEqual(counts)
        }
      }),
      { numRuns: shareOf(6_000) },
    )
  }

  test('S12, S26 lists and counts equal a check of every job one by one', async () => {
    await compare(sqlite)
  })

  test('S12, S26, S30 lists and counts stay equal if a page, or a turn, ends after a few rows', async () => {
    const prepare = preparing(db)
    let turns = 0
    const turn = (run: () => void) => {
      turns++
      run()
    }
    const clock = { ...virtualClock(), turn }
    const search = new JobSearch(prepare, new JobTable(prepare, new Names(prepare), new Kinds(prepare)), clock, 7)
    await compare({
      find: async (...list) => search.find(...list),
      count: (wanted) => search.count(wanted),
      counts: (by, wanted) => search.counts(by, wanted),
    })
    expect(turns).toBeGreaterThan(1_000)
  })

  test('S12, S26 any number of scopes gives one list', async () => {
    const relations = Array.from({ length: 3_000 }, (_, index) => ({
      tenant: 't1',
      labels: { team: `other-${index}` },
    }))
    const scopes = [...relations, { tenant: 't1', labels: { team: 'x' } }, { tenant: 't1', createdBy: 'ada' }]
    const expected = await pages(memory, { scopes: scopes.slice(-2) }, { limit: 1_000 })
    expect(expected.length).toBeGreaterThan(20)
    expect(await pages(sqlite, { scopes }, { limit: 10 })).toEqual(expected)
    expect(await sqlite.count({ scopes })).toBe(expected.length)
  })
})
