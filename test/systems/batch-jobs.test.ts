import {
  type CreateEngineOptions,
  createEngine,
  type Engine,
  JobchartError,
  memoryStorage,
  type Session,
} from 'jobchart'
import { type BatchJobsOptions, batchJobs } from 'jobchart/presets'
import { explore, type VirtualClock, virtualClock } from 'jobchart/testing'
import { describe, expect, onTestFinished, test } from 'vitest'

const START = '2026-01-01T00:00:00.000Z'

/** Items whose ends a test decides. */
class Items {
  readonly begun = new Map<string, { readonly end: (outcome: 'ok' | 'failed') => void }>()
  readonly each = ({ item }: { readonly item: string }): Promise<string> =>
    new Promise((resolve, reject) => {
      const end = (outcome: 'ok' | 'failed') => {
        if (outcome === 'ok') resolve(`got ${item}`)
        else reject(Object.assign(new Error(`no ${item}`), { statusCode: 404 }))
      }
      this.begun.set(item, { end })
    })

  end(outcome: 'ok' | 'failed', ...items: readonly string[]): void {
    for (const item of items) {
      const begun = this.begun.get(item)
      if (begun === undefined) throw new Error(`${item} has not begun`)
      begun.end(outcome)
    }
  }
}

async function account(
  given: Partial<BatchJobsOptions<string, unknown>> = {},
  more: Partial<CreateEngineOptions> = {},
) {
  const clock = more.clock === undefined ? virtualClock() : (more.clock as VirtualClock)
  const items = new Items()
  const engines: Engine[] = []
  const batches = batchJobs<string, unknown>({
    type: 'scrape',
    concurrency: 100,
    each: items.each,
    channels: ['inApp'],
    engine: () => engines[0] as Engine,
    ...given,
  })
  const options = { jobs: batches.types, policy: batches.policy, storage: memoryStorage(), clock, ...more }
  const engine = await createEngine(options as CreateEngineOptions)
  engines.push(engine)
  onTestFinished(() => engine.stop())
  const ada = engine.as({ id: 'ada', role: 'editor', tenant: 'one' })
  const row = async (id: string) => batches.present(await ada.get(id))
  return {
    ...{ clock, items, batches, engine, ada, row, job: batches.job },
    bob: engine.as({ id: 'bob', role: 'editor', tenant: 'one' }),
    admin: engine.as({ id: 'root', role: 'admin', tenant: 'one' }),
    eve: engine.as({ id: 'eve', role: 'editor', tenant: 'two' }),
    names: async (id: string) => (await ada.history(id)).map(({ to }) => to),
    start: async (...list: readonly string[]) => {
      const { id } = await ada.submit(batches.job, { list })
      await clock.advance(300)
      return id
    },
  }
}

const named = (count: number) => Array.from({ length: count }, (_, index) => `u${index + 1}`)
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    (error: unknown) => (error instanceof JobchartError ? error.code : String(error)),
  )

async function reported(session: Session, id: string): Promise<readonly { key: string; status: string }[]> {
  let text = ''
  for await (const part of session.report(id, { format: 'json' })) text += part
  return JSON.parse(text)
}

async function rules(session: Session): Promise<readonly string[]> {
  return (await session.notifications.list()).items.map(({ rule }) => rule)
}

