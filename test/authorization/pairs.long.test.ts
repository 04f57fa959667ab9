import fc from 'fast-check'
import { defineJob, memoryStorage, type Policy, rolePolicy, type Session, type Storage } from 'jobchart'
import { afterAll, expect, test } from 'vitest'
import { createMachine } from 'xstate'
import { z } from 'zod'
import { sqliteDisk } from '../engine/bench.ts'
import { type Call, jobCalls, pipelineCalls } from './calls.ts'
import { answerText, Stage } from './stage.ts'

const PAIRS_AT_ONCE = 100

/** Number of pairs of each test, for the count at the end. */
const tried = new Map<string, number>()

const slow = defineJob({
  type: 'slow',
  execute: async ({ input, log, item, progress }) => {
    log('a line')
    await item('one')
    progress({ completed: 1, total: 2 })
    if (input === 'failure') throw new Error('it failed')
    return input === 'success' ? 1 : await new Promise<never>(() => {})
  },
})

const moving = defineJob({
  type: 'moving',
  lifecycle: createMachine({
    initial: 'open',
    on: { cancel: '.cancelled', note: { actions: () => {} } },
    states: { open: {}, cancelled: { type: 'final', tags: 'cancelled' } },
  }),
  commands: { cancel: z.object({ reason: z.string().optional() }), note: z.object({ text: z.string().optional() }) },
})

const principals = [
  { id: 'bob', tenant: 'acme', role: 'editor' },
  { id: 'vic', tenant: 'acme', role: 'viewer' },
  { id: 'ada', tenant: 'other', role: 'editor' },
  { id: 'eve', tenant: 'other', role: 'admin' },
  { id: 'rel', tenant: 'acme', relations: { 'system:8': 'owner' } },
] as const

const roles = rolePolicy({ resources: { system: { see: ['owner'], submit: ['owner'] } } })

const policies: { readonly [name: string]: Policy } = {
  'that answers at once': roles,
  'that takes its time': {
    authorize: async (...question) => {
      await Promise.resolve()
      return await roles.authorize(...question)
    },
    scope: async (...question) => await roles.scope(...question),
  },
  // A policy that never answers `hide`.
  'that only denies': {
    authorize: async (...question) => {
      const verdict = await roles.authorize(...question)
      return verdict === 'hide' ? 'deny' : verdict
    },
    scope: roles.scope,
  },
  // Its answers about its own jobs are not tested here.
  'that throws where it does not allow': {
    authorize: async (...question) => {
      const verdict = await roles.authorize(...question)
      if (verdict !== 'allow') throw new Error('no')
      return verdict
    },
    scope: roles.scope,
  },
}

interface Hidden {
  readonly jobs: readonly string[]
  readonly pipelines: readonly string[]
}

/** Jobs in every state, and pipelines, all hidden from each of the principals. */
async function build(stage: Stage): Promise<Hidden> {
  const { clock } = stage.bench
  const jobs: string[] = []
  const pipelines: string[] = []
  for (const [index, labels] of [{}, { team: 'data' }, { system: '7' }].entries()) {
    await stage.freely({ id: index === 0 ? 'ada' : 'zoe', tenant: 'acme' }, async (session) => {
      const submitted = await Promise.all([
        session.submit(slow, 'success', { labels, idempotencyKey: 'k' }),
        session.submit(slow, 'failure', { labels }),
        session.submit(slow, 'never', { labels, pipeline: `held-${index}` }),
        session.submit(slow, 'x'.repeat(50_000), { labels }),
        session.submit(slow, 'never', { labels, startAt: clock.now() + 86_400_000 }),
        session.submit(moving, 1, { labels, idempotencyKey: 'k' }),
        session.submit(moving, 2, { labels }),
        session.submit(slow, 'never', { labels }),
      ])
      await clock.settle()
      const ids: readonly string[] = submitted.map(({ id }) => id)
      await session.cancel(ids[6] ?? '')
      await session.delete(ids[7] ?? '')
      jobs.push(...ids)
      for (const id of [`p-${index}`, `held-${index}`]) {
        await session.pipelines.define({ id, job: slow, input: 1, labels })
        pipelines.push(id)
      }
      await session.pipelines.pause(`p-${index}`, 'so')
    })
  }
  await clock.settle()
  return { jobs, pipelines }
}

