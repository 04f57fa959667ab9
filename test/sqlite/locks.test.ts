import { once } from 'node:events'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Worker } from 'node:worker_threads'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { InstanceLock } from '../../src/sqlite/instance-lock.ts'
import { commitOne, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, refusal, testFolder } from './bench.ts'
import { holder } from './process.ts'

const ENGINE = new URL('./engine-thread.ts', import.meta.url)

// When a process closes any handle of a file, the system frees all locks of the process on that file.
describe('a process keeps its locks on a file', () => {
  test.each<[what: string, act: (file: string) => unknown]>([
    ['when it opens the file once more', (file) => openFile(file, 'two')],
    ['when it opens and closes it', async (file) => await (await openFile(file, 'two')).close()],
    ['when it checks the whole file', (file) => openFile(file, 'two', { check: true })],
    ['when its other engine stops', async (file) => await (await engineOn(file)).stop()],
    ['when it looks whether another lives', (file) => InstanceLock.isHeld(file, 'one')],
    [
      'when a later opening is refused',
      async (file) => {
        inFile(file, 'PRAGMA user_version = 1000')
        expect(await refusal(() => sqliteStorage(file))).toMatchObject({ message: expect.stringContaining('newer') })
      },
    ],
    [
      'when a thread of it has an engine of its own there',
      async (file) => {
        const thread = new Worker(ENGINE, { workerData: { file, jobs: 1 } })
        await once(thread, 'exit')
      },
    ],
  ])('%s', async (_, act) => {
    const file = join(testFolder(), 'jobs.db')
    const storage = await openFile(file, 'one')
    await commitOne(storage, insertOf(newJob({ id: 'before' }, 1)))
    const before = locksOn(file)
    await act(file)
    expect(locksOn(file)).toEqual(before)
    // The last process to close a file removes its log. A process that comes and goes must not believe that it is the
    // last.
    expect((await holder('alone', file)).said).toBe('database is locked')
    expect(existsSync(`${file}-wal`)).toBe(true)
    await commitOne(storage, insertOf(newJob({ id: 'after' }, 1)))
    expect(await storage.get('after')).toMatchObject({ id: 'after' })
  })
})

test('engines in three threads of one process run each job once, on a file that other code made', async () => {
  const file = join(testFolder(), 'jobs.db')
  const threads = Array.from({ length: 3 }, () => new Worker(ENGINE, { workerData: { file, jobs: 20 } }))
  const exits = threads.map((thread) => once(thread, 'exit'))
  const engine = await engineOn(file)
  onTestFinished(() => engine.stop())
  expect((await Promise.all(exits)).flat()).toEqual([0, 0, 0])
  const runs = readFileSync(`${file}.runs`, 'utf8').trim().split('\n')
  expect([runs.length, new Set(runs).size]).toEqual([60, 60])
  expect(await engine.system.count({ status: 'completed' })).toBe(60)
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

async function engineOn(file: string) {
  const job = defineJob({
    type: 'job',
    input: z.string(),
    execute: ({ input }) => writeFileSync(`${file}.runs`, `${input}\n`, { flag: 'a' }),
  })
  return await createEngine({ jobs: [job], storage: sqliteStorage(file) })
}

/** Through another connection of SQLite, which loses no lock. */
function inFile(file: string, sql: string): void {
  const db = new DatabaseSync(file)
  db.exec(sql)
  db.close()
}

/** The ranges that this process has locked, if the system tells them. */
function locksOn(file: string): readonly string[] {
  if (!existsSync('/proc/locks')) return []
  const inode = `:${statSync(file).ino} `
  const lines = readFileSync('/proc/locks', 'utf8').split('\n')
  const own = lines.filter((line) => line.includes(` ${process.pid} `) && line.includes(inode))
  expect(own.length).toBeGreaterThan(0)
  // The kernel may list a lock twice if another process takes or frees one meanwhile.
  return [...new Set(own.map((line) => line.replace(/^\d+: /, '')))].sort()
}
