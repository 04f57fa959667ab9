import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { virtualClock } from 'jobchart/testing'
import { describe, expect, onTestFinished, test } from 'vitest'
import { commitOne, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, testFolder } from './bench.ts'

describe('a search that SQLite cannot run', () => {
  test('fails that search alone, and degrades no engine', async () => {
    const file = join(testFolder(), 'jobs.db')
    const job = defineJob({ type: 'job', execute: () => 'done' })
    const engine = await createEngine({ jobs: [job], storage: sqliteStorage(file), clock: virtualClock() })
    onTestFinished(() => engine.stop())
    const db = new DatabaseSync(file)
    db.exec('DROP INDEX jobs_of_tenant')
    db.close()
    const eve = engine.as({ id: 'eve', role: 'admin' })
    const { id } = await eve.submit(job, 1)
    for (const search of [eve.list(), eve.count()]) {
      await expect(search).rejects.toMatchObject({ name: 'JobchartError', code: 'INVALID_INPUT' })
    }
    expect(await eve.get(id)).toMatchObject({ id })
    expect(engine.health.status).toBe('ok')
  })

  test('is not caused by the largest scopes and filters that an engine allows', async () => {
    const storage = await openFile(join(testFolder(), 'jobs.db'))
    const labelsOf = (n: number) => Object.fromEntries(Array.from({ length: 100 }, (_, m) => [`${n} ${m}`, 'é']))
    const labels = labelsOf(0)
    const owner = { tenant: 't', createdBy: 'me', pipeline: 'p', labels }
    await commitOne(storage, insertOf(newJob({ id: 'a', ...owner }, 1)))
    // More shapes than one statement can hold.
    const scopes = Array.from({ length: 201 }, (_, n) => ({ ...owner, type: 'plain', labels: labelsOf(n) }))
    expect((await storage.find({ scopes, labels }, { limit: 100 })).jobs).toMatchObject([{ id: 'a' }])
    expect(await storage.count({ scopes, labels })).toBe(1)
    expect(await storage.events({ after: 0, limit: 100, scopes })).toMatchObject([{ jobId: 'a' }])
    expect(await storage.pipelines({ scopes }, { limit: 100 })).toEqual([])
  })
})
