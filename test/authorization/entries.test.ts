/** Rights to create a job, to enter a pipeline, to stop running work, and to keep waiting. */
import { defineJob, JobchartError, type Policy, rolePolicy, type Verdict } from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, errorOf, shownError, Work } from '../engine/bench.ts'

const quick = defineJob({ type: 'quick', execute: () => 1 })

describe('running a pipeline', () => {
  const policy = rolePolicy({ resources: { system: { see: ['owner'], submit: ['operator'] } } })
  const eve = { id: 'eve', role: 'editor', relations: { 'system:8': 'operator' } }

  test('asks the policy for submit, with the final labels of the job', async () => {
    const bench = new Bench()
    const { engine } = await bench.start({ jobs: [quick], policy })
    const session = engine.as(eve)
    await session.pipelines.define({ id: 'p8', job: quick, labels: { system: '8' } })
    expect(await session.pipelines.run('p8')).toMatchObject({ labels: { system: '8' } })
    expect(await codeOf(session.pipelines.run('p8', { labels: { system: '7' } }))).toBe('FORBIDDEN')
    expect(await codeOf(session.submit(quick, 1, { labels: { system: '7' } }))).toBe('FORBIDDEN')
    expect(await engine.system.count()).toBe(1)
  })

  test('is refused by a policy that denies every submit', async () => {
    const bench = new Bench()
    const denies: Policy = { authorize: (_, action) => (action === 'submit' ? 'deny' : 'allow'), scope: () => [{}] }
    const { ada, engine } = await bench.start({ jobs: [quick], policy: denies })
    await ada.pipelines.define({ id: 'p', job: quick })
    expect(await codeOf(ada.pipelines.run('p'))).toBe('FORBIDDEN')
    expect(await engine.system.count()).toBe(0)
  })
})

describe('stored pipelines', () => {
  test('a submit into a hidden pipeline is refused and reveals nothing of its slot', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().execute })
    const { ada, bob, engine } = await bench.start({ jobs: [type] })
    for (const id of ['free', 'taken']) await ada.pipelines.define({ id, job: type })
    await ada.pipelines.run('taken')
    const errors = await Promise.all(
      (['reject', 'queue', 'replace'] as const).flatMap((overlap) =>
        ['free', 'taken'].map(async (pipeline) => {
          return shownError(await errorOf(bob.submit(type, 1, { pipeline, overlap })), pipeline)
        }),
      ),
    )
    expect(new Set(errors).size).toBe(1)
    expect(errors[0]).toContain('PIPELINE_NOT_FOUND')
    expect(await engine.system.count()).toBe(1)
    // Anybody may submit into a pipeline that is not stored.
    expect(await bob.submit(type, 1, { pipeline: 'own' })).toMatchObject({ pipeline: 'own' })
  })

  test('a paused pipeline refuses submits and retries', async () => {
    const bench = new Bench()
    const { ada, engine } = await bench.start({ jobs: [quick] })
    await ada.pipelines.define({ id: 'p', job: quick })
    const { id } = await ada.pipelines.run('p')
    await bench.clock.settle()
    await ada.pipelines.pause('p', 'it rains')
    expect(await codeOf(ada.submit(quick, 1, { pipeline: 'p' }))).toBe('INVALID_STATE')
    expect(await codeOf(engine.system.submit(quick, 1, { pipeline: 'p' }))).toBe('INVALID_STATE')
    expect((await ada.actions(id)).retry).toBe(false)
    expect(await codeOf(ada.retry(id))).toBe('INVALID_STATE')
    await ada.pipelines.resume('p')
    expect((await ada.actions(id)).retry).toBe(true)
    expect(await ada.retry(id)).toMatchObject({ pipeline: 'p', retryOf: id })
  })

  test('a pipeline that is paused during a submit refuses that submit', async () => {
    const bench = new Bench()
    const { ada, faults } = await bench.start({ jobs: [quick] })
    const other = await bench.start({ jobs: [quick] })
    await ada.pipelines.define({ id: 'p', job: quick })
    let isRead = () => {}
    faults.plan('pipeline', new Promise((resolve) => (isRead = resolve)))
    const code = codeOf(ada.submit(quick, 1, { pipeline: 'p' }))
    await bench.clock.settle()
    await other.ada.pipelines.pause('p', 'meanwhile')
    isRead()
    expect(await code).toBe('INVALID_STATE')
  })

  test('a refusal omits the reason of the pause for callers for whom it is redacted', async () => {
    const bench = new Bench()
    const { ada, admin } = await bench.start({ jobs: [quick], policy: rolePolicy({ redact: ['paused'] }) })
    await ada.pipelines.define({ id: 'p', job: quick })
    await ada.pipelines.pause('p', 's3cret')
    const refusal = await errorOf(admin.submit(quick, 1, { pipeline: 'p' }))
    expect([refusal.code, refusal.message]).toEqual(['INVALID_STATE', 'pipeline "p" is paused'])
    expect(JSON.stringify(await admin.pipelines.get('p'))).not.toContain('s3cret')
  })
})

