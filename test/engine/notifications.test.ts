import {
  type AnyJobType,
  type CreateEngineOptions,
  type Delivery,
  defineJob,
  type Notifications,
  type NotificationView,
  type Notifier,
  type NotifyRule,
  rolePolicy,
  type Session,
} from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf, errorOf, shownError, Work } from './bench.ts'

const inApp = { channels: ['inApp'] } as const
const onFailure = { on: { outcome: 'failure' }, level: 'alerts', ...inApp } as const
const onSuccess = { on: { outcome: 'success' }, ...inApp } as const

type Options = Omit<CreateEngineOptions, 'jobs' | 'storage'>

/** An engine with a type whose work ends when the test says so. Every editor of the tenant sees its jobs. */
async function started(notify: readonly NotifyRule[], options: Options = {}) {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute, notify })
  const other = defineJob({ type: 'other', execute: work.execute, notify })
  const given = { jobs: [type, other], policy: rolePolicy({ member: ['editor'] }), ...options }
  const host = await bench.start(given)
  /** Submits a job and ends it. Returns its id. */
  const run = async (session: Session, end: 'finish' | 'fail', of: AnyJobType = type, pipeline?: string) => {
    const { id } = await session.submit(of, undefined, pipeline === undefined ? {} : { pipeline })
    await bench.clock.settle()
    const begun = work.runs.at(-1)
    if (end === 'finish') begun?.finish('done')
    else begun?.fail(new Error('the secret is 7'))
    await bench.clock.settle()
    return id
  }
  return { bench, work, type, other, run, given, ...host }
}

async function rulesOf({ notifications }: { readonly notifications: Notifications }): Promise<readonly string[]> {
  return (await notifications.list()).items.map(({ rule }) => rule)
}

