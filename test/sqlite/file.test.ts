import { createHash } from 'node:crypto'
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { openFile, refusal, testFolder } from './bench.ts'
import { holder, killed } from './process.ts'

describe('files', () => {
  test('all files beside the jobs are readable by their owner alone', async () => {
    const folder = testFolder()
    await openFile(join(folder, 'jobs.db'), 'me')
    const modes = Object.fromEntries(readdirSync(folder).map((name) => [name, modeOf(join(folder, name))]))
    const mode = '600'
    expect(modes).toEqual({
      'jobs.db': mode,
      'jobs.db-wal': mode,
      'jobs.db-shm': mode,
      'jobs.db-instance-me': mode,
      'jobs.db-instance-me-journal': mode,
    })
  })

  test('an existing file of jobchart that others may read is closed to them', async () => {
    const file = join(testFolder(), 'jobs.db')
    const first = await openFile(file, 'first')
    await first.forget('first')
    await first.close()
    chmodSync(file, 0o644)
    await openFile(file)
    expect(modeOf(file)).toBe('600')
  })

  test('a missing folder is made', async () => {
    const file = join(testFolder(), 'a', 'b', 'jobs.db')
    const storage = await openFile(file)
    expect(await storage.lastSequence()).toBe(0)
  })

  test('if a process is killed while it creates a file, the file is empty, and the next process sets it up', async () => {
    const file = join(testFolder(), 'jobs.db')
    const { said, child } = await holder('make', file)
    expect(said).toBe('holding')
    await killed(child)
    expect(tablesOf(file)).toEqual([])
    await openFile(file)
    expect(tablesOf(file)).toContain('jobs')
  })

  test('a first write that was killed halfway is undone by the next process', async () => {
    const folder = testFolder()
    const file = join(folder, 'jobs.db')
    const { child } = await holder('journal', file)
    await killed(child)
    // A rollback journal that has to be played back. A read-only connection cannot use this file.
    expect(readdirSync(folder)).toEqual(['jobs.db', 'jobs.db-journal'])
    await openFile(file)
    expect(tablesOf(file)).toContain('jobs')
    expect(tablesOf(file)).not.toContain('filling')
  })

  test('S15 of five processes that open a new file at once, one makes the schema and all find it', async () => {
    const file = join(testFolder(), 'jobs.db')
    const names = Array.from({ length: 5 }, (_, index) => `engine-${index}`)
    const openings = await Promise.all(names.map((name) => holder('open', file, name)))
    expect(openings.map(({ said }) => said)).toEqual(names.map(() => 'log at 0'))
    const db = new DatabaseSync(file, { readOnly: true })
    expect(db.prepare('SELECT count(*) AS rows FROM meta').get()).toMatchObject({ rows: 1 })
    db.close()
  })
})

