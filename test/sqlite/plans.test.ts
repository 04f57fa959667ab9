import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/index.ts'
import type { Claim, JobFilter, StorageConnection } from '../../src/port/index.ts'
import { Charts } from '../../src/sqlite/charts.ts'
import { CommitWriter } from '../../src/sqlite/commit-writer.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { Instances } from '../../src/sqlite/instances.ts'
import { JobSearch } from '../../src/sqlite/job-search.ts'
import { Pruning } from '../../src/sqlite/pruning.ts'
import { type Prepare, preparing } from '../../src/sqlite/statement.ts'
import { type Tables, tablesOf } from '../../src/sqlite/tables.ts'
import {
  changesetOf,
  childOf,
  claimedIds,
  claimOf,
  decideFor,
  insertOf,
  newJob,
  routeOf,
} from '../../src/testing/fixtures.ts'

const JOBS = 20_000
const AT = 1_767_225_600_000

let storage: StorageConnection
let db: DatabaseSync
let tables: Tables
/** The text of each prepared statement. */
const texts: string[] = []

beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-plans-'))
  const file = join(folder, 'jobs.db')
  storage = await sqliteStorage(file, { durability: 'normal' }).open({ clock: systemClock(), instance: 'me' })
  await storage.commit(Array.from({ length: JOBS }, (_, index) => changesetOf(insertOf(made(index)))))
  db = new DatabaseSync(file)
  const prepare = recording(texts)
  tables = tablesOf(db, prepare, 100)
  new Charts(prepare, tables.lookups)
  new Instances(prepare)
  new Pruning(prepare, tables)
  return async () => {
    db.close()
    await storage.close()
    rmSync(folder, { recursive: true, force: true })
  }
})

