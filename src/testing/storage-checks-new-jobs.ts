import assert from 'node:assert/strict'
import type { Claim } from '../port/storage.ts'
import { changed, changesetOf, claimedIds, claimOf, decideFor, getJob, insertOf, newJob, updateOf } from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of claims of jobs that the same commit stores: S9. */
export const newJobChecks: Checks = {
  'S9 each task of a new job is passed to the claim of its commit at most once': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const asked: string[] = []
    const decide: Claim['decide'] = ({ job, task }) => {
      asked.push(job.id)
      if (job.id === 'left') return { kind: 'leave' }
      if (job.id === 'changed') {
        return { kind: 'claim', writes: [updateOf(job, changed(job, { message: 'not claimed' }))] }
      }
      return decideFor('me', at)({ job, task, tree: () => undefined })
    }
    const changesets = ['left', 'changed', 'taken'].map((id) => changesetOf(insertOf(newJob({ id }, at))))
    const { claimed: taken } = await storage.commit(changesets, claimOf(at, { decide }))
    assert.deepEqual(asked.sort(), ['changed', 'left', 'taken'])
    assert.deepEqual(taken.map(({ job }) => job.id).sort(), ['changed', 'taken'])
    assert.equal((await getJob(storage, 'changed')).message, 'not claimed')
    assert.deepEqual([...(await claimedIds(storage, at))].sort(), ['changed', 'left'])
  },

  'S9 the events of a claim come after those of all changesets, in claim order': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const priorities of [
      [0, 0, 0],
      [2, 1, 0],
      [0, 1, 2],
    ]) {
      const after = await storage.lastSequence()
      const ids = priorities.map((priority, place) => `${priorities.join('')}-${place}-${priority}`)
      const changesets = ids.map((id, place) => {
        return changesetOf(insertOf(newJob({ id, priority: priorities[place] ?? 0 }, at)))
      })
      const claim = claimOf(at)
      const { claimed: taken } = await storage.commit(changesets, claim)
      const order = ids.toSorted((a, b) => Number(b.at(-1)) - Number(a.at(-1)))
      assert.deepEqual(
        taken.map(({ job }) => job.id),
        order,
      )
      const rows = await storage.events({ after, limit: 100 })
      assert.deepEqual(
        rows.map(({ jobId }) => jobId),
        [...ids, ...order],
      )
      assert.deepEqual(
        rows.map(({ changeset }) => changeset),
        [...changesets.map(({ id }) => id), ...order.map(() => claim.id)],
      )
      assert.deepEqual(
        taken.flatMap((each) => each.rows.map(({ sequence }) => sequence)),
        rows.slice(ids.length).map(({ sequence }) => sequence),
      )
    }
  },

  'S9 a claim that stops or closes a queue at a new job has claimed the tasks before it': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    for (const kind of ['stop', 'close'] as const) {
      const ids = ['first', 'second', 'third', 'last'].map((name) => `${kind}-${name}`)
      const changesets = ids.map((id) => changesetOf(insertOf(newJob({ id }, at))))
      const decide: Claim['decide'] = (ready) => {
        if (ready.job.id.endsWith('third')) return { kind }
        const decision = decideFor('me', at)(ready)
        if (!ready.job.id.endsWith('first') || decision.kind !== 'claim') return decision
        return { ...decision, writes: [...decision.writes, { op: 'expect', jobId: 'none', revision: 1 }] }
      }
      const { claimed: taken } = await storage.commit(changesets, claimOf(at, { decide }))
      assert.deepEqual(
        taken.map(({ job }) => job.id),
        [`${kind}-second`],
      )
      assert.deepEqual(await claimedIds(storage, at), [`${kind}-first`, `${kind}-third`, `${kind}-last`])
    }
  },

  'S9 a claim that ends a new job frees its unique key only after the changesets': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const ended = { phase: 'settled', outcome: 'success', endedAt: at, tasks: [] } as const
    const decide: Claim['decide'] = ({ job }) => ({ kind: 'claim', writes: [updateOf(job, changed(job, ended))] })
    const changesets = ['a', 'b'].map((id) => changesetOf(insertOf(newJob({ id, uniqueKey: 'k' }, at))))
    const { results } = await storage.commit(changesets, claimOf(at, { decide }))
    assert.deepEqual(results[1], { status: 'not-unique', by: 'a' })
    assert.equal((await getJob(storage, 'a')).phase, 'settled')
  },

  'S9 a new job that a later changeset of the commit changes is claimed as changed': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = newJob({ id: 'a' }, at)
    const next = changed(created.job, { message: 'changed' })
    const changesets = [changesetOf(insertOf(created)), changesetOf(updateOf(created.job, next))]
    const { results, claimed: taken } = await storage.commit(changesets, claimOf(at))
    assert.deepEqual(
      results.map(({ status }) => status),
      ['applied', 'applied'],
    )
    assert.deepEqual(
      taken.map(({ job }) => [job.message, job.tasks[0]?.status, job.revision]),
      [['changed', 'claimed', next.job.revision + 1]],
    )
    assert.deepEqual(await getJob(storage, 'a'), taken[0]?.job)
  },
}
