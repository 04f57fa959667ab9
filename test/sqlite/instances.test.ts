import { existsSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createEngine, defineJob } from 'jobchart'
import { sqliteStorage } from 'jobchart/sqlite'
import { virtualClock } from 'jobchart/testing'
import { describe, expect, onTestFinished, test } from 'vitest'
import { InstanceLock } from '../../src/sqlite/instance-lock.ts'
import { changesetOf, claimNow, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, testFolder } from './bench.ts'
import { holder, killed } from './process.ts'

const job = defineJob({ type: 'job', execute: () => 'done' })

describe('the lock of an instance', () => {
  test('is seen as held from its own process, and checking does not free it', async () => {
    const file = join(testFolder(), 'jobs.db')
    const lock = InstanceLock.take(file, 'me')
    onTestFinished(() => lock.release())
    // Closing any descriptor of a file frees all fcntl locks of the process on it, so this checks twice, and once from
    // outside.
    expect([InstanceLock.isHeld(file, 'me'), InstanceLock.isHeld(file, 'me')]).toEqual([true, true])
    expect((await holder('look', file, 'me')).said).toBe('held')
  })

  test('is free when it is released, and for a name that never existed', async () => {
    const file = join(testFolder(), 'jobs.db')
    InstanceLock.take(file, 'me').release()
    expect(InstanceLock.isHeld(file, 'me')).toBe(false)
    expect((await holder('look', file, 'me')).said).toBe('free')
    expect(InstanceLock.isHeld(file, 'nobody')).toBe(false)
    // A check creates no file.
    expect(existsSync(`${file}-instance-nobody`)).toBe(false)
  })

  test('of another process is held while it lives, and free once it was killed', async () => {
    const file = join(testFolder(), 'jobs.db')
    const { child } = await holder('instance', file, 'other')
    expect(InstanceLock.isHeld(file, 'other')).toBe(true)
    await killed(child)
    expect(InstanceLock.isHeld(file, 'other')).toBe(false)
  })
})

describe('files of instances', () => {
  test('an engine that stops leaves neither a lock nor a journal', async () => {
    const folder = testFolder()
    const engine = await createEngine({ jobs: [job], storage: sqliteStorage(join(folder, 'jobs.db')) })
    expect(locksIn(folder)).toHaveLength(1)
    await engine.stop()
    expect(readdirSync(folder)).toEqual(['jobs.db'])
  })

  test('an engine that starts removes the lock of a dead one, and keeps that of a living one', async () => {
    const folder = testFolder()
    const file = join(folder, 'jobs.db')
    const living = await openFile(file, 'living')
    const dead = await openFile(file, 'dead')
    // Closed while it is still listed, like a process that died.
    await dead.close()
    expect(locksIn(folder)).toEqual(['jobs.db-instance-dead', 'jobs.db-instance-living'])
    await using _engine = await createEngine({ jobs: [job], storage: sqliteStorage(file) })
    expect(locksIn(folder)).toContain('jobs.db-instance-living')
    expect(locksIn(folder)).not.toContain('jobs.db-instance-dead')
    await living.forget('living')
  })

  test('the lock of a process that was killed before it was listed is removed too', async () => {
    const folder = testFolder()
    const file = join(folder, 'jobs.db')
    const { child } = await holder('instance', file, 'unlisted')
    await killed(child)
    // Set to an old time, so that it does not count as one that is being opened.
    for (const name of locksIn(folder)) utimesSync(join(folder, name), 0, 0)
    await using _engine = await createEngine({ jobs: [job], storage: sqliteStorage(file) })
    expect(locksIn(folder)).not.toContain('jobs.db-instance-unlisted')
  })

  test('files that are not locks are kept', async () => {
    const folder = testFolder()
    const names = ['jobs.db-instances', 'other.db-instance-x', 'jobs.db.backup']
    for (const name of names) writeFileSync(join(folder, name), 'mine')
    const engine = await createEngine({ jobs: [job], storage: sqliteStorage(join(folder, 'jobs.db')) })
    await engine.stop()
    expect(readdirSync(folder).sort()).toEqual(['jobs.db', ...names].sort())
  })
})

describe('an instance that was silent too long', () => {
  test('and was forgotten counts as alive again at its next heartbeat', async () => {
    const { clock, silent, other } = await silentInstance()
    await other.forget('silent')
    await silent.beat(clock.now())
    await clock.advance(1_000)
    expect(await other.others()).toMatchObject([{ id: 'silent', isGone: false }])
  })

  test('and was forgotten does not lose its claims: when it dies, it is found dead', async () => {
    const { clock, silent, other } = await silentInstance()
    await other.forget('silent')
    const claimed = await claimNow(silent, clock.now(), { room: 1, holder: 'silent' })
    await silent.close()
    // Either its claim is refused, or its tasks are found.
    const found = (await other.others()).filter(({ isGone }) => isGone).map(({ id }) => id)
    expect({ claimed: claimed.length, found }).toEqual({ claimed: claimed.length, found: claimed.map(() => 'silent') })
  })
})

/** A living instance that has not beaten for too long, and another one that noticed it. */
async function silentInstance() {
  const clock = virtualClock()
  const storage = sqliteStorage(join(testFolder(), 'jobs.db'))
  const silent = await storage.open({ clock, instance: 'silent' })
  await silent.commit([changesetOf(insertOf(newJob({ id: 'job-1' }, clock.now())))])
  await clock.advance(11_000)
  const other = await storage.open({ clock, instance: 'other' })
  onTestFinished(async () => {
    for (const connection of [silent, other]) await connection.close()
  })
  expect(await other.others()).toMatchObject([{ id: 'silent', isGone: false }])
  return { clock, silent, other }
}

function locksIn(folder: string): readonly string[] {
  return readdirSync(folder)
    .filter((name) => /-instance-(?!.*-journal$)/.test(name))
    .sort()
}