describe('the acceptance cases', () => {
  test('S1 a job that is started by hand is Started, in the first row, with its total', async () => {
    const world = await account()
    await world.start('x')
    await world.clock.advance(1)
    const submitted = world.batches.present(await world.ada.submit(world.job, { list: named(10) }))
    expect(submitted).toMatchObject({
      status: 'Started',
      progress: { finished: 0, failed: 0, total: 10 },
      trigger: 'manual',
      finishedAt: null,
    })
    const { items } = await world.ada.list()
    expect(items[0]?.id).toBe(submitted.id)
    await world.clock.advance(300)
    expect((await world.row(submitted.id)).progress).toEqual({ finished: 0, failed: 0, processing: 10, total: 10 })
  })

  test('S2 ten items without a failure: Started, Finalizing, Completed', async () => {
    const world = await account()
    const id = await world.start(...named(10))
    world.items.end('ok', ...named(10))
    await world.clock.advance(1_000)
    expect(await world.names(id)).toEqual(['Started', 'Finalizing', 'Completed'])
    expect(await world.row(id)).toMatchObject({ percent: 100, responses: 10, startedAt: START })
  })

  const shares: readonly [name: string, total: number, failed: number, status: string][] = [
    ['S3', 10, 5, 'Completed'],
    ['S4', 10, 6, 'Error'],
    ['S4', 3, 2, 'Error'],
    ['S4', 1, 1, 'Error'],
    ['no items', 0, 0, 'Completed'],
  ]
  test.each(shares)('%s of %i items, %i failed: %s', async (_, total, failed, status) => {
    const world = await account()
    const id = await world.start(...named(total))
    world.items.end('failed', ...named(failed))
    world.items.end('ok', ...named(total).slice(failed))
    await world.clock.advance(1_000)
    expect(await world.row(id)).toMatchObject({ status, percent: 100, progress: { finished: total, failed, total } })
    const failures = (await reported(world.ada, id)).filter((item) => item.status === 'failed')
    expect(failures).toHaveLength(failed)
  })

  test('S7 six of ten have failed while four still run: the job is still Started', async () => {
    const world = await account()
    const id = await world.start(...named(10))
    world.items.end('failed', ...named(6))
    await world.clock.advance(1_000)
    expect(await world.row(id)).toMatchObject({
      status: 'Started',
      progress: { finished: 6, failed: 6, processing: 4, total: 10 },
    })
  })

  test('S8 a cancel with three in flight lets them end, never begins the other five, and keeps what ended', async () => {
    const world = await account({ concurrency: 3 })
    const id = await world.start(...named(8))
    expect(world.items.begun.size).toBe(3)
    expect((await world.ada.cancel(id)).status).toBe('Cancelling')
    await world.clock.advance(1_000)
    expect((await world.row(id)).status).toBe('Cancelling')
    world.items.end('ok', 'u1', 'u2')
    world.items.end('failed', 'u3')
    await world.clock.advance(1_000)
    expect(world.items.begun.size).toBe(3)
    expect(await world.row(id)).toMatchObject({
      status: 'Cancelled',
      responses: 2,
      progress: { finished: 3, failed: 1 },
    })
    expect((await world.ada.get(id)).progress).toMatchObject({ completed: 2, failed: 1, skipped: 5, total: 8 })
    const report = await reported(world.ada, id)
    expect(report.filter(({ status }) => status !== 'skipped').map(({ key, status }) => [key, status])).toEqual([
      ['1', 'completed'],
      ['2', 'completed'],
      ['3', 'failed'],
    ])
  })

  test('S9 a cancel with none in flight: Cancelling, then Cancelled, both in the history', async () => {
    const prepared: unknown[] = []
    const world = await account(
      { concurrency: 1, retry: { limit: 1, backoff: '1h' }, finalize: ({ input }) => prepared.push(input.counts) },
      {},
    )
    const id = await world.start('u1')
    world.items.end('failed', 'u1')
    await world.clock.advance(1_000)
    expect((await world.ada.cancel(id)).status).toBe('Cancelling')
    await world.clock.advance(1_000)
    expect(await world.names(id)).toEqual(['Started', 'Cancelling', 'Cancelled'])
    expect(prepared).toEqual([{ total: 1, completed: 0, failed: 1, skipped: 0 }])
  })

  test('a cancel of a job that nobody runs yet ends it at once, because it has no results', async () => {
    const prepared: unknown[] = []
    const world = await account({ finalize: ({ input }) => prepared.push(input) }, { work: false })
    const id = await world.start(...named(3))
    expect((await world.ada.cancel(id)).status).toBe('Cancelled')
    expect(await world.names(id)).toEqual(['Started', 'Cancelling', 'Cancelled'])
    expect((await world.ada.get(id)).progress).toMatchObject({ completed: 0, failed: 0, skipped: 3, total: 3 })
    expect(prepared).toEqual([])
  })

  test('a cancel of a job that waits for its start or its turn ends it at once', async () => {
    const world = await account()
    const later = await world.ada.submit(world.job, { list: named(3) }, { startAt: '2026-01-02T00:00:00.000Z' })
    expect(await world.ada.cancel(later.id)).toMatchObject({ status: 'Cancelled', phase: 'settled' })
    await world.ada.pipelines.define(world.batches.project({ id: 'prices', list: ['u1'], schedulingEnabled: false }))
    await world.ada.pipelines.run('prices')
    const queued = await world.ada.submit(world.job, { list: named(3) }, { pipeline: 'prices', overlap: 'queue' })
    expect(queued.phase).toBe('waiting')
    expect(await world.ada.cancel(queued.id)).toMatchObject({ status: 'Cancelled', phase: 'settled' })
  })

  test('S11 a second cancel is accepted, and the history has one Cancelling', async () => {
    const world = await account({ concurrency: 1 })
    const id = await world.start('u1', 'u2')
    await world.ada.cancel(id)
    expect(await codeOf(world.ada.cancel(id))).toBe('ok')
    world.items.end('ok', 'u1')
    await world.clock.advance(1_000)
    expect(await world.names(id)).toEqual(['Started', 'Cancelling', 'Cancelled'])
  })

  test('S13 a cancel of a job that has ended is refused as such', async () => {
    for (const [outcome, status] of [
      ['ok', 'Completed'],
      ['failed', 'Error'],
    ] as const) {
      const world = await account()
      const id = await world.start('u1')
      world.items.end(outcome, 'u1')
      await world.clock.advance(1_000)
      expect((await world.row(id)).status).toBe(status)
      expect(await codeOf(world.ada.cancel(id))).toBe('ALREADY_SETTLED')
    }
    const world = await account({ concurrency: 1 })
    const id = await world.start('u1', 'u2')
    await world.ada.cancel(id)
    world.items.end('ok', 'u1')
    await world.clock.advance(1_000)
    expect(await codeOf(world.ada.cancel(id))).toBe('ALREADY_SETTLED')
  })

  test('a cancel while Finalizing is refused, and nothing changes', async () => {
    const ends: (() => void)[] = []
    const world = await account({ finalize: () => new Promise<void>((resolve) => ends.push(resolve)) })
    const id = await world.start('u1')
    world.items.end('ok', 'u1')
    await world.clock.advance(1_000)
    expect(await world.row(id)).toMatchObject({ status: 'Finalizing', finishedAt: null })
    expect(await codeOf(world.ada.cancel(id))).toBe('INVALID_STATE')
    for (const end of ends) end()
    await world.clock.advance(1_000)
    expect(await world.row(id)).toMatchObject({ status: 'Completed', finishedAt: expect.any(String) })
  })

  test('S15, S16, S18 a project runs one job at a time; after the end it may start at once', async () => {
    const ends: (() => void)[] = []
    const world = await account({
      concurrency: 1,
      finalize: () => new Promise<void>((resolve) => ends.push(resolve)),
    })
    const { ada, batches, clock, items } = world
    await ada.pipelines.define(
      batches.project({
        id: 'prices',
        list: ['u1', 'u2'],
        scrapingInterval: 'once',
        scheduledAt: '2030-01-01T00:00:00Z',
      }),
    )
    const { id } = await ada.pipelines.run('prices')
    await clock.advance(300)
    const count = async () => (await ada.list({ pipeline: 'prices' })).items.length
    expect([await codeOf(ada.pipelines.run('prices')), await count()]).toEqual(['ALREADY_RUNNING', 1])
    await ada.cancel(id)
    expect([await codeOf(ada.pipelines.run('prices')), await count()]).toEqual(['ALREADY_RUNNING', 1])
    items.end('ok', 'u1')
    await clock.advance(1_000)
    for (const end of ends.splice(0)) end()
    await clock.advance(1_000)
    expect((await world.row(id)).status).toBe('Cancelled')
    const again = await ada.pipelines.run('prices')
    await clock.advance(300)
    items.end('ok', 'u1')
    await clock.advance(300)
    items.end('ok', 'u2')
    await clock.advance(300)
    expect((await world.row(again.id)).status).toBe('Finalizing')
    expect(await codeOf(ada.pipelines.run('prices'))).toBe('ALREADY_RUNNING')
  })

  test('S19 finishedAt is null in Started, Finalizing and Cancelling, and set in every end', async () => {
    const world = await account({ concurrency: 1 })
    const id = await world.start('u1', 'u2')
    expect((await world.row(id)).finishedAt).toBeNull()
    await world.ada.cancel(id)
    expect((await world.row(id)).finishedAt).toBeNull()
    world.items.end('ok', 'u1')
    await world.clock.advance(1_000)
    expect((await world.row(id)).finishedAt).toEqual(expect.any(String))
  })

  test('S21 a new project runs weekly, and tells its owner of an Error only', async () => {
    const { ada, batches, clock, items } = await account()
    await ada.pipelines.define(batches.project({ id: 'prices', list: ['u1'] }))
    const project = batches.presentProject(await ada.pipelines.get('prices'))
    expect(project).toMatchObject({
      ...{ name: `Project created at ${START}`, schedulingEnabled: true, scrapingInterval: 'weekly', createdAt: START },
      notificationConfig: { notifyOnSuccess: 'never', notifyOnFailure: 'with_every_run' },
    })
    await clock.advance(1_000)
    items.end('ok', 'u1')
    await clock.advance(1_000)
    expect((await ada.list()).items.map((job) => batches.present(job))).toMatchObject([
      { status: 'Completed', trigger: 'automatic', project: 'prices' },
    ])
    expect(await rules(ada)).toEqual([])
    await ada.pipelines.run('prices')
    await clock.advance(1_000)
    items.end('failed', 'u1')
    await clock.advance(60_000)
    expect(await rules(ada)).toEqual(['Error'])
    const { id } = await ada.pipelines.run('prices')
    await clock.advance(1_000)
    await ada.cancel(id)
    items.end('ok', 'u1')
    await clock.advance(60_000)
    expect((await ada.get(id)).status).toBe('Cancelled')
    expect(await rules(ada)).toEqual(['Error'])
  })

  test('S23 a cron pattern of five fields fires once an hour, at its minute', async () => {
    const { ada, batches, clock, items } = await account({}, { sweep: '1m', poll: '1m', heartbeat: '1m' })
    await ada.pipelines.define(batches.project({ id: 'p', list: ['u1'], scrapingInterval: '10 * * * *' }))
    for (let hour = 0; hour < 3; hour += 1) {
      await clock.advance(3_600_000)
      items.end('ok', 'u1')
    }
    await clock.advance(1_000)
    const times = (await ada.list({ order: 'oldest' })).items.map(({ createdAt }) => createdAt.slice(11, 16))
    expect(times).toEqual(['00:10', '01:10', '02:10'])
  })

  test('S25 two projects run at the same time', async () => {
    const { ada, batches } = await account()
    for (const id of ['p', 'q'])
      await ada.pipelines.define(batches.project({ id, list: [id], schedulingEnabled: false }))
    expect(await codeOf(ada.pipelines.run('p'))).toBe('ok')
    expect(await codeOf(ada.pipelines.run('q'))).toBe('ok')
  })
})