describe('rules', () => {
  test('on a status of jobs do not notify of the status of a pipeline with the same name', async () => {
    const { ada, type } = await started([
      { on: { status: 'failed' }, ...inApp, audience: 'creator' },
      { on: { event: 'pipeline.statusChanged' }, ...inApp, audience: 'creator' },
    ])
    const onDefine = () => [{ kind: 'status', status: 'failed' }] as const
    await ada.pipelines.define({ id: 'p', job: type, onDefine })
    expect(await rulesOf(ada)).toEqual(['pipeline.statusChanged'])
  })

  test('with labels notify only of jobs and pipelines that have all of them', async () => {
    const labels = { mail: 'yes', size: 'big' }
    const rules = [
      { on: { outcome: 'success' }, ...inApp, audience: 'creator', labels },
      { on: { event: 'pipeline.paused' }, ...inApp, audience: 'creator', labels: { mail: 'yes' } },
    ] as const
    const { ada, type, bench, work } = await started(rules)
    const end = async () => {
      await bench.clock.settle()
      work.runs.at(-1)?.finish('done')
      await bench.clock.settle()
    }
    for (const given of [{}, { mail: 'yes' }, { mail: 'no', size: 'big' }]) {
      await ada.submit(type, undefined, { labels: given })
      await end()
    }
    expect(await rulesOf(ada)).toEqual([])
    await ada.submit(type, undefined, { labels: { ...labels, more: 'x' } })
    await end()
    expect(await rulesOf(ada)).toEqual(['success'])
    for (const [id, mail] of [
      ['p', 'yes'],
      ['q', 'no'],
    ] as const) {
      await ada.pipelines.define({ id, job: type, labels: { mail } })
      await ada.pipelines.pause(id, 'night')
    }
    expect(await rulesOf(ada)).toEqual(['pipeline.paused', 'success'])
    for (const wrong of [{ mail: 1 }, 'mail', []]) {
      const define = () => defineJob({ type: 'x', execute: () => 1, notify: [{ ...rules[0], labels: wrong as never }] })
      expect(define).toThrow('labels should be an object of texts by label')
    }
  })

  test('a status is a label of the type: of a state, of a leaf without one, of parallel leaves, or of an end', () => {
    const lifecycle = createMachine({
      type: 'parallel',
      states: {
        left: { initial: 'a', states: { a: {}, b: { meta: { status: 'bee' } } } },
        right: { initial: 'c', states: { c: {}, d: { meta: { status: 'dee' }, initial: 'e', states: { e: {} } } } },
      },
    })
    const define = (status: string) => () =>
      defineJob({
        type: 'p',
        lifecycle,
        labels: { error: 'broken' },
        notify: [{ on: { status }, ...inApp, audience: 'creator' }],
      })
    for (const status of ['a + c', 'bee', 'dee', 'broken', 'waiting']) define(status)()
    for (const status of ['left', 'b', 'e', 'd', 'error'])
      expect(define(status)).toThrow('label of the type: a, bee, c, dee, broken, stopped, waiting')
  })

  test('an outcome, a status and an event notify the creator, and the list has the newest first', async () => {
    const { ada, bob, run } = await started([
      { ...onSuccess, audience: 'creator' },
      { ...onFailure, audience: 'creator' },
      { on: { status: 'running' }, ...inApp, audience: 'creator' },
      { name: 'begun', on: { event: 'task.started' }, ...inApp, audience: 'creator' },
    ])
    const id = await run(ada, 'finish')
    const { items } = await ada.notifications.list()
    expect(items.map(({ rule, event }) => [rule, event.type])).toEqual([
      ['success', 'job.transitioned'],
      ['running', 'job.transitioned'],
      ['begun', 'task.started'],
    ])
    expect(items[0]).toMatchObject({
      level: 'all',
      channels: ['inApp'],
      isRead: false,
      event: { jobId: id, jobType: 'w', createdBy: 'ada', to: 'completed', outcome: 'success' },
    })
    // The event has its place in the job's history, as the log has it.
    const { events } = { events: (await ada.history(id)).map(({ sequence }) => sequence) }
    expect(events).toContain(items[0]?.event.jobSequence)
    expect(items[0]?.event).not.toHaveProperty('sequence')
    expect(await rulesOf(bob)).toEqual([])
  })

  test('a rule notifies once per job, however often its status is entered, and again for another job', async () => {
    const bench = new Bench()
    const ping = createMachine({
      initial: 'rest',
      states: { rest: { on: { go: 'work' } }, work: { meta: { status: 'working' }, on: { back: 'rest' } } },
    })
    const type = defineJob({
      type: 'ping',
      lifecycle: ping,
      commands: { go: anything, back: anything },
      notify: [{ on: { status: 'working' }, ...inApp, audience: 'creator' }],
    })
    const { ada, engine } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type)
    for (const command of ['go', 'back', 'go', 'back'] as const) await ada.send(id, { type: command })
    await ada.send((await ada.submit(type)).id, { type: 'go' })
    expect(await rulesOf(ada)).toEqual(['working', 'working'])
    // Also with an engine that has not made the first notification itself.
    const other = await bench.start({ jobs: [type] })
    await engine.stop()
    await other.ada.send(id, { type: 'go' })
    expect(await rulesOf(other.ada)).toEqual(['working', 'working'])
  })

  test('a status is entered only from another label, or by a new job', async () => {
    const bench = new Bench()
    const inner = createMachine({
      initial: 'a',
      states: {
        a: { meta: { status: 'one' }, on: { go: 'b' } },
        b: { meta: { status: 'one' }, on: { go: 'c' } },
        c: { meta: { status: 'two' } },
      },
    })
    const type = defineJob({
      type: 'inner',
      lifecycle: inner,
      commands: { go: anything },
      notify: [
        { name: 'first', on: { status: 'one' }, ...inApp, audience: 'creator' },
        { name: 'second', on: { status: 'two' }, ...inApp, audience: 'creator' },
      ],
    })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type)
    expect(await rulesOf(ada)).toEqual(['first'])
    await ada.send(id, { type: 'go' })
    await ada.send(id, { type: 'go' })
    expect(await rulesOf(ada)).toEqual(['second', 'first'])
  })

  test('those with a role are notified, and nobody of another tenant', async () => {
    const { ada, bob, admin, run, engine } = await started([{ ...onFailure, audience: { role: 'admin' } }])
    await run(ada, 'fail')
    expect(await rulesOf(admin)).toEqual(['failure'])
    expect([await rulesOf(ada), await rulesOf(bob)]).toEqual([[], []])
    const elsewhere = engine.as({ id: 'ada', role: 'admin', tenant: 'acme' })
    expect(await rulesOf(elsewhere)).toEqual([])
    expect(await rulesOf(engine.system)).toEqual(['failure'])
  })

  test('wrong rules are refused, and name what is wrong', () => {
    const wrong: readonly (readonly [unknown, string])[] = [
      [{}, 'list'],
      [[{ ...onFailure }], 'notify.0.audience'],
      [[{ ...onFailure, audience: 'everyone' }], 'notify.0.audience'],
      [[{ ...onFailure, audience: { role: '' } }], 'notify.0.audience'],
      [[{ ...onFailure, audience: 'creator', channels: [] }], 'notify.0.channels'],
      [[{ ...onFailure, audience: 'creator', channels: ['a', 'a'] }], 'notify.0.channels'],
      [[{ ...onFailure, audience: 'creator', level: 'none' }], 'notify.0.level'],
      [[{ ...onFailure, audience: 'creator', on: {} }], 'notify.0.on'],
      [[{ ...onFailure, audience: 'creator', on: { outcome: 'failure', status: 'failed' } }], 'notify.0.on'],
      [[{ ...onFailure, audience: 'creator', on: { outcome: 'failed' } }], 'notify.0.on.outcome'],
      [
        [{ ...onFailure, audience: 'creator', on: { status: 'faild' } }],
        'notify.0.on.status should be a label of the type: queued, running, completed, failed, cancelled, error, stopped, waiting; found "faild"',
      ],
      [[{ ...onFailure, audience: 'creator', on: { event: 'job.progress' } }], 'notify.0.on.event'],
      [[{ ...onFailure, audience: 'creator', on: { event: 'job.deleted' } }], 'notify.0.on.event'],
      [[{ ...onFailure, audience: 'creator', unknown: 1 }], 'notify.0.unknown'],
      [Array.from({ length: 2 }, () => ({ ...onFailure, audience: 'creator' })), '"failure"'],
    ]
    for (const [notify, named] of wrong) {
      const define = () => defineJob({ type: 'w', execute: () => {}, notify: notify as readonly NotifyRule[] })
      expect(define, named).toThrow(named)
    }
  })
})

