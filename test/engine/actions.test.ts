import {
  defineJob,
  type JobActions,
  JobchartError,
  type Policy,
  queueExecutor,
  rolePolicy,
  task,
  type Verdict,
} from 'jobchart'
import { describe, expect, test } from 'vitest'
import { assign, setup } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, Work } from './bench.ts'

const NONE: JobActions = { commands: [], cancel: false, retry: false, delete: false }

const request = defineJob({
  type: 'request',
  commands: {
    approve: { schema: z.object({ note: z.string() }), by: { relation: 'others' } },
    raise: z.object({ by: z.number() }),
    close: z.object({}),
    cancel: z.object({}),
  },
  lifecycle: setup({
    types: { context: {} as { amount: number }, input: {} as { amount: number } },
    guards: {
      isSmall: ({ context }) => context.amount < 100,
      isMore: ({ event }) => (event as unknown as { by: number }).by > 0,
    },
  }).createMachine({
    context: ({ input }) => ({ amount: input.amount }),
    initial: 'open',
    on: { cancel: '.cancelled' },
    states: {
      open: {
        on: {
          approve: { guard: 'isSmall', target: 'approved' },
          raise: { guard: 'isMore', actions: assign({ amount: ({ context }) => context.amount + 1 }) },
        },
      },
      approved: { on: { close: 'closed' } },
      closed: { type: 'final' },
      cancelled: { type: 'final', tags: 'cancelled' },
    },
  }),
})

describe('actions', () => {
  test('lists the commands that the chart takes and the policy allows', async () => {
    const bench = new Bench()
    const { ada, admin } = await bench.start({ jobs: [request] })
    const { id } = await ada.submit(request, { amount: 5 })
    expect(await ada.actions(id)).toEqual({ commands: ['raise', 'cancel'], cancel: true, retry: false, delete: true })
    expect(await admin.actions(id)).toEqual({ ...NONE, commands: ['approve', 'raise'] })
    await admin.send(id, { type: 'approve', note: 'fine' })
    expect(await ada.actions(id)).toEqual({ commands: ['close', 'cancel'], cancel: true, retry: false, delete: true })
    await ada.send(id, { type: 'close' })
    expect(await ada.actions(id)).toEqual({ ...NONE, retry: true, delete: true })
    expect(await admin.actions(id)).toEqual(NONE)
  })

  test('a guard sees the context; a guard that needs fields of the event counts as allowed', async () => {
    const bench = new Bench()
    const { ada, admin } = await bench.start({ jobs: [request] })
    const { id } = await ada.submit(request, { amount: 500 })
    expect((await admin.actions(id)).commands).toEqual(['raise'])
    expect(await codeOf(admin.send(id, { type: 'approve', note: 'fine' }))).toBe('INVALID_STATE')
    expect(await bench.contents()).toContain('"amount":500')
  })

  test('calling actions changes nothing', async () => {
    const bench = new Bench()
    const { ada, heard } = await bench.start({ jobs: [request] })
    const { id } = await ada.submit(request, { amount: 5 })
    const before = [await bench.contents(), heard.length]
    await ada.actions(id)
    await ada.explain(id)
    expect([await bench.contents(), heard.length]).toEqual(before)
  })

  test('actions of many jobs covers the visible ones, with two reads in all', async () => {
    const bench = new Bench()
    const { ada, bob, admin, faults } = await bench.start({ jobs: [request] })
    const ids = await Promise.all([1, 2, 3].map(async (amount) => (await ada.submit(request, { amount })).id))
    const hidden = (await bob.submit(request, { amount: 1 })).id
    const reads = () => (['get', 'summary', 'summaries', 'many'] as const).map((method) => faults.calls(method))
    const before = reads()
    const known = await ada.actions([...ids, hidden, 'nobody', ids[0] ?? ''])
    expect(reads().map((calls, index) => calls - (before[index] ?? 0))).toEqual([0, 0, 1, 1])
    expect([...known.keys()].sort()).toEqual([...ids].sort())
    for (const id of ids) expect(known.get(id)).toEqual(await ada.actions(id))
    expect((await admin.actions([hidden])).get(hidden)).toEqual(await admin.actions(hidden))
    expect(await ada.actions([])).toEqual(new Map())
  })

  test.each([
    ['no list', 5],
    ['a list of what is no id', [5]],
    ['too many', Array(1_001).fill('x')],
  ])('are refused for %s', async (_, ids) => {
    const bench = new Bench()
    const { ada } = await bench.start({ jobs: [request] })
    expect(['INVALID_INPUT', 'JOB_NOT_FOUND']).toContain(await codeOf(ada.actions(ids as never)))
  })

  test('a child job has no actions that belong to its parent', async () => {
    const bench = new Bench()
    const child = setup({}).createMachine({ initial: 'on', states: { on: {} } })
    const parent = defineJob({
      type: 'parent',
      lifecycle: setup({ actors: { child } }).createMachine({ invoke: { src: 'child' } }),
    })
    const { ada } = await bench.start({ jobs: [parent] })
    const { id } = await ada.submit(parent, {})
    const { items } = await ada.list({ parentId: id })
    expect(items.map(({ type, parentId }) => [type, parentId])).toEqual([['parent/child', id]])
    expect(await ada.actions(items[0]?.id ?? '')).toEqual(NONE)
  })

  test('a caller for whom the state is redacted cannot infer it from actions or refusals', async () => {
    const bench = new Bench()
    const policy: Policy = {
      authorize: (_, action): Verdict => (action === 'submit' ? 'allow' : { redact: ['status'] }),
      scope: ({ tenant }) => [{ tenant }],
    }
    const { ada } = await bench.start({ jobs: [request], policy })
    const { id } = await ada.submit(request, { amount: 5 })
    const open = await ada.actions(id)
    await ada.send(id, { type: 'approve', note: '' })
    expect(await ada.actions(id)).toEqual(open)
    expect(await ada.explain(id)).toEqual([])
    const refused = await ada.send(id, { type: 'raise', by: 1 }).catch((error: unknown) => error)
    expect(refused).toBeInstanceOf(JobchartError)
    expect(refused).toMatchObject({ code: 'INVALID_STATE', message: 'the job does not take this' })
  })
})

