import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { expect, test } from 'vitest'
import type { JobFilter } from '../../src/index.ts'
import { MIGRATIONS } from '../../src/sqlite/migrations.ts'
import { childOf, commitOne, insertClaimed, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, testFolder } from './bench.ts'

const AT = 1_767_225_600_000

// What the first schema was without: the rows are those of this version, in its columns.
async function fileOfStepOne(): Promise<string> {
  const folder = testFolder()
  const newer = join(folder, 'newer.db')
  const storage = await openFile(newer)
  const labels = { team: 'x', 'a "b"': 'ü \u0000' }
  const jobs = [
    newJob({ id: 'a', labels }, AT),
    newJob({ id: 'b', pipeline: 'p' }, AT),
    newJob({ id: 'broken', labels }, AT),
  ]
  for (const job of [...jobs, childOf('a', newJob({ id: 'child', labels }, AT))])
    await commitOne(storage, insertOf(job))
  await insertClaimed(storage, AT, 'running')
  await storage.close()
  const file = join(folder, 'jobs.db')
  const db = new DatabaseSync(file)
  db.exec(`${MIGRATIONS[0]}; PRAGMA application_id = 0x6a6f6263; PRAGMA user_version = 1`)
  db.prepare('ATTACH ? AS newer').run(newer)
  const columns = db.prepare(`SELECT group_concat(name) AS names FROM pragma_table_info('jobs')`).get()?.names
  db.exec(
    `INSERT INTO jobs (${columns}) SELECT ${columns} FROM newer.jobs; INSERT INTO events SELECT * FROM newer.events`,
  )
  db.exec(`UPDATE jobs SET labels = '{' WHERE id = 'broken'; UPDATE jobs SET deleted = 1 WHERE id = 'running'`)
  db.close()
  return file
}

test('S15 a file of the first schema is brought along: lists, counts and labels know its jobs', async () => {
  const storage = await openFile(await fileOfStepOne())
  const found = async (filter: Omit<JobFilter, 'scopes'>, scope = {}) => {
    const asked = { ...filter, scopes: [{ tenant: 't1', ...scope }] }
    const ids = (await storage.find(asked, { limit: 9 })).map(({ id }) => id).join(' ')
    return [ids, await storage.count(asked)]
  }
  expect(await found({ labels: { team: 'x' } })).toEqual(['child a', 2])
  expect(await found({ labels: { team: 'x' }, parentId: null }, { createdBy: 'ada' })).toEqual(['a', 1])
  expect(await found({ labels: { 'a "b"': 'ü \u0000' } })).toEqual(['child a', 2])
  expect(await found({ parentId: 'a' })).toEqual(['child', 1])
  expect(await found({ pipeline: 'p' }, { createdBy: 'ada' })).toEqual(['b', 1])
  // The broken one counts, and is not listed.
  expect(await found({ parentId: null })).toEqual(['b a', 3])
  expect(await storage.items('a', { after: 0, limit: 9 })).toEqual([])
})