describe('subscriptions', () => {
  test('of a tenant, a type and a pipeline: the closest decides, at its level', async () => {
    const { bob, ada, run, type, other } = await started([
      { ...onSuccess, audience: 'subscribers' },
      { ...onFailure, audience: 'subscribers' },
    ])
    await ada.pipelines.define({ id: 'p', job: type })
    await bob.notifications.subscribe({ level: 'alerts' })
    await bob.notifications.subscribe({ job: type, level: 'none' })
    await bob.notifications.subscribe({ pipeline: 'p', level: 'all' })
    expect(await bob.notifications.subscriptions()).toEqual([
      { level: 'alerts' },
      { pipeline: 'p', level: 'all' },
      { job: 'w', level: 'none' },
    ])
    const told: [string, string | undefined][] = []
    for (const of of [type, other]) {
      for (const pipeline of [undefined, 'p']) {
        for (const end of ['finish', 'fail'] as const) {
          const before = await bob.notifications.count()
          await run(ada, end, of, pipeline)
          if ((await bob.notifications.count()) > before) told.push([`${of.type} ${end}`, pipeline])
        }
      }
    }
    expect(told).toEqual([
      ['w finish', 'p'],
      ['w fail', 'p'],
      ['other fail', undefined],
      ['other finish', 'p'],
      ['other fail', 'p'],
    ])
    expect(await rulesOf(ada)).toEqual([])
  })

  test('to an alias are those to its type', async () => {
    const bench = new Bench()
    const notify = [{ ...onSuccess, audience: 'subscribers' }] as const
    const renamed = defineJob({ type: 'new', aliases: ['old'], execute: () => 1, notify })
    const { ada } = await bench.start({ jobs: [renamed] })
    expect(await ada.notifications.subscribe({ job: 'old', level: 'all' })).toEqual({ job: 'new', level: 'all' })
    await ada.submit(renamed)
    await bench.clock.advance(0)
    expect(await rulesOf(ada)).toEqual(['success'])
    await ada.notifications.unsubscribe({ job: 'old' })
    expect(await ada.notifications.subscriptions()).toEqual([])
  })

  test('are at most 1,000 for each person, who may still change each of them', async () => {
    const { bob } = await started([])
    for (let n = 0; n < 1_000; n++) await bob.notifications.subscribe({ job: `t${n}`, level: 'all' })
    expect(await codeOf(bob.notifications.subscribe({ level: 'all' }))).toBe('INVALID_INPUT')
    await bob.notifications.subscribe({ job: 't7', level: 'none' })
    expect(await bob.notifications.subscriptions()).toContainEqual({ job: 't7', level: 'none' })
  })

  test('to a pipeline that is absent, hidden, deleted or of another tenant are refused with the same error', async () => {
    const { bob, ada, admin, engine, type } = await started([], { policy: rolePolicy() })
    await ada.pipelines.define({ id: 'p', job: type })
    const subscribe = (session: Session) => errorOf(session.notifications.subscribe({ pipeline: 'p', level: 'all' }))
    const hidden = await subscribe(bob)
    const elsewhere = await subscribe(engine.as({ id: 'ada', role: 'admin', tenant: 'acme' }))
    await admin.notifications.subscribe({ pipeline: 'p', level: 'all' })
    await ada.notifications.subscribe({ pipeline: 'p', level: 'alerts' })
    await ada.pipelines.delete('p')
    for (const error of [hidden, elsewhere, await subscribe(bob), await subscribe(ada)]) {
      expect(error).toMatchObject({ code: 'PIPELINE_NOT_FOUND', message: hidden.message })
      expect(shownError(error, 'p')).toBe(shownError(hidden, 'p'))
    }
    expect(await bob.notifications.subscriptions()).toEqual([])
    // A subscription outlives its pipeline, and can be ended.
    expect(await ada.notifications.subscriptions()).toEqual([{ pipeline: 'p', level: 'alerts' }])
    await ada.notifications.unsubscribe({ pipeline: 'p' })
    expect(await ada.notifications.subscriptions()).toEqual([])
  })

  test('show nothing from before them; another level, or a closer one, keeps what was told', async () => {
    const { bob, ada, run, type } = await started([
      { ...onSuccess, audience: 'subscribers' },
      { ...onFailure, audience: 'subscribers' },
    ])
    await run(ada, 'fail')
    await bob.notifications.subscribe({ level: 'all' })
    expect(await rulesOf(bob)).toEqual([])
    await run(ada, 'finish')
    await run(ada, 'fail')
    expect(await rulesOf(bob)).toEqual(['failure', 'success'])
    await bob.notifications.subscribe({ level: 'alerts' })
    expect(await rulesOf(bob)).toEqual(['failure'])
    await bob.notifications.subscribe({ job: type, level: 'all' })
    expect(await rulesOf(bob)).toEqual(['failure', 'success'])
    await bob.notifications.subscribe({ job: type, level: 'none' })
    expect(await rulesOf(bob)).toEqual([])
    await bob.notifications.unsubscribe({ job: 'w' })
    await bob.notifications.unsubscribe()
    await bob.notifications.unsubscribe({ pipeline: 'unknown' })
    expect(await bob.notifications.subscriptions()).toEqual([])
    // Subscribing anew begins anew.
    await bob.notifications.subscribe({ level: 'all' })
    expect(await rulesOf(bob)).toEqual([])
  })
})