describe('projects', () => {
  const scheduled: readonly [name: string, options: object, expected: object | undefined][] = [
    ['hourly, from now', { scrapingInterval: 'hourly' }, { every: 3_600_000, from: START }],
    [
      'daily, from a time',
      { scrapingInterval: 'daily', scheduledAt: '2026-02-01T02:00:00Z' },
      { every: 86_400_000, from: '2026-02-01T02:00:00.000Z' },
    ],
    [
      'monthly, from a time',
      { scrapingInterval: 'monthly', scheduledAt: '2026-01-31T02:30:00Z' },
      { cron: '30 2 L * *', timeZone: 'UTC' },
    ],
    ['monthly', { scrapingInterval: 'monthly' }, { cron: '0 0 1 * *' }],
    ['once', { scrapingInterval: 'once', scheduledAt: '2026-02-01T02:00:00Z' }, { at: '2026-02-01T02:00:00.000Z' }],
    [
      'no more after the next run',
      { schedulingEnabled: false, scheduledAt: '2026-02-01T02:00:00Z' },
      { at: '2026-02-01T02:00:00.000Z' },
    ],
    ['none', { schedulingEnabled: false }, undefined],
  ]
  test.each(scheduled)('have a schedule: %s', async (_, options, expected) => {
    const { ada, batches } = await account()
    await ada.pipelines.define(batches.project({ id: 'p', list: [], ...options }))
    const { schedule } = await ada.pipelines.get('p')
    if (expected === undefined) expect(schedule).toBeUndefined()
    else expect(schedule).toMatchObject(expected)
  })

  test.each([
    ['list', { id: 'p' }],
    ['scrapingInterval', { id: 'p', list: [], scrapingInterval: 7 }],
    ['hourly, daily, weekly', { id: 'p', list: [], scrapingInterval: 'dayly' }],
    ['scrapingInterval', { id: 'p', list: [], scrapingInterval: '0 0 2 * * *' }],
    ['scheduledAt', { id: 'p', list: [], scrapingInterval: 'monthly', scheduledAt: 'tomorrow' }],
    ['notifyOnFailure', { id: 'p', list: [], notificationConfig: { notifyOnFailure: 'yes' } }],
    ['other', { id: 'p', list: [], other: 1 }],
  ])('with a wrong %s are refused by name', async (name, options) => {
    const { batches } = await account()
    expect(() => batches.project(options as never)).toThrow(name)
  })

  test('that run once start when they are defined as such, and not again when they are changed', async () => {
    const { ada, batches, items, clock } = await account()
    const once = { id: 'p', list: ['u1'], scrapingInterval: 'once' }
    const defined = await ada.pipelines.define(batches.project(once))
    expect(defined.schedule).toBeUndefined()
    const [run, ...others] = (await ada.list({ pipeline: 'p' })).items
    expect([run, others]).toMatchObject([{ input: { list: ['u1'] }, trigger: 'manual', status: 'Started' }, []])
    await clock.advance(1)
    items.end('ok', 'u1')
    await ada.result(run?.id ?? '')
    await ada.pipelines.define(batches.project({ ...once, list: ['u1', 'u2'] }))
    expect((await ada.list({ pipeline: 'p' })).items).toHaveLength(1)
    expect(await codeOf(ada.pipelines.run('p'))).toBe('ok')
    expect((await ada.list({ pipeline: 'p' })).items).toMatchObject([{ input: { list: ['u1', 'u2'] } }, {}])
  })

  test('that run once and now start when their schedule is replaced', async () => {
    const { ada, batches } = await account()
    await ada.pipelines.define(batches.project({ id: 'p', list: ['u1'], scheduledAt: '2100-01-01T00:00:00Z' }))
    expect((await ada.list({ pipeline: 'p' })).items).toEqual([])
    await ada.pipelines.define(batches.project({ id: 'p', list: ['u2'], scrapingInterval: 'once' }))
    expect((await ada.list({ pipeline: 'p' })).items).toMatchObject([{ input: { list: ['u2'] } }])
  })

  test('that run once do not start when they are defined for later, or with scheduling off', async () => {
    const { ada, batches } = await account()
    for (const more of [{ scheduledAt: '2100-01-01T00:00:00Z' }, { schedulingEnabled: false }]) {
      await ada.pipelines.define(batches.project({ id: 'p', list: ['u1'], scrapingInterval: 'once', ...more }))
    }
    expect((await ada.list({ pipeline: 'p' })).items).toEqual([])
  })

  test('a second run of the schedule is skipped while another runs, and says so', async () => {
    const { ada, batches, clock } = await account()
    await ada.pipelines.define(batches.project({ id: 'p', list: ['u1'], scrapingInterval: 'hourly' }))
    await clock.advance(3_700_000)
    expect((await ada.list({ pipeline: 'p' })).items).toHaveLength(1)
    expect((await ada.pipelines.history('p')).map(({ type }) => type)).toContain('run.skipped')
  })

  test('a daily digest tells of the runs of a day once, and of nothing when there were none', async () => {
    const { ada, batches, clock, items } = await account({}, { sweep: '1m', poll: '1m', heartbeat: '1m' })
    const config = { notifyOnSuccess: 'daily', notifyOnFailure: 'daily' } as const
    await ada.pipelines.define(
      batches.project({ id: 'p', list: ['u1'], schedulingEnabled: false, notificationConfig: config }),
    )
    await ada.pipelines.define(batches.digests({ id: 'mails', period: 'daily', owner: 'ada', tenant: 'one' }))
    for (const outcome of ['ok', 'failed'] as const) {
      await ada.pipelines.run('p')
      await clock.advance(60_000)
      items.end(outcome, 'u1')
      await clock.advance(60_000)
    }
    expect(await rules(ada)).toEqual([])
    await clock.advance(86_400_000)
    expect(await rules(ada)).toEqual(['Digest'])
    const { items: digests } = await ada.list({ pipeline: 'mails' })
    expect(digests[0]?.output).toMatchObject({ completed: [expect.any(String)], failed: [expect.any(String)] })
    await clock.advance(86_400_000)
    expect(await rules(ada)).toEqual(['Digest'])
    expect((await ada.list({ pipeline: 'mails' })).items.map(({ status }) => status)).toEqual(['Empty', 'Sent'])
  })
})

