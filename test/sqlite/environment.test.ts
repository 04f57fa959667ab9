import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { sqliteStorage } from 'jobchart/sqlite'
import { virtualClock } from 'jobchart/testing'
import { expect, onTestFinished, test } from 'vitest'
import { commitOne, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { testFolder } from './bench.ts'
import { holder, holderAs, killed } from './process.ts'

test('a log of many MiB left by a crash is copied in, and truncated when the file was idle for a while', async () => {
  const file = join(testFolder(), 'jobs.db')
  const { child } = await holder('log', file, 'crashed')
  await killed(child)
  expect(statSync(`${file}-wal`).size).toBeGreaterThan(8_000_000)
  const clock = virtualClock()
  const storage = await sqliteStorage(file).open({ clock, instance: 'me' })
  onTestFinished(() => storage.close())
  await clock.advance(2_000)
  expect(statSync(`${file}-wal`).size).toBe(0)
})

test('a log that another connection reads while the file is idle is truncated when that read has ended', async () => {
  const file = join(testFolder(), 'jobs.db')
  const clock = virtualClock()
  const storage = await sqliteStorage(file).open({ clock, instance: 'me' })
  onTestFinished(() => storage.close())
  await commitOne(storage, insertOf(newJob({ id: 'a', input: 'x'.repeat(100_000) }, 1)))
  const reader = new DatabaseSync(file)
  reader.exec('BEGIN; SELECT count(*) FROM jobs')
  await clock.advance(10_000)
  expect(statSync(`${file}-wal`).size).toBeGreaterThan(100_000)
  reader.close()
  await clock.advance(2_000)
  expect(statSync(`${file}-wal`).size).toBe(0)
})

test('where a file may not grow, a submit is refused as not stored, and stored jobs can be read', async () => {
  const file = join(testFolder(), 'jobs.db')
  const { said } = await holderAs({ fileBlocks: 2_048 }, 'fill', file)
  const { acknowledged, codes, health, readable } = JSON.parse(said) as {
    readonly [field: string]: unknown
    readonly acknowledged: readonly string[]
  }
  expect(codes).toEqual(['STORAGE_UNAVAILABLE', 'STORAGE_UNAVAILABLE', 'STORAGE_UNAVAILABLE'])
  expect(acknowledged.length).toBeGreaterThan(10)
  expect([health, readable]).toEqual(['degraded', acknowledged.length])
  const db = new DatabaseSync(file)
  expect(db.prepare('SELECT id FROM jobs ORDER BY n').all()).toEqual(acknowledged.map((id) => ({ id })))
  db.close()
})

test('where no more files can be opened, commits continue, no living engine is declared dead, and an opening is refused', async () => {
  const file = join(testFolder(), 'jobs.db')
  const { said } = await holderAs({ handles: 100 }, 'handles', file, 'me')
  const [beat, others, opening, after] = JSON.parse(said) as readonly unknown[]
  expect(beat).toBeNull()
  expect(others === 'STORAGE_UNAVAILABLE' || JSON.stringify(others) === '[false]').toBe(true)
  expect([opening, after]).toEqual(['STORAGE_UNAVAILABLE', [false]])
})

test('a missing folder for temporary files does no harm', async () => {
  const env = { ...process.env, TMPDIR: '/nowhere', SQLITE_TMPDIR: '/nowhere' }
  const { said } = await holderAs({ env }, 'open', join(testFolder(), 'jobs.db'), 'me')
  expect(said).toBe('log at 0')
})