describe(`with ${JOBS} jobs waiting`, () => {
  test('no statement of a commit or a read scans a table, or sorts more than the jobs of one time', () => {
    expect(texts.length).toBeGreaterThan(60)
    for (const sql of texts) {
      const plan = planOf(sql)
      // The rows of a recursive query are not a table.
      const scans = plan.match(
        /SCAN (?!next|above|tenants|bounds|open|first|json_each|CONSTANT|\d+-ROW|\(subquery|instances|pipelines|paused_types)\S+.*/g,
      )
      expect(scans ?? [], sql).toEqual([])
      // Limit keys with room are sorted by their first tasks, and the records of one job are grouped.
      const isOfKeys = sql.includes('FROM first')
      expect(isOfKeys ? '' : plan, sql).not.toMatch(/TEMP B-TREE(?! FOR (LAST TERM|GROUP BY))/)
    }
  })

  test('ready tasks are read off their index in order, and routes and keys are found by steps in it', () => {
    for (const table of ['jobs', 'tasks']) {
      const plans = texts.filter((sql) => sql.includes(`${table} INDEXED BY ${table}_ready`)).map(planOf)
      expect(plans.length).toBe(5)
      for (const plan of plans) expect(plan).not.toMatch(/SCAN (jobs|tasks)/)
      expect(plans.join('\n')).toContain(`INDEX ${table}_ready (route=? AND limit_key=? AND priority=? AND ready_at<?)`)
      expect(plans.join('\n')).toContain(`INDEX ${table}_ready (route>?)`)
      expect(plans.join('\n')).toContain(`INDEX ${table}_ready (route=? AND limit_key>?)`)
      expect(plans.join('\n')).toContain(`INDEX ${table}_ready (route=? AND limit_key=? AND priority=?)`)
    }
  })

  test('leases are found by their end, their agent and their task, and agents by their credential', () => {
    const plans = texts.filter((sql) => /\b(leases|agents)\b/.test(sql)).map(planOf)
    const searches = plans.join('\n')
    expect(searches).not.toMatch(/SCAN|TEMP B-TREE/)
    for (const index of [
      'leases USING INDEX leases_until (until<?)',
      'leases USING INDEX leases_of_agent (tenant=? AND agent=?)',
      'leases USING PRIMARY KEY (job=? AND token=?)',
      'leases USING PRIMARY KEY (job=?)',
      'agents USING INDEX agents_credential (credential=?)',
      'agents USING PRIMARY KEY (tenant=? AND id>?)',
    ]) {
      expect(searches).toContain(index)
    }
  })

  test('items are found by number, by status and by key, and those left by removed jobs by their job', () => {
    const plans = texts.filter((sql) => /\b(items|batches|left_items)\b/.test(sql)).map(planOf)
    const searches = plans.join('\n')
    expect(searches).not.toMatch(/SCAN (?!\d+-ROW|CONSTANT)|TEMP B-TREE(?! FOR GROUP BY)/)
    for (const index of [
      'items USING PRIMARY KEY (n=? AND number>? AND number<?)',
      'items USING PRIMARY KEY (n=? AND number=?)',
      'items USING INDEX items_status (n=? AND status=? AND number>? AND number<?)',
      'items USING COVERING INDEX items_key (n=? AND invocation=? AND key=?)',
      'items USING INDEX items_key (n=? AND invocation=? AND key=?)',
      'batches USING PRIMARY KEY (n=?)',
      'left_items USING INTEGER PRIMARY KEY',
    ]) {
      expect(searches).toContain(index)
    }
  })

  test('the log is read from the requested row, not from its beginning', () => {
    const asked: string[] = []
    const { log } = tablesOf(db, recording(asked), 100)
    const before = asked.length
    log.read({ after: 5, limit: 9 })
    log.read({ after: 5, limit: 9, jobId: 'job-7', through: 99 })
    log.read({ after: 5, limit: 9, scopes: [{ tenant: 't1', labels: { team: 'x' } }] })
    const plans = asked.slice(before).map(planOf)
    expect(plans).toHaveLength(3)
    for (const plan of plans) expect(plan).not.toContain('SCAN events')
    expect(plans[0]).toMatch(/SEARCH events USING INTEGER PRIMARY KEY \(rowid>[?]/)
    expect(plans[1]).toMatch(/SEARCH events USING INDEX events_of_job \(job=[?] AND rowid>[?]/)
  })

  const owned = { tenant: 't1', createdBy: 'ada' }
  const filters: readonly (readonly [name: string, filter: Omit<JobFilter, 'scopes'>, own: string, all: string])[] = [
    ['no filter', {}, 'jobs_of_creator', 'jobs_of_tenant'],
    ['no parent', { parentId: null }, 'jobs_of_creator', 'jobs_of_tenant'],
    ['type', { type: 'plain' }, 'jobs_of_creator', 'jobs_of_tenant'],
    ['phase', { phase: 'active' }, 'jobs_of_creator', 'jobs_of_tenant'],
    ['status', { status: ['queued', 'running'] }, 'jobs_of_creator', 'jobs_of_tenant'],
    ['type and status', { type: 'plain', status: ['queued'] }, 'jobs_of_creator', 'jobs_of_tenant'],
    ['time', { createdAfter: AT, createdBefore: AT + 500 }, 'jobs_of_creator', 'jobs_of_tenant'],
    ['creator', { createdBy: 'ada' }, 'jobs_of_creator', 'jobs_of_creator'],
    ['assignee', { assignee: 'max' }, 'jobs_of_assignee', 'jobs_of_assignee'],
    ['assignee and status', { assignee: 'max', status: ['queued'] }, 'jobs_of_assignee', 'jobs_of_assignee'],
    ['parent', { parentId: 'job-1' }, 'jobs_of_parent', 'jobs_of_parent'],
    ['pipeline', { pipeline: 'p1' }, 'jobs_of_pipeline_and_creator', 'jobs_of_pipeline'],
    ['label', { labels: { team: 'x' } }, 'PRIMARY KEY', 'PRIMARY KEY'],
  ]
  const lists = filters.flatMap(([name, filter, own, all]) => [
    [`an editor's list by ${name}`, { ...filter, scopes: [owned] }, own] as const,
    [`an admin's list by ${name}`, { ...filter, scopes: [{ tenant: 't1' }] }, all] as const,
  ])

  test.each(lists)('%s, and its count, are read off an index in order', async (_, filter, index) => {
    const asked: string[] = []
    const search = new JobSearch(recording(asked), tables.jobs, systemClock())
    const after = { createdAt: AT + JOBS / 2, id: 'job-1' }
    for (const order of ['newest', 'oldest'] as const) {
      search.find(filter, { limit: 20, order })
      search.find(filter, { limit: 20, order, after })
    }
    await search.count(filter)
    expect(asked.length).toBeGreaterThan(0)
    for (const sql of asked) {
      const plan = planOf(sql)
      expect(plan, sql).toMatch(new RegExp(`SEARCH (jobs|job_labels) USING (COVERING )?(INDEX )?${index} \\(`))
      expect(plan, sql).not.toMatch(/SCAN (jobs|job_labels)|TEMP B-TREE(?! FOR LAST TERM OF ORDER BY)/)
    }
  })

  test('a list by several filters scans the rows of one label only', () => {
    const asked: string[] = []
    const search = new JobSearch(recording(asked), tables.jobs, systemClock())
    search.find({ scopes: [owned], status: ['queued'], labels: { team: 'x', kind: 'y' } }, { limit: 20 })
    expect(asked.map(planOf).join('\n')).toContain('SEARCH job_labels USING PRIMARY KEY (')
    expect(asked.map(planOf).join('\n')).not.toMatch(/SCAN|jobs_of_creator/)
  })

  test('a claim reads few of 10,000 ready tasks of a queue that it closes or does not have', async () => {
    const at = AT + JOBS
    await storage.commit(
      Array.from({ length: 10_000 }, (_, index) => {
        const { job, ...rest } = newJob({ id: `queued-${index}` }, at)
        const queue = index < 9_000 ? 'closed' : index < 9_999 ? 'unnamed' : 'open'
        return changesetOf(insertOf({ ...rest, job: { ...job, tasks: job.tasks.map((task) => ({ ...task, queue })) } }))
      }),
    )
    let [asked, read] = [0, 0]
    const decide: Claim['decide'] = (ready) => {
      asked++
      return ready.task.queue === 'closed' ? { kind: 'close' } : decideFor('me', at)(ready)
    }
    const counted = tablesOf(
      db,
      (sql) => {
        const statement = preparing(db)(sql)
        const all: typeof statement.all = (...values) => {
          const rows = statement.all(...values)
          read += rows.length
          return rows
        }
        const { get, run, iterate } = statement
        return {
          sourceSQL: sql,
          all,
          get: get.bind(statement),
          run: run.bind(statement),
          iterate: iterate.bind(statement),
        }
      },
      100,
    )
    const routes = [{ ...routeOf(), queues: new Set(['closed', 'open']) }]
    db.exec('BEGIN IMMEDIATE')
    const { claimed } = new CommitWriter(counted, [], claimOf(at, { routes, decide })).write()
    db.exec('ROLLBACK')
    expect(claimed.map(({ job }) => job.id)).toEqual(['queued-9999'])
    expect(asked).toBe(2)
    expect(read).toBeGreaterThan(0)
    expect(read).toBeLessThan(50)
  })

  test('claims come in their order: priority, then due, then sequence', async () => {
    expect(await claimedIds(storage, AT + JOBS, { room: 3 })).toEqual(['job-5', 'job-8', 'job-11'])
  })
})

// Jobs with every field that a list can filter by.
function made(index: number) {
  const id = `job-${index}`
  const at = AT + index
  if (index % 100 === 3) return newJob({ id, assignee: 'max', priority: index % 3 }, at)
  if (index % 100 === 0) return newJob({ id, labels: { team: 'x', kind: 'y' } }, at)
  if (index % 100 === 1) return newJob({ id, pipeline: `p${index}`, startAt: AT + 10 * JOBS, isWaiting: true }, at)
  return index % 100 === 2 ? childOf('job-1', newJob({ id }, at)) : newJob({ id, priority: index % 3 }, at)
}

function recording(asked: string[]): Prepare {
  const prepare = preparing(db)
  return (sql) => {
    asked.push(sql)
    return prepare(sql)
  }
}

function planOf(sql: string): string {
  const rows = db.prepare(`EXPLAIN QUERY PLAN ${sql}`).all()
  return rows.map(({ detail }) => String(detail)).join('\n')
}