test('a run that ends in the moment of a digest is in the next one', async () => {
  const { ada, batches, clock } = await account(
    { each: () => Promise.reject(new Error('down')) },
    { sweep: '1h', poll: '1h', heartbeat: '1h' },
  )
  const notificationConfig = { notifyOnFailure: 'daily' } as const
  await ada.pipelines.define(batches.project({ id: 'p', list: ['u1'], scrapingInterval: 'daily', notificationConfig }))
  await ada.pipelines.define(batches.digests({ id: 'mails', period: 'daily', owner: 'ada', tenant: 'one' }))
  await clock.advance(3 * 86_400_000)
  const ids = async (pipeline: string) => (await ada.list({ pipeline, order: 'oldest' })).items
  const failed = (await ids('mails')).flatMap(({ output }) => (output as { readonly failed: readonly string[] }).failed)
  const runs = (await ids('p')).map(({ id }) => id)
  expect(failed).toEqual(runs.slice(0, 3))
})

describe('rights', () => {
  test('people see their own jobs, an administrator those of the account, and nobody those of another account', async () => {
    const world = await account()
    const id = await world.start('u1')
    expect(await codeOf(world.admin.get(id))).toBe('ok')
    expect(await codeOf(world.bob.get(id))).toBe('JOB_NOT_FOUND')
    expect(await codeOf(reported(world.eve, id))).toBe('JOB_NOT_FOUND')
    expect(await codeOf(world.admin.cancel(id))).toBe('FORBIDDEN')
    expect(await codeOf(world.ada.delete(id))).toBe('FORBIDDEN')
  })
})