/** Makes many calls about hidden and missing ids. @returns the number of pairs. */
async function askPairs({ calls, sessions, hidden, absent }: Asked, batches: number): Promise<number> {
  const pair = fc.tuple(fc.nat(calls.length - 1), fc.nat(sessions.length - 1), fc.nat(hidden.length - 1), absent)
  let pairs = 0
  await fc.assert(
    fc.asyncProperty(fc.array(pair, { minLength: PAIRS_AT_ONCE, maxLength: PAIRS_AT_ONCE }), async (batch) => {
      for (const [call, who, which, other] of batch) {
        const [{ name, run } = noCall, session, id] = [calls[call], sessions[who], hidden[which]]
        if (session === undefined || id === undefined) throw new Error('there is no such pair')
        const ofHidden = await answerText(() => run(session, id), id)
        const ofAbsent = await answerText(() => run(session, other), other)
        if (ofHidden !== ofAbsent) expect([name, who, ofHidden]).toEqual([name, who, ofAbsent])
        pairs++
      }
    }),
    { numRuns: batches, endOnFailure: true },
  )
  return pairs
}

const noCall: Call = { name: 'none', run: () => Promise.reject(new Error('there is no such call')) }

interface Asked {
  readonly calls: readonly Call[]
  readonly sessions: readonly Session[]
  readonly hidden: readonly string[]
  readonly absent: fc.Arbitrary<string>
}

const disks: readonly (readonly [string, () => Storage, number])[] = [
  ['in memory', memoryStorage, 230],
  ['on SQLite', sqliteDisk, 8],
]
const cases = disks.flatMap(([disk, make, batches]) =>
  Object.entries(policies).map(([name, policy]) => ({ disk, make, batches, name, policy })),
)

test.each(cases)('I52 a job hidden by a policy $name gets the same answer as a missing one: $disk', async (each) => {
  const stage = await Stage.open({ jobs: [slow, moving] }, each.make())
  const { jobs } = await build(stage)
  stage.policy = each.policy
  const before = await stage.contents()
  const sessions = principals.map((who) => stage.engine.as(who))
  const pairs = await askPairs({ calls: jobCalls, sessions, hidden: jobs, absent: fc.uuid() }, each.batches)
  tried.set(`jobs, ${each.disk}, by a policy ${each.name}`, pairs)
  expect(await stage.contents()).toBe(before)
})

test.each(cases)(
  'I52 a pipeline hidden by a policy $name gets the same answer as a missing one: $disk',
  async (each) => {
    const stage = await Stage.open({ jobs: [slow, moving] }, each.make())
    const { pipelines } = await build(stage)
    stage.policy = each.policy
    const before = await stage.contents()
    const absent = fc.uuid()
    const some = Math.ceil(each.batches / 8)
    // A principal who may define pipelines finds out that an id is taken, as with any unique name.
    const calls = pipelineCalls(slow)
    const [readers, definers] = [['vic', 'rel'], ['bob']].map((ids) =>
      principals.filter(({ id }) => ids.includes(id)).map((who) => stage.engine.as(who)),
    )
    const others = calls.filter(({ name }) => !name.startsWith('pipelines.define'))
    const asked = { hidden: pipelines, absent }
    const pairs = await askPairs({ ...asked, calls, sessions: readers ?? [] }, some)
    const more = await askPairs({ ...asked, calls: others, sessions: definers ?? [] }, some)
    tried.set(`pipelines, ${each.disk}, by a policy ${each.name}`, pairs + more)
    expect(await stage.contents()).toBe(before)
  },
)

/** A removed job is hidden from everybody, also from its creator and the engine's own session. */
test('I52 a deleted job gets the same answer as a missing one, for its creator, an admin and the engine itself', async () => {
  const stage = await Stage.open({ jobs: [slow, moving] })
  const ada = stage.engine.as({ id: 'ada', tenant: 'acme', role: 'editor' })
  const ids = await Promise.all(['never', 'success'].map(async (input) => (await ada.submit(slow, input)).id))
  await stage.bench.clock.settle()
  for (const id of ids) await ada.delete(id)
  stage.policy = roles
  const sessions = [ada, stage.engine.as({ id: 'root', tenant: 'acme', role: 'admin' }), stage.engine.system]
  const pairs = await askPairs({ calls: jobCalls, sessions, hidden: ids, absent: fc.uuid() }, 20)
  tried.set('deleted jobs', pairs)
})