test('a waiting result is refused once the caller has lost the right to it', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'w', execute: work.execute })
  const { engine } = await bench.start({ jobs: [type] })
  let role = 'editor'
  const ada = engine.as(() => ({ id: 'ada', role }))
  const { id } = await ada.submit(type, 1)
  const code = codeOf(ada.result(id))
  await bench.clock.settle()
  role = ''
  work.run().finish('secret')
  expect(await code).toBe('JOB_NOT_FOUND')
})

describe('stopping running work', () => {
  const machine = createMachine({
    initial: 'on',
    states: { on: { on: { cancel: 'off' } }, off: { type: 'final', tags: 'cancelled' } },
  })
  const guarded = defineJob({
    type: 'guarded',
    lifecycle: machine,
    commands: { cancel: { schema: z.object({}), by: { roles: ['manager'] } } },
  })

  test('a delete needs the right to cancel', async () => {
    const bench = new Bench()
    const { ada, engine } = await bench.start({ jobs: [guarded] })
    const { id } = await ada.submit(guarded, undefined)
    expect(await ada.actions(id)).toMatchObject({ cancel: false, delete: false })
    expect(await codeOf(ada.delete(id))).toBe('FORBIDDEN')
    await engine.system.cancel(id)
    expect(await ada.actions(id)).toMatchObject({ delete: true })
    expect(await codeOf(ada.delete(id))).toBe('ok')
  })

  test('a delete does not need the right to cancel where the type has no cancel command', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', lifecycle: machine, commands: { cancel: z.object({}) }, cancel: null })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, undefined)
    expect(await ada.actions(id)).toMatchObject({ cancel: false, delete: true })
    expect(await codeOf(ada.delete(id))).toBe('ok')
  })

  test('a replace follows the rule of the job version that decides', async () => {
    const bench = new Bench()
    const first = defineJob({ type: 'm', lifecycle: machine, commands: { cancel: z.object({}) } })
    const old = await bench.start({ jobs: [first] })
    const { id } = await old.ada.submit(first, undefined, { pipeline: 'p' })
    await old.crash()
    const next = defineJob({
      type: 'm',
      version: '2',
      previous: [first],
      migrate: () => ({ state: 'on', context: {} }),
      lifecycle: createMachine({
        initial: 'on',
        states: { on: { on: { cancel: 'off', note: {} } }, off: { type: 'final', tags: 'cancelled' } },
      }),
      commands: { cancel: { schema: z.object({}), by: { roles: ['manager'] } } },
    })
    await bench.clock.advance(20_000)
    const { ada } = await bench.start({ jobs: [next] })
    expect(await codeOf(ada.cancel(id as string))).toBe('FORBIDDEN')
    expect(await codeOf(ada.submit(next, undefined, { pipeline: 'p', overlap: 'replace' }))).toBe('FORBIDDEN')
    expect((await bench.row(id)).phase).toBe('active')
  })
})

test('a stream does not reveal the length of the log before the policy allows following it', async () => {
  const bench = new Bench()
  const slow: Policy = {
    authorize: () => 'allow',
    scope: async ({ role, tenant }) => role === 'editor' && [{ tenant }],
  }
  for (const policy of [rolePolicy(), slow]) {
    const { ada, engine } = await bench.start({ jobs: [quick], policy })
    await ada.submit(quick, 1)
    await bench.clock.settle()
    const nobody = engine.as({ id: 'vic', role: 'viewer' }).events()
    expect(nobody.sequence).toBe(0)
    expect(await codeOf(nobody.next())).toBe('FORBIDDEN')
    expect(nobody.sequence).toBe(0)
    const hidden = engine.as({ id: 'bob', role: 'viewer' }).events({ job: 'none' })
    expect([hidden.sequence, await codeOf(hidden.next()), hidden.sequence]).toEqual([0, 'JOB_NOT_FOUND', 0])
  }
})

