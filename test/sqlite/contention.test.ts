import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { insertOf, newJob, unitOf } from '../../src/testing/fixtures.ts'
import { openFile, testFolder } from './bench.ts'
import { holder } from './process.ts'

const HOLD_MS = 400

test('a commit waits for the write lock of another process, and the event loop goes on meanwhile', async () => {
  const file = join(testFolder(), 'jobs.db')
  const storage = await openFile(file)
  const { child } = await holder('write', file, String(HOLD_MS))
  const gap = longestGap()
  const startedAt = performance.now()
  const [result] = await storage.commit([unitOf(insertOf(newJob({ id: 'job-1' }, Date.now())))])
  const waitedMs = performance.now() - startedAt
  expect(result).toMatchObject({ status: 'applied' })
  expect(await storage.get('job-1')).toMatchObject({ id: 'job-1' })
  // It did have to wait; and no turn of the loop came later than a busy machine explains.
  expect(waitedMs).toBeGreaterThan(HOLD_MS / 4)
  expect(gap.end()).toBeLessThan(100)
  if (child.exitCode === null) await once(child, 'exit')
})

test('reads do not wait for the write lock of another process', async () => {
  const file = join(testFolder(), 'jobs.db')
  const storage = await openFile(file)
  await storage.commit([unitOf(insertOf(newJob({ id: 'job-1' }, Date.now())))])
  const { child } = await holder('write', file, '30000')
  expect(await storage.get('job-1')).toMatchObject({ id: 'job-1' })
  expect(await storage.lastSequence()).toBe(1)
  expect(child.exitCode).toBeNull()
})

test('a file is opened though another process holds its write lock', async () => {
  const file = join(testFolder(), 'jobs.db')
  await openFile(file, 'first')
  await holder('write', file, String(HOLD_MS))
  const gap = longestGap()
  const storage = await openFile(file, 'second')
  expect(await storage.lastSequence()).toBe(0)
  expect(gap.end()).toBeLessThan(100)
})

/** Measures the longest pause between two turns of the loop. */
function longestGap(): { readonly end: () => number } {
  let last = performance.now()
  let longest = 0
  const look = () => {
    const now = performance.now()
    longest = Math.max(longest, now - last)
    last = now
  }
  const timer = setInterval(look, 1)
  const end = () => {
    clearInterval(timer)
    look()
    return longest
  }
  return { end }
}
