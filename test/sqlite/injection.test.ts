import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, type Engine } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { testFolder } from './bench.ts'

const job = defineJob({ type: 'job', execute: () => 'done' })

/** What has broken other programs: ends of strings, comments, second statements, wildcards, paths of JSON. */
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

describe('what is given as a value stays a value', () => {
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
    // Its key and its slot are its own.
    expect((await own.submit(job, { hostile }, options)).id).toBe(stored.id)
    await expect(own.submit(job, {}, { pipeline: hostile })).rejects.toMatchObject({ code: 'ALREADY_RUNNING' })
    expect((await ada.list()).items.map((item) => item.id)).toEqual([id])
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