describe('the sender of a command', () => {
  const command = (by: object) =>
    defineJob({
      type: 'c',
      commands: { act: { schema: z.object({}), by } },
      lifecycle: setup({}).createMachine({ on: { act: {} } }),
    })

  test('is restricted by the command’s `by`, which the policy is told', async () => {
    const bench = new Bench()
    const type = command({ roles: ['admin'], on: { system: ['owner'] } })
    const asked: unknown[] = []
    const policy = rolePolicy()
    const { engine } = await bench.start({
      jobs: [type],
      policy: {
        ...policy,
        authorize: (principal, action, target) => {
          if (action === 'command') asked.push(target.command)
          return policy.authorize(principal, action, target)
        },
      },
    })
    const owner = engine.as({ id: 'o', role: 'admin', relations: { 'system:7': 'owner' } })
    const reader = engine.as({ id: 'r', role: 'admin', relations: { 'system:7': 'reader', 'system:8': 'owner' } })
    const { id } = await owner.submit(type, {}, { labels: { system: '7' } })
    expect(await codeOf(reader.send(id, { type: 'act' }))).toBe('FORBIDDEN')
    expect(await codeOf(owner.send(id, { type: 'act' }))).not.toBe('FORBIDDEN')
    expect(asked[0]).toEqual({ name: 'act', isCancel: false, by: { roles: ['admin'], on: { system: ['owner'] } } })
  })

  test.each([
    ['a rule that is none', { relations: 'creator' }],
    ['a rule that is undefined', undefined as never],
    ['a relation that is none', { relation: 'friend' }],
    ['roles that are no list', { roles: 'admin' }],
    ['roles on a resource that are no list', { on: { system: 'owner' } }],
  ])('is refused if its `by` restricts nothing: %s', (_, by) => {
    expect(() => command(by)).toThrow(expect.objectContaining({ code: 'INVALID_DEFINITION' }))
  })
})

