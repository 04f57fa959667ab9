import assert from 'node:assert/strict'
import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import {
  changed,
  changesetOf,
  claimed,
  claimedIds,
  claimNow,
  claimOf,
  commitOne,
  getJob,
  historyOf,
  insertOf,
  newJob,
  twin,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of when a task may be claimed: S10. */
export const readyChecks: Checks = {
  'S10 a task is not ready before its time, and hides no ready task': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'later', priority: 9 }, at + 1_000)))
    await commitOne(storage, insertOf(newJob({ id: 'much-later', priority: 9 }, at + 2_000)))
    await commitOne(storage, insertOf(newJob({ id: 'now' }, at)))
    assert.deepEqual(await claimedIds(storage, at + 999), ['now'])
    assert.deepEqual(await claimedIds(storage, at + 1_000), ['later'])
    assert.deepEqual(await claimedIds(storage, at + 2_000), ['much-later'])
  },

  'S10 two tasks that are available at once are each claimed once': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'a' }, at, twin)))
    const first = await claimNow(storage, at, { type: twin, room: 1 })
    const second = await claimNow(storage, at, { type: twin })
    assert.deepEqual(
      [...first, ...second].map(({ invocation }) => invocation),
      [1, 2],
    )
    assert.deepEqual(await claimNow(storage, at, { type: twin }), [])
    const both = await storage.commit(
      [changesetOf(insertOf(newJob({ id: 'b' }, at, twin)))],
      claimOf(at, { type: twin }),
    )
    assert.deepEqual(
      both.claimed.map(({ invocation }) => invocation),
      [1, 2],
    )
    for (const id of ['a', 'b']) {
      const { tasks, eventCount } = await getJob(storage, id)
      assert.ok(tasks.every(({ status }) => status === 'claimed'))
      assert.deepEqual(await historyOf(storage, id), ['job.created', 'task.started', 'task.started'])
      assert.equal(eventCount, 3)
    }
  },

  'S10 a task is not ready while an earlier invocation of its invoke is stopping': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a' }, at)
    const running = claimed(created.job, at)
    await commitOne(storage, insertOf(created))
    await commitOne(storage, updateOf(created.job, running))
    const [task] = running.job.tasks
    assert.ok(task)
    const { holder: _, ...fresh } = task
    const next: Task = { ...fresh, status: 'available', invocation: 9, token: 0 }
    const entered = changed(running.job, { tasks: [{ ...task, status: 'stopping' }, next] })
    await commitOne(storage, updateOf(running.job, entered))
    assert.deepEqual(await claimNow(storage, at), [])
    const stopped = changed(entered.job, { tasks: [next] })
    await commitOne(storage, updateOf(entered.job, stopped))
    assert.equal((await claimNow(storage, at))[0]?.invocation, 9)
  },

  'S10 a task is not ready while its job is blocked': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const { job, ...rest } = newJob({ id: 'a' }, at)
    const blocked: Job = { ...job, blocked: true }
    await commitOne(storage, insertOf({ ...rest, job: blocked }))
    assert.deepEqual(await claimNow(storage, at), [])
    const { blocked: _, ...free } = blocked
    const next = changed(blocked, {})
    await commitOne(storage, updateOf(blocked, { ...next, job: { ...free, revision: 2, eventCount: 2 } }))
    assert.deepEqual(await claimedIds(storage, at), ['a'])
  },
}
