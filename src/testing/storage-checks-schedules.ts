import assert from 'node:assert/strict'
import { pipelineRow } from '../model/event.ts'
import type { Pipeline } from '../model/pipeline.ts'
import type { DependencySource, StorageConnection, Write } from '../port/storage.ts'
import { commitOne, FAR, insertOf, newJob } from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of schedules, dependencies and events of pipelines: S38, S39 and S50. */
export const scheduleChecks: Checks = {
  'S38 due pipelines of the given types are found, the longest due first': async ({ open }) => {
    const [storage, other] = [await open(), await open('other')]
    const all = [
      pipeline('late', { nextAt: 10 }),
      pipeline('early', { nextAt: 5 }),
      pipeline('owing', { nextAt: 50, owed: [{ jobId: 'j', at: 40 }] }),
      pipeline('later', { nextAt: 21 }),
      pipeline('other', { nextAt: 7, type: 'twin' }),
      pipeline('unknown', { nextAt: 1, type: 'nobody' }),
      pipeline('never', {}),
      pipeline('early', { nextAt: 5, tenant: 't2' }),
    ]
    for (const each of all) await commitOne(storage, put(each))
    const wanted = ['t1/owing', 't1/early', 't2/early', 't1/other', 't1/late']
    for (const reader of [storage, other]) {
      assert.deepEqual(await dueIds(reader, 20), wanted)
      assert.deepEqual(await dueIds(reader, 20, 2), wanted.slice(0, 2))
      assert.deepEqual(await dueIds(reader, 20, 2, 2), wanted.slice(2, 4))
      assert.deepEqual(await dueIds(reader, 4), ['t1/owing'])
    }
    const [first] = await storage.duePipelines(['plain'], 20, 1, 1)
    assert.deepEqual(first, all[1])
  },

  'S38 a pipeline that is moved on, stopped or deleted is not due any more': async ({ open }) => {
    const storage = await open()
    for (const id of ['moved', 'stopped', 'deleted']) await commitOne(storage, put(pipeline(id, { nextAt: 1 })))
    await commitOne(storage, put(pipeline('moved', { nextAt: 100, revision: 2 })))
    await commitOne(storage, put(pipeline('stopped', { revision: 2 })))
    await commitOne(storage, { op: 'pipeline', tenant: 't1', id: 'deleted', revision: 1, after: null })
    assert.deepEqual(await dueIds(storage, 99), [])
    assert.deepEqual(await dueIds(storage, 100), ['t1/moved'])
    const stale = await commitOne(storage, put(pipeline('moved', { nextAt: 1, revision: 2 })))
    assert.equal(stale.status, 'conflict')
    assert.deepEqual(await dueIds(storage, 99), [])
  },

  'S38 what depends on a pipeline or a type is found, by tenant and in pages': async ({ open }) => {
    const [storage, other] = [await open(), await open('other')]
    const source = { pipeline: 'a', outcome: 'success' } as const
    const byType = { type: 'a', outcome: 'failure' } as const
    const all = [
      pipeline('b', { dependsOn: [source] }),
      pipeline('c', { dependsOn: [byType, source, { ...source, outcome: 'failure' }] }),
      pipeline('B', { dependsOn: [source] }),
      pipeline('d', { dependsOn: [byType] }),
      pipeline('e', { tenant: 't2', dependsOn: [source] }),
      pipeline('a', {}),
    ]
    for (const each of all) await commitOne(storage, put(each))
    for (const reader of [storage, other]) {
      assert.deepEqual(await dependants(reader, { pipeline: 'a' }), ['B', 'b', 'c'])
      assert.deepEqual(await dependants(reader, { pipeline: 'a' }, 2), ['B', 'b'])
      assert.deepEqual(await dependants(reader, { pipeline: 'a' }, 2, 'b'), ['c'])
      assert.deepEqual(await dependants(reader, { type: 'a' }), ['c', 'd'])
      assert.deepEqual(await dependants(reader, { pipeline: 'b' }), [])
      assert.equal(await isDependedOn(reader, 'a'), true)
      assert.equal(await isDependedOn(reader, 'b'), false)
    }
    assert.deepEqual(await storage.dependants('t1', { pipeline: 'a' }, 1), [all[2]])
  },

  'S38 dependencies follow changes and deletions of their pipeline': async ({ open }) => {
    const storage = await open()
    const source = { pipeline: 'a', outcome: 'success' } as const
    await commitOne(storage, put(pipeline('b', { dependsOn: [source] })))
    await commitOne(storage, put(pipeline('c', { dependsOn: [source] })))
    await commitOne(storage, put(pipeline('b', { dependsOn: [{ type: 'a', outcome: 'success' }], revision: 2 })))
    assert.deepEqual(await dependants(storage, { pipeline: 'a' }), ['c'])
    assert.deepEqual(await dependants(storage, { type: 'a' }), ['b'])
    await commitOne(storage, { op: 'pipeline', tenant: 't1', id: 'c', revision: 1, after: null })
    assert.deepEqual(await dependants(storage, { pipeline: 'a' }), [])
    assert.equal(await isDependedOn(storage, 'a'), false)
  },

  'S39 events of a pipeline are in the log and in its own part of it': async ({ clock, open }) => {
    const [storage, other] = [await open(), await open('other')]
    const [p, q] = [pipeline('p', { labels: { team: 'x' } }), pipeline('q', { createdBy: 'bob' })]
    await commitOne(storage, put(p), told(p, 'pipeline.defined'))
    await commitOne(storage, insertOf(newJob({ id: 'run', pipeline: 'p' }, clock.now())), told(p, 'pipeline.changed'))
    await commitOne(storage, put(q), told(q, 'pipeline.defined'))
    await commitOne(storage, told(pipeline('p', { tenant: 't2' }), 'pipeline.defined'))
    const drop = { op: 'pipeline', tenant: 't1', id: 'p', revision: 1, after: null } as const
    await commitOne(storage, drop, told(p, 'pipeline.deleted'))
    for (const reader of [storage, other]) {
      const own = await reader.events({ after: 0, limit: FAR, pipeline: { tenant: 't1', id: 'p' } })
      assert.deepEqual(
        own.map(({ events: [event], jobId, pipeline: id }) => [event?.type, jobId, id]),
        ['pipeline.defined', 'pipeline.changed', 'pipeline.deleted'].map((type) => [type, '', 'p']),
      )
      const [first] = own
      const { sequence, changeset, ...row } = first ?? assert.fail('there is no row')
      assert.deepEqual(row, told(p, 'pipeline.defined').events)
      const page = { after: sequence, limit: 1, pipeline: { tenant: 't1', id: 'p' } }
      assert.deepEqual(await reader.events(page), own.slice(1, 2))
      const all = await reader.events({ after: 0, limit: FAR })
      // The storage chooses the order of the rows of one changeset in the log.
      assert.deepEqual(all.map(({ jobId, pipeline: id, tenant }) => `${tenant}/${id} ${jobId}`).toSorted(), [
        ...Array.from({ length: 3 }, () => 't1/p '),
        't1/p run',
        't1/q ',
        't2/p ',
      ])
      const jobs = await reader.events({ after: 0, limit: FAR, jobId: 'run' })
      assert.equal(jobs.length, 1)
    }
  },

  'S39 scopes compare the facts of an event of a pipeline': async ({ open }) => {
    const storage = await open()
    const p = pipeline('p', { labels: { team: 'x' } })
    await commitOne(storage, put(p), told(p, 'pipeline.defined'))
    // The pipeline belongs to another person now. Its old events do not.
    const next = { ...p, createdBy: 'bob', labels: {}, type: 'twin', revision: 2 }
    await commitOne(storage, put(next), told(next, 'pipeline.changed'))
    const seen = async (scope: object) => {
      const rows = await storage.events({ after: 0, limit: FAR, scopes: [scope] })
      return rows.map(({ events: [event] }) => event?.type)
    }
    assert.deepEqual(await seen({ tenant: 't1' }), ['pipeline.defined', 'pipeline.changed'])
    assert.deepEqual(await seen({ createdBy: 'ada' }), ['pipeline.defined'])
    assert.deepEqual(await seen({ labels: { team: 'x' } }), ['pipeline.defined'])
    assert.deepEqual(await seen({ type: 'twin' }), ['pipeline.changed'])
    assert.deepEqual(await seen({ pipeline: 'p' }), ['pipeline.defined', 'pipeline.changed'])
    assert.deepEqual(await seen({ tenant: 't2' }), [])
    assert.deepEqual(await seen({ pipeline: 'q' }), [])
  },

  'S39 the events of a refused changeset are not stored': async ({ open }) => {
    const storage = await open()
    const p = pipeline('p', {})
    await commitOne(storage, put(p), told(p, 'pipeline.defined'))
    const refused = await commitOne(storage, told(p, 'pipeline.changed'), put({ ...p, revision: 9 }))
    assert.equal(refused.status, 'conflict')
    assert.equal((await storage.events({ after: 0, limit: FAR })).length, 1)
    assert.equal(await storage.lastSequence(), 1)
  },

  'S50 a pipeline owes all runs of ends that are committed at once': async ({ open }) => {
    const connections = [await open(), await open('other')]
    const [storage] = connections as [StorageConnection]
    await commitOne(storage, put(pipeline('p', { nextAt: 1_000 })))
    const results = await Promise.all(
      Array.from({ length: 20 }, (_, at) => commitOne(connections[at % 2] as StorageConnection, owe('p', at))),
    )
    assert.deepEqual(new Set(results.map(({ status }) => status)), new Set(['applied']))
    const found = await storage.pipeline('t1', 'p')
    assert.deepEqual(
      found?.owed?.map(({ at }) => at).toSorted((a, b) => a - b),
      Array.from({ length: 20 }, (_, at) => at),
    )
    assert.equal(found?.revision, 21)
    assert.deepEqual(await dueIds(storage, 0), ['t1/p'])
  },

  'S50 a change made from an older row conflicts, and a refused changeset owes nothing': async ({ open }) => {
    const storage = await open()
    const first = pipeline('p', {})
    await commitOne(storage, put(first))
    await commitOne(storage, owe('p', 1))
    assert.equal((await commitOne(storage, put({ ...first, revision: 2 }))).status, 'conflict')
    assert.equal((await commitOne(storage, owe('p', 2), put({ ...first, revision: 2 }))).status, 'conflict')
    const owed = { ...first, owed: [{ jobId: 'job', at: 1 }], revision: 2 }
    assert.deepEqual(await storage.pipeline('t1', 'p'), owed)
    // In one changeset, the change of a pipeline applies first, and then its `owe`.
    const paused = { ...owed, paused: 'wait', revision: 3 }
    assert.equal((await commitOne(storage, put(paused), owe('p', 3))).status, 'applied')
    const both = { ...paused, owed: [...owed.owed, { jobId: 'job', at: 3 }], revision: 4 }
    assert.deepEqual(await storage.pipeline('t1', 'p'), both)
  },

  'S50 a pipeline that is gone owes nothing': async ({ clock, open }) => {
    const storage = await open()
    const job = insertOf(newJob({ id: 'job' }, clock.now()))
    assert.equal((await commitOne(storage, job, owe('none', 1))).status, 'applied')
    assert.equal(await storage.pipeline('t1', 'none'), undefined)
    assert.deepEqual(await dueIds(storage, 100), [])
  },
}

