import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type StorageConnection, systemClock } from '../../src/index.ts'
import { findQuery } from '../../src/sqlite/find.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { prepareAll, type Statements } from '../../src/sqlite/statements.ts'
import { insertOf, newJob, routeOf, transitionFor, unitOf } from '../../src/testing/fixtures.ts'

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
  const units = Array.from({ length: JOBS }, (_, index) =>
    unitOf(insertOf(newJob({ id: `job-${index}`, priority: index % 3 }, AT + index))),
  )
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

  test.each([
    ['of a tenant', { scopes: [{ tenant: 't1' }] }],
    ['of a person', { scopes: [{ tenant: 't1', createdBy: 'ada' }] }],
    ['of either', { scopes: [{ tenant: 't1' }, { tenant: 't2', createdBy: 'ada' }] }],
  ])('a page of the jobs %s is read off an index', (_, filter) => {
    const first = findQuery(filter, { limit: 20 })
    const next = findQuery(filter, { limit: 20, after: { createdAt: AT, id: 'job-1' } })
    for (const { sql, values } of [first, next]) {
      const plan = planOf(sql, values)
      expect(plan).toMatch(/SEARCH jobs USING INDEX jobs_(newest|own)/)
      expect(plan).not.toContain('SCAN jobs')
    }
  })

  test('claims come in their order: priority, then due, then sequence', async () => {
    const query = { routes: [routeOf()], at: AT + JOBS }
    const claimed = await storage.claim(query, 3, transitionFor('me', AT + JOBS))
    expect(claimed.map(({ job }) => job.id)).toEqual(['job-2', 'job-5', 'job-8'])
  })
})

function planOf(sql: string, values: readonly unknown[] = []): string {
  const rows = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all(...(values as readonly string[]))
  return rows.map(({ detail }) => String(detail)).join('\n')
}