test('a subscription to a pipeline does not show what was muted by its type before', async () => {
  const { bob, ada, run, type } = await started([{ ...onSuccess, audience: 'subscribers' }])
  await ada.pipelines.define({ id: 'p', job: type })
  await bob.notifications.subscribe({ level: 'all' })
  await bob.notifications.subscribe({ job: type, level: 'none' })
  await run(ada, 'finish', type, 'p')
  await bob.notifications.subscribe({ pipeline: 'p', level: 'all' })
  expect(await rulesOf(bob)).toEqual([])
  await run(ada, 'finish', type, 'p')
  expect(await rulesOf(bob)).toEqual(['success'])
})

describe('reading', () => {
  test('marks are per person, by id or all before an id, and count what is unread', async () => {
    const { ada, bob, run } = await started([
      { ...onSuccess, audience: 'creator' },
      { name: 'watched', ...onSuccess, audience: 'subscribers' },
    ])
    for (const session of [ada, bob]) await session.notifications.subscribe({ level: 'all' })
    for (let job = 0; job < 3; job++) await run(ada, 'finish')
    expect([await ada.notifications.count(), await bob.notifications.count()]).toEqual([6, 3])
    const ids = (await ada.notifications.list()).items.map(({ id }) => id)
    const [newest = 0, second = 0, third = 0] = ids
    await ada.notifications.read([newest, newest, 999])
    expect(await ada.notifications.count({ unread: true })).toBe(5)
    await ada.notifications.read({ before: third })
    await ada.notifications.read({ before: 1 })
    const unread = await ada.notifications.list({ unread: true })
    expect(unread.items.map(({ id }) => id)).toEqual([second, third])
    const { items } = await ada.notifications.list()
    expect(items.map(({ isRead }) => isRead)).toEqual([true, false, false, true, true, true])
    expect(await bob.notifications.count({ unread: true })).toBe(3)
    expect(await codeOf(ada.notifications.read({ before: 0 }))).toBe('INVALID_INPUT')
    // What comes later is unread, however high the id was.
    await ada.notifications.read({ before: Number.MAX_SAFE_INTEGER })
    expect(await ada.notifications.count({ unread: true })).toBe(0)
    await run(ada, 'finish')
    expect(await ada.notifications.count({ unread: true })).toBe(2)
  })

  test('pages neither skip nor repeat, and a count stops at 101', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'quick',
      lifecycle: createMachine({ initial: 'done', states: { done: { type: 'final', tags: 'success' } } }),
      notify: [{ ...onSuccess, audience: 'creator' }],
    })
    const { ada, admin } = await bench.start({ jobs: [type] })
    await ada.submitMany(Array.from({ length: 130 }, () => ({ type })))
    const seen: number[] = []
    for (let cursor: string | undefined; ; ) {
      const page = await ada.notifications.list({ limit: 50, ...(cursor === undefined ? {} : { cursor }) })
      seen.push(...page.items.map(({ id }) => id))
      cursor = page.nextCursor
      if (cursor === undefined) break
      expect(await codeOf(admin.notifications.list({ cursor }))).toBe('INVALID_INPUT')
    }
    expect(seen).toEqual(Array.from({ length: 130 }, (_, index) => 130 - index))
    expect(await ada.notifications.count()).toBe(101)
  })

  test('shows only notifications of jobs that the reader may see, without what is redacted', async () => {
    const notify = [
      { ...onFailure, audience: 'subscribers' },
      { name: 'started', on: { event: 'task.started' }, ...inApp, audience: 'subscribers' },
    ] as const
    const { ada, admin, bob, run } = await started(notify, { policy: rolePolicy({ redact: ['input'] }) })
    for (const session of [ada, admin, bob]) await session.notifications.subscribe({ level: 'all' })
    await run(ada, 'fail')
    // An editor sees own jobs only.
    expect(await rulesOf(bob)).toEqual([])
    expect(await bob.notifications.count()).toBe(0)
    const failure = async (session: Session) => {
      return (await session.notifications.list()).items.find(({ rule }) => rule === 'failure')
    }
    expect(await failure(ada)).toMatchObject({ event: { error: { message: 'the secret is 7' } } })
    const masked = await failure(admin)
    expect(masked).toMatchObject({ event: { to: 'failed', redacted: ['error', 'input', 'message', 'output'] } })
    expect(JSON.stringify(masked)).not.toContain('secret')
  })

  test('leaves out a notification whose rule would reveal a redacted field', async () => {
    const notify = [
      { ...onFailure, audience: 'subscribers' },
      { on: { status: 'failed' }, ...inApp, audience: 'subscribers' },
      { name: 'started', on: { event: 'task.started' }, ...inApp, audience: 'subscribers' },
    ] as const
    for (const [redact, left] of [
      [['status'], ['failure', 'started']],
      [['outcome'], ['failed', 'started']],
    ] as const) {
      const { ada, admin, run } = await started(notify, { policy: rolePolicy({ redact }) })
      await admin.notifications.subscribe({ level: 'all' })
      await run(ada, 'fail')
      expect([...(await rulesOf(admin))].sort()).toEqual([...left].sort())
    }
  })

  test('ends with the job: its notifications are deleted, while it still runs and after', async () => {
    const { ada, engine, work, type, bench, run } = await started([
      { on: { event: 'task.started' }, ...inApp, audience: 'creator' },
      { ...onSuccess, audience: 'creator' },
    ])
    const ended = await run(ada, 'finish')
    const { id } = await ada.submit(type)
    await bench.clock.settle()
    expect(await ada.notifications.count()).toBe(3)
    await ada.delete(id)
    expect(await ada.notifications.count()).toBe(2)
    work.runs.at(-1)?.finish('too late')
    await bench.clock.settle()
    await ada.delete(ended)
    expect([await ada.notifications.count(), await engine.system.notifications.count()]).toEqual([0, 0])
    // The next number is a new one.
    await run(ada, 'finish')
    expect((await ada.notifications.list()).items.map(({ id: number }) => number)).toEqual([5, 4])
  })
})

