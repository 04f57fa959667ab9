import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type JobFilter, type StorageConnection, systemClock } from '../../src/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { JobSearch, type Steps } from '../../src/sqlite/job-search.ts'
import { prepareAll, type Statements } from '../../src/sqlite/statements.ts'
import { childOf, insertOf, newJob, routeOf, transitionFor, unitOf } from '../../src/testing/fixtures.ts'

const JOBS = 20_000
const AT = 1_767_225_600_000

let folder = ''
let storage: StorageConnection
let db: DatabaseSync
let statements: Statements

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'jobchart-plans-'))
  const file = join(folder, 'jobs.db')
  storage = await sqliteStorage(file, { durability: 'normal' }).open({ clock: systemClock(), instance: 'me' })
  const units = Array.from({ length: JOBS }, (_, index) => unitOf(insertOf(made(index))))
  await storage.commit(units)
  db = new DatabaseSync(file, { readOnly: true })
  statements = prepareAll(db)
})

afterAll(async () => {
  db.close()
  await storage.close()
  rmSync(folder, { recursive: true, force: true })
})

describe(`with ${JOBS} jobs waiting`, () => {
  test.each([
    ['topPriority', 'jobs_ready'],
    ['readyJobs', 'jobs_ready'],
    ['readyBefore', 'jobs_ready'],
    ['dueJobs', 'jobs_wake'],
    ['busyJobs', 'jobs_busy'],
    ['slotHolder', 'jobs_slot'],
    ['jobByKey', 'jobs_key'],
    ['eventsOfJob', 'events_job'],
  ] as const)('%s is searched by %s', (name, index) => {
    const plan = planOf(statements[name].sourceSQL)
    expect(plan).toContain(index)
    expect(plan).not.toMatch(/SCAN (jobs|events|offers)(?! USING INDEX jobs_busy)/)
    expect(plan).not.toContain('TEMP B-TREE')
  })

  test.each([
    ['nextRoute', 'jobs', 'jobs_ready'],
    ['keysWithRoom', 'jobs', 'jobs_ready'],
    ['keyBefore', 'jobs', 'jobs_ready'],
    ['nextRoute', 'offers', 'offers_ready'],
    ['keysWithRoom', 'offers', 'offers_ready'],
    ['keyBefore', 'offers', 'offers_ready'],
  ] as const)('%s of %s steps from key to key, and walks over no rows', (name, table, index) => {
    const plan = planOf(statements.limits[table][name].sourceSQL)
    expect(plan).toContain(`SEARCH ${table} USING COVERING INDEX ${index} (route>? AND route<?)`)
    expect(plan).not.toMatch(/SCAN (jobs|offers|holds|held|top|waits)\b/)
  })

  test('waitingPipelines steps from pipeline to pipeline, and walks over no rows', () => {
    const plan = planOf(statements.waitingPipelines.sourceSQL)
    for (const step of ['tenant>?', 'tenant=? AND pipeline>?']) {
      expect(plan).toContain(`SEARCH jobs USING COVERING INDEX jobs_turn (${step})`)
    }
    expect(plan).toContain('SEARCH jobs USING COVERING INDEX jobs_turn\n')
    expect(plan).not.toContain('SCAN jobs')
  })

  test.each(['held', 'heldElsewhere'] as const)('%s counts a key by an index', (name) => {
    const plan = planOf(statements.limits[name].sourceSQL)
    expect(plan).toMatch(/SEARCH jobs USING (COVERING )?INDEX jobs_held_key/)
    expect(plan).toMatch(/SEARCH holds USING (COVERING )?INDEX holds_key/)
    expect(plan).not.toContain('SCAN jobs')
  })

  test('readyOffers is read in its order, so that its limit ends it', () => {
    const plan = planOf(statements.readyOffers.sourceSQL)
    expect(plan).toContain('SEARCH offers USING COVERING INDEX offers_ready')
    expect(plan).not.toContain('TEMP B-TREE')
  })

  test.each(['events', 'landed'] as const)(
    '%s starts where it was told to, not at the beginning of the log',
    (name) => {
      const plan = planOf(statements[name].sourceSQL)
      expect(plan).toMatch(/SEARCH events USING INTEGER PRIMARY KEY \(rowid>[?]/)
      expect(plan).not.toContain('SCAN events')
    },
  )

  const filters = [
    ['type', { type: 'plain' }, ''],
    ['phase', { phase: 'active' }, ''],
    ['status', { status: 'queued' }, ''],
    ['type, phase, status and parent', { type: 'plain', phase: 'active', status: 'queued', parentId: null }, ''],
    ['no filter', {}, ''],
    ['no parent', { parentId: null }, ''],
    ['creator', { createdBy: 'ada' }, 'jobs_of_creator'],
    ['parent', { parentId: 'job-1' }, 'jobs_of_parent'],
  ] as const
  const owned = { tenant: 't1', createdBy: 'ada' }
  const lists: readonly (readonly [string, JobFilter, string])[] = [
    ...filters.flatMap(([name, filter, index]) => [
      [`an editor's list by ${name}`, { ...filter, scopes: [owned] }, index || 'jobs_of_creator'] as const,
      [`an admin's list by ${name}`, { ...filter, scopes: [{ tenant: 't1' }] }, index || 'jobs_of_tenant'] as const,
    ]),
    ["an editor's list by pipeline", { pipeline: 'p', scopes: [owned] }, 'jobs_of_pipeline_and_creator'],
    ["an admin's list by pipeline", { pipeline: 'p', scopes: [{ tenant: 't1' }] }, 'jobs_of_pipeline'],
    ["an editor's list by label", { labels: { team: 'x' }, scopes: [owned] }, 'job_labels_of_creator'],
    ["an admin's list by label", { labels: { team: 'x' }, scopes: [{ tenant: 't1' }] }, 'PRIMARY KEY'],
    ['a list of what a relation gives', { scopes: [{ tenant: 't1', labels: { team: 'x' } }] }, 'PRIMARY KEY'],
  ]

  test.each(lists)('%s, and its count, are read off an index in its order', (_, filter, index) => {
    const after = { createdAt: AT + JOBS / 2, id: 'job-1' }
    const plans = [
      ...plansOf((search) => search.list(filter, { limit: 20 })),
      ...plansOf((search) => search.list(filter, { limit: 20, after })),
      ...plansOf((search) => search.count(filter)),
    ].filter((plan) => !plan.includes('USING INTEGER PRIMARY KEY (rowid=?)'))
    expect(plans.length).toBeGreaterThan(0)
    for (const plan of plans) {
      // A comparison of several columns is sought by the first, and then looked at in every row that equals it.
      expect(plan.replace('(created_at,id)<', '').replace('(created_at,id)>', '')).not.toMatch(/\)[<>]/)
      expect(plan).toMatch(new RegExp(`^SEARCH (jobs|job_labels) USING (COVERING INDEX )?${index} \\([^\n]*\\)$`))
    }
  })

  test('a list by several filters looks at rows of the smallest index alone', () => {
    const filter = { scopes: [owned], status: 'queued', labels: { team: 'x', kind: 'y' } }
    const plans = plansOf((search) => search.list(filter, { limit: 20 }))
    expect(plans.join('\n')).toContain('SEARCH job_labels USING COVERING INDEX job_labels_of_creator (')
    expect(plans.join('\n')).not.toMatch(/SCAN|jobs_of_creator|TEMP B-TREE/)
  })

  test('a long count is one snapshot: others write meanwhile, and a close ends it', async () => {
    const clock = systemClock()
    const counter = await sqliteStorage(join(folder, 'jobs.db')).open({ clock, instance: 'counter' })
    const filter = { scopes: [owned, { tenant: 't1' }] }
    const before = await counter.count(filter)
    const counts = [counter.count(filter), counter.count(filter)]
    const [counting] = counts
    await new Promise<void>((resume) => clock.turn(resume))
    await storage.commit([unitOf(insertOf(newJob({ id: 'meanwhile' }, AT)))])
    expect(await counting).toBe(before)
    expect(await counts[1]).toBe(before + 1)
    const cut = expect(counter.count(filter)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    await new Promise<void>((resume) => clock.turn(resume))
    await counter.close()
    await cut
  })

  test('claims come in their order: priority, then due, then sequence', async () => {
    const query = { routes: [routeOf()], at: AT + JOBS }
    const claimed = await storage.claim(query, 3, transitionFor('me', AT + JOBS))
    expect(claimed.map(({ job }) => job.id)).toEqual(['job-5', 'job-8', 'job-11'])
  })
})

// Some of everything that a list may be asked for.
function made(index: number) {
  const id = `job-${index}`
  const at = AT + index
  if (index % 100 === 0) return newJob({ id, labels: { team: 'x', kind: 'y' } }, at)
  if (index % 100 === 1) return newJob({ id, pipeline: `p${index}`, startAt: AT + 10 * JOBS, isWaiting: true }, at)
  return index % 100 === 2 ? childOf('job-1', newJob({ id }, at)) : newJob({ id, priority: index % 3 }, at)
}

function planOf(sql: string, values: readonly unknown[] = []): string {
  const rows = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...(values as readonly string[]))
  return rows.map(({ detail }) => String(detail)).join('\n')
}

// Of each statement that a search prepares.
function plansOf(run: (search: JobSearch) => Steps<unknown>): readonly string[] {
  const texts: string[] = []
  const search = new JobSearch((sql) => {
    texts.push(sql)
    return db.prepare(sql)
  })
  for (const work = run(search); work.next().done !== true; );
  return texts.map((sql) =>
    planOf(
      sql,
      [...sql.matchAll(/\?/g)].map(() => 1),
    ),
  )
}
