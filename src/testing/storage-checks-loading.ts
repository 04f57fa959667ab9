import assert from 'node:assert/strict'
import type { Decision } from '../model/decision.ts'
import type { Task } from '../model/task.ts'
import type { Loaded, StorageConnection } from '../port/storage.ts'
import {
  changed,
  childOf,
  commitOne,
  getJob,
  insertClaimed,
  insertOf,
  newJob,
  plainOnly,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of what a tick loads: S32. The turns of pipelines are checked with the waiting jobs. */
export const loadingChecks: Checks = {
  'S32 jobs are loaded by their ids, including deleted ones that still run; missing ids are absent': async ({
    clock,
    open,
  }) => {
    const [storage, other] = [await open(), await open('other')]
    for (const id of ['a', 'b', 'c']) await commitOne(storage, insertOf(newJob({ id }, clock.now())))
    await insertClaimed(storage, clock.now(), 'busy')
    const busy = await getJob(storage, 'busy')
    await commitOne(storage, updateOf(busy, changed(busy, { deletedAt: clock.now() })))
    for (const reader of [storage, other]) {
      const loaded = await load(reader, ['c', 'none', 'a', 'busy', 'c'])
      for (const id of ['a', 'c', 'busy']) assert.deepEqual(loaded.job(id), await reader.get(id))
      assert.equal(loaded.job('none'), undefined)
    }
    assert.equal((await load(storage, [])).job('none'), undefined)
  },

  'S32 a job is loaded with its ancestors and with the descendants that tasks still hold': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    await fill(storage, clock.now())
    for (const reader of [storage, other]) {
      for (const asked of ['root', 'left', 'right', 'leaf']) {
        const loaded = await load(reader, [asked])
        for (const id of ['root', 'left', 'right', 'leaf']) {
          assert.deepEqual(loaded.job(id), await reader.get(id), `${id} by ${asked}`)
          assert.equal(loaded.job(id)?.id, id)
        }
      }
      // `ended` is no task of its parent any more, so it is not in the parent's tree. But if it is loaded by its own
      // id, its tree comes with it.
      const ended = await load(reader, ['ended'])
      for (const id of ['ended', 'root', 'left', 'right', 'leaf']) assert.equal(ended.job(id)?.id, id)
      const orphan = await load(reader, ['orphan', 'alone'])
      assert.deepEqual([orphan.job('orphan')?.id, orphan.job('alone')?.id], ['orphan', 'alone'])
    }
  },

  'S32 a tree is loaded at one moment': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    await fill(storage, clock.now())
    const loaded = await load(storage, ['left'])
    const root = await getJob(storage, 'root')
    await commitOne(other, updateOf(root, changed(root, { message: 'changed' })))
    assert.deepEqual(loaded.job('root'), root)
    assert.equal((await load(storage, ['left'])).job('root')?.message, 'changed')
  },

  'S32 a job with many children is loaded whole': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const ids = Array.from({ length: 300 }, (_, index) => `child-${index}`)
    await commitOne(storage, insertOf(holding(newJob({ id: 'parent' }, at), ids)))
    await commitOne(storage, ...ids.map((id) => insertOf(childOf('parent', newJob({ id }, at)))))
    const loaded = await load(storage, ['child-7'])
    for (const id of ['parent', ...ids]) assert.equal(loaded.job(id)?.id, id)
  },
}

// Stores `root` with the child jobs `left` and `right`, and with the child job `ended`, which is no task of `root` any
// more. `left` has the child job `leaf`. `orphan` has a parent that is not stored, and `alone` has no relatives.
async function fill(storage: StorageConnection, at: number): Promise<void> {
  await commitOne(
    storage,
    insertOf(holding(newJob({ id: 'root' }, at), ['left', 'right'])),
    insertOf(childOf('root', holding(newJob({ id: 'left' }, at), ['leaf']))),
    insertOf(childOf('root', newJob({ id: 'right' }, at))),
    insertOf(childOf('left', newJob({ id: 'leaf' }, at))),
    insertOf(childOf('root', newJob({ id: 'ended' }, at))),
    insertOf(childOf('gone', newJob({ id: 'orphan' }, at))),
    insertOf(newJob({ id: 'alone' }, at)),
  )
}

/** The same decision, but the job has one task for each child. Every second one is stopping. */
function holding(decision: Decision, children: readonly string[]): Decision {
  const [task] = decision.job.tasks
  assert.ok(task)
  const tasks = children.map((child, index): Task => {
    return { ...task, id: child, invocation: index + 1, child, status: index % 2 === 0 ? 'claimed' : 'stopping' }
  })
  return { ...decision, job: { ...decision.job, tasks } }
}

function load(storage: StorageConnection, jobs: readonly string[]): Promise<Loaded> {
  return storage.load({ jobs, pipelines: [], types: plainOnly, at: 0 })
}
