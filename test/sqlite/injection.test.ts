import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, type Engine } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { commitOne, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, testFolder } from './bench.ts'

const job = defineJob({ type: 'job', execute: () => 'done' })

/** Texts that have broken other programs: ends of strings, comments, second statements, wildcards, JSON paths. */
const corpus = [
  `'`,
  `"`,
  `''`,
  '`',
  `\\'`,
  `' OR '1'='1`,
  `' OR 1=1 --`,
  `" OR ""="`,
  `') OR ('1'='1`,
  `'; DROP TABLE jobs; --`,
  `'; UPDATE jobs SET tenant = 'evil'; --`,
  `'); DELETE FROM events; --`,
  `x' UNION SELECT input, progress, body FROM jobs --`,
  `1; ATTACH DATABASE '/tmp/evil.db' AS evil`,
  `'/**/OR/**/1=1/*`,
  '%',
  '_',
  '*',
  '?',
  '?1',
  ':name',
  '@name',
  '$.tasks',
  '$[0]',
  '$."key"',
  'NULL',
  '0x27204f522031',
  '%27%20OR%201=1',
  '\u02bc OR 1=1',
  '\uff07 OR 1=1',
  `\u0000' OR 1=1`,
  `\u001fjob\u001f1\u001fdefault`,
  `x\u001fy`,
  `line\n' OR 1=1`,
  `\u202e' OR 1=1`,
  'constructor',
  'toString',
]

describe('values of filters stay values', () => {
  test.each(corpus)('%j finds nothing', async (hostile) => {
    const { engine, ada, id, unchanged } = await oneJob()
    const filters = [
      { type: hostile },
      { status: hostile },
      { pipeline: hostile },
      { labels: { [hostile]: 'red' } },
      { labels: { color: hostile } },
      { labels: { [hostile]: hostile } },
    ]
    for (const filter of filters) expect(await ada.list(filter)).toEqual({ items: [] })
    for (const asked of [hostile, `${id}${hostile}`]) {
      await expect(ada.get(asked)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
      await expect(ada.history(asked)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
      await expect(ada.cancel(asked)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
    }
    for (const who of [
      { id: hostile, role: 'editor' },
      { id: 'ada', tenant: hostile, role: 'admin' },
    ]) {
      const other = engine.as(who)
      expect(await other.list()).toEqual({ items: [] })
      await expect(other.get(id)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
    }
    await expect(ada.list({ cursor: hostile })).rejects.toMatchObject({ code: 'INVALID_INPUT' })
    const forged = Buffer.from(JSON.stringify([0, hostile, 'default', 'ada'])).toString('base64url')
    expect(await ada.list({ cursor: forged })).toEqual({ items: [] })
    unchanged()
  })

  test.each(corpus)('%j is stored as it is, and found by itself alone', async (hostile) => {
    const { engine, ada, id } = await oneJob()
    const options = { pipeline: hostile, labels: { [hostile]: hostile }, idempotencyKey: hostile }
    const stored = await engine.as({ id: hostile, tenant: hostile, role: 'editor' }).submit(job, { hostile }, options)
    const own = engine.as({ id: hostile, tenant: hostile, role: 'editor' })
    const expected = {
      id: stored.id,
      input: { hostile },
      pipeline: hostile,
      labels: options.labels,
      createdBy: hostile,
    }
    expect(await own.get(stored.id)).toMatchObject(expected)
    for (const filter of [{ pipeline: hostile }, { labels: options.labels }, {}]) {
      expect((await own.list(filter)).items).toMatchObject([expected])
    }
    // It has its own key and slot.
    expect((await own.submit(job, { hostile }, options)).id).toBe(stored.id)
    await expect(own.submit(job, {}, { pipeline: hostile })).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
    expect((await ada.list()).items.map((item) => item.id)).toEqual([id])
  })
})

describe('values given to the storage stay values', () => {
  test.each(corpus)('%j names one job, and no other', async (hostile) => {
    const file = join(testFolder(), 'jobs.db')
    const storage = await openFile(file, 'me', fast)
    await commitOne(storage, insertOf(newJob({ id: 'plain', pipeline: 'p', labels: { color: 'red' } }, 1)))
    const before = contents(file)
    const scopes = [{ tenant: hostile }, { createdBy: hostile }, { type: hostile }, { labels: { [hostile]: hostile } }]
    for (const scope of scopes) {
      expect(await storage.find({ scopes: [scope] }, { limit: 9 })).toEqual({ jobs: [] })
      expect(await storage.events({ after: 0, limit: 9, scopes: [scope] })).toEqual([])
      expect(await storage.pipelines({ scopes: [scope] }, { limit: 9 })).toEqual([])
    }
    expect(await storage.get(hostile)).toBeUndefined()
    expect(await storage.heldUnder(hostile)).toBe(0)
    expect(await storage.held(hostile)).toEqual([])
    expect(await storage.landed([hostile], 0)).toEqual([])
    expect(contents(file)).toEqual(before)
    const named = { tenant: hostile, createdBy: hostile, pipeline: hostile, idempotencyKey: hostile }
    const { job, ...rest } = newJob({ id: hostile, ...named, labels: { [hostile]: hostile } }, 2)
    expect(await commitOne(storage, insertOf({ job, ...rest }))).toMatchObject({ status: 'applied' })
    expect(await storage.get(hostile)).toEqual(job)
    for (const scope of scopes.filter((each) => each.type === undefined)) {
      expect(await storage.find({ scopes: [scope] }, { limit: 9 })).toEqual({ jobs: [job] })
      expect(await storage.events({ after: 0, limit: 9, scopes: [scope] })).toMatchObject([{ jobId: hostile }])
    }
    expect(await storage.slotHolder(hostile, hostile)).toBe(hostile)
    const again = insertOf(newJob({ id: 'again', ...named }, 3))
    expect(await commitOne(storage, again)).toEqual({ status: 'duplicate', id: hostile })
    expect((await storage.find({ scopes: [{ tenant: 't1' }] }, { limit: 9 })).jobs.map(({ id }) => id)).toEqual([
      'plain',
    ])
  })
})

/** An engine that runs nothing, with one job in it. */
async function oneJob() {
  const file = join(testFolder(), 'jobs.db')
  const engine: Engine = await createEngine({ jobs: [job], storage: sqliteStorage(file, fast), work: false })
  onTestFinished(() => engine.stop())
  const ada = engine.as({ id: 'ada', role: 'editor' })
  const { id } = await ada.submit(job, {}, { pipeline: 'nightly', labels: { color: 'red' } })
  const before = contents(file)
  return { engine, ada, id, unchanged: () => expect(contents(file)).toEqual(before) }
}

const fast = { durability: 'normal' } as const

/** The schema, and every row of every table but the heartbeats. */
function contents(file: string) {
  const db = new DatabaseSync(file, { readOnly: true })
  const schema = db.prepare('SELECT type, name, sql FROM sqlite_schema ORDER BY name').all()
  const tables = ['jobs', 'tasks', 'names', 'kinds', 'events', 'logs', 'steps', 'meta']
  const rows = tables.map((table) => db.prepare(`SELECT * FROM ${table}`).all())
  db.close()
  return { schema, rows }
}
