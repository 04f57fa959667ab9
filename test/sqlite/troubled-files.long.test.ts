import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import BetterSqlite3 from 'better-sqlite3'
import { createEngine, defineJob } from 'jobchart'
import type { StorageConnection } from 'jobchart/port'
import { sqliteStorage } from 'jobchart/sqlite'
import { virtualClock } from 'jobchart/testing'
import { describe, expect, onTestFinished, type TestContext, test } from 'vitest'
import { changesetOf, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, refusal, testFolder } from './bench.ts'
import { holder, holderAs, killed } from './process.ts'

const unavailable = { name: 'JobchartError', code: 'STORAGE_UNAVAILABLE' }
const PAGE_BYTES = 4_096

describe('a file that disappears while it is open', () => {
  test.each([
    ['is removed', (file: string) => rmSync(file)],
    ['is moved', (file: string) => renameSync(file, `${file}.old`)],
    [
      'is replaced by its own copy',
      (file: string) => {
        copyFileSync(file, `${file}.copy`)
        renameSync(`${file}.copy`, file)
      },
    ],
    ['loses its log', (file: string) => rmSync(`${file}-wal`)],
    ['loses its folder', (file: string) => rmSync(join(file, '..'), { recursive: true })],
    // It does not see the locks of Node's own SQLite, and believes that it is the last to have the file open.
    [
      'is closed by another SQLite library of the process',
      (file: string) => {
        const db = new BetterSqlite3(file)
        db.prepare('SELECT count(*) FROM jobs').get()
        db.close()
      },
    ],
  ])('one that %s takes no commit that would be lost with it, and can be read', async (_, harm) => {
    const file = join(testFolder(), 'jobs', 'jobs.db')
    const storage = await openFile(file)
    await insert(storage, 'before')
    harm(file)
    await expect(insert(storage, 'after')).rejects.toMatchObject(unavailable)
    await expect(storage.beat(1)).rejects.toMatchObject(unavailable)
    expect(await storage.get('before')).toMatchObject({ id: 'before' })
    expect(await storage.get('after')).toBeUndefined()
  })

  test('takes commits again when it is put back, and an engine on it recovers', async () => {
    const file = join(testFolder(), 'jobs.db')
    const clock = virtualClock()
    const job = defineJob({ type: 'job', execute: () => 'done' })
    const engine = await createEngine({ jobs: [job], storage: sqliteStorage(file), clock })
    onTestFinished(() => engine.stop())
    renameSync(file, `${file}.old`)
    await clock.advance(2_100)
    expect(engine.health).toMatchObject({ status: 'degraded', error: { code: 'STORAGE_UNAVAILABLE' } })
    expect(engine.health.error?.message).toContain('removed or moved while it was open')
    await expect(engine.system.submit(job, 1)).rejects.toMatchObject(unavailable)
    renameSync(`${file}.old`, file)
    await clock.advance(1_100)
    expect(engine.health.status).toBe('ok')
    const { id } = await engine.system.submit(job, 1)
    await engine.idle()
    expect((await engine.system.get(id)).output).toBe('done')
  })
})

describe('a file with damaged pages', () => {
  test('is refused when it is opened with the check, and stays unchanged', async () => {
    const file = await damaged()
    const before = statSync(file).mtimeMs
    const error = await refusal(() => sqliteStorage(file, { check: true }))
    expect(error).toMatchObject(unavailable)
    expect(error.message).toMatch(/damaged/)
    expect(String((error.cause as Error).message)).toContain(file)
    expect(statSync(file).mtimeMs).toBe(before)
    const sound = join(testFolder(), 'jobs.db')
    const storage = await openFile(sound, 'me', { check: true })
    expect(await storage.lastSequence()).toBe(0)
  })

  test('without the check, refuses reads of the damaged pages by a typed error', async () => {
    const storage = await openFile(await damaged())
    await expect(storage.find({ scopes: [{ tenant: 't1' }] }, { limit: 1_000 })).rejects.toMatchObject(unavailable)
    await expect(storage.find({ scopes: [{ tenant: 't1' }] }, { limit: 1_000 })).rejects.toThrow(/malformed/)
  })
})

describe('a file that may only be read', () => {
  // Root may write to any file, so another user tries.
  const isRoot = process.getuid?.() === 0
  test.each([
    ['the file', 0o444, 0o777],
    ['its folder', 0o666, 0o555],
  ])('because of %s is refused', async (_, fileMode, folderMode) => {
    const folder = testFolder()
    const file = join(folder, 'jobs.db')
    const connection = await openFile(file)
    await insert(connection, 'a')
    await connection.forget('me')
    await connection.close()
    chmodSync(file, fileMode)
    chmodSync(folder, folderMode)
    const user = isRoot ? { uid: 65_534, gid: 65_534 } : {}
    const { said } = await holderAs(user, 'try', file, 'other')
    expect(said).toBe('STORAGE_UNAVAILABLE')
    chmodSync(folder, 0o777)
    expect(statSync(file).mode & 0o777).toBe(fileMode)
  })
})

