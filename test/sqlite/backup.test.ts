import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createEngine, defineJob, type Engine, memoryStorage } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { expect, onTestFinished, test } from 'vitest'
import { codeOf } from '../engine/bench.ts'
import { openFile, testFolder } from './bench.ts'

const quick = defineJob({ type: 'quick', execute: ({ input }) => Number(input) })
let isHeld = true
const long = defineJob({
  type: 'long',
  execute: async ({ signal }) => {
    while (isHeld) {
      signal.throwIfAborted()
      await new Promise((resume) => setImmediate(resume))
    }
    return 'done'
  },
})

async function engineOn(file: string): Promise<Engine> {
  const engine = await createEngine({ jobs: [quick, long], storage: sqliteStorage(file) })
  onTestFinished(() => engine.stop({ timeout: 0 }))
  return engine
}

test('S43 a backup under load opens as the storage was at one moment, beside the engine that goes on', async () => {
  const folder = testFolder()
  const engine = await engineOn(join(folder, 'jobs.db'))
  const { system } = engine
  isHeld = true
  const held = await system.submit(long)
  let isLoading = true
  let ended = 0
  const load = Promise.all(
    [1, 2, 3].map(async (client) => {
      while (isLoading) {
        await system.result((await system.submit(quick, client)).id)
        ended++
      }
    }),
  )
  await expect.poll(() => ended).toBeGreaterThan(20)
  const before = ended
  await engine.backup(join(folder, 'backup.db'))
  const after = ended
  isLoading = false
  await load
  expect(statSync(join(folder, 'backup.db')).mode & 0o777).toBe(0o600)
  const copy = await engineOn(join(folder, 'backup.db'))
  const { success } = await copy.system.counts({ by: 'outcome' })
  expect(success).toBeGreaterThanOrEqual(before)
  expect(success).toBeLessThanOrEqual(after + 3)
  // In the copy, the engine of the held task is dead, so the task runs again; here it goes on.
  expect(copy.running()).toContain(held.id)
  expect(engine.running()).toEqual([held.id])
  expect(engine.health).toMatchObject({ status: 'ok' })
  isHeld = false
  for (const each of [engine, copy]) {
    expect(await each.system.result(held.id)).toMatchObject({ outcome: 'success' })
    await each.idle()
  }
  expect(await copy.system.counts({ by: 'phase' })).toEqual({ settled: await copy.system.count() })
})

test('S43 a backup replaces no file, and leaves none behind when it fails', async () => {
  const folder = testFolder()
  const engine = await engineOn(join(folder, 'jobs.db'))
  const taken = join(folder, 'taken')
  writeFileSync(taken, 'mine')
  for (const file of [taken, join(folder, 'jobs.db')]) expect(await codeOf(engine.backup(file))).toBe('INVALID_INPUT')
  expect(statSync(taken).size).toBe(4)
  // With a file of this name, SQLite could no longer read the database for a backup.
  expect(await codeOf(engine.backup(join(folder, 'jobs.db-journal')))).toBe('INVALID_INPUT')
  expect(await codeOf(engine.backup(join(folder, 'none', 'backup.db')))).toBe('STORAGE_UNAVAILABLE')
  expect(await codeOf(engine.backup('' as never))).toBe('INVALID_INPUT')
  await engine.backup(join(folder, 'ok.db'))
  expect(readdirSync(folder).filter((name) => name.startsWith('ok'))).toEqual(['ok.db'])
  await engine.stop()
  expect(await codeOf(engine.backup(join(folder, 'stopped.db')))).toBe('ENGINE_STOPPED')
  expect(existsSync(join(folder, 'stopped.db'))).toBe(false)
})

test('a storage in memory makes no backups, and says so', async () => {
  await using engine = await createEngine({ jobs: [quick], storage: memoryStorage() })
  expect(await codeOf(engine.backup('backup.db'))).toBe('INVALID_DEFINITION')
})

test('S43 a backup has the agents, and the leases under which they hold tasks', async () => {
  const folder = testFolder()
  const storage = await openFile(join(folder, 'jobs.db'))
  const key = { tenant: 't1', id: 'ann' }
  const agent = { ...key, name: 'Ann', pools: ['gpu'], functions: [], createdBy: 'ada', createdAt: 1, revision: 1 }
  const lease = { jobId: 'a', token: 1, agent: key, until: 9 }
  await storage.putAgent(agent)
  await storage.commit([{ id: 'grant', writes: [{ op: 'grant', lease }] }])
  await storage.backup?.(join(folder, 'backup.db'))
  await storage.removeAgent(key)
  const copy = await openFile(join(folder, 'backup.db'))
  expect(await copy.agents({ limit: 9 })).toEqual([agent])
  expect(await copy.leasesOf(key)).toEqual([lease])
})
