import assert from 'node:assert/strict'
import type { Decision } from '../model/decision.ts'
import { type AnyJobType, defineJob } from '../model/definition.ts'
import type { Job } from '../model/job.ts'
import type { Task } from '../model/task.ts'
import type { Claim, ClaimDecision, Route } from '../port/storage.ts'
import {
  changed,
  changesetOf,
  claimedIds,
  claimNow,
  commitOne,
  decideFor,
  ended,
  getJob,
  insertOf,
  newJob,
  plain,
  routeOf,
  twin,
  updateOf,
} from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

const limits = { concurrency: 2, key: ({ input }: { readonly input: unknown }) => String(input) }
const limited: AnyJobType = defineJob({ type: 'limited', limits, execute: () => 'done' })

/** Checks of the queues in which tasks for agents wait: S9, S11, S19 and S20. */
export const taskQueueChecks: Checks = {
  'S11 a job keeps its assignment, its agent, and the queue of each task': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const at = clock.now()
    const { job, ...rest } = queued('q1', newJob({ id: 'a' }, at, twin))
    const assigned: Job = { ...job, assignment: { pool: 'gpu' } }
    await commitOne(storage, insertOf({ ...rest, job: assigned }))
    assert.deepEqual(await other.get('a'), assigned)
    const running = changed(assigned, {
      assignment: { agent: 'ann' },
      agent: { id: 'ann', name: 'Ann', pool: 'gpu' },
      tasks: assigned.tasks.map((task, index): Task => ({ ...task, queue: `q${index + 2}` })),
    })
    await commitOne(storage, updateOf(assigned, running))
    assert.deepEqual(await other.get('a'), running.job)
  },

  'S20 a claim takes tasks only of the queues of its route, and without queues only tasks that have none': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(newJob({ id: 'none' }, at)))
    for (const queue of ['q1', 'q2', '', 'none']) {
      await commitOne(storage, insertOf(queued(queue, newJob({ id: `of ${queue}` }, at))))
    }
    assert.deepEqual(await claimedIds(storage, at, { routes: [of()] }), [])
    assert.deepEqual(await claimedIds(storage, at, { routes: [of('q3')] }), [])
    assert.deepEqual(await claimedIds(storage, at, { routes: [of('q2')] }), ['of q2'])
    assert.deepEqual(await claimedIds(storage, at, { room: 1 }), ['none'])
    assert.deepEqual(await claimedIds(storage, at), [])
    assert.deepEqual(await claimedIds(storage, at, { routes: [of('')] }), ['of '])
    assert.deepEqual(await claimedIds(storage, at, { routes: [of('none', 'q1')] }), ['of q1', 'of none'])
  },

  'S20 a claim may take tasks of queues, and tasks without a queue, of one type and executor': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    await commitOne(storage, insertOf(queued('q1', newJob({ id: 'queued' }, at))))
    await commitOne(storage, insertOf(newJob({ id: 'plain' }, at)))
    await commitOne(storage, insertOf(queued('q2', newJob({ id: 'other' }, at))))
    assert.deepEqual(await claimedIds(storage, at, { routes: [routeOf(), of('q1')] }), ['queued', 'plain'])
  },

  'S9 tasks of several queues are claimed in one order, and those of one job each from its queue': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const seeds = [
      { id: 'a', queue: 'q1', priority: 0, at },
      { id: 'b', queue: 'q2', priority: 1, at: at + 2 },
      { id: 'c', queue: 'q1', priority: 1, at: at + 1 },
      { id: 'd', queue: 'q3', priority: 0, at: at - 1 },
      { id: 'e', queue: 'q2', priority: 0, at: at + 1 },
    ]
    for (const { queue, at: created, ...seed } of seeds) {
      await commitOne(storage, insertOf(queued(queue, newJob(seed, created))))
    }
    const routes = [of('q1', 'q2', 'q3')]
    assert.deepEqual(await claimedIds(storage, at + 2, { routes, room: 2 }), ['c', 'b'])
    assert.deepEqual(await claimedIds(storage, at + 2, { routes }), ['d', 'a', 'e'])
    const both = newJob({ id: 'twin' }, at, twin)
    const tasks = both.job.tasks.map((task, index): Task => ({ ...task, queue: `q${index + 1}` }))
    await commitOne(storage, insertOf({ ...both, job: { ...both.job, tasks } }))
    const choice = (...queues: readonly string[]) => ({ type: twin, routes: [of(...queues)].map(ofTwin) })
    const second = await claimNow(storage, at, choice('q2'))
    const first = await claimNow(storage, at, choice('q1', 'q2'))
    assert.deepEqual(
      [...second, ...first].map(({ invocation }) => invocation),
      [2, 1],
    )
  },

  'S9 many tasks of several queues are claimed in the order of all of them': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const ids = Array.from({ length: 60 }, (_, index) => `${index}`)
    const inserts = ids.map((id, index) => {
      const queue = index < 25 ? 'q1' : index % 3 === 0 ? undefined : `q${1 + (index % 3)}`
      const decision = newJob({ id }, at)
      return changesetOf(insertOf(queue === undefined ? decision : queued(queue, decision)))
    })
    await storage.commit(inserts)
    const routes = [routeOf(), of('q1', 'q2', 'q3')]
    assert.deepEqual(await claimedIds(storage, at, { routes, room: 50 }), ids.slice(0, 50))
    assert.deepEqual(await claimedIds(storage, at, { routes, room: 50 }), ids.slice(50))
  },

  'S9 a task whose queue changes is found in its new queue only': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const created = queued('q1', newJob({ id: 'a' }, at))
    await commitOne(storage, insertOf(created))
    const { job } = queued('q2', { ...created, ...changed(created.job, {}) })
    await commitOne(storage, updateOf(created.job, { ...changed(created.job, {}), job }))
    assert.deepEqual(await claimedIds(storage, at, { routes: [of('q1')] }), [])
    assert.deepEqual(await claimedIds(storage, at, { routes: [of('q2')] }), ['a'])
  },

  'S9 a claim takes no further task of a queue that was closed, and all others': async ({ clock, open }) => {
    const storage = await open()
    const at = clock.now()
    const inserts = Array.from({ length: 600 }, (_, index) => {
      const queue = index < 300 ? 'q1' : index < 500 ? 'q2' : 'q3'
      return changesetOf(insertOf(queued(queue, newJob({ id: `${queue} ${index}` }, at))))
    })
    await storage.commit(inserts)
    const asked: string[] = []
    const decide: Claim['decide'] = (ready): ClaimDecision => {
      asked.push(ready.job.id)
      const isOpen = ready.task.queue === 'q3' || asked.filter((id) => id.startsWith('q2')).length === 1
      return isOpen ? decideFor('me', at)(ready) : { kind: 'close' }
    }
    const routes = [of('q1', 'q2', 'q3')]
    assert.deepEqual(await claimedIds(storage, at, { routes, decide, room: 4 }), [
      'q2 300',
      'q3 500',
      'q3 501',
      'q3 502',
    ])
    assert.deepEqual(asked, ['q1 0', 'q2 300', 'q2 301', 'q3 500', 'q3 501', 'q3 502'])
    // The closed tasks are still ready for the next claim.
    assert.deepEqual(await claimedIds(storage, at, { routes, room: 1 }), ['q1 0'])
  },

  'S9 a closed queue is closed for its route only, and tasks without a queue close together': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    for (const type of [plain, twin, limited]) {
      const made = (index: number) => newJob({ id: `${type.type}${index}`, input: `k${index}` }, at, type)
      for (const index of [1, 2]) await commitOne(storage, insertOf(queued('q', made(index))))
    }
    for (const id of ['x', 'y']) await commitOne(storage, insertOf(newJob({ id }, at)))
    const asked: string[] = []
    const decide: Claim['decide'] = ({ job, task }) => {
      asked.push(`${job.id} ${task.queue ?? '-'}`)
      return { kind: 'close' }
    }
    const routes = [plain, twin, limited].map((type) => ({ ...routeOf(type, 2), queues: new Set(['q']) }))
    await claimedIds(storage, at, { routes: [...routes, routeOf()], decide })
    assert.deepEqual(asked, ['plain1 q', 'twin1 q', 'limited1 q', 'x -'])
    const inTurn = (ready: Parameters<Claim['decide']>[0]) => {
      const types = new Map([plain, twin, limited].map((type) => [type.type, type]))
      if (ready.job.type === 'plain') return { kind: 'close' } as const
      return decideFor('me', at, types.get(ready.job.type))(ready)
    }
    const taken = await claimedIds(storage, at, { routes: [...routes, routeOf()], decide: inTurn })
    assert.deepEqual(taken, ['twin1', 'twin1', 'twin2', 'twin2', 'limited1', 'limited2'])
  },

  'S19 tasks of one limit key in several queues share its limit, and a full key holds up no other': async ({
    clock,
    open,
  }) => {
    const storage = await open()
    const at = clock.now()
    const made = (id: string, queue: string | undefined, input: string) => {
      const decision = newJob({ id, input }, at, limited)
      return insertOf(queue === undefined ? decision : queued(queue, decision))
    }
    await storage.commit(
      [
        made('a1', 'q1', 'k'),
        made('a2', 'q2', 'k'),
        made('a3', 'q1', 'k'),
        made('b1', 'q2', 'l'),
        made('c1', undefined, 'k'),
      ].map((write) => changesetOf(write)),
    )
    const routes = [{ ...routeOf(limited, 2), queues: new Set(['q1', 'q2']) }]
    const choice = { type: limited, routes }
    assert.deepEqual(await claimedIds(storage, at, choice), ['a1', 'a2', 'b1'])
    assert.deepEqual(await claimedIds(storage, at, { type: limited, routes: [routeOf(limited, 2)] }), [])
    assert.equal(await storage.heldUnder(limitKeyOf(await getJob(storage, 'a1'))), 2)
    const a2 = await getJob(storage, 'a2')
    await commitOne(storage, updateOf(a2, ended(a2, at, limited)))
    assert.deepEqual(
      await claimedIds(storage, at, { ...choice, routes: [{ ...routeOf(limited, 2), queues: new Set(['q2']) }] }),
      [],
    )
    assert.deepEqual(await claimedIds(storage, at, choice), ['a3'])
  },
}

/** The same decision, but each task waits in a queue. */
function queued(queue: string, decision: Decision): Decision {
  const tasks = decision.job.tasks.map((task): Task => ({ ...task, queue }))
  return { ...decision, job: { ...decision.job, tasks } }
}

function of(...queues: readonly string[]): Route {
  return { ...routeOf(), queues: new Set(queues) }
}

function ofTwin(route: Route): Route {
  return { ...route, type: twin.type, version: twin.version }
}

function limitKeyOf({ tasks }: Job): string {
  return tasks[0]?.limitKey ?? ''
}
