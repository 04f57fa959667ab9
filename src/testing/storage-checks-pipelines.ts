import assert from 'node:assert/strict'
import type { Pipeline } from '../model/pipeline.ts'
import type { Scope } from '../port/policy.ts'
import type { PipelineWrite, StorageConnection } from '../port/storage.ts'
import { commitOne, FAR, insertOf, newJob } from './fixtures.ts'
import type { Checks } from './storage-bench.ts'

/** Checks of stored pipelines: S21. */
export const pipelineChecks: Checks = {
  'S21 a pipeline is read back deep-equal, by every connection': async ({ open }) => {
    const [storage, other] = [await open(), await open('other')]
    const full = pipeline('nightly', {
      input: { deep: [1, null, { text: 'é\u2028"' }] },
      labels: { team: 'data' },
      paused: 'until Monday',
      priority: -3,
      overlap: 'replace',
    })
    await commitOne(storage, put(full))
    await commitOne(storage, put(pipeline('bare', {})))
    for (const reader of [storage, other]) {
      assert.deepEqual(await reader.pipeline('t1', 'nightly'), full)
      assert.deepEqual(await reader.pipeline('t1', 'bare'), pipeline('bare', {}))
      assert.equal(await reader.pipeline('t2', 'nightly'), undefined)
      assert.equal(await reader.pipeline('t1', 'none'), undefined)
    }
  },

  'S21 a changeset is not written if its pipeline has another revision': async ({ clock, open }) => {
    const storage = await open()
    const first = pipeline('p', {})
    assert.equal((await commitOne(storage, put(first))).status, 'applied')
    const next = { ...first, priority: 1, revision: 2 }
    const stale: readonly PipelineWrite[] = [
      put(first),
      { ...put(next), revision: 2 },
      { op: 'pipeline', tenant: 't1', id: 'p', revision: 7 },
      { op: 'pipeline', tenant: 't1', id: 'p', revision: 2, after: null },
      { op: 'pipeline', tenant: 't1', id: 'none', revision: 1, after: null },
    ]
    for (const write of stale) {
      const result = await commitOne(storage, insertOf(newJob({ id: 'job' }, clock.now())), write)
      assert.equal(result.status, 'conflict')
    }
    assert.deepEqual(await storage.pipeline('t1', 'p'), first)
    assert.equal(await storage.get('job'), undefined)
    assert.equal((await commitOne(storage, put(next))).status, 'applied')
    assert.deepEqual(await storage.pipeline('t1', 'p'), next)
  },

  'S21 a changeset that only reads a pipeline is written while that pipeline is unchanged': async ({ clock, open }) => {
    const storage = await open()
    await commitOne(storage, put(pipeline('p', {})))
    const look: PipelineWrite = { op: 'pipeline', tenant: 't1', id: 'p', revision: 1 }
    const result = await commitOne(storage, insertOf(newJob({ id: 'job' }, clock.now())), look)
    assert.equal(result.status, 'applied')
    assert.equal((await storage.pipeline('t1', 'p'))?.revision, 1)
    const absent: PipelineWrite = { op: 'pipeline', tenant: 't1', id: 'none', revision: 0 }
    assert.equal((await commitOne(storage, insertOf(newJob({ id: 'two' }, clock.now())), absent)).status, 'applied')
  },

  'S21 a deleted pipeline frees its id, and stays if its changeset is refused': async ({ clock, open }) => {
    const storage = await open()
    const first = pipeline('p', {})
    await commitOne(storage, put(first))
    await commitOne(storage, insertOf(newJob({ id: 'holder', pipeline: 'p' }, clock.now())))
    const drop: PipelineWrite = { op: 'pipeline', tenant: 't1', id: 'p', revision: 1, after: null }
    const second = insertOf(newJob({ id: 'second', pipeline: 'p' }, clock.now()))
    assert.equal((await commitOne(storage, drop, second)).status, 'slot-taken')
    assert.deepEqual(await storage.pipeline('t1', 'p'), first)
    assert.equal((await commitOne(storage, drop)).status, 'applied')
    assert.equal(await storage.pipeline('t1', 'p'), undefined)
    assert.equal((await commitOne(storage, put(first))).status, 'applied')
  },

  'S21 if 50 callers define one pipeline at once, one succeeds': async ({ open }) => {
    const connections = [await open(), await open('other')]
    const writes = Array.from({ length: 50 }, (_, priority) => put(pipeline('p', { priority })))
    const results = await Promise.all(
      writes.map((write, index) => commitOne(connections[index % 2] as StorageConnection, write)),
    )
    assert.equal(results.filter(({ status }) => status === 'applied').length, 1)
    assert.equal(results.filter(({ status }) => status === 'conflict').length, 49)
  },

  'S21 the list shows the pipelines of a scope, by tenant and id': async ({ open }) => {
    const storage = await open()
    const all = [
      pipeline('b', { createdBy: 'bob' }),
      pipeline('a', { labels: { team: 'x' } }),
      pipeline('B', { type: 'other' }),
      pipeline('a', { tenant: 't2' }),
      pipeline('é', {}),
    ]
    for (const each of all) await commitOne(storage, put(each))
    const ids = async (scopes: readonly Scope[], type?: string) => {
      const found = await storage.pipelines(type === undefined ? { scopes } : { scopes, type }, { limit: FAR })
      return found.map(({ tenant, id }) => `${tenant}/${id}`)
    }
    assert.deepEqual(await ids([{}]), ['t1/B', 't1/a', 't1/b', 't1/é', 't2/a'])
    assert.deepEqual(await ids([{ tenant: 't1', createdBy: 'bob' }]), ['t1/b'])
    assert.deepEqual(await ids([{ tenant: 't1', labels: { team: 'x' } }, { tenant: 't2' }]), ['t1/a', 't2/a'])
    assert.deepEqual(await ids([{ pipeline: 'a' }]), ['t1/a', 't2/a'])
    assert.deepEqual(await ids([{}], 'other'), ['t1/B'])
    assert.deepEqual(await ids([]), [])
  },

  'S21 pages neither skip nor repeat a pipeline while others are added and removed': async ({ open }) => {
    const storage = await open()
    for (const id of ['c', 'e', 'g']) await commitOne(storage, put(pipeline(id, {})))
    const seen: string[] = []
    let after: { readonly tenant: string; readonly id: string } | undefined
    for (const change of ['d', 'a', 'h', undefined, undefined]) {
      const page = await storage.pipelines({ scopes: [{}] }, { limit: 1, ...(after === undefined ? {} : { after }) })
      seen.push(...page.map(({ id }) => id))
      after = page.at(-1) ?? after
      if (change !== undefined) await commitOne(storage, put(pipeline(change, {})))
    }
    assert.deepEqual(seen, ['c', 'd', 'e', 'g', 'h'])
  },
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

function put(after: Pipeline): PipelineWrite {
  return { op: 'pipeline', tenant: after.tenant, id: after.id, revision: after.revision - 1, after }
}