async function dueIds(storage: StorageConnection, at: number, limit = FAR, skip = 0): Promise<readonly string[]> {
  const found = await storage.duePipelines(['plain', 'twin'], at, limit, skip)
  return found.map(({ tenant, id }) => `${tenant}/${id}`)
}

async function dependants(
  storage: StorageConnection,
  source: DependencySource,
  limit = FAR,
  after?: string,
): Promise<readonly string[]> {
  return (await storage.dependants('t1', source, limit, after)).map(({ id }) => id)
}

async function isDependedOn(storage: StorageConnection, id: string): Promise<boolean> {
  const key = { tenant: 't1', id }
  const loaded = await storage.load({ jobs: [], pipelines: [key], types: [], at: 0 })
  return loaded.turn(key).isDependedOn === true
}

function pipeline(id: string, fields: Partial<Pipeline>): Pipeline {
  return {
    tenant: 't1',
    id,
    createdBy: 'ada',
    type: 'plain',
    overlap: 'reject',
    priority: 0,
    labels: {},
    createdAt: 1,
    updatedAt: 1,
    revision: 1,
    ...fields,
  }
}

function put(after: Pipeline): Extract<Write, { op: 'pipeline' }> {
  return { op: 'pipeline', tenant: after.tenant, id: after.id, revision: after.revision - 1, after }
}

function owe(id: string, at: number): Write {
  return { op: 'owe', tenant: 't1', id, run: { jobId: 'job', at } }
}

function told(about: Pipeline, type: 'pipeline.defined' | 'pipeline.changed' | 'pipeline.deleted') {
  const by = { kind: 'user', id: 'ada' } as const
  return { op: 'append', events: pipelineRow(about, by, [{ type }], 5) } as const
}
