import { copyFileSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { beforeAll, describe, expect, test } from 'vitest'
import { systemClock } from '../../src/index.ts'
import { withoutPayloads } from '../../src/model/erased-events.ts'
import type { EventDraft } from '../../src/model/event.ts'
import type { Job, StorageConnection, StoredEvents } from '../../src/port/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import { InstanceLock } from '../../src/sqlite/instance-lock.ts'
import { claimedIds, commitOne, insertOf, newJob, routeOf } from '../../src/testing/fixtures.ts'
import { openFile, refusal, testFolder } from './bench.ts'
import { holder } from './process.ts'

const FIXTURE = join(import.meta.dirname, 'fixtures', 'schema-2.db')
const FIXTURE_3 = join(import.meta.dirname, 'fixtures', 'schema-3.db')
const FIXTURE_4 = join(import.meta.dirname, 'fixtures', 'schema-4.db')
const FAR = 10_000

/** The content of the file as the second schema read it; see the fixture's README. */
interface OldFile {
  readonly jobs: readonly OldJob[]
  readonly events: readonly (Omit<StoredEvents, 'changeset'> & { readonly unit: string })[]
  readonly pipelines: readonly unknown[]
  readonly sequence: number
}

interface OldJob {
  readonly job: Omit<Job, 'tasks' | 'ended'> & {
    readonly tasks: readonly OldPart[]
    readonly ended?: readonly OldPart[]
  }
  readonly steps: readonly { readonly entry: number; readonly found: readonly (readonly [string, unknown])[] }[]
  readonly logs: readonly unknown[]
  readonly items: readonly { readonly outcome: string }[]
}

interface OldPart {
  readonly id: string
  readonly entry: number
  readonly status?: string
  readonly holder?: string
  readonly limitKey?: string
}

const old = JSON.parse(readFileSync(`${FIXTURE.slice(0, -3)}.json`, 'utf8')) as OldFile

function copied(fixture = FIXTURE): string {
  const file = join(testFolder(), 'jobs.db')
  copyFileSync(fixture, file)
  return file
}

const STATUSES: { readonly [status: string]: string } = { offered: 'available', held: 'claimed' }

function renamed({ tasks, ended, ...job }: OldJob['job']): unknown {
  const part = ({ entry, status, ...rest }: OldPart) => {
    return { ...rest, invocation: entry, ...(status === undefined ? {} : { status: STATUSES[status] ?? status }) }
  }
  const now = tasks.map((task) => {
    return {
      ...(part(task) as object),
      ordinal: tasks.filter(({ id, entry }) => id === task.id && entry <= task.entry).length,
    }
  })
  return { ...job, tasks: now, ...(ended === undefined ? {} : { ended: ended.map(part) }) }
}

function idOf(is: string, type?: string): string {
  const found = old.jobs.find(({ job }) => job.labels.is === is && (type === undefined || job.type === type))
  if (found === undefined) throw new Error(`the fixture has no job that is ${is}`)
  return found.job.id
}

let folder = ''

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'jobchart-migration-'))
  return () => rmSync(folder, { recursive: true, force: true })
})

