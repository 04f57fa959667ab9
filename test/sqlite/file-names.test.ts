import { linkSync, mkdirSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative } from 'node:path'
import { sqliteStorage } from 'jobchart/sqlite'
import { describe, expect, onTestFinished, test } from 'vitest'
import { changesetOf, commitOne, insertOf, newJob } from '../../src/testing/fixtures.ts'
import { openFile, refusal, testFolder } from './bench.ts'

/** Ways to make another name for the file `real/jobs.db` in a folder. */
const otherNames: { readonly [what: string]: (folder: string) => string } = {
  'a link to it': (folder) => linkIn(folder, 'link.db', join(folder, 'real', 'jobs.db')),
  'a relative link to it': (folder) => linkIn(folder, 'link.db', join('real', 'jobs.db')),
  'a link to a link to it': (folder) => linkIn(folder, 'twice.db', linkIn(folder, 'once.db', 'real/jobs.db')),
  'its name in a folder that is a link': (folder) => join(linkIn(folder, 'linked', 'real'), 'jobs.db'),
  'its name in a folder of a folder that is a link': (folder) => {
    return join(linkIn(dirname(folder), `${basename(folder)}-linked`, folder), 'real', 'jobs.db')
  },
  'its relative name': (folder) => relative(process.cwd(), join(folder, 'real', 'jobs.db')),
  'the relative name of a link to it': (folder) => {
    return relative(process.cwd(), linkIn(folder, 'link.db', join(folder, 'real', 'jobs.db')))
  },
  'a name that goes up and down': (folder) => `${folder}/real/../real/./jobs.db`,
}

describe('two engines that know one file by different names', () => {
  test.each(Object.keys(otherNames))('have one log, and each knows that the other lives: %s', async (what) => {
    const folder = testFolder()
    const file = join(folder, 'real', 'jobs.db')
    const one = await openFile(file, 'one')
    const two = await openFile(nameOf(what, folder), 'two')
    await commitOne(two, insertOf(newJob({ id: 'a' }, 1)))
    expect(await one.get('a')).toMatchObject({ id: 'a' })
    expect(await one.others()).toMatchObject([{ id: 'two', isGone: false }])
    expect(await two.others()).toMatchObject([{ id: 'one', isGone: false }])
    expect(namesIn(folder)).toEqual([
      ...['jobs.db', 'jobs.db-instance-one', 'jobs.db-instance-one-journal', 'jobs.db-instance-two'],
      ...['jobs.db-instance-two-journal', 'jobs.db-shm', 'jobs.db-wal'],
    ])
  })

  test.each(['a link to it', 'a relative link to it', 'a link to a link to it', 'its name in a folder that is a link'])(
    'create the file where %s leads, if there is none yet',
    async (what) => {
      const folder = testFolder()
      mkdirSync(join(folder, 'real'))
      const one = await openFile(nameOf(what, folder), 'one')
      const two = await openFile(join(folder, 'real', 'jobs.db'), 'two')
      await commitOne(two, insertOf(newJob({ id: 'a' }, 1)))
      expect(await one.get('a')).toMatchObject({ id: 'a' })
      expect(statSync(join(folder, 'real', 'jobs.db')).mode & 0o777).toBe(0o600)
    },
  )

  test('are refused for a second hard link, under both names, until one is removed', async () => {
    const folder = testFolder()
    const file = join(folder, 'jobs.db')
    const storage = await openFile(file)
    await commitOne(storage, insertOf(newJob({ id: 'a' }, 1)))
    await storage.forget('me')
    await storage.close()
    const second = join(folder, 'second.db')
    linkSync(file, second)
    for (const name of [file, second, linkIn(folder, 'link.db', 'second.db')]) {
      const error = await refusal(() => sqliteStorage(name))
      expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE', message: expect.stringContaining('hard links') })
      expect(error.message).not.toContain(folder)
    }
    rmSync(file)
    expect(await (await openFile(second)).get('a')).toMatchObject({ id: 'a' })
  })

  test('are refused for links that lead in a circle', async () => {
    const folder = testFolder()
    linkIn(folder, 'a.db', 'b.db')
    linkIn(folder, 'b.db', 'a.db')
    const error = await refusal(() => sqliteStorage(join(folder, 'a.db')))
    expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE', message: expect.stringContaining('ELOOP') })
  })
})