test('a session keeps its rights when the object that it was made from changes later', async () => {
  const bench = new Bench()
  const { ada, engine } = await bench.start({ jobs: [quick] })
  await ada.submit(quick, 1)
  const person: { id: string; role: string; relations: { [resource: string]: string } } = {
    id: 'eve',
    role: 'editor',
    relations: {},
  }
  const session = engine.as(person)
  person.role = 'admin'
  expect(await session.count()).toBe(0)
  expect(await engine.as(person).count()).toBe(1)
})

test('only the engine’s own session may name a tenant or an owner', async () => {
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [quick] })
  await ada.pipelines.define({ id: 'p', job: quick })
  const tenant = 'default'
  const calls = [
    ada.submit(quick, 1, { tenant }),
    ada.pipelines.define({ id: 'q', job: quick, tenant }),
    ada.pipelines.get('p', { tenant }),
    ada.pipelines.run('p', { tenant }),
    ada.pipelines.pause('p', 'so', { tenant }),
    ada.pipelines.resume('p', { tenant }),
    ada.pipelines.delete('p', { tenant }),
  ]
  for (const error of await Promise.all(calls.map(errorOf))) {
    expect(error).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['tenant'] }] })
  }
  const owned = await errorOf(ada.pipelines.define({ id: 'q', job: quick, owner: 'bob' }))
  expect(owned).toMatchObject({ code: 'INVALID_INPUT', issues: [{ path: ['owner'] }] })
})

describe('requests to the storage are bounded', () => {
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, index) => [`l${index}`, 'x']))

  test('a job, a filter and a pipeline have a maximum number of labels', async () => {
    const bench = new Bench()
    const { ada, engine } = await bench.start({ jobs: [quick] })
    const labels = many(101)
    expect(await codeOf(ada.submit(quick, 1, { labels }))).toBe('INVALID_INPUT')
    expect(await codeOf(ada.list({ labels }))).toBe('INVALID_INPUT')
    expect(await codeOf(ada.count({ labels }))).toBe('INVALID_INPUT')
    expect(await codeOf(ada.events({ labels }).next())).toBe('INVALID_INPUT')
    expect(await codeOf(ada.pipelines.define({ id: 'p', job: quick, labels }))).toBe('INVALID_INPUT')
    expect(await codeOf(ada.submit(quick, 1, { labels: many(100) }))).toBe('ok')
    expect(await ada.count({ labels: many(100) })).toBe(1)
    await ada.pipelines.define({ id: 'p', job: quick, labels: many(100) })
    expect(await codeOf(ada.pipelines.run('p', { labels: { more: 'x' } }))).toBe('INVALID_INPUT')
    expect(engine.health.status).toBe('ok')
  })

  test('a policy may give a maximum number of scopes, and of labels in each', async () => {
    const bench = new Bench()
    let scopes: readonly object[] = []
    const policy: Policy = { authorize: () => 'allow' as Verdict, scope: () => scopes }
    const { ada, engine } = await bench.start({ jobs: [quick], policy })
    await ada.submit(quick, 1)
    scopes = Array.from({ length: 1_000 }, (_, index) => ({ labels: { team: `t${index}` } }))
    expect(await ada.count({ labels: many(100) })).toBe(0)
    scopes = [...scopes, {}]
    expect(await codeOf(ada.list())).toBe('INVALID_INPUT')
    scopes = [{ labels: many(101) }]
    expect(await codeOf(ada.count())).toBe('INVALID_INPUT')
    expect(engine.health.status).toBe('ok')
  })
})

test('a failure of the storage is reported to a caller without the path of its file', async () => {
  const bench = new Bench()
  const { ada, engine, faults } = await bench.start({ jobs: [quick] })
  const failure = new JobchartError('STORAGE_UNAVAILABLE', '"/srv/secret/jobs.db": disk I/O error')
  faults.plan('count', Promise.reject(failure))
  faults.plan('summary', Promise.reject(failure))
  const refusal = await errorOf(ada.count())
  expect([refusal.code, refusal.message]).toEqual([
    'STORAGE_UNAVAILABLE',
    'the storage does not answer, and nothing was written; try again later',
  ])
  expect((await errorOf(ada.delete('x'))).message).not.toContain('/srv')
  faults.plan('count', Promise.reject(failure))
  expect((await errorOf(engine.system.count())).message).toContain('/srv/secret')
})

test('a principal may have fields of the app’s own', async () => {
  const bench = new Bench()
  const { engine } = await bench.start({ jobs: [quick] })
  const user = { id: 'ada', role: 'editor', email: 'ada@example.org', isPaying: true }
  expect(await codeOf(engine.as(user).submit(quick, 1))).toBe('ok')
})