describe.each([
  ['second', FIXTURE],
  ['third', FIXTURE_3],
  ['fourth', FIXTURE_4],
])('a file of the %s schema', (name, fixture) => {
  let storage: StorageConnection

  beforeAll(async () => {
    const file = join(folder, `${name}.db`)
    copyFileSync(fixture, file)
    storage = await sqliteStorage(file).open({ clock: systemClock(), instance: 'me' })
    return () => storage.close()
  })

  test.each(old.jobs.map(({ job }) => [`${job.labels.is} (${job.type})`, job.id] as const))(
    'gives the job that is %s as it was, with its lines, steps and items',
    async (_, id) => {
      const known = old.jobs.find(({ job }) => job.id === id)
      expect(known).toBeDefined()
      if (known === undefined) return
      expect(await storage.get(id)).toEqual(renamed(known.job))
      expect(await storage.logs(id, 0, FAR)).toEqual(known.logs)
      for (const { entry, found } of known.steps) {
        const task = known.job.tasks.find((each) => each.entry === entry)
        const steps = await storage.steps(id, task?.id ?? String(entry), 1)
        expect([...steps].map(([name, result]) => [name, result ?? null])).toEqual(
          found.map(([name, result]) => [name, result ?? null]),
        )
      }
      const items = known.items.map(({ outcome, ...item }) => ({ ...item, status: outcome, invocation: 1 }))
      expect(await storage.items(id, { after: 0, limit: FAR })).toEqual(items)
    },
  )

  test('has its log, under today’s names, and without the payloads of deleted jobs', async () => {
    const deleted = new Set(old.jobs.filter(({ job }) => job.deletedAt !== undefined).map(({ job }) => job.id))
    const known = new Set(old.jobs.map(({ job }) => job.id))
    const events = old.events.map(({ unit, ...row }) => {
      const told = row.events.map((event) => {
        return ((event.type as string) === 'task.leaked' ? { ...event, type: 'task.abandoned' } : event) as EventDraft
      })
      const now = { ...row, events: told }
      return { changeset: unit, ...(deleted.has(row.jobId) || !known.has(row.jobId) ? withoutPayloads(now) : now) }
    })
    expect(await storage.events({ after: 0, limit: FAR })).toEqual(events)
    expect(await storage.lastSequence()).toBe(old.sequence)
    for (const { jobId } of old.events) {
      const own = events.filter((row) => row.jobId === jobId)
      expect(await storage.events({ after: 0, limit: FAR, jobId })).toEqual(own)
    }
    const [first] = old.events
    expect((await storage.landed([first?.unit ?? ''], 0)).length).toBeGreaterThan(0)
    expect(JSON.stringify(events)).toContain('task.abandoned')
  })

  test('is listed and counted as before', async () => {
    const listed = old.jobs.filter(({ job }) => job.deletedAt === undefined).map(({ job }) => job)
    const { jobs } = await storage.find({ scopes: [{}] }, { limit: FAR })
    expect(jobs.map(({ id }) => id).sort()).toEqual(listed.map(({ id }) => id).sort())
    for (const phase of ['waiting', 'active', 'settled'] as const) {
      expect(await storage.count({ scopes: [{}], phase })).toBe(listed.filter((job) => job.phase === phase).length)
    }
    expect(await storage.counts('outcome', { scopes: [{ tenant: 'default' }] })).toEqual(
      new Map([
        ['success', 2],
        ['failure', 1],
        ['cancelled', 1],
      ]),
    )
    const labelled = await storage.find(
      { scopes: [{ tenant: 'default' }], labels: { is: 'waiting for time' } },
      { limit: 9 },
    )
    expect(labelled.jobs.map(({ id }) => id)).toEqual([idOf('waiting for time')])
    const children = await storage.find({ scopes: [{}], parentId: idOf('with children', 'family') }, { limit: 9 })
    expect(children.jobs.map(({ type }) => type).sort()).toEqual(['family/kid', 'family/quick'])
    expect(await storage.pipelines({ scopes: [{}] }, { limit: 9 })).toEqual(old.pipelines)
  })

  test('is found by its holders, slots, keys, turns and times', async () => {
    const [claimed] = old.jobs.filter(({ job }) => job.labels.is === 'claimed').flatMap(({ job }) => job.tasks)
    const held = await storage.held(claimed?.holder ?? '')
    const ofHolder = ['claimed', 'stopping', 'stopping and available', 'deleted while it runs', 'holds the slot']
    expect(held.map(({ id }) => id)).toEqual(expect.arrayContaining(ofHolder.map((is) => idOf(is))))
    expect(await storage.slotHolder('default', 'nightly')).toBe(idOf('holds the slot'))
    const [keyed] = old.jobs
      .filter(({ job }) => job.labels.is === 'claimed under a key')
      .flatMap(({ job }) => job.tasks)
    expect(await storage.heldUnder(keyed?.limitKey ?? '')).toBe(1)
    const types = [
      { type: 'plain', version: '1' },
      { type: 'graceless', version: '1' },
    ]
    const far = Date.parse('2028-01-01T00:00:00Z')
    const { turn } = await storage.load({ jobs: [], pipelines: [{ tenant: 'default', id: 'nightly' }], types, at: far })
    expect(turn({ tenant: 'default', id: 'nightly' }).next?.id).toBe(idOf('waiting before it'))
    expect((await storage.admissible(types, far, 9, 0)).map(({ id }) => id)).toEqual([idOf('waiting for time')])
    expect((await storage.due(types, far, 9, 0)).map(({ id }) => id)).toEqual([idOf('abandoned, with a timer')])
    const success = old.jobs.find(({ job }) => job.idempotencyKey === 'key of a success')
    expect((await storage.get(success?.job.id ?? ''))?.idempotencyKey).toBe('key of a success')
  })

  test('lets available tasks be claimed, and a task of a full key waits', async () => {
    const writable = await openFile(copied(fixture))
    const routes = ['plain', 'keyed', 'failing', 'again'].map((type) => {
      return { type, version: '1', executor: 'default', limits: new Map([['execute', 1]]) }
    })
    const seen: string[] = []
    const far = Date.parse('2028-01-01T00:00:00Z')
    await claimedIds(writable, far, {
      routes,
      decide: ({ job }) => {
        seen.push(job.id)
        return { kind: 'leave' }
      },
    })
    expect(seen.sort()).toEqual([idOf('available'), idOf('retried later')].sort())
  })

  test('has the tables, columns and indexes of a new file', async () => {
    const [file, made] = [copied(fixture), join(testFolder(), 'new.db')]
    for (const each of [file, made]) await openFile(each)
    expect(layoutOf(file)).toEqual(layoutOf(made))
  })

  test('stores agents, leases, and tasks in queues', async () => {
    const writable = await openFile(copied(fixture))
    const agent = { tenant: 'default', id: 'ann' }
    const record = { ...agent, name: 'Ann', pools: [], functions: [], createdBy: 'ada', createdAt: 1, revision: 1 }
    expect(await writable.putAgent(record)).toBe(true)
    expect(await writable.agents({ limit: FAR })).toEqual([record])
    const lease = { jobId: idOf('claimed'), token: 1, agent, until: 5 }
    const { job, ...rest } = newJob({ id: 'queued' }, 1)
    const queued: Job = { ...job, tasks: job.tasks.map((task) => ({ ...task, queue: 'q' })) }
    await commitOne(writable, insertOf({ ...rest, job: queued }), { op: 'grant', lease })
    expect(await writable.leasesOf(agent)).toEqual([lease])
    expect(await claimedIds(writable, 1, { routes: [{ ...routeOf(), queues: new Set(['q']) }] })).toEqual(['queued'])
  })
})