describe('explain', () => {
  test('says which work of a job runs, which stops, and how the job ended', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', execute: work.execute })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, 1)
    expect(await ada.explain(id)).toEqual([{ kind: 'running', task: 'execute', attempt: 1 }])
    await ada.cancel(id)
    expect(await ada.explain(id)).toEqual([
      { kind: 'settled', outcome: 'cancelled' },
      { kind: 'stopping', task: 'execute', until: expect.any(String) },
    ])
  })

  test('names the run that holds the slot only to callers who may see it', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', execute: new Work().execute })
    const { ada, bob, admin } = await bench.start({ jobs: [type] })
    const first = await ada.submit(type, 1, { pipeline: 'p' })
    const { id } = await bob.submit(type, 2, { pipeline: 'p', overlap: 'queue' })
    expect(await bob.explain(id)).toEqual([{ kind: 'slot', pipeline: 'p' }])
    expect(await admin.explain(id)).toEqual([{ kind: 'slot', pipeline: 'p', job: first.id }])
  })

  test('says until when a job waits, and how long a retry is delayed', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'w',
      retry: { limit: 1, backoff: '1m' },
      execute: () => Promise.reject(new Error('no')),
    })
    const { ada } = await bench.start({ jobs: [type] })
    const later = await ada.submit(type, 1, { startAt: '2030-01-01T00:00:00Z' })
    expect(await ada.explain(later.id)).toEqual([{ kind: 'startAt', at: '2030-01-01T00:00:00.000Z' }])
    const { id } = await ada.submit(type, 1)
    await bench.clock.settle()
    const [backoff] = await ada.explain(id)
    expect(backoff).toMatchObject({ kind: 'backoff', task: 'execute', attempt: 2, until: expect.any(String) })
  })

  test('says that a limit is reached, that no place is free, or that this engine does not work', async () => {
    const bench = new Bench()
    const limited = defineJob({ type: 'l', limits: { concurrency: 1 }, execute: new Work().execute })
    const plain = defineJob({ type: 'w', execute: new Work().execute })
    const { ada } = await bench.start({ jobs: [limited, plain], concurrency: 2 })
    await ada.submit(limited, 1)
    const second = await ada.submit(limited, 2)
    expect(await ada.explain(second.id)).toEqual([{ kind: 'limit', task: 'execute', concurrency: 1 }])
    await ada.submit(plain, 1)
    const third = await ada.submit(plain, 2)
    expect(await ada.explain(third.id)).toEqual([{ kind: 'busy', task: 'execute', executor: 'default' }])
    const idle = await bench.start({ jobs: [limited, plain], work: false })
    expect(await idle.ada.explain(third.id)).toEqual([{ kind: 'notHere', task: 'execute' }])
  })

  test('says only the time of a run whose pipeline is free, and that it is its turn once nothing else is in its way', async () => {
    const bench = new Bench()
    const known = defineJob({ type: 'known', execute: new Work().obedient })
    const unknown = defineJob({ type: 'unknown', execute: () => 1 })
    const first = await bench.start({ jobs: [known, unknown] })
    const startAt = '2030-01-01T00:00:00.000Z'
    const later = await first.ada.submit(known, 1, { pipeline: 'q', overlap: 'queue', startAt })
    expect(await first.ada.explain(later.id)).toEqual([{ kind: 'startAt', at: startAt }])
    const holder = await first.ada.submit(known, 1, { pipeline: 'p' })
    const { id } = await first.ada.submit(unknown, 1, { pipeline: 'p', overlap: 'queue' })
    await first.crash()
    // The other engine frees the slot, and does not know the type of the run that is next.
    const second = await bench.start({ jobs: [known] })
    await second.ada.cancel(holder.id)
    await bench.clock.settle()
    expect(await second.ada.explain(id)).toEqual([
      { kind: 'unknownVersion', type: 'unknown', version: '1' },
      { kind: 'turn', pipeline: 'p' },
    ])
  })

  test('says that a task waits for an executor that this engine lacks, or is about to begin', async () => {
    const bench = new Bench()
    const type = defineJob({ type: 'w', executor: 'gpu', execute: new Work().execute })
    const executors = { gpu: queueExecutor({ concurrency: 1 }) }
    const working = await bench.start({ jobs: [type], executors })
    const idle = await bench.start({ jobs: [type], executors, work: false })
    const { id } = await idle.ada.submit(type, 1)
    // An engine hears of what another one has stored by its next poll.
    expect(await working.ada.explain(id)).toEqual([{ kind: 'ready', task: 'execute' }])
    // A task keeps the executor that its type named when it was made.
    const renamed = await bench.start({ jobs: [defineJob({ type: 'w', execute: new Work().execute })] })
    expect(await renamed.ada.explain(id)).toEqual([{ kind: 'noExecutor', task: 'execute', executor: 'gpu' }])
  })

  test('says that the new attempt of an invoke waits for the code of its former one', async () => {
    const bench = new Bench()
    const work = new Work()
    const lifecycle = setup({ actors: { work: task({ killGrace: 'never' }, work.execute) } }).createMachine({
      initial: 'on',
      states: { on: { invoke: { src: 'work' }, on: { again: { target: 'on', reenter: true } } } },
    })
    const type = defineJob({ type: 'r', lifecycle, commands: { again: z.object({}) } })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type)
    await ada.send(id, { type: 'again' })
    const reasons = await ada.explain(id)
    expect(reasons.map(({ kind }) => kind).sort()).toEqual(['blocked', 'stopping'])
  })

  test('says that the report of a lost attempt is awaited', async () => {
    const bench = new Bench()
    const work = new Work()
    const type = defineJob({ type: 'w', recovery: 'await', execute: work.execute })
    const first = await bench.start({ jobs: [type] })
    const { id } = await first.ada.submit(type, 1)
    await bench.clock.settle()
    await first.crash()
    const second = await bench.start({ jobs: [type] })
    await bench.clock.settle()
    expect(await second.ada.explain(id)).toEqual([{ kind: 'lost', task: 'execute', attempt: 1 }])
    expect(work.runs).toHaveLength(1)
  })

  test('says which commands a job waits for, and when a timer falls due', async () => {
    const bench = new Bench()
    const type = defineJob({
      type: 'r',
      commands: { approve: z.object({ note: z.string() }), cancel: z.object({}) },
      lifecycle: setup({}).createMachine({
        initial: 'open',
        on: { cancel: '.over' },
        states: { open: { on: { approve: 'over' }, after: { 60000: 'over' } }, over: { type: 'final' } },
      }),
    })
    const { ada } = await bench.start({ jobs: [type] })
    const { id } = await ada.submit(type, {})
    expect(await ada.explain(id)).toEqual([
      { kind: 'timer', at: '2026-01-01T00:01:00.000Z' },
      { kind: 'command', commands: ['approve', 'cancel'] },
    ])
  })
})

