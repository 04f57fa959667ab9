import { memoryStorage } from 'jobchart'
import { virtualClock } from 'jobchart/testing'
import { expect, test } from 'vitest'
import type { StorageConnection } from '../../src/port/storage.ts'
import {
  changed,
  changesetOf,
  claimNow,
  commitOne,
  insertClaimed,
  insertOf,
  newJob,
  updateOf,
} from '../../src/testing/fixtures.ts'

// The conformance suite checks its guarantees. These tests are about the rest.

const at = 1_000

async function open(storage = memoryStorage(), instance = 'me'): Promise<StorageConnection> {
  return await storage.open({ clock: virtualClock(), instance })
}

test('two memory storages share nothing', async () => {
  const [one, two] = [await open(), await open()]
  await commitOne(one, insertOf(newJob({ id: 'a' }, at)))
  expect(await one.count({ scopes: [{}] })).toBe(1)
  expect(await two.count({ scopes: [{}] })).toBe(0)
})

test('every connection gets the very object that was written', async () => {
  const storage = memoryStorage()
  const [one, two] = [await open(storage, 'one'), await open(storage, 'two')]
  const created = newJob({ id: 'a', input: { list: [1] } }, at)
  await commitOne(one, insertOf(created))
  expect(await two.get('a')).toBe(created.job)
  const next = changed(created.job, { message: 'changed' })
  await commitOne(two, updateOf(created.job, next))
  expect(await one.get('a')).toBe(next.job)
  const [claimed] = await claimNow(one, at)
  expect(await two.get('a')).toBe(claimed?.job)
})

test('a connection notices the write of another one once, and never its own or refused writes', async () => {
  const storage = memoryStorage()
  const [one, two] = [await open(storage, 'one'), await open(storage, 'two')]
  await commitOne(one, insertOf(newJob({ id: 'a' }, at)))
  expect([one.changed(), two.changed(), two.changed()]).toEqual([false, true, false])
  await commitOne(one, insertOf(newJob({ id: 'a' }, at)))
  expect([one.changed(), two.changed()]).toEqual([false, false])
  await claimNow(two, at)
  await claimNow(two, at)
  expect([one.changed(), two.changed()]).toEqual([true, false])
})

test('beyond its maximum the oldest lines of a log are removed, and numbers continue', async () => {
  const storage = await open(memoryStorage({ logLines: 3 }))
  const token = await insertClaimed(storage, at, 'a')
  const write = (key: string, ...texts: readonly string[]) => {
    const lines = texts.map((text) => ({ at, text }))
    return { op: 'note', jobId: 'a', token, note: { kind: 'log', key, lines } } as const
  }
  await commitOne(storage, write('1', 'one', 'two'))
  await commitOne(storage, write('2', 'three', 'four'))
  const kept = [2, 3, 4].map((number) => ({ at, text: ['two', 'three', 'four'][number - 2], number }))
  expect(await storage.logs('a', 0, 10)).toEqual(kept)
  const refused = [write('3', 'five', 'six'), { op: 'expect', jobId: 'none', revision: 1 }] as const
  expect((await commitOne(storage, ...refused)).status).toBe('conflict')
  expect(await storage.logs('a', 0, 10)).toEqual(kept)
  await commitOne(storage, write('3', 'five'))
  expect(await storage.logs('a', 3, 10)).toEqual([kept[2], { at, text: 'five', number: 5 }])
})

test('an insert with an existing id is a conflict, and the other changesets are applied', async () => {
  const storage = await open()
  const again = insertOf(newJob({ id: 'a', input: 'again' }, at))
  const changesets = [insertOf(newJob({ id: 'a' }, at)), again, insertOf(newJob({ id: 'b' }, at))]
  const { results } = await storage.commit(changesets.map((write) => changesetOf(write)))
  expect(results.map(({ status }) => status)).toEqual(['applied', 'conflict', 'applied'])
  expect((await storage.get('a'))?.input).toBeUndefined()
})