test('a file of the fourth schema keeps notifications, subscriptions and pauses', async () => {
  const storage = await openFile(copied(FIXTURE_4))
  const { notifications } = await storage.notifications({ reader: { tenant: 'default', person: 'ada' }, limit: FAR })
  const key = `${idOf('success')} ended`
  expect(notifications).toMatchObject([{ number: 1, key, rule: 'ended', tells: 'outcome', isRead: false }])
  const subscription = { tenant: 'default', person: 'ada', type: 'plain', level: 'alerts', since: 1 }
  expect(await storage.subscriptions({ tenant: 'default', person: 'ada' })).toEqual([subscription])
  expect(await storage.pausedTypes()).toEqual([{ type: 'elsewhere', reason: 'moving', at: 5 }])
})

test('a file of the first schema is migrated too', async () => {
  const file = copied()
  const db = new DatabaseSync(file)
  db.exec(`DROP TABLE items; DROP TABLE job_labels; DROP INDEX jobs_of_tenant; DROP INDEX jobs_of_creator;
    DROP INDEX jobs_of_pipeline; DROP INDEX jobs_of_pipeline_and_creator; DROP INDEX jobs_of_parent;
    ALTER TABLE jobs DROP COLUMN child; PRAGMA user_version = 1`)
  db.close()
  const storage = await openFile(file)
  for (const { job } of old.jobs) expect(await storage.get(job.id)).toEqual(renamed(job))
  expect(await storage.count({ scopes: [{ tenant: 'default' }], labels: { is: 'available' } })).toBe(1)
})

