import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { createEngine, defineJob, type Engine } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { virtualClock } from 'jobchart/testing'
import { describe, expect, onTestFinished, test } from 'vitest'
import { createMachine, sendTo, setup } from 'xstate'
import { z } from 'zod'
import { commitOne, insertClaimed, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, testFolder } from './bench.ts'

// I6, I50: a row that cannot be decoded fails its job alone.

const runs: unknown[] = []
const job = defineJob({ type: 'job', execute: ({ input }) => runs.push(input) })
const timed = defineJob({
  type: 'timed',
  lifecycle: createMachine({
    initial: 'waiting',
    states: { waiting: { after: { 5000: 'done' } }, done: { type: 'final' } },
  }),
})

const TEXTS = ['{"id":', '', 'null', '42', '[]', '{"id":"x"}', '\u0000']

async function broken(text: string, column: 'body' | 'input' = 'body') {
  const file = join(testFolder(), 'jobs.db')
  const clock = virtualClock()
  const options = { jobs: [job, timed], storage: sqliteStorage(file, { durability: 'normal' }), clock }
  const front = await createEngine({ ...options, work: false })
  onTestFinished(() => front.stop())
  const ada = front.as({ id: 'ada', role: 'editor' })
  const breakRow = (id: string) => {
    const db = new DatabaseSync(file)
    db.prepare(`UPDATE jobs SET ${column} = ? WHERE id = ?`).run(text, id)
    db.close()
  }
  const worker = async (): Promise<Engine> => {
    const engine = await createEngine(options)
    onTestFinished(() => engine.stop())
    return engine
  }
  return { file, clock, front, ada, breakRow, worker }
}

describe.each(TEXTS)('a job whose record reads %j', (text) => {
  test('is reported to the engine’s own session; for a person it is missing', async () => {
    const { front, ada, breakRow } = await broken(text)
    const { id } = await ada.submit(job, 1)
    breakRow(id)
    const asked = { name: 'JobchartError', jobId: id }
    await expect(front.system.get(id)).rejects.toMatchObject({ ...asked, code: 'JOB_UNREADABLE' })
    await expect(front.system.cancel(id)).rejects.toMatchObject({ ...asked, code: 'JOB_UNREADABLE' })
    for (const who of [ada, front.as({ id: 'eve', role: 'editor' })]) {
      for (const call of [
        () => who.get(id),
        () => who.cancel(id),
        () => who.history(id),
        () => who.result(id),
        () => who.delete(id),
        () => who.retry(id),
      ]) {
        await expect(call()).rejects.toMatchObject({ ...asked, code: 'JOB_NOT_FOUND' })
      }
    }
    expect(front.health.status).toBe('ok')
  })

  test('is left out of lists, which show all others', async () => {
    const { ada, breakRow } = await broken(text)
    const ids: string[] = []
    for (let index = 0; index < 9; index++) ids.unshift((await ada.submit(job, index)).id)
    for (const index of [0, 2, 3, 8]) breakRow(ids[index] ?? '')
    const seen: string[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await ada.list({ limit: 2, ...(cursor === undefined ? {} : { cursor }) })
      seen.push(...page.items.map(({ id }) => id))
      cursor = page.nextCursor
      if (cursor === undefined) break
    }
    expect(seen.sort()).toEqual([1, 4, 5, 6, 7].map((index) => ids[index]).sort())
  })

  test('has a summary, counts, and is left out of reads of many jobs', async () => {
    const { ada, file, breakRow } = await broken(text)
    const labels = { team: 'x' }
    const ids = [await ada.submit(job, 1, { labels }), await ada.submit(job, 2, { labels })].map(({ id }) => id)
    const [id = ''] = ids
    const storage = await openFile(file, 'reader')
    const summary = await storage.summary(id)
    breakRow(id)
    expect(summary).toMatchObject({ id, type: 'job', labels, status: 'queued' })
    expect(await storage.summary(id)).toEqual(summary)
    expect((await storage.many(ids)).map((each) => each.id)).toEqual([ids[1]])
    for (const filter of [{}, { type: 'job' }, { status: ['queued'] }, { labels }, { labels, status: ['queued'] }]) {
      const asked = { ...filter, scopes: [{ createdBy: 'ada' }] }
      expect(await storage.count(asked)).toBe(2)
      expect(await storage.count({ ...asked, scopes: [...asked.scopes, {}] })).toBe(2)
      expect((await storage.find(asked, { limit: 2 })).jobs.map((each) => each.id)).toEqual([ids[1]])
    }
  })

  test('is not claimed, and the jobs behind it are', async () => {
    const { ada, breakRow, worker } = await broken(text)
    const { id } = await ada.submit(job, 'first', { priority: 5 })
    const behind = await ada.submit(job, `behind ${text}`)
    breakRow(id)
    const engine = await worker()
    await engine.idle()
    expect(runs.at(-1)).toBe(`behind ${text}`)
    expect([(await ada.get(behind.id)).status, engine.health.status]).toEqual(['completed', 'ok'])
  })

  test('delays no job that falls due, or that waits for its time or its turn', async () => {
    const { ada, breakRow, worker, clock } = await broken(text)
    const each = async (): Promise<readonly string[]> => [
      (await ada.submit(timed, undefined)).id,
      (await ada.submit(job, 1, { startAt: clock.now() + 1_000 })).id,
      (await ada.submit(job, 1, { pipeline: 'p', startAt: clock.now() + 1_000 })).id,
    ]
    for (const id of await each()) breakRow(id)
    const sound = await each()
    const engine = await worker()
    await clock.advance(6_500)
    const jobs = await Promise.all(sound.map((id) => ada.get(id)))
    expect(jobs.map(({ status }) => status)).toEqual(['done', 'completed', 'completed'])
    expect(engine.health.status).toBe('ok')
  })

  test('does not prevent the recovery of other jobs of its dead engine', async () => {
    const { ada, front, breakRow, file, worker } = await broken(text)
    const ids = [await ada.submit(job, 1), await ada.submit(job, 2)].map(({ id }) => id)
    const db = new DatabaseSync(file)
    // The record holds the status of the first task; columns hold its holder.
    db.exec(`INSERT INTO names (text) VALUES ('dead'); INSERT INTO instances VALUES ('dead', 0);
      UPDATE jobs SET route = NULL, ready_at = NULL, token = 7, holder = (SELECT code FROM names WHERE text = 'dead'),
        body = json_set(body, '$[8][3]', 1, '$[8][4]', 7)`)
    db.close()
    breakRow(ids[0] ?? '')
    const engine = await worker()
    await engine.idle()
    expect((await ada.list()).items).toMatchObject([{ id: ids[1], status: 'completed' }])
    expect(front.health.status).toBe('ok')
  })
})