test('I52 actions and explain answer for a hidden job as for a missing one', async () => {
  const bench = new Bench()
  const { ada, bob } = await bench.start({ jobs: [request] })
  const { id } = await ada.submit(request, { amount: 5 })
  for (const ask of [bob.actions, bob.explain] as const) expect(await codeOf(ask(id as never))).toBe('JOB_NOT_FOUND')
})

test('of a job whose type this engine does not know there are none, and explain says why', async () => {
  const bench = new Bench()
  const work = new Work()
  const type = defineJob({ type: 'other', execute: work.execute })
  const known = defineJob({ type: 'known', execute: () => 1 })
  const front = await bench.start({ jobs: [type], work: false })
  const away = await bench.start({ jobs: [known] })
  const { id } = await front.ada.submit(type)
  expect(await away.ada.actions(id)).toEqual(NONE)
  expect(await away.ada.explain(id)).toEqual([{ kind: 'unknownVersion', type: 'other', version: '1' }])
  for (const method of ['delete', 'cancel'] as const) expect(await codeOf(away.ada[method](id))).toBe('UNKNOWN_TYPE')
  await bench.start({ jobs: [type] })
  await bench.clock.advance(1_000)
  work.run().finish()
  await bench.clock.advance(1_000)
  expect(await away.ada.actions(id)).toEqual(NONE)
  expect(await away.ada.explain(id)).toEqual([{ kind: 'settled', outcome: 'success' }])
  for (const method of ['delete', 'retry'] as const) expect(await codeOf(away.ada[method](id))).toBe('UNKNOWN_TYPE')
  expect(await front.ada.actions(id)).toEqual({ ...NONE, retry: true, delete: true })
})

test('actions fail while the pipeline of a job cannot be read, rather than leave out its retry', async () => {
  const type = defineJob({ type: 'w', execute: () => 1 })
  const bench = new Bench()
  const { ada, faults } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type, undefined, { pipeline: 'p' })
  await bench.clock.settle()
  faults.plan('pipeline', 'refused')
  expect(await codeOf(ada.actions(id))).toBe('STORAGE_UNAVAILABLE')
  expect((await ada.actions(id)).retry).toBe(true)
})

test('retry is no action where `facts` of the type would refuse it', async () => {
  let isBroken = false
  const type = defineJob({
    type: 'w',
    execute: () => 1,
    facts: () => {
      if (isBroken) throw new Error('no')
      return {}
    },
  })
  const bench = new Bench()
  const { ada } = await bench.start({ jobs: [type] })
  const { id } = await ada.submit(type)
  await bench.clock.settle()
  expect((await ada.actions(id)).retry).toBe(true)
  isBroken = true
  expect((await ada.actions(id)).retry).toBe(false)
  expect(await codeOf(ada.retry(id))).not.toBe('ok')
})