describe('pipelines', () => {
  test('a skipped run notifies each time, with its blocker, and not while the pipeline is paused', async () => {
    const { ada, bob, bench, type } = await started([
      { on: { event: 'run.skipped' }, level: 'alerts', ...inApp, audience: 'subscribers' },
      { name: 'paused', on: { event: 'pipeline.paused' }, ...inApp, audience: 'creator' },
    ])
    await ada.pipelines.define({ id: 'nightly', job: type, schedule: { every: '1m' } })
    await bob.notifications.subscribe({ pipeline: 'nightly', level: 'alerts' })
    const { id } = await ada.pipelines.run('nightly')
    for (let minute = 0; minute < 2; minute++) await bench.clock.advance(60_000)
    const { items } = await bob.notifications.list()
    const skipped = (await bench.log()).filter(({ events }) => events.some((event) => event.type === 'run.skipped'))
    expect(skipped.length).toBeGreaterThan(1)
    expect(items.map(({ rule, level }) => [rule, level])).toEqual(skipped.map(() => ['run.skipped', 'alerts']))
    expect(items[0]?.event).toMatchObject({ type: 'run.skipped', pipeline: 'nightly', reason: 'running', blocker: id })
    expect(items[0]?.event).not.toHaveProperty('jobId')
    await ada.pipelines.pause('nightly', 'holidays')
    await bench.clock.advance(120_000)
    expect(await bob.notifications.count()).toBe(items.length)
    expect(await rulesOf(ada)).toEqual(['paused'])
    await ada.pipelines.delete('nightly')
    expect([await bob.notifications.count(), await ada.notifications.count()]).toEqual([0, 0])
  })

  test('those who may not see the pipeline are told nothing, and a hidden blocker is not named', async () => {
    const { ada, bob, admin, engine, bench, type } = await started(
      [{ on: { event: 'run.skipped' }, ...inApp, audience: 'subscribers' }],
      { policy: rolePolicy() },
    )
    const other = engine.as({ id: 'root', role: 'admin', tenant: 'acme' })
    for (const session of [ada, bob, admin, other]) await session.notifications.subscribe({ level: 'all' })
    await ada.pipelines.define({ id: 'nightly', job: type, schedule: { every: '1m' } })
    const { id } = await admin.submit(type, undefined, { pipeline: 'nightly' })
    await bench.clock.advance(60_000)
    const blockers = async (session: Session) =>
      (await session.notifications.list()).items.map(({ event }) => ('blocker' in event ? event.blocker : 'none'))
    expect(new Set(await blockers(admin))).toEqual(new Set([id]))
    expect(new Set(await blockers(ada))).toEqual(new Set(['none']))
    expect([await blockers(bob), await blockers(other)]).toEqual([[], []])
  })
})