test('an input that cannot be decoded fails its own job too', async () => {
  const { ada, front, breakRow, worker } = await broken('{', 'input')
  const { id } = await ada.submit(job, 1)
  const behind = await ada.submit(job, 2)
  breakRow(id)
  const engine = await worker()
  await engine.idle()
  await expect(front.system.get(id)).rejects.toMatchObject({ code: 'JOB_UNREADABLE' })
  expect([(await ada.get(behind.id)).status, engine.health.status]).toEqual(['completed', 'ok'])
})

test('a broken record keeps its slot and its unique key, and callers are told without an id', async () => {
  const { ada, breakRow } = await broken('{')
  const { id } = await ada.submit(timed, undefined, { pipeline: 'p', uniqueKey: 'k' })
  breakRow(id)
  for (const overlap of ['reject', 'replace'] as const) {
    await expect(ada.submit(timed, undefined, { pipeline: 'p', overlap })).rejects.toMatchObject({
      code: 'ALREADY_RUNNING',
    })
  }
  const held = await ada.submit(timed, undefined, { uniqueKey: 'k' }).catch((error: unknown) => error)
  expect(held).toMatchObject({ code: 'ALREADY_RUNNING' })
  expect(JSON.stringify(held)).not.toContain(id)
})

test('a job whose labels break is missing for a person, and reported to the engine’s own session', async () => {
  const { ada, front, file } = await broken('{')
  const { id } = await ada.submit(timed, undefined, { labels: { team: 'x' } })
  const db = new DatabaseSync(file)
  db.prepare(`UPDATE jobs SET labels = '{' WHERE id = ?`).run(id)
  db.close()
  await expect(ada.get(id)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
  await expect(front.system.get(id)).rejects.toMatchObject({ code: 'JOB_UNREADABLE' })
})

test('a broken child job is gone for its parent, which gets an error event when it sends to it', async () => {
  const child = createMachine({ on: { hello: {} } })
  const lifecycle = setup({ actors: { child } }).createMachine({
    initial: 'on',
    states: {
      on: {
        invoke: { id: 'child', src: 'child', onError: 'alone' },
        on: { hello: { actions: sendTo('child', { type: 'hello' }) } },
      },
      alone: {},
    },
  })
  const parent = defineJob({ type: 'parent', lifecycle, commands: { hello: z.object({}) } })
  const file = join(testFolder(), 'jobs.db')
  const engine = await createEngine({ jobs: [parent], storage: sqliteStorage(file), clock: virtualClock() })
  onTestFinished(() => engine.stop())
  const { id } = await engine.system.submit(parent)
  const db = new DatabaseSync(file)
  db.exec(`UPDATE jobs SET body = '{' WHERE parent IS NOT NULL`)
  db.close()
  expect(await engine.system.send(id, { type: 'hello' })).toMatchObject({ status: 'alone' })
})

test('retention keeps a job whose record is broken, and the log says so once', async () => {
  const file = join(testFolder(), 'jobs.db')
  const clock = virtualClock()
  const said: unknown[] = []
  const ignore = () => {}
  const engine = await createEngine({
    jobs: [job],
    storage: sqliteStorage(file),
    clock,
    sweep: '1h',
    retention: { jobs: { success: 0 } },
    logger: { debug: ignore, info: ignore, warn: (fields: object) => said.push(fields), error: ignore },
  })
  onTestFinished(() => engine.stop())
  const [first, second] = [await engine.system.submit(job, 1), await engine.system.submit(job, 2)]
  await engine.idle()
  await clock.advance(1_000)
  const db = new DatabaseSync(file)
  db.prepare(`UPDATE jobs SET body = '{' WHERE id = ?`).run(first.id)
  db.close()
  expect(await engine.prune()).toMatchObject({ jobs: 1 })
  expect(await engine.prune()).toMatchObject({ jobs: 0 })
  expect(said).toEqual([{ jobId: first.id }])
  await expect(engine.system.get(second.id)).rejects.toMatchObject({ code: 'JOB_NOT_FOUND' })
})

test('work whose record breaks while it runs keeps its log lines and its end', async () => {
  const file = join(testFolder(), 'jobs.db')
  const gate = Promise.withResolvers<void>()
  const type = defineJob({
    type: 'gated',
    execute: async ({ step }) => {
      await gate.promise
      return await step('s', () => 'done')
    },
  })
  const engine = await createEngine({ jobs: [type], storage: sqliteStorage(file), clock: virtualClock() })
  onTestFinished(() => engine.stop())
  const { id } = await engine.system.submit(type, 1)
  const db = new DatabaseSync(file)
  db.prepare(`UPDATE jobs SET body = '{' WHERE id = ?`).run(id)
  db.close()
  gate.resolve()
  await engine.idle()
  expect(engine.health.status).toBe('ok')
  // Written from the engine's own copy, so the stored record is whole again.
  expect(await engine.system.get(id)).toMatchObject({ status: 'completed', output: 'done' })
})

test('a broken row of the log stops no stream except that of its own job, which reports it', async () => {
  const { ada, front, file, worker, clock } = await broken('{')
  const { id } = await ada.submit(job, 1)
  const other = await ada.submit(job, 2)
  const db = new DatabaseSync(file)
  db.prepare('UPDATE events SET events = ? WHERE job = (SELECT n FROM jobs WHERE id = ?)').run('[', id)
  db.close()
  const engine = await worker()
  await engine.idle()
  await clock.advance(1_000)
  expect((await ada.result(other.id)).status).toBe('completed')
  await expect(front.system.history(id)).rejects.toMatchObject({ code: 'JOB_UNREADABLE', jobId: id })
  expect([engine.health.status, front.health.status]).toEqual(['ok', 'ok'])
})

test('broken rows of the log leave pages full, narrowed or not; broken items fail their job', async () => {
  const file = join(testFolder(), 'jobs.db')
  const storage = await openFile(file)
  const token = await insertClaimed(storage, 1, 'a')
  for (const id of ['b', 'c', 'd']) await commitOne(storage, insertOf(newJob({ id, labels: { team: 'x' } }, 1)))
  const item = { key: 'k', status: 'completed', at: 1, output: 1 } as const
  await commitOne(storage, { op: 'note', jobId: 'a', token, note: { kind: 'item', invocation: 1, item, max: 9 } })
  const db = new DatabaseSync(file)
  db.exec(`UPDATE events SET events = '[' WHERE job = (SELECT n FROM jobs WHERE id = 'b');
    UPDATE jobs SET labels = '{' WHERE id = 'c'; UPDATE items SET output = '{'`)
  db.close()
  for (const scopes of [undefined, [{}], [{ tenant: 't1' }], [{ labels: { team: 'x' } }, { tenant: 't1' }]]) {
    const rows = await storage.events({ after: 0, limit: 3, ...(scopes === undefined ? {} : { scopes }) })
    expect(rows.map(({ jobId }) => jobId)).toEqual(['a', 'a', 'd'])
  }
  expect(await storage.events({ after: 0, limit: 3, scopes: [{ labels: { team: 'x' } }] })).toMatchObject([
    { jobId: 'd' },
  ])
  await expect(storage.events({ after: 0, limit: 3, jobId: 'b' })).rejects.toMatchObject({ code: 'JOB_UNREADABLE' })
  await expect(storage.items('a', { after: 0, limit: 3 })).rejects.toMatchObject({ code: 'JOB_UNREADABLE', jobId: 'a' })
})