test('unreadable rows stay unreadable, are listed and counted, and harm no other', async () => {
  const file = copied()
  const [body, input] = [idOf('claimed'), idOf('available')]
  const db = new DatabaseSync(file)
  db.prepare(`UPDATE jobs SET body = '{', labels = '{' WHERE id = ?`).run(body)
  db.prepare(`UPDATE jobs SET input = '{' WHERE id = ?`).run(input)
  db.prepare(`UPDATE events SET events = '[' WHERE job_id = ?`).run(body)
  db.close()
  const storage = await openFile(file)
  for (const id of [body, input]) await expect(storage.get(id)).rejects.toMatchObject({ code: 'JOB_UNREADABLE' })
  await expect(storage.events({ after: 0, limit: 9, jobId: body })).rejects.toMatchObject({ code: 'JOB_UNREADABLE' })
  const listed = old.jobs.filter(({ job }) => job.deletedAt === undefined).length
  expect(await storage.count({ scopes: [{}] })).toBe(listed)
  expect((await storage.find({ scopes: [{}] }, { limit: FAR })).jobs.length).toBe(listed - 2)
  expect(await storage.summary(input)).toMatchObject({ type: 'plain', status: 'queued' })
})

describe('a migration', () => {
  test.each([
    [2, FIXTURE],
    [3, FIXTURE_3],
    [4, FIXTURE_4],
  ])(
    'of schema %i is refused while another engine has the file open, and changes nothing',
    async (version, fixture) => {
      const file = copied(fixture)
      const lock = InstanceLock.take(file, 'old-engine')
      const error = await refusal(() => sqliteStorage(file))
      expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
      expect(error.message).toContain('stop all engines')
      expect(versionOf(file)).toBe(version)
      lock.release()
      const storage = await openFile(file)
      expect(await storage.lastSequence()).toBe(old.sequence)
      expect(versionOf(file)).toBe(5)
    },
  )

  // Of each kind more rows than one piece of the migration moves.
  const CLONES = 4_500
  let large = ''

  beforeAll(() => {
    large = join(folder, 'large.db')
    copyFileSync(FIXTURE, large)
    const db = new DatabaseSync(large)
    multiply(db, CLONES)
    db.close()
  })

  test('runs in many pieces', async () => {
    const { said } = await holder('migrate', clone(large), '0')
    expect(Number(said)).toBeGreaterThan(20)
  })

  test('that is killed before or after the end of any piece goes on where it was', async () => {
    const file = clone(large)
    // Each process migrates some pieces and is killed in the next one, until one process reaches the end.
    for (let [piece, process] = [1, 0]; ; piece = ((piece * 3) % 11) + 1, process++) {
      const { said } = await holder('migrate', file, `${piece} ${process % 2 === 0 ? 'before' : 'after'}`)
      if (said !== '') break
    }
    await expectWhole(file)
  })

  test.each([
    [3, 0],
    [30, 1],
  ])('that the fourth schema’s code left after %i pieces goes on where it was', async (pieces, moving) => {
    const file = clone(large)
    const { said } = await holder('migrate', file, `${pieces} after`)
    expect(said).toBe('')
    const db = new DatabaseSync(file)
    const { old_tables } =
      db.prepare(`SELECT count(*) AS old_tables FROM sqlite_schema WHERE name = 'old_jobs'`).get() ?? {}
    expect(old_tables).toBe(moving)
    const added = ['agents', 'leases', 'batches', 'left_items'].map((table) => `DROP TABLE IF EXISTS ${table};`)
    db.exec(`${added.join(' ')} PRAGMA user_version = 4`)
    if (moving === 1) {
      for (const column of ['attempts', 'input', 'error']) db.exec(`ALTER TABLE items DROP COLUMN ${column}`)
      db.exec('DROP INDEX items_key; CREATE UNIQUE INDEX items_key ON items (n, invocation, key)')
    }
    db.close()
    await expectWhole(file)
  })

  test('is run by all processes that open the file meanwhile, and all find it done', async () => {
    const file = clone(large)
    const opened = await Promise.all([0, 1, 2].map((number) => holder('open', file, `engine-${number}`)))
    expect(opened.map(({ said }) => said)).toEqual([0, 1, 2].map(() => `log at ${old.sequence + CLONES}`))
    await expectWhole(file)
  })

  async function expectWhole(file: string): Promise<void> {
    const storage = await openFile(file)
    for (const { job } of old.jobs) expect(await storage.get(job.id)).toEqual(renamed(job))
    const success = idOf('success')
    for (const index of [1, 2_000, CLONES]) {
      expect(await storage.get(`clone ${index}`)).toMatchObject({ id: `clone ${index}`, status: 'completed' })
      expect((await storage.events({ after: 0, limit: 9, jobId: `clone ${index}` })).length).toBe(1)
      expect(await storage.logs(`clone ${index}`, 0, 9)).toEqual(await storage.logs(success, 0, 9))
      expect(await storage.items(`clone ${index}`, { after: 0, limit: 9 })).toHaveLength(1)
      expect((await storage.steps(`clone ${index}`, '1', 1)).get('step')).toBe(index)
    }
    const db = new DatabaseSync(file)
    expect(db.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
    const count = (sql: string) => Object.values(db.prepare(sql).get() ?? {})[0]
    expect(count('SELECT count(*) FROM jobs')).toBe(old.jobs.length + CLONES)
    expect(count('SELECT count(*) FROM events')).toBe(old.events.length + CLONES)
    expect(count(`SELECT count(*) FROM sqlite_schema WHERE name LIKE 'old_%'`)).toBe(0)
    expect(count(`SELECT count(*) FROM meta WHERE name = 'migrating'`)).toBe(0)
    db.close()
    expect(await storage.agents({ limit: 9 })).toEqual([])
  }
})

function clone(file: string): string {
  const copy = join(testFolder(), 'jobs.db')
  copyFileSync(file, copy)
  return copy
}

/** The columns of each table, and the indexes. */
function layoutOf(file: string): unknown {
  const db = new DatabaseSync(file, { readOnly: true })
  const columns = db
    .prepare(`
      SELECT tables.name AS place, columns.name, columns.type, columns."notnull", columns.pk
      FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns WHERE tables.type = 'table' ORDER BY 1, 2`)
    .all()
  const indexes = db.prepare(`SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY name`).all()
  db.close()
  return { columns, indexes }
}

function versionOf(file: string): unknown {
  const db = new DatabaseSync(file, { readOnly: true })
  const version = db.prepare('PRAGMA user_version').get()?.user_version
  db.close()
  return version
}

function multiply(db: DatabaseSync, clones: number): void {
  const success = idOf('success')
  const columns = (table: string, left: readonly string[]) =>
    db
      .prepare(`SELECT name FROM pragma_table_info('${table}')`)
      .all()
      .map(({ name }) => String(name))
      .filter((name) => !left.includes(name))
      .join(', ')
  const rest = columns('jobs', ['n', 'id', 'idempotency_key'])
  const told = columns('events', ['sequence', 'job_id', 'unit', 'count'])
  const numbers = `WITH RECURSIVE numbers (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM numbers WHERE i < ${clones})`
  db.exec('BEGIN')
  db.prepare(
    `${numbers} INSERT INTO jobs (id, ${rest}) SELECT 'clone ' || i, ${rest} FROM numbers, jobs WHERE id = ?`,
  ).run(success)
  db.prepare(`${numbers} INSERT INTO events (sequence, job_id, unit, count, ${told})
    SELECT (SELECT value FROM meta) + i, 'clone ' || i, 'clones/' || i, 1, ${told} FROM numbers, (
      SELECT * FROM events WHERE job_id = ? AND count = 1 LIMIT 1)`).run(success)
  db.exec(`UPDATE meta SET value = value + ${clones} WHERE name = 'sequence'`)
  db.prepare(`${numbers} INSERT INTO logs (job_id, number, at, text, key)
    SELECT 'clone ' || i, number, at, text, key FROM numbers, logs WHERE job_id = ?`).run(success)
  db.exec(`${numbers} INSERT INTO steps (job_id, entry, name, result) SELECT 'clone ' || i, 1, 'step', i FROM numbers`)
  db.exec(`${numbers} INSERT INTO items (job_id, number, key, outcome, at)
    SELECT 'clone ' || i, 1, 'key', 'completed', 1 FROM numbers`)
  db.exec('COMMIT')
}