describe('following', () => {
  test('yields each notification once, in order, of this and other engines, and can continue', async () => {
    const { ada, bench, given, run } = await started([{ ...onSuccess, audience: 'creator' }])
    await run(ada, 'finish')
    const end = new AbortController()
    const seen: NotificationView[] = []
    const fresh = follow(ada.notifications.events({ signal: end.signal }), seen)
    const all: NotificationView[] = []
    const whole = follow(ada.notifications.events({ after: 0, signal: end.signal }), all)
    await bench.clock.settle()
    const other = await bench.start(given)
    await run(ada, 'finish')
    await run(other.ada, 'finish')
    await bench.clock.advance(1_000)
    expect(seen.map(({ id }) => id)).toEqual([2, 3])
    expect(all.map(({ id }) => id)).toEqual([1, 2, 3])
    end.abort()
    await Promise.all([fresh, whole])
    const rest: NotificationView[] = []
    for await (const each of ada.notifications.events({ after: 2 })) {
      rest.push(each)
      break
    }
    expect(rest.map(({ id }) => id)).toEqual([3])
  })

  test('does not read the storage for events that notify of nothing', async () => {
    const { ada, faults, bench, run, type } = await started([{ ...onFailure, audience: 'creator' }])
    const end = new AbortController()
    const seen: NotificationView[] = []
    const done = follow(ada.notifications.events({ signal: end.signal }), seen)
    await bench.clock.settle()
    const reads = faults.calls('notifications')
    await run(ada, 'finish')
    await ada.submit(type)
    await bench.clock.advance(5_000)
    expect(faults.calls('notifications')).toBe(reads)
    await run(ada, 'fail')
    expect(seen.map(({ rule }) => rule)).toEqual(['failure'])
    end.abort()
    await done
  })

  test('ends at once when it is told to, also between two notifications that were read together', async () => {
    const { ada, run } = await started([{ ...onSuccess, audience: 'creator' }])
    for (let job = 0; job < 3; job++) await run(ada, 'finish')
    const end = new AbortController()
    const seen: number[] = []
    for await (const { id } of ada.notifications.events({ after: 0, signal: end.signal })) {
      seen.push(id)
      end.abort()
    }
    expect(seen).toHaveLength(1)
  })

  test('ends with an error when the engine stops between two notifications, and the rest comes later', async () => {
    const { ada, run, engine, bench, given } = await started([{ ...onSuccess, audience: 'creator' }])
    for (let job = 0; job < 3; job++) await run(ada, 'finish')
    const seen: number[] = []
    const following = async () => {
      for await (const { id } of ada.notifications.events({ after: 0 })) {
        seen.push(id)
        await engine.stop()
      }
    }
    expect(await codeOf(following())).toBe('ENGINE_STOPPED')
    const next = await bench.start(given)
    const { items } = await next.ada.notifications.list()
    for await (const { id } of next.ada.notifications.events({ after: seen.at(-1) ?? 0 })) {
      if (seen.push(id) === 3) break
    }
    expect(seen).toEqual(items.map(({ id }) => id).reverse())
  })

  test('ends with an error when the storage fails', async () => {
    const { ada, run, faults } = await started([{ ...onSuccess, audience: 'creator' }])
    await run(ada, 'finish')
    faults.plan('notifications', 'refused')
    expect(await codeOf(follow(ada.notifications.events({ after: 0 }), []))).toBe('STORAGE_UNAVAILABLE')
  })

  test('ends with an error that says so when the engine stops', async () => {
    const { ada, engine, bench } = await started([{ ...onFailure, audience: 'creator' }])
    const following = codeOf(follow(ada.notifications.events(), []))
    await bench.clock.settle()
    await engine.stop()
    expect(await following).toBe('ENGINE_STOPPED')
    expect(await codeOf(follow(ada.notifications.events(), []))).toBe('ENGINE_STOPPED')
  })
})

