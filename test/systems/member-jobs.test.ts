import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AnyJobType, memoryStorage } from 'jobchart'
import { memberJobs } from 'jobchart/presets'
import { sqliteStorage } from 'jobchart/sqlite'
import { explore, virtualClock } from 'jobchart/testing'
import { describe, expect, expectTypeOf, onTestFinished, test } from 'vitest'
import { z } from 'zod'
import { answerOf, editorOf, expectRefused, members, memberTypes, organization, Work } from './organization.ts'

const START = '2026-01-01T00:00:00.000Z'
const input = { file: 'roads.geojson' }

// Progress is stored at most once in this many milliseconds.
const PROGRESS_MS = 250

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'jobchart-members-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  return folder
}

describe('the acceptance cases', () => {
  test('J1 an administrator lists the jobs of the whole organization, the newest first', async () => {
    const { ada, ed, eve, pat, load, clock } = await organization()
    const ids: string[] = []
    for (const each of [ada, ed, eve, pat]) {
      ids.push((await each.submit(load, input)).id)
      await clock.advance(1)
    }
    const { items } = await ada.list()
    expect(items.map(members.present).map(({ id, startedBy }) => [id, startedBy])).toEqual([
      [ids[2], 'eve'],
      [ids[1], 'ed'],
      [ids[0], 'ada'],
    ])
    expect((await ed.list()).items.map(({ id }) => id)).toEqual([ids[1]])
  })

  test('J3 a viewer may not list, view or cancel, not even their own running job', async () => {
    const world = await organization()
    let role = 'Editor'
    const vic = world.engine.as(() => ({ id: 'vic', tenant: 'O', role }))
    const { id } = await vic.submit(world.load, input)
    role = 'Viewer'
    await expectRefused(world, id, 'FORBIDDEN', () => vic.list())
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => vic.get(id))
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => vic.history(id))
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => vic.cancel(id))
    await expectRefused(world, id, 'FORBIDDEN', () => vic.submit(world.load, input))
    expect((await world.row(id)).status).toBe('Running')
  })

  test('J4 the member who started a running job cancels it: it is cancelled at once, and its code is signalled once', async () => {
    const { ed, load, clock, row, work } = await organization()
    const { id } = await ed.submit(load, input)
    await clock.advance(1_000)
    const cancelled = members.present(await ed.cancel(id))
    const now = '2026-01-01T00:00:01.000Z'
    expect(cancelled).toMatchObject({ status: 'Cancelled', start: START, end: now, update: now, errorDetail: null })
    expect(await row(id)).toEqual(cancelled)
    await clock.advance(1_000)
    expect(work.run().aborts()).toBe(1)
  })

  test('J5 an administrator may not cancel another member’s job, and the attempt changes nothing', async () => {
    const world = await organization()
    const { id } = await world.ed.submit(world.load, input)
    await world.clock.advance(1_000)
    await expectRefused(world, id, 'FORBIDDEN', () => world.ada.cancel(id))
    expect((await world.row(id)).status).toBe('Running')
    expect(world.work.run().aborts()).toBe(0)
    const own = await world.ada.submit(world.load, input)
    expect((await world.ada.cancel(own.id)).status).toBe('Cancelled')
  })

  test('J6 to another editor a job is missing: get and cancel answer as for a random id', async () => {
    const world = await organization()
    const { id } = await world.ed.submit(world.load, input)
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => world.eve.cancel(id))
    const random = id.replace(/.{4}$/, (end) => (end === 'ffff' ? '0000' : 'ffff'))
    const [hidden, absent] = await Promise.allSettled([world.eve.cancel(id), world.eve.cancel(random)])
    const shown = (end: PromiseSettledResult<unknown> | undefined) =>
      end?.status === 'rejected' ? JSON.stringify({ ...end.reason, message: end.reason.message }) : ''
    expect(shown(absent)).toContain(random)
    expect(shown(hidden).replaceAll(id, random)).toBe(shown(absent))
  })

  test('J7 a waiting job is cancelled without a start, and its work never begins', async () => {
    const { ed, load, clock, engine, row, work } = await organization({ concurrency: 1 })
    await ed.submit(load, { file: 'first' })
    const { id, status } = await ed.submit(load, input)
    expect(status).toBe('Waiting')
    await clock.advance(1_000)
    await ed.cancel(id)
    const now = '2026-01-01T00:00:01.000Z'
    const cancelled = { status: 'Cancelled', progress: 0, creation: START, start: null, end: now, update: now }
    expect(await row(id)).toMatchObject(cancelled)
    work.run().succeed()
    await engine.idle()
    expect(work.runs.map(({ context }) => context.input.file)).toEqual(['first'])
    expect(await row(id)).toMatchObject(cancelled)
  })

  test('J8 a successful job cannot be cancelled any more', async () => {
    const world = await organization()
    const { id } = await world.ed.submit(world.load, input)
    world.work.run().succeed()
    await world.ed.result(id)
    await world.clock.advance(1_000)
    await expectRefused(world, id, 'ALREADY_SETTLED', () => world.ed.cancel(id))
    expect(await world.row(id)).toMatchObject({ status: 'Successful', end: START })
  })

  test('J11 a job that succeeds at 70 shows 100, and its end is not before its start', async () => {
    const { ed, load, clock, row, work } = await organization()
    const { id } = await ed.submit(load, input)
    work.run().context.percent(70)
    await clock.advance(1_000)
    expect((await row(id)).progress).toBe(70)
    work.run().succeed()
    await clock.settle()
    const { status, progress, start, end, update } = await row(id)
    expect({ status, progress, start, end, update }).toEqual({
      status: 'Successful',
      progress: 100,
      start: START,
      end: '2026-01-01T00:00:01.000Z',
      update: '2026-01-01T00:00:01.000Z',
    })
  })

  test('J12 a job that fails at 70 stays at 70, says why, and keeps its description', async () => {
    const { ed, load, clock, row, work } = await organization()
    const { id, message } = await ed.submit(load, input)
    expect(message).toBe('Load roads.geojson')
    work.run().context.percent(70)
    work.run().fail(new Error('CRS unknown'))
    await clock.settle()
    expect(await row(id)).toMatchObject({
      status: 'Failed',
      progress: 70,
      errorDetail: 'CRS unknown',
      message: 'Load roads.geojson',
    })
  })

  test('J13 a job at 100 that still runs is running', async () => {
    const { ed, load, clock, row, work } = await organization()
    const { id } = await ed.submit(load, input)
    work.run().context.percent(100)
    await clock.advance(PROGRESS_MS)
    expect(await row(id)).toMatchObject({ status: 'Running', progress: 100, end: null })
  })

  test('J14 types are an open set', async () => {
    const { ed, load, analysis, seed, reproject } = await organization()
    for (const type of [load, analysis, seed, reproject]) await ed.submit(type, input)
    const rows = (await ed.list()).items.map(members.present)
    expect(rows.map(({ type }) => type).sort()).toEqual(['Analysis', 'Load', 'Reproject', 'Seed'])
    expect((await ed.list({ type: 'Seed' })).items.map(({ type }) => type)).toEqual(['Seed'])
  })

  test('J17 an administrator of another organization sees and reaches nothing of this one’s', async () => {
    const world = await organization()
    const { id } = await world.ed.submit(world.load, input)
    expect((await world.pat.list()).items).toEqual([])
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => world.pat.get(id))
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => world.pat.cancel(id))
    // The same name in another organization is another member.
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => world.member('ed', 'Editor', 'P').cancel(id))
  })

  test('J19 of two simultaneous cancels one succeeds, and the code is signalled once', async () => {
    const { ed, load, clock, work, heard } = await organization()
    const { id } = await ed.submit(load, input)
    const answers = await Promise.all([answerOf(ed.cancel(id)), answerOf(ed.cancel(id))])
    expect(answers.sort()).toEqual(['ALREADY_SETTLED', 'ok'])
    await clock.advance(1_000)
    expect((await ed.history(id)).map(({ to }) => to)).toEqual(['Waiting', 'Running', 'Cancelled'])
    expect(work.run().aborts()).toBe(1)
    expect(heard.filter((event) => event.type === 'job.transitioned' && event.to === 'Cancelled')).toHaveLength(1)
  })
})