test('a write lock that is never freed gives a typed error after ten seconds, and nothing is written', async () => {
  const file = join(testFolder(), 'jobs.db')
  const clock = virtualClock()
  const storage = await sqliteStorage(file).open({ clock, instance: 'me' })
  onTestFinished(() => storage.close())
  const { child } = await holder('write', file)
  const told = insert(storage, 'late').catch((error: unknown) => error)
  await clock.advance(10_100)
  expect(await told).toMatchObject({ ...unavailable, message: expect.stringContaining('locked') })
  await killed(child)
  expect(await storage.get('late')).toBeUndefined()
  await insert(storage, 'again')
  expect((await storage.get('again'))?.id).toBe('again')
})

describe('a full disk', () => {
  test('a commit without room writes nothing, says so, and works again when there is room', async (context) => {
    const disk = smallDisk(context)
    const file = join(disk, 'jobs.db')
    const storage = await openFile(file)
    await insert(storage, 'before')
    fillDisk(join(disk, 'ballast'))
    const large = changesetOf(insertOf(newJob({ id: 'large', input: 'x'.repeat(500_000) }, Date.now())))
    await expect(storage.commit([large])).rejects.toMatchObject(unavailable)
    expect(await storage.landed([large.id], 0)).toEqual([])
    expect(await storage.get('large')).toBeUndefined()
    expect((await storage.get('before'))?.id).toBe('before')
    rmSync(join(disk, 'ballast'))
    const { results } = await storage.commit([large])
    expect(results).toMatchObject([{ status: 'applied' }])
    await storage.close()
    const db = new DatabaseSync(file)
    expect(db.prepare('SELECT id FROM jobs ORDER BY n').all()).toEqual([{ id: 'before' }, { id: 'large' }])
    db.close()
  })

  test('a small disk: the same, and when there is room again the engine recovers by itself', async (context) => {
    const disk = smallDisk(context)
    const file = join(disk, 'jobs.db')
    const clock = virtualClock()
    const job = defineJob({ type: 'job', execute: () => 'done' })
    const engine = await createEngine({ jobs: [job], storage: sqliteStorage(file), clock })
    const acknowledged: string[] = []
    fillDisk(join(disk, 'ballast'))
    let code = ''
    for (let n = 0; code === '' && n < 1_000; n++) {
      await engine.system.submit(job, 'x'.repeat(20_000)).then(
        ({ id }) => acknowledged.push(id),
        (error: { code: string }) => {
          code = error.code
        },
      )
    }
    expect(code).toBe('STORAGE_UNAVAILABLE')
    expect(engine.health).toMatchObject({ status: 'degraded', error: { message: expect.stringContaining('full') } })
    for (const id of acknowledged) expect((await engine.system.get(id)).id).toBe(id)
    rmSync(join(disk, 'ballast'))
    await clock.advance(2_100)
    expect(engine.health.status).toBe('ok')
    acknowledged.push((await engine.system.submit(job, 1)).id)
    await engine.idle()
    for (const id of acknowledged) expect((await engine.system.get(id)).output).toBe('done')
    await engine.stop()
    await expectWhole(file, acknowledged)
  })
})

async function expectWhole(file: string, ids: readonly string[]): Promise<void> {
  const db = new DatabaseSync(file)
  expect(db.prepare('PRAGMA integrity_check').all()).toEqual([{ integrity_check: 'ok' }])
  const stored = db.prepare('SELECT id FROM jobs').all()
  expect(stored.map(({ id }) => id)).toEqual(expect.arrayContaining([...ids]))
  // Each row has its history, and no history exists without its row.
  const told = db.prepare('SELECT DISTINCT job AS n FROM events ORDER BY n').all()
  expect(told).toEqual(db.prepare('SELECT n FROM jobs ORDER BY n').all())
  db.close()
}

async function insert(storage: StorageConnection, id: string): Promise<void> {
  await storage.commit([changesetOf(insertOf(newJob({ id }, Date.now())))])
}

/** A file of many jobs, whose pages from the fortieth on are overwritten. */
async function damaged(): Promise<string> {
  const file = join(testFolder(), 'jobs.db')
  const storage = await openFile(file)
  const jobs = Array.from({ length: 200 }, (_, n) => newJob({ id: `job-${n}`, input: 'x'.repeat(2_000) }, Date.now()))
  await storage.commit(jobs.map((job) => changesetOf(insertOf(job))))
  await storage.forget('me')
  await storage.close()
  const handle = openSync(file, 'r+')
  const { size } = statSync(file)
  // The first pages are the roots of tables and indexes, which opening reads.
  for (let page = 80; (page + 1) * PAGE_BYTES < size; page++)
    writeSync(handle, new Uint8Array(PAGE_BYTES).fill(7), 0, PAGE_BYTES, page * PAGE_BYTES)
  closeSync(handle)
  return file
}

function smallDisk(context: TestContext): string {
  const disk = testFolder()
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', disk])
  context.skip(mounted.status !== 0, 'this machine mounts no tmpfs for this user')
  onTestFinished(() => {
    spawnSync('umount', ['-l', disk])
  })
  return disk
}

function fillDisk(file: string): void {
  for (let bytes = 1_048_576; bytes >= PAGE_BYTES; bytes /= 2) {
    try {
      for (;;) writeFileSync(file, new Uint8Array(bytes), { flag: 'a' })
    } catch {
      // There is no room for this many more; there may be for fewer.
    }
  }
}