describe('a foreign file is refused, and stays unchanged', () => {
  test("another program's database", async () => {
    const folder = testFolder()
    const file = join(folder, 'theirs.db')
    const db = new DatabaseSync(file)
    db.exec('CREATE TABLE invoices (n INTEGER); INSERT INTO invoices VALUES (1)')
    db.close()
    await expectRefused(folder, 'theirs.db')
  })

  test.each(['DELETE', 'TRUNCATE', 'PERSIST', 'WAL'])(
    "another program's database in use, its journal mode %s",
    async (mode) => {
      const folder = testFolder()
      const db = new DatabaseSync(join(folder, 'theirs.db'))
      db.exec(`PRAGMA journal_mode = ${mode}; CREATE TABLE invoices (n INTEGER); INSERT INTO invoices VALUES (1)`)
      onTestFinished(() => db.close())
      await expectRefused(folder, 'theirs.db')
      expect(db.prepare('PRAGMA journal_mode').get()).toEqual({ journal_mode: mode.toLowerCase() })
    },
  )

  test('an empty database that another program has marked as its own', async () => {
    const folder = testFolder()
    const file = join(folder, 'theirs.db')
    const db = new DatabaseSync(file)
    db.exec('PRAGMA application_id = 42; PRAGMA user_version = 1')
    db.close()
    await expectRefused(folder, 'theirs.db')
  })

  test('a file that a newer jobchart has written', async () => {
    const folder = testFolder()
    const file = join(folder, 'jobs.db')
    const connection = await openFile(file)
    await connection.forget('me')
    await connection.close()
    const db = new DatabaseSync(file)
    db.exec('PRAGMA user_version = 1000')
    db.close()
    const error = await expectRefused(folder, 'jobs.db')
    expect(error.message).toMatch(/schema 1000.*newer/)
  })

  test('a file of ours whose tables are gone', async () => {
    const folder = testFolder()
    const file = join(folder, 'jobs.db')
    const connection = await openFile(file)
    await connection.forget('me')
    await connection.close()
    const db = new DatabaseSync(file)
    db.exec('DROP TABLE meta')
    db.close()
    await expectRefused(folder, 'jobs.db', 0o600)
  })

  test.each([
    ['text', 'these are my notes\n'.repeat(500)],
    ['a little text', 'notes'],
    ['the header of a database and nothing more', `SQLite format 3\0${'x'.repeat(84)}`],
  ])('a file of %s', async (_, content) => {
    const folder = testFolder()
    writeFileSync(join(folder, 'notes.txt'), content)
    await expectRefused(folder, 'notes.txt')
  })

  test('a folder', async () => {
    const folder = testFolder()
    mkdirSync(join(folder, 'jobs.db'))
    await expectRefused(folder, 'jobs.db')
  })

  test('a path that leads through a file', async () => {
    const folder = testFolder()
    writeFileSync(join(folder, 'a'), 'notes')
    const before = contents(folder)
    const error = await refusal(() => sqliteStorage(join(folder, 'a', 'jobs.db')))
    expect(error).toMatchObject({ name: 'JobchartError', code: 'STORAGE_UNAVAILABLE' })
    expect(contents(folder)).toEqual(before)
  })

  test.each(['', ':memory:', 'file::memory:?cache=shared', 'file:jobs.db'])('%j, which is no path', async (name) => {
    expect(await refusal(() => sqliteStorage(name))).toMatchObject({ code: 'INVALID_DEFINITION' })
  })

  test('an engine that cannot open its storage says why, and can be made again', async () => {
    const folder = testFolder()
    mkdirSync(join(folder, 'jobs.db'))
    const job = defineJob({ type: 'job', execute: () => 'done' })
    const make = (name: string) => createEngine({ jobs: [job], storage: sqliteStorage(join(folder, name)) })
    await expect(make('jobs.db')).rejects.toMatchObject({ name: 'JobchartError', code: 'STORAGE_UNAVAILABLE' })
    await using engine = await make('other.db')
    expect(await engine.system.list()).toEqual({ items: [] })
  })
})

async function expectRefused(folder: string, name: string, mode = 0o755) {
  const file = join(folder, name)
  chmodSync(file, mode)
  const before = contents(folder)
  const error = await refusal(() => sqliteStorage(file))
  expect(error).toMatchObject({ name: 'JobchartError', code: 'STORAGE_UNAVAILABLE' })
  // People see the message, and may not see the path.
  expect(error.message).not.toContain(folder)
  expect(String((error.cause as Error | undefined)?.message)).toContain(file)
  expect(contents(folder)).toEqual(before)
  return error
}

/** Names, modes and contents of the files in a folder. */
function contents(folder: string) {
  return readdirSync(folder).map((name) => {
    const file = join(folder, name)
    // The shared memory file between readers is not content.
    const isFile = statSync(file).isFile() && !name.endsWith('-shm')
    return { name, mode: modeOf(file), sha1: isFile ? sha1(file) : 'none' }
  })
}

function sha1(file: string): string {
  return createHash('sha1').update(readFileSync(file)).digest('hex')
}

function modeOf(file: string): string {
  return (statSync(file).mode & 0o777).toString(8)
}

function tablesOf(file: string): readonly unknown[] {
  const db = new DatabaseSync(file, { readOnly: true })
  const names = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table'`).all()
  db.close()
  return names.map(({ name }) => name)
}