test('a relative name counts from the working directory in which the storage was made', async () => {
  const folder = testFolder()
  const before = process.cwd()
  onTestFinished(() => process.chdir(before))
  process.chdir(folder)
  const storage = sqliteStorage('jobs.db')
  process.chdir('/')
  const connection = await storage.open({ clock: (await import('jobchart')).systemClock(), instance: 'me' })
  onTestFinished(() => connection.close())
  await commitOne(connection, insertOf(newJob({ id: 'a' }, 1)))
  expect(readdirSync(folder)).toContain('jobs.db')
})

describe('a file may be named', () => {
  test.each([
    'my jobs.db',
    'jobs#1.db',
    'jobs?mode=memory',
    '100%.db',
    '%41%2e.db',
    'file:jobs.db',
    ':memory:',
    'größe-𝄞-e\u0301.db',
    `it's "here";.db`,
    'new\nline.db',
    '-wal',
    'jobs.db-journal',
    '.jobs',
  ])('%j', async (name) => {
    const folder = join(testFolder(), name)
    const file = join(folder, name)
    const one = await openFile(file, 'one')
    const two = await openFile(file, 'two')
    await commitOne(one, insertOf(newJob({ id: 'a' }, 1)))
    expect(await two.get('a')).toMatchObject({ id: 'a' })
    expect(await two.others()).toMatchObject([{ id: 'one', isGone: false }])
    await one.close()
    expect(await two.others()).toMatchObject([{ id: 'one', isGone: true }])
    await two.forget('one')
    await two.forget('two')
    await two.close()
    expect(readdirSync(folder)).toEqual([name])
    expect(await (await openFile(file)).get('a')).toMatchObject({ id: 'a' })
  })

  test.each(['a\0b', '', ':memory:', ':memory:x', 'file:jobs.db'])('not %j', async (name) => {
    const error = await refusal(() => sqliteStorage(name))
    expect(error).toMatchObject({
      code: 'INVALID_DEFINITION',
      message: expect.stringContaining('needs the path of a file'),
    })
  })
})

describe('a name', () => {
  const uuid = '01890a5d-ac96-774b-bcce-b302099a8057'
  test('of 201 bytes is the longest', async () => {
    const name = 'x'.repeat(201)
    const storage = await openFile(join(testFolder(), name), uuid)
    await commitOne(storage, insertOf(newJob({ id: 'a' }, 1)))
    expect(await storage.get('a')).toMatchObject({ id: 'a' })
  })

  test.each([
    ['of 202 bytes', 'x'.repeat(202)],
    ['of 202 bytes in 101 characters', 'ü'.repeat(101)],
    ['that is longer than any', 'x'.repeat(300)],
    ['in a path that is longer than SQLite takes', join(...Array.from({ length: 5 }, () => 'y'.repeat(100)), 'x')],
  ])('%s is refused with how long it may be', async (_, name) => {
    const folder = testFolder()
    const error = await refusal(() => sqliteStorage(join(folder, name)))
    expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
    expect(error.message).toMatch(/should have at most \d+ bytes; found \d+/)
    expect(error.message).not.toContain(folder)
  })
})

test('an empty file is used as a new one, and its mode is closed to others', async () => {
  const file = join(testFolder(), 'jobs.db')
  writeFileSync(file, '', { mode: 0o644 })
  const storage = await openFile(file)
  await storage.commit([changesetOf(insertOf(newJob({ id: 'a' }, 1)))])
  expect(await storage.get('a')).toMatchObject({ id: 'a' })
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

function nameOf(what: string, folder: string): string {
  const make = otherNames[what]
  if (make === undefined) throw new Error(`there is no way "${what}"`)
  return make(folder)
}

function linkIn(folder: string, name: string, target: string): string {
  const link = join(folder, name)
  symlinkSync(target, link)
  onTestFinished(() => rmSync(link, { force: true }))
  return link
}

/** The names in the folder of the real file. The folder around it has only links. */
function namesIn(folder: string): readonly string[] {
  expect(readdirSync(folder).filter((name) => /-(wal|shm|instance)/.test(name))).toEqual([])
  return readdirSync(join(folder, 'real')).sort()
}