describe('edges of the lifecycle', () => {
  test.each(['succeed', 'fail'] as const)(
    'a cancelled job ignores later progress of its work, and that its work would %s',
    async (end) => {
      const { ed, load, clock, row, work } = await organization()
      const { id } = await ed.submit(load, input)
      work.run().context.percent(30)
      await clock.advance(PROGRESS_MS)
      await ed.cancel(id)
      const cancelled = await row(id)
      expect(cancelled).toMatchObject({ status: 'Cancelled', progress: 30 })
      await clock.advance(1_000)
      work.run().context.percent(90)
      await clock.advance(PROGRESS_MS)
      work.run()[end]('too late')
      await clock.advance(1_000)
      expect(await row(id)).toEqual(cancelled)
      expect((await ed.history(id)).map(({ to }) => to)).toEqual(['Waiting', 'Running', 'Cancelled'])
    },
  )

  test('percent is cut to 0..100, rounded down, and never falls', async () => {
    const { ed, load, clock, row, work } = await organization()
    const { id } = await ed.submit(load, input)
    expect((await row(id)).progress).toBe(0)
    for (const [said, shown] of [
      [-5, 0],
      [12.99, 12],
      [40, 40],
      [39, 40],
      [1e9, 100],
      [50, 100],
    ] as const) {
      work.run().context.percent(said)
      await clock.advance(PROGRESS_MS)
      expect((await row(id)).progress).toBe(shown)
    }
  })

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
    'percent(%s) is ignored, and the log says so',
    async (bad) => {
      const { ed, load, clock, row, work } = await organization()
      const { id } = await ed.submit(load, input)
      const { percent } = work.run().context
      percent(20)
      percent(bad)
      await clock.advance(PROGRESS_MS)
      expect(await row(id)).toMatchObject({ status: 'Running', progress: 20 })
      for await (const { text } of ed.logs(id)) expect(text).toContain(String(bad))
    },
  )

  test('update follows the status and the progress, and nothing else', async () => {
    const { ed, ada, load, clock, row, work, heard } = await organization()
    const { id } = await ed.submit(load, input)
    await clock.advance(1_000)
    work.run().context.percent(10)
    await clock.settle()
    const at = '2026-01-01T00:00:01.000Z'
    expect(await row(id)).toMatchObject({ progress: 10, update: at })
    await clock.advance(1_000)
    work.run().context.percent(10)
    work.run().context.percent(3)
    work.run().context.log('still at it')
    await clock.advance(1_000)
    await answerOf(ada.cancel(id))
    expect((await row(id)).update).toBe(at)
    expect(heard.filter(({ type }) => type === 'job.progress')).toHaveLength(1)
  })

  test('the same job may be started again while it runs', async () => {
    const { ed, load, work } = await organization()
    for (const _ of [1, 2]) await ed.submit(load, input)
    expect((await ed.list()).items.map(({ status }) => status)).toEqual(['Running', 'Running'])
    expect(work.runs).toHaveLength(2)
  })

  test('after its member has left, nobody can cancel a job, and its work ends it', async () => {
    const world = await organization()
    const { id } = await world.ed.submit(world.load, input)
    const gone = world.member('ed', '')
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => gone.cancel(id))
    await expectRefused(world, id, 'FORBIDDEN', () => world.ada.cancel(id))
    await expectRefused(world, id, 'JOB_NOT_FOUND', () => world.eve.cancel(id))
    world.work.run().succeed()
    await world.clock.settle()
    expect((await world.row(id)).status).toBe('Successful')
  })

  test('nobody may retry or delete a job', async () => {
    const world = await organization()
    const { id } = await world.ed.submit(world.load, input)
    world.work.run().fail(new Error('disk full'))
    await world.clock.settle()
    for (const method of ['retry', 'delete'] as const) {
      for (const member of [world.ed, world.ada]) await expectRefused(world, id, 'FORBIDDEN', () => member[method](id))
      for (const member of [world.eve, world.pat]) {
        await expectRefused(world, id, 'JOB_NOT_FOUND', () => member[method](id))
      }
    }
  })

  test('a job whose process is suspended longer than deadAfter fails, says so, and drops a late result', async () => {
    const storage = memoryStorage()
    // A suspended process: its clock stops, so it sends no heartbeat.
    const frozen = await organization({ storage })
    const { id } = await frozen.ed.submit(frozen.load, input)
    frozen.work.run().context.percent(30)
    await frozen.clock.settle()
    // A different seed, because the two engines would otherwise make the same name.
    const alive = await organization({ storage, clock: virtualClock({ seed: 2 }), deadAfter: '10s' })
    await alive.clock.advance(20_000)
    const lost = await alive.row(id)
    expect(lost).toMatchObject({ status: 'Failed', progress: 30, message: 'Load roads.geojson' })
    expect(lost.errorDetail).toMatch(/attempt was lost/)
    expect((await alive.ed.get(id)).error).toMatchObject({ code: 'TASK_LOST' })
    frozen.work.run().succeed('too late')
    await frozen.clock.settle()
    await alive.clock.advance(20_000)
    expect(await alive.row(id)).toEqual(lost)
    expect(alive.work.runs).toEqual([])
  })

  test.each([
    ['in memory', () => memoryStorage()],
    ['in a SQLite file', () => sqliteStorage(join(temporaryFolder(), 'jobs.db'))],
  ])('a job that a stopping engine gives back waits, and runs when it is taken again: %s', async (_, storageOf) => {
    const storage = storageOf()
    const first = await organization({ storage })
    const { id } = await first.ed.submit(first.load, input)
    first.work.run().context.percent(60)
    await first.clock.advance(PROGRESS_MS)
    await first.stop()
    const idle = await organization({ storage, clock: first.clock, isWorking: false })
    expect(await idle.row(id)).toMatchObject({ status: 'Waiting', progress: 60, start: START, end: null })
    const { items } = await idle.ed.list({ status: 'Waiting' })
    expect(items.map((job) => job.id)).toEqual([id])
    await idle.stop()
    const second = await organization({ storage, clock: first.clock })
    await second.clock.settle()
    expect(await second.row(id)).toMatchObject({ status: 'Running', start: START })
    second.work.run().succeed()
    await second.clock.settle()
    const labels = (await second.ed.history(id)).map(({ to }) => to)
    expect(labels).toEqual(['Waiting', 'Running', 'Waiting', 'Running', 'Successful'])
  })

  test('a job that was given back is cancelled like any waiting one', async () => {
    const storage = memoryStorage()
    const first = await organization({ storage })
    const { id } = await first.ed.submit(first.load, input)
    await first.stop()
    const idle = await organization({ storage, clock: first.clock, isWorking: false })
    await idle.ed.cancel(id)
    expect(await idle.row(id)).toMatchObject({ status: 'Cancelled', end: expect.any(String) })
    expect(idle.work.runs).toEqual([])
  })

  test('an engine that stops gives a job back; it restarts, and its progress does not fall', async () => {
    const { ed, load, clock, engine, row, work, stop } = await organization()
    const { id } = await ed.submit(load, input)
    work.run().context.percent(60)
    await clock.advance(PROGRESS_MS)
    work.run().context.signal.addEventListener('abort', () => work.run(0).succeed())
    await stop()
    await engine.start()
    expect(work.runs).toHaveLength(2)
    expect(await row(id)).toMatchObject({ status: 'Running', progress: 60, start: START })
    for (const said of [10, 59]) {
      work.run().context.percent(said)
      await clock.advance(PROGRESS_MS)
      expect((await row(id)).progress).toBe(60)
    }
    work.run().context.percent(61)
    await clock.advance(PROGRESS_MS)
    expect((await row(id)).progress).toBe(61)
  })
})

