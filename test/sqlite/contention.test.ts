import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { changesetOf, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, testFolder } from './bench.ts'
import { holder } from './process.ts'

const HOLD_MS = 800
/** A pause between two turns of the loop that is no wait inside the driver, also where the machine is busy. */
const GAP_MS_MAX = 50

test('a commit waits for the write lock of another process, and the event loop goes on meanwhile', async () => {
  const file = join(testFolder(), 'jobs.db')
  const storage = await openFile(file)
  const { child } = await holder('write', file, String(HOLD_MS))
  const stalls = watchLoop()
  const startedAt = performance.now()
  const { results } = await storage.commit([changesetOf(insertOf(newJob({ id: 'job-1' }, Date.now())))])
  const waitedMs = performance.now() - startedAt
  expect(results).toMatchObject([{ status: 'applied' }])
  expect(await storage.get('job-1')).toMatchObject({ id: 'job-1' })
  // It did have to wait, and the loop did not.
  expect(waitedMs).toBeGreaterThan(HOLD_MS / 4)
  expect(stalls.end()).toBeLessThan(HOLD_MS / 4)
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

test('a file is opened though another process holds its write lock', async () => {
  const file = join(testFolder(), 'jobs.db')
  await openFile(file, 'first')
  await holder('write', file, String(HOLD_MS))
  const stalls = watchLoop()
  const storage = await openFile(file, 'second')
  expect(await storage.lastSequence()).toBe(0)
  expect(stalls.end()).toBeLessThan(HOLD_MS / 4)
})

/** Adds up how long the loop stood still, in pauses that are too long: milliseconds. */
function watchLoop(): { readonly end: () => number } {
  let last = performance.now()
  let stalledMs = 0
  const look = () => {
    const now = performance.now()
    if (now - last > GAP_MS_MAX) stalledMs += now - last
    last = now
  }
  const timer = setInterval(look, 1)
  const end = () => {
    clearInterval(timer)
    look()
    return stalledMs
  }
  return { end }
}