test('the failed items alone run again, and both jobs have one report', async () => {
  const world = await account()
  const id = await world.start('u1', 'u2', 'u3')
  world.items.end('ok', 'u1')
  world.items.end('failed', 'u2', 'u3')
  await world.clock.advance(1_000)
  world.items.begun.clear()
  const again = await world.ada.retry(id, { items: 'failed' })
  await world.clock.advance(300)
  expect([...world.items.begun.keys()]).toEqual(['u2', 'u3'])
  expect(world.batches.present(await world.ada.get(again.id)).progress).toMatchObject({ total: 2, processing: 2 })
  world.items.end('ok', 'u2')
  world.items.end('failed', 'u3')
  await world.clock.advance(1_000)
  expect((await world.row(again.id)).status).toBe('Completed')
  expect((await reported(world.ada, again.id)).map(({ key, status }) => [key, status])).toEqual([
    ['1', 'completed'],
    ['2', 'completed'],
    ['3', 'failed'],
  ])
})

test('what a cancel has skipped runs again with what has failed, and both jobs have one report', async () => {
  const world = await account({ concurrency: 2 })
  const id = await world.start(...named(5))
  await world.ada.cancel(id)
  world.items.end('ok', 'u1')
  world.items.end('failed', 'u2')
  await world.clock.advance(1_000)
  expect(await world.row(id)).toMatchObject({ status: 'Cancelled', progress: { failed: 1, total: 5 } })
  world.items.begun.clear()
  const again = await world.ada.retry(id, { items: 'unfinished' })
  await world.clock.advance(300)
  expect(world.batches.present(await world.ada.get(again.id)).progress).toMatchObject({ total: 4, processing: 2 })
  world.items.end('ok', 'u2', 'u3')
  await world.clock.advance(300)
  world.items.end('ok', 'u4', 'u5')
  await world.clock.advance(1_000)
  expect((await world.row(again.id)).status).toBe('Completed')
  const all = (await reported(world.ada, again.id)).map(({ key, status }) => `${key} ${status}`)
  expect(all.toSorted()).toEqual(['1', '2', '3', '4', '5'].map((key) => `${key} completed`))
})

test('every state of the lifecycle is entered, an end can be reached from everywhere, and nothing throws', async () => {
  const { job } = await account()
  const map = explore(job, { inputs: [{ list: ['a', 'b', 'c'] }] })
  expect(map).toMatchObject({ throws: [], deadEnds: [], unreachable: [], isComplete: true })
  const labels = new Set(map.states.map(({ label }) => label))
  expect(labels).toEqual(new Set(['Started', 'Finalizing', 'Completed', 'Error', 'Cancelling', 'Cancelled']))
})