describe('the lifecycle', () => {
  test('every state is entered, an end can be reached from everywhere, and nothing throws', () => {
    const { load } = memberTypes(new Work())
    const map = explore(load, { inputs: [input] })
    expect(map).toMatchObject({ throws: [], deadEnds: [], unreachable: [], untried: [], isComplete: true })
    expect(map.ends).toEqual([
      { state: 'cancelled', outcome: 'cancelled' },
      { state: 'failed', outcome: 'failure' },
      { state: 'successful', outcome: 'success' },
    ])
    const labels = new Set(map.states.map(({ label }) => label))
    expect([...labels].sort()).toEqual(['Cancelled', 'Failed', 'Running', 'Successful', 'Waiting'])
    // No known event ends a job outside its chart; such an end would be a failure like any other.
    expect(load.endLabels.error).toBe('Failed')
    for (const { taken } of map.commands) expect(taken).toEqual(['cancel'])
    expect(
      [...new Set(map.edges.map(({ from, to }) => `${from} → ${to}`.replaceAll(' [execute]', '')))].sort(),
    ).toEqual([
      'running → cancelled',
      'running → failed',
      'running → successful',
      'running → waiting',
      'waiting → cancelled',
      'waiting → running',
    ])
  })
})

describe('a type of members’ jobs', () => {
  test('has a typed input and output, and its output may be checked', async () => {
    const count = members.defineJob({
      type: 'Count',
      input: z.object({ of: z.string().transform((text) => text.length) }),
      execute: ({ input: { of } }) => {
        expectTypeOf(of).toEqualTypeOf<number>()
        return of
      },
    })
    const checked = members.defineJob({ type: 'Checked', output: z.object({ tiles: z.number() }), execute: () => null })
    const ed = await editorOf([count, checked])
    const job = await ed.submit(count, { of: 'four' })
    const { output } = await ed.result(job.id)
    expectTypeOf(output).toEqualTypeOf<number | undefined>()
    expect(output).toBe(4)
    const wrong = await ed.result((await ed.submit(checked, undefined)).id)
    expectTypeOf(wrong.output).toEqualTypeOf<{ tiles: number } | undefined>()
    expect(members.present(wrong)).toMatchObject({ status: 'Failed', progress: 0 })
    expect(await answerOf(ed.submit(count, JSON.parse('{}')))).toBe('INVALID_INPUT')
  })

  test('without a message, an input or an error message still makes a row', async () => {
    const plain = members.defineJob({ type: 'Plain', execute: () => Promise.reject(new TypeError()) })
    const thrown = members.defineJob({
      type: 'Thrown',
      message: () => {
        throw new Error('no words')
      },
      execute: () => Promise.reject('CRS unknown'),
    })
    const unstorable = members.defineJob({ type: 'Unstorable', execute: (): unknown => () => {} })
    const ed = await editorOf([plain, thrown, unstorable])
    const rowOf = async (type: AnyJobType) =>
      members.present(await ed.result((await ed.submit<AnyJobType>(type, undefined)).id))
    expect(await rowOf(plain)).toMatchObject({ status: 'Failed', message: '', errorDetail: 'TypeError' })
    expect(await rowOf(thrown)).toMatchObject({ status: 'Failed', message: '', errorDetail: 'CRS unknown' })
    expect((await rowOf(unstorable)).errorDetail).toMatch(/output/)
  })

  test('may have a timeout, a limit, an executor, and earlier versions', () => {
    const execute = () => {}
    const first = members.defineJob({ type: 'Load', execute })
    const migrate = () => undefined
    const second = members.defineJob({
      type: 'Load',
      version: '2',
      previous: [first],
      migrate,
      limits: { queued: 5, concurrency: 1 },
      timeout: '1m',
      killGrace: '1s',
      executor: 'gpu',
      execute,
    })
    expect(second).toMatchObject({ version: '2', previous: [first], migrate, queuedMax: 5, hash: first.hash })
    expect(second.tasks.get('execute')).toMatchObject({
      executor: 'gpu',
      timeoutMs: 60_000,
      killGraceMs: 1_000,
      recovery: 'fail',
      retry: { limit: 0 },
      limit: { concurrency: 1 },
    })
    expect(() => members.defineJob({ type: '', execute })).toThrow(
      expect.objectContaining({ code: 'INVALID_DEFINITION' }),
    )
  })

  test('role names are data', async () => {
    const own = memberJobs({ administrator: ['Owner'], editor: ['Author'] })
    const { member, load } = await organization({ policy: own.policy })
    const author = member('al', 'Author')
    const { id } = await author.submit(load, input)
    expect((await member('olga', 'Owner').list()).items.map((job) => job.id)).toEqual([id])
    expect(await answerOf(member('al', 'Editor').get(id))).toBe('JOB_NOT_FOUND')
    expect(await answerOf(member('ada', 'Administrator').list())).toBe('FORBIDDEN')
  })
})
