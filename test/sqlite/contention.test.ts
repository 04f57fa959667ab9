import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { changesetOf, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, testFolder } from './bench.ts'
import { holder } from './process.ts'

const HOLD_MS = 800
/** A driver that blocks while it waits leaves the event loop a turn or two; a free loop has thousands. */
const TURNS_MIN = 50

test('a commit waits for the write lock of another process, and the event loop keeps running', async () => {
  const file = join(testFolder(), 'jobs.db')
  const storage = await openFile(file)
  const { child } = await holder('write', file, String(HOLD_MS))
  const turns = countTurns()
  const { results } = await storage.commit([changesetOf(insertOf(newJob({ id: 'job-1' }, Date.now())))])
  expect(turns.end()).toBeGreaterThan(TURNS_MIN)
  expect(results).toMatchObject([{ status: 'applied' }])
  expect(await storage.get('job-1')).toMatchObject({ id: 'job-1' })
  if (child.exitCode === null) await once(child, 'exit')
})

test('reads do not wait for the write lock of another process', async () => {
  const file = join(testFolder(), 'jobs.db')
  const storage = await openFile(file)
  await storage.commit([changesetOf(insertOf(newJob({ id: 'job-1' }, Date.now())))])
  const { child } = await holder('write', file, '30000')
  expect(await storage.get('job-1')).toMatchObject({ id: 'job-1' })
  expect(await storage.lastSequence()).toBe(1)
  expect(child.exitCode).toBeNull()
})

test('a file can be opened while another process holds its write lock', async () => {
  const file = join(testFolder(), 'jobs.db')
  await openFile(file, 'first')
  await holder('write', file, String(HOLD_MS))
  const turns = countTurns()
  const storage = await openFile(file, 'second')
  expect(turns.end()).toBeGreaterThan(TURNS_MIN)
  expect(await storage.lastSequence()).toBe(0)
})

/** Counts the turns of the event loop. */
function countTurns(): { readonly end: () => number } {
  let turns = 0
  let isOver = false
  const turn = () => {
    turns++
    if (!isOver) setImmediate(turn)
  }
  turn()
  const end = () => {
    isOver = true
    return turns
  }
  return { end }
}
