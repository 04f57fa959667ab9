import {
  type CreateEngineOptions,
  defineJob,
  type FollowUp,
  type Policy,
  type Principal,
  rolePolicy,
  type SessionPrincipal,
  type Target,
} from 'jobchart'
import { describe, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { Bench, codeOf } from './bench.ts'

const run = defineJob({ type: 'run', execute: () => {} })

/** Ends at once. Its input names its follow-ups. */
const first = defineJob({
  type: 'first',
  lifecycle: createMachine({ initial: 'done', states: { done: { type: 'final' } } }),
  followUp: ({ input, retries }) => (retries > 0 ? [] : [asked(input as Asked)]),
})

type Asked = { readonly kind: FollowUp['kind']; readonly pipeline?: string; readonly labels?: Target['labels'] }

function asked({ kind, pipeline = '', labels = {} }: Asked): FollowUp {
  switch (kind) {
    case 'retry':
      return { kind, labels }
    case 'submit':
      return { kind, job: run, labels, ...(pipeline === '' ? {} : { pipeline }) }
    case 'run':
      return { kind, pipeline, labels }
    case 'pause':
      return { kind, pipeline, reason: 'so' }
    case 'resume':
      return { kind, pipeline }
    case 'status':
      return { kind, pipeline, status: 'failed' }
  }
}

async function started(options: Partial<CreateEngineOptions> = {}) {
  const bench = new Bench()
  const host = await bench.start({ jobs: [first, run], ...options })
  /** Why a follow-up was not made; undefined: it was made. */
  const follow = async (who: SessionPrincipal | 'system', input: Asked) => {
    const session = who === 'system' ? host.engine.system : host.engine.as(who)
    const { id } = await session.submit(first, input)
    await bench.clock.settle()
    const events = (await bench.log(id)).flatMap((row) => row.events)
    return events.flatMap((event) => (event.type === 'job.followUpFailed' ? [event.error.code] : []))[0]
  }
  return { bench, follow, ...host }
}

const ada = { id: 'ada', role: 'editor' }
const inPipeline = ['run', 'pause', 'resume', 'submit'] as const

describe('follow-ups where the host does not resolve the creator', () => {
  test('may submit, and run, pause and resume the creator’s own pipelines', async () => {
    const { ada: session, follow } = await started()
    await session.pipelines.define({ id: 'own', job: run })
    for (const kind of ['retry', 'submit', 'run', 'pause', 'resume'] as const) {
      expect([kind, await follow(ada, { kind, pipeline: 'own' })]).toEqual([kind, undefined])
    }
    expect((await session.list({ pipeline: 'own' })).items).toHaveLength(2)
  })

  test.each(inPipeline)('may change nobody else’s pipeline, and do not reveal whether it exists: %s', async (kind) => {
    const { bob, bench, follow } = await started()
    const taken = await bob.pipelines.define({ id: 'taken', job: run })
    expect(await follow(ada, { kind, pipeline: 'taken' })).toBe('PIPELINE_NOT_FOUND')
    if (kind !== 'submit') expect(await follow(ada, { kind, pipeline: 'none' })).toBe('PIPELINE_NOT_FOUND')
    await bench.clock.advance(1_000)
    expect(await bob.pipelines.get('taken')).toEqual(taken)
    expect((await bob.list()).items).toEqual([])
  })

  test('of the engine’s own session may do everything', async () => {
    const { bob, follow } = await started()
    await bob.pipelines.define({ id: 'p', job: run })
    for (const kind of ['retry', ...inPipeline] as const) {
      expect([kind, await follow('system', { kind, pipeline: 'p' })]).toEqual([kind, undefined])
    }
  })
})

describe('follow-ups where the host resolves the creator', () => {
  test('follow the creator’s role of now, not of the submit', async () => {
    const roles = new Map([['ada', 'editor']])
    const { follow } = await started({ principal: (id) => roles.get(id) })
    expect(await follow(ada, { kind: 'submit' })).toBe(undefined)
    roles.set('ada', 'visitor')
    for (const kind of ['submit', 'retry'] as const) expect(await follow(ada, { kind })).toBe('FORBIDDEN')
    roles.set('ada', '')
    expect(await follow(ada, { kind: 'submit' })).toBe('FORBIDDEN')
    roles.delete('ada')
    expect(await follow(ada, { kind: 'submit' })).toBe('FORBIDDEN')
  })

  test('follow relations too, and the policy sees the labels of the new job', async () => {
    const policy = rolePolicy({ resources: { system: { submit: ['operator'] } } })
    const { follow } = await started({
      policy,
      principal: async () => ({ role: 'editor', relations: { 'system:8': 'operator' } }),
    })
    expect(await follow(ada, { kind: 'submit', labels: { system: '8' } })).toBe(undefined)
    for (const kind of ['submit', 'retry'] as const) {
      expect(await follow(ada, { kind, labels: { system: '7' } })).toBe('FORBIDDEN')
    }
  })

  test.each<[string, () => unknown]>([
    [
      'throws',
      () => {
        throw new Error('the directory is down')
      },
    ],
    ['rejects', () => Promise.reject(new Error('the directory is down'))],
    ['never answers', () => new Promise(() => {})],
    ['gives no role', () => 7],
  ])('is refused where it %s, and the host hears of it', async (_, principal) => {
    const heard: unknown[] = []
    const { bench, ada: session } = await started({
      principal: principal as () => undefined,
      onPolicyError: (error) => heard.push(error),
    })
    const submitted = session.submit(first, { kind: 'submit' })
    await bench.clock.advance(5_000)
    const { id } = await submitted
    const events = (await bench.log(id)).flatMap((row) => row.events)
    expect(events).toContainEqual(expect.objectContaining({ type: 'job.followUpFailed' }))
    expect((await session.list({ type: 'run' })).items).toEqual([])
    expect(heard).toHaveLength(1)
  })
})

test('the policy sees the creator as a scheduler, with the role and relations that the host resolves', async () => {
  const seen: Principal[] = []
  const policy: Policy = {
    authorize: (who, action) => {
      if (action === 'submit' && who.kind === 'scheduler') seen.push(who)
      return 'allow'
    },
    scope: ({ tenant }) => [{ tenant }],
  }
  const { engine, bench } = await started({
    policy,
    principal: (id, tenant) => ({ role: `${id} of ${tenant}`, relations: { a: 'b' } }),
  })
  await engine.as({ id: 'ada', tenant: 'acme' }).submit(first, { kind: 'submit' })
  await bench.clock.settle()
  expect(seen).toEqual([{ kind: 'scheduler', id: 'ada', tenant: 'acme', role: 'ada of acme', relations: { a: 'b' } }])
})

test('a silent policy delays the end of a job by 6 s at most, however many follow-ups it has', async () => {
  const bench = new Bench()
  const many = defineJob({
    type: 'many',
    lifecycle: createMachine({ initial: 'done', states: { done: { type: 'final' } } }),
    followUp: () => [1, 2, 3].map((): FollowUp => ({ kind: 'submit', job: run })),
  })
  const policy: Policy = {
    authorize: ({ kind }) => (kind === 'scheduler' ? new Promise(() => {}) : 'allow'),
    scope: ({ tenant }) => [{ tenant }],
  }
  const host = await bench.start({ jobs: [many, run], policy })
  let code = 'waits'
  void codeOf(host.ada.submit(many, undefined)).then((given) => {
    code = given
  })
  await bench.clock.advance(6_000)
  expect(code).toBe('ok')
  expect((await host.ada.list()).items).toMatchObject([{ type: 'many', outcome: 'success' }])
})