describe('a notifier', () => {
  test('delivers to those concerned who may see the job, each what that person may see', async () => {
    const mail = mailbox({ ada: 'editor', bob: 'editor', root: 'admin', eve: 'nobody' })
    const { ada, bob, admin, engine, run, bench } = await started(
      [
        { ...onFailure, channels: ['mail', 'inApp'], audience: 'subscribers' },
        { name: 'own', ...onFailure, channels: ['mail'], audience: 'creator' },
        { name: 'admins', ...onFailure, channels: ['mail'], audience: { role: 'admin' } },
      ],
      { notifier: mail.notifier, policy: rolePolicy({ redact: ['input'] }) },
    )
    const eve = engine.as({ id: 'eve', role: 'nobody' })
    for (const session of [ada, bob, admin, eve]) await session.notifications.subscribe({ level: 'alerts' })
    await run(ada, 'fail')
    await bench.clock.settle()
    const told = mail.sent.map(({ rule, person, address }) => [rule, person, address]).sort()
    expect(told).toEqual([
      ['admins', 'root', 'root@example.org'],
      ['failure', 'ada', 'ada@example.org'],
      ['failure', 'root', 'root@example.org'],
      ['own', 'ada', 'ada@example.org'],
    ])
    const seenBy = (person: string) => JSON.stringify(mail.sent.find((each) => each.person === person))
    expect(seenBy('ada')).toContain('the secret is 7')
    expect(seenBy('root')).not.toContain('secret')
    // The jobs that deliver are the engine's own.
    expect((await admin.list()).items.map(({ type }) => type)).toEqual(['w'])
    const own = await engine.system.list({ type: 'jobchart.delivery' })
    expect(own.items.map(({ outcome }) => outcome)).toEqual(['success', 'success', 'success'])
    // Their logs say who got nothing.
    const left: string[] = []
    for (const { id } of own.items) for await (const { text } of engine.system.logs(id)) left.push(text)
    expect(left.map((text) => text.replace(/, because .*/, '')).sort()).toEqual([
      'nothing was delivered to "bob" (role "editor")',
      'nothing was delivered to "eve" (role "nobody")',
    ])
    expect(await codeOf(ada.submit('jobchart.delivery', {}))).toBe('UNKNOWN_TYPE')
  })

  test('is asked again for what failed, and for nobody twice', async () => {
    const mail = mailbox({ ada: 'editor', bob: 'editor' })
    const { ada, bob, run, bench, engine } = await started(
      [{ ...onSuccess, channels: ['mail'], audience: 'subscribers' }],
      {
        notifier: mail.notifier,
        policy: rolePolicy({ member: ['editor'] }),
      },
    )
    for (const session of [ada, bob]) await session.notifications.subscribe({ level: 'all' })
    mail.fails.add('ada')
    await run(ada, 'finish')
    await bench.clock.settle()
    expect(mail.sent.map(({ person }) => person)).toEqual(['bob'])
    mail.fails.clear()
    await bench.clock.advance(10_000)
    expect(mail.sent.map(({ person }) => person)).toEqual(['bob', 'ada'])
    expect(new Set(mail.tried.filter(([person]) => person === 'ada').map(([, key]) => key)).size).toBe(1)
    const [delivery] = (await engine.system.list({ type: 'jobchart.delivery' })).items
    const events = (await bench.log(delivery?.id)).flatMap((row) => row.events)
    expect(events.filter(({ type }) => type === 'task.retried')).toHaveLength(1)
  })

  test('may throw anything: the delivery fails with its text, and the relations that it gives are those of the person', async () => {
    const type = defineJob({
      type: 'odd',
      execute: () => 1,
      notify: [{ ...onSuccess, channels: ['mail'], audience: 'creator' }],
    })
    const bench = new Bench()
    const seen: unknown[] = []
    const { ada, engine } = await bench.start({
      jobs: [type],
      policy: {
        authorize: ({ id, relations }) => {
          if (id === 'ada' && relations !== undefined) seen.push(relations)
          return 'allow'
        },
        scope: () => [{}],
      },
      notifier: {
        channels: ['mail'],
        addresses: () => [{ id: 'ada', address: 'a', role: 'editor', relations: { 'team:x': 'owner' } }],
        deliver: () => Promise.reject('the mail server is down'),
      },
    })
    await ada.submit(type)
    await bench.clock.advance(0)
    expect(seen).toContainEqual({ 'team:x': 'owner' })
    const [delivery] = (await engine.system.list({ type: 'jobchart.delivery' })).items
    const events = (await bench.log(delivery?.id)).flatMap((row) => row.events)
    expect(JSON.stringify(events)).toContain('first with: the mail server is down')
  })

  test('may take long for many persons, since each call has a minute of its own', async () => {
    const mail = mailbox({})
    const { ada, run, bench, engine } = await started(
      [{ ...onSuccess, channels: ['mail'], audience: { role: 'editor' } }],
      {
        notifier: {
          ...mail.notifier,
          addresses: async () => Array.from({ length: 400 }, (_, n) => ({ id: `p${n}`, address: 'a', role: 'editor' })),
          deliver: async (delivery, options) => {
            await new Promise<void>((resume) => bench.clock.timer(1_000, resume))
            await mail.notifier.deliver(delivery, options)
          },
        },
        policy: rolePolicy({ member: ['editor'] }),
      },
    )
    await run(ada, 'finish')
    await bench.clock.advance(10 * 60_000)
    expect(mail.sent).toHaveLength(400)
    const [delivery] = (await engine.system.list({ type: 'jobchart.delivery' })).items
    expect(delivery?.outcome).toBe('success')
  })

  test('that does not answer within a minute is told so, and is tried again', async () => {
    const signals: AbortSignal[] = []
    const { ada, run, bench } = await started([{ ...onSuccess, channels: ['mail'], audience: 'creator' }], {
      notifier: {
        ...mailbox({ ada: 'editor' }).notifier,
        deliver: (_, { signal }) => {
          signals.push(signal)
          return new Promise<void>(() => {})
        },
      },
    })
    await run(ada, 'finish')
    await bench.clock.advance(59_000)
    expect(signals.map(({ aborted }) => aborted)).toEqual([false])
    await bench.clock.advance(11_000)
    expect(signals.map(({ aborted }) => aborted)).toEqual([true, false])
  })

  test('delivers by jobs that the retention of the engine prunes, and that wait while their type is paused', async () => {
    const mail = mailbox({ ada: 'editor' })
    const { ada, run, bench, engine } = await started([{ ...onSuccess, channels: ['mail'], audience: 'creator' }], {
      notifier: mail.notifier,
      retention: { jobs: { success: '1d' } },
      // Two days pass.
      ...{ poll: '10m', sweep: '10m', heartbeat: '10m' },
    })
    bench.isPruned = true
    await engine.types.pause('jobchart.delivery', 'the mail server is down')
    await run(ada, 'finish')
    await bench.clock.advance(60_000)
    expect(mail.sent).toEqual([])
    await engine.types.resume('jobchart.delivery')
    await bench.clock.settle()
    expect(mail.sent.map(({ person }) => person)).toEqual(['ada'])
    await bench.clock.advance(2 * 86_400_000)
    expect((await engine.system.list()).items).toEqual([])
  })

  test('delivers nothing of a job that was deleted before', async () => {
    const mail = mailbox({ ada: 'editor' })
    mail.fails.add('ada')
    const { ada, run, bench } = await started([{ ...onSuccess, channels: ['mail'], audience: 'creator' }], {
      notifier: mail.notifier,
    })
    const id = await run(ada, 'finish')
    await bench.clock.settle()
    await ada.delete(id)
    mail.fails.clear()
    await bench.clock.advance(60_000)
    expect([mail.tried.length, mail.sent.length]).toEqual([1, 0])
  })

  test('uses the roles that the host finds, if it gives none', async () => {
    const mail = mailbox({ ada: undefined, bob: undefined })
    const rule = { ...onSuccess, channels: ['mail'], audience: 'subscribers' } as const
    const { ada, bob, run, bench, engine } = await started([rule], {
      notifier: mail.notifier,
      principal: (id) => (id === 'ada' ? 'editor' : undefined),
    })
    for (const session of [ada, bob]) await session.notifications.subscribe({ level: 'all' })
    await run(ada, 'finish')
    await bench.clock.settle()
    expect(mail.sent.map(({ person }) => person)).toEqual(['ada'])
    // A person whom the host does not know is no failure.
    const [delivery] = (await engine.system.list({ type: 'jobchart.delivery' })).items
    expect(delivery?.outcome).toBe('success')
  })

  test.each([
    [1_000, [1_000]],
    [1_001, [1_000, 1]],
  ])('is asked for %i subscribers in parts of 1,000: %j', async (count, parts) => {
    const mail = mailbox({})
    const asked: number[] = []
    const { ada, run, bench, engine } = await started([{ ...onSuccess, channels: ['mail'], audience: 'subscribers' }], {
      notifier: {
        ...mail.notifier,
        addresses: async ({ people = [] }) => {
          asked.push(people.length)
          return []
        },
      },
    })
    const sessions = Array.from({ length: count }, (_, n) => engine.as({ id: `p${n}`, role: 'editor' }))
    await Promise.all(sessions.map(({ notifications }) => notifications.subscribe({ level: 'all' })))
    await run(ada, 'finish')
    await bench.clock.settle()
    expect(asked).toEqual(parts)
  })

  test('is required for each channel that is not in-app, and cannot name one that is', async () => {
    const rule = { ...onSuccess, channels: ['mial'], audience: 'creator' } as const
    const { notifier } = mailbox({})
    await expect(started([rule])).rejects.toThrow('"mial"')
    await expect(started([rule], { notifier })).rejects.toThrow('"mial"')
    await expect(started([], { notifier: { ...notifier, channels: ['toast'] } })).rejects.toThrow('"toast"')
    await expect(started([], { notifier: { ...notifier, channels: [] } })).rejects.toThrow('notifier.channels')
    await expect(started([], { notifier: { ...notifier, channels: undefined as never } })).rejects.toThrow('channels')
    await expect(started([], { notifier: { channels: ['mail'], send: () => {} } as never })).rejects.toThrow('deliver')
    const tenant = 'jobchart.deliveries'
    const { engine } = await started([])
    expect(() => engine.as({ id: 'ada', tenant })).toThrow('a principal should be')
  })
})

const anything = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value: unknown) => ({ value: value as Record<string, never> }),
  },
} as const

async function follow(from: AsyncIterable<NotificationView>, seen: NotificationView[]): Promise<void> {
  for await (const each of from) seen.push(each)
}

/** A notifier that keeps what it delivers. `fails`: whose deliveries fail. */
function mailbox(roles: { readonly [person: string]: string | undefined }) {
  const sent: Delivery[] = []
  const tried: [person: string, key: string][] = []
  const fails = new Set<string>()
  const addressed = (id: string) => {
    const role = roles[id]
    return { id, address: `${id}@example.org`, ...(role === undefined ? {} : { role }) }
  }
  const notifier: Notifier = {
    channels: ['mail'],
    addresses: ({ people, role }) => {
      const all = people ?? Object.keys(roles).filter((id) => roles[id] === role)
      return all.filter((id) => Object.hasOwn(roles, id)).map(addressed)
    },
    deliver: async (delivery, { idempotencyKey }) => {
      tried.push([delivery.person, idempotencyKey])
      if (fails.has(delivery.person)) throw new Error('the mail server is down')
      sent.push(delivery)
    },
  }
  return { notifier, sent, tried, fails }
}