/** The answer to a submit into a pipeline, without the parts that differ each time. */
async function submitted(session: Session, options: Parameters<Session['submit']>[2], cut: readonly string[]) {
  const text = await answerText(async () => {
    const { id, createdAt, updatedAt, admittedAt, startedAt, ...view } = await session.submit(moving, 1, options)
    return view
  }, '<none>')
  return cut.reduce((rest, each) => rest.replaceAll(each, '<pipeline>'), text)
}

test('I52 a slot held by a hidden job is reported as taken, without naming the job', async () => {
  const stage = await Stage.open({ jobs: [slow, moving] })
  const ada = { id: 'ada', tenant: 'acme' }
  const holders = await Promise.all([
    stage.freely(ada, (session) => session.submit(slow, 'never', { pipeline: 'one', labels: { team: 'data' } })),
    stage.freely({ id: 'zoe', tenant: 'acme' }, (session) => session.submit(moving, 2, { pipeline: 'two' })),
    stage.freely('system', (session) => session.submit(slow, 'never', { pipeline: 'three', tenant: 'acme' })),
  ])
  await stage.bench.clock.settle()
  for (const policy of Object.values(policies)) {
    stage.policy = policy
    const bob = stage.engine.as({ id: 'bob', tenant: 'acme', role: 'editor' })
    for (const overlap of ['reject', 'replace'] as const) {
      const pipelines = ['one', 'two', 'three']
      const answers = await Promise.all(pipelines.map((pipeline) => submitted(bob, { pipeline, overlap }, [pipeline])))
      expect(answers[0]).toContain('ALREADY_RUNNING')
      expect(new Set(answers).size).toBe(1)
      for (const { id } of holders) expect(answers.join()).not.toContain(id)
    }
  }
})

test('I52 explain says why one’s own job waits without naming the hidden job that it waits for', async () => {
  const stage = await Stage.open({ jobs: [slow, moving] })
  const acme = 'acme'
  const holder = await stage.freely({ id: 'ada', tenant: acme }, (session) => {
    return session.submit(slow, 'never', { pipeline: 'one' })
  })
  await stage.bench.clock.settle()
  for (const policy of Object.values(policies)) {
    stage.policy = policy
    const bob = stage.engine.as({ id: 'bob', tenant: acme, role: 'editor' })
    const { id } = await bob.submit(moving, 1, { pipeline: 'one', overlap: 'queue' })
    expect(await bob.explain(id)).toEqual([{ kind: 'slot', pipeline: 'one' }])
    const root = stage.engine.as({ id: 'root', tenant: acme, role: 'admin' })
    expect(await root.explain(id)).toEqual([{ kind: 'slot', pipeline: 'one', job: holder.id }])
  }
})

test('I52 a unique key used by a hidden job is reported like a free one', async () => {
  const stage = await Stage.open({ jobs: [slow, moving] })
  await stage.freely({ id: 'ada', tenant: 'acme' }, (session) => session.submit(moving, 2, { idempotencyKey: 'used' }))
  stage.policy = roles
  for (const who of principals.filter(({ id }) => id !== 'vic' && id !== 'rel')) {
    const session = stage.engine.as(who)
    const answers = ['used', 'free'].map((idempotencyKey) => submitted(session, { idempotencyKey }, []))
    const [used, free] = await Promise.all(answers)
    expect(used).toBe(free)
    expect(used).toContain('gives')
  }
})

test('100,000 pairs were tried, thousands of them on SQLite', () => {
  const all = [...tried.entries()]
  const sum = (entries: readonly (readonly [string, number])[]) =>
    entries.reduce((total, [, pairs]) => total + pairs, 0)
  expect(sum(all)).toBeGreaterThanOrEqual(100_000)
  expect(sum(all.filter(([name]) => name.includes('SQLite')))).toBeGreaterThanOrEqual(3_000)
})

afterAll(() => {
  console.log(`pairs: ${[...tried].map(([name, pairs]) => `${pairs} of ${name}`).join('; ')}`)
})
