import { statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import type { Task } from '../../src/model/task.ts'
import type { Job } from '../../src/port/index.ts'
import { sqliteStorage } from '../../src/sqlite/index.ts'
import {
  changed,
  changesetOf,
  claimed,
  claimOf,
  commitOne,
  ended,
  getJob,
  insertClaimed,
  insertOf,
  newJob,
  plain,
  routeOf,
  updateOf,
} from '../../src/testing/fixtures.ts'
import { virtualClock } from '../../src/testing/virtual-clock.ts'
import { openFile, testFolder } from './bench.ts'

const AT = 1_767_225_600_000
const PAGE_BYTES = 4_096

describe('the items of a removed job', () => {
  test('go with it if they are few; many go a few hundred at a time, by heartbeats or a pass of pruning', async () => {
    const file = join(testFolder(), 'jobs.db')
    const storage = await openFile(file)
    const db = new DatabaseSync(file, { readOnly: true })
    onTestFinished(() => db.close())
    const left = () => Number(db.prepare('SELECT count(*) AS c FROM items').get()?.c)
    const remove = async (id: string, items: number) => {
      const token = await insertClaimed(storage, AT, id)
      const added = Array.from({ length: items }, (_, place) => ({ index: place + 1, key: `k${place}` }))
      const progress = { completed: 0, failed: 0, running: 0 }
      const note = { kind: 'items', invocation: 1, added, ended: [], progress, at: AT } as const
      await commitOne(storage, { op: 'note', jobId: id, token, note })
      const job = await getJob(storage, id)
      await commitOne(storage, updateOf(job, changed(job, { deletedAt: AT, tasks: [] })))
    }
    await remove('few', 999)
    expect(left()).toBe(0)
    await remove('many', 9_500)
    await remove('more', 1_500)
    expect(left()).toBe(9_000)
    const counts: number[] = []
    for (let beat = 1; beat <= 19; beat++) {
      await storage.beat(AT + beat)
      counts.push(left())
    }
    expect(counts.slice(0, 3)).toEqual([8_500, 8_000, 7_500])
    expect(counts.at(-1)).toBe(0)
    await remove('again', 5_000)
    let calls = 0
    for (let after: string | undefined; calls === 0 || after !== undefined; calls++) {
      after = (await storage.prune({ types: [], limit: 1_500, ...(after === undefined ? {} : { after }) })).after
    }
    expect(left()).toBe(0)
    expect(calls).toBeGreaterThanOrEqual(3)
    expect(db.prepare('SELECT count(*) AS c FROM left_items').get()?.c).toBe(0)
  })
})

describe('what a move writes', () => {
  test('a place of a limit key that the commit frees goes to the waiting task, not to a newer one', async () => {
    const storage = await openFile(join(testFolder(), 'jobs.db'))
    const keyed = (id: string) => {
      const made = newJob({ id }, AT)
      return { ...made, job: { ...made.job, tasks: made.job.tasks.map((task) => ({ ...task, limitKey: 'k' })) } }
    }
    const first = keyed('first')
    await commitOne(storage, insertOf(first))
    const running = claimed(first.job, AT)
    await commitOne(storage, updateOf(first.job, running))
    await commitOne(storage, insertOf(keyed('waits')))
    const changesets = [insertOf(newJob({ id: 'new' }, AT)), updateOf(running.job, ended(running.job, AT))]
    const claim = claimOf(AT, { room: 1, routes: [routeOf(plain, 1)] })
    const commit = await storage.commit(
      changesets.map((write) => changesetOf(write)),
      claim,
    )
    expect(commit.claimed.map(({ job }) => job.id)).toEqual(['waits'])
  })

  test('a late event of a deleted job is in the log without its payload', async () => {
    const storage = await openFile(join(testFolder(), 'jobs.db'))
    const { job } = newJob({ id: 'a' }, AT)
    await commitOne(storage, insertOf(newJob({ id: 'a' }, AT)))
    await commitOne(storage, updateOf(job, changed(job, { deletedAt: AT, tasks: [] })))
    const [row] = await storage.events({ after: 0, limit: 1, jobId: 'a' })
    if (row === undefined) throw new Error('the job has no events')
    const { sequence: _, changeset: __, ...scope } = row
    const error = { name: 'Error', message: 'a secret' }
    const events = {
      ...scope,
      jobSequence: 3,
      events: [{ type: 'job.followUpFailed', kind: 'submit', error }],
    } as const
    await commitOne(storage, { op: 'append', events })
    const rows = await storage.events({ after: 0, limit: 9, jobId: 'a' })
    expect(rows.at(-1)?.events).toMatchObject([{ type: 'job.followUpFailed', kind: 'submit' }])
    expect(JSON.stringify(rows)).not.toContain('secret')
  })

  test('a job of 1,000 tasks is written task by task: changing one task writes no more than in a small job', async () => {
    const file = join(testFolder(), 'jobs.db')
    const storage = await openFile(file)
    const created = newJob({ id: 'parent' }, AT)
    const [first] = created.job.tasks
    if (first === undefined) throw new Error('the job has no task')
    const tasks = Array.from({ length: 1_000 }, (_, index): Task => {
      return {
        ...first,
        id: `child ${index}`,
        invocation: index + 1,
        status: 'claimed',
        child: `job-${index}`,
        input: 'x'.repeat(200),
      }
    })
    let job: Job = { ...created.job, tasks, counter: 1_000 }
    await commitOne(storage, insertOf({ ...created, job }))
    expect(walBytes(file)).toBeGreaterThan(200_000)
    for (const invocation of [500, 1, 1_000]) {
      emptyLog(file)
      const left = job.tasks.filter((task) => task.invocation !== invocation)
      const next = changed(job, { tasks: left.map((task) => (task.invocation === 7 ? { ...task, attempt: 9 } : task)) })
      await commitOne(storage, updateOf(job, next))
      expect(walBytes(file)).toBeLessThan(16 * PAGE_BYTES)
      job = next.job
    }
    expect(await storage.get('parent')).toEqual(job)
  })

  test('the log beside the file is truncated when nothing was written for a while', async () => {
    const file = join(testFolder(), 'jobs.db')
    const clock = virtualClock()
    const storage = await sqliteStorage(file).open({ clock, instance: 'me' })
    onTestFinished(() => storage.close())
    await commitOne(storage, insertOf(newJob({ id: 'a', input: 'x'.repeat(100_000) }, AT)))
    await clock.advance(1_500)
    await commitOne(storage, insertOf(newJob({ id: 'b' }, AT)))
    await clock.advance(1_500)
    expect(walBytes(file)).toBeGreaterThan(100_000)
    await clock.advance(3_000)
    expect(walBytes(file)).toBe(0)
    await commitOne(storage, insertOf(newJob({ id: 'c' }, AT)))
    expect((await getJob(storage, 'a')).input).toHaveLength(100_000)
  })
})

describe('a connection’s cache of a file', () => {
  test('drops the writes of a commit that was rolled back', async () => {
    const file = join(testFolder(), 'jobs.db')
    const storage = await openFile(file)
    await commitOne(storage, insertOf(newJob({ id: 'ready' }, AT)))
    const stranger = { tenant: 'new tenant', createdBy: 'new person', pipeline: 'new pipeline', priority: -1 }
    const insert = changesetOf(insertOf(newJob({ id: 'a', ...stranger }, AT)))
    const broken = claimOf(AT, {
      decide: () => {
        throw new RangeError('decided badly')
      },
    })
    // An error thrown by the caller's code is not a failure of the storage.
    await expect(storage.commit([insert], broken)).rejects.toThrow(RangeError)
    expect(await storage.get('a')).toBeUndefined()
    const others = [newJob({ id: 'b', tenant: 'other tenant' }, AT), newJob({ id: 'a', ...stranger }, AT)]
    await storage.commit(others.map((job) => changesetOf(insertOf(job))))
    for (const reader of [storage, await openFile(file, 'reader')]) {
      for (const { job } of others) expect(await getJob(reader, job.id)).toEqual(job)
      expect((await reader.find({ scopes: [{ tenant: 'new tenant' }] }, { limit: 9 })).jobs).toHaveLength(1)
    }
  })

  test('drops the writes of a changeset that was refused', async () => {
    const file = join(testFolder(), 'jobs.db')
    const storage = await openFile(file)
    const first = newJob({ id: 'a', tenant: 'new tenant' }, AT)
    const refused = changesetOf(insertOf(first), { op: 'expect', jobId: 'none', revision: 1 })
    const other = newJob({ id: 'b', tenant: 'other tenant' }, AT)
    const { results } = await storage.commit([refused, changesetOf(insertOf(other)), changesetOf(insertOf(first))])
    expect(results.map(({ status }) => status)).toEqual(['conflict', 'applied', 'applied'])
    for (const reader of [storage, await openFile(file, 'reader')]) {
      expect(await getJob(reader, 'b')).toEqual(other.job)
      expect(await getJob(reader, 'a')).toEqual(first.job)
    }
  })

  test('does not hide a job that another connection has added, or stored anew under an old id', async () => {
    const file = join(testFolder(), 'jobs.db')
    const [one, two] = [await openFile(file, 'one'), await openFile(file, 'two')]
    const created = newJob({ id: 'a' }, AT)
    await commitOne(one, insertOf(created))
    const removed = changed(created.job, { deletedAt: AT, tasks: [] })
    await commitOne(two, updateOf(created.job, removed))
    const again = newJob({ id: 'a', tenant: 'elsewhere', createdBy: 'eve' }, AT)
    await commitOne(two, insertOf(again))
    expect(await getJob(one, 'a')).toEqual(again.job)
    const running = claimed(again.job, AT)
    expect(await commitOne(one, updateOf(again.job, running))).toMatchObject({ status: 'applied' })
    expect(await commitOne(two, updateOf(running.job, ended(running.job, AT)))).toMatchObject({ status: 'applied' })
    expect(await one.count({ scopes: [{ tenant: 'elsewhere' }], status: ['completed'] })).toBe(1)
    expect(await one.counts('status', { scopes: [{ tenant: 'elsewhere' }] })).toEqual(new Map([['completed', 1]]))
  })
})

function walBytes(file: string): number {
  return statSync(`${file}-wal`).size
}

/** The next writes are alone in the log beside the file. */
function emptyLog(file: string): void {
  const db = new DatabaseSync(file)
  db.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  db.close()
  expect(walBytes(file)).toBe(0)
}
