import { agentTask, defineJob, type JobView, type Json } from 'jobchart'
import type { AgentTransport, ClaimedTask } from 'jobchart/port'
import { describe, expect, test } from 'vitest'
import { assign, sendTo, setup } from 'xstate'
import { z } from 'zod'
import { Bench, type Host } from './bench.ts'

const LEASE_MS = 30_000

/** Work that says where it stands. */
const extract = setup({
  types: { context: {} as { input: { file: string }; output: Json }, input: {} as { file: string } },
  actors: {
    work: agentTask({
      function: '@viewer/extract',
      input: z.object({ file: z.string() }),
      output: z.array(z.string()),
      events: ['checking'],
      version: ({ input }) => (input.file.endsWith('.new') ? '2' : undefined),
    }),
  },
}).createMachine({
  context: ({ input }) => ({ input, output: null }),
  output: ({ context }) => context.output,
  initial: 'open',
  states: {
    open: {
      invoke: {
        id: 'work',
        src: 'work',
        input: ({ context }) => context.input,
        onDone: { target: 'completed', actions: assign({ output: ({ event }) => event.output }) },
        onError: 'failed',
      },
      initial: 'pending',
      states: {
        pending: { on: { cancel: '#canceled', 'task.claimed': 'claimed' } },
        claimed: { on: { 'task.started': 'running', 'task.lost': 'pending', 'task.released': 'pending' } },
        running: { on: { checking: 'checking', 'task.lost': '#failed', 'task.released': '#failed' } },
        checking: { on: { 'task.lost': '#failed' } },
      },
    },
    completed: { type: 'final', tags: 'success' },
    failed: { id: 'failed', type: 'final', tags: 'failure' },
    canceled: { id: 'canceled', type: 'final', tags: 'cancelled' },
  },
})

const job = defineJob({
  type: 'extract',
  input: z.object({ file: z.string() }),
  lifecycle: extract,
  commands: { cancel: z.object({}) },
})

async function started(bench = new Bench()): Promise<Host & { readonly bench: Bench }> {
  return { bench, ...(await bench.start({ jobs: [job] })) }
}

/** A registered agent of the tenant of all sessions here. */
async function agentOf(
  { engine }: Pick<Host, 'engine'>,
  id: string,
  {
    pools = [],
    functions = [{ name: '@viewer/extract', version: '2' }],
  }: Partial<Parameters<AgentTransport['register']>[0]> = {},
) {
  const agent = engine.asAgent({ id }).agents
  await agent.register({ name: id.toUpperCase(), pools, functions })
  return agent
}

const keyOf = ({ job: { id }, token }: ClaimedTask) => ({ job: id, token })
async function all<Item>(items: AsyncIterable<Item>): Promise<readonly Item[]> {
  const found: Item[] = []
  for await (const item of items) found.push(item)
  return found
}
const codeOf = (call: Promise<unknown>) =>
  call.then(
    () => 'ok',
    (error: { code: string }) => error.code,
  )
const statusOf = async (view: Promise<JobView>) => (await view).status

describe('an agent', () => {
  test('claims a task, reports on it and ends it', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    const { id } = await host.ada.submit(job, { file: 'x' })
    const [task, ...more] = await agent.claim()
    expect(more).toEqual([])
    expect(task).toMatchObject({
      job: { id, type: 'extract', trigger: 'manual' },
      task: 'work',
      function: '@viewer/extract',
      input: { file: 'x' },
      attempt: 1,
      leaseMs: LEASE_MS,
    })
    const claim = keyOf(task as ClaimedTask)
    expect(await host.ada.get(id)).toMatchObject({ status: 'claimed', agent: { id: 'a1', name: 'A1' } })
    await agent.started(claim)
    expect(await statusOf(host.ada.get(id))).toBe('running')
    await agent.event(claim, { type: 'checking' })
    await agent.done(claim, ['a', 'b'])
    expect(await host.ada.get(id)).toMatchObject({ outcome: 'success', output: ['a', 'b'], agent: { id: 'a1' } })
    expect(await codeOf(agent.done(claim, []))).toBe('STALE_CLAIM')
  })
})

describe('a claim', () => {
  test('waits until a task comes, and serves the agent that has waited longest', async () => {
    const host = await started()
    const [a1, a2] = [await agentOf(host, 'a1'), await agentOf(host, 'a2')]
    const first = a1.claim({ wait: '20s' })
    await host.bench.clock.settle()
    const second = a2.claim({ wait: '20s' })
    await host.bench.clock.settle()
    const one = await host.ada.submit(job, { file: '1' })
    expect((await first).map(({ job }) => job.id)).toEqual([one.id])
    const two = await host.ada.submit(job, { file: '2' })
    expect((await second).map(({ job }) => job.id)).toEqual([two.id])
  })

  test('ends without a task when its time is over, and at once without a wait', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    expect(await agent.claim()).toEqual([])
    const waiting = agent.claim({ wait: '20s' })
    let isOver = false
    void waiting.then(() => {
      isOver = true
    })
    await host.bench.clock.advance(19_999)
    expect(isOver).toBe(false)
    await host.bench.clock.advance(1)
    expect(await waiting).toEqual([])
    await host.ada.submit(job, { file: 'x' })
    await host.bench.clock.settle()
    expect(host.heard.map(({ type }) => type)).not.toContain('task.claimed')
  })

  test('takes at most as many tasks as it asks for', async () => {
    const host = await started()
    const [a1, a2] = [await agentOf(host, 'a1'), await agentOf(host, 'a2')]
    for (let n = 0; n < 5; n += 1) await host.ada.submit(job, { file: String(n) })
    expect(await a1.claim({ max: 3 })).toHaveLength(3)
    expect(await a2.claim({ max: 3, wait: '1s' })).toHaveLength(2)
  })

  test('that is aborted brings no task, and the task stays for others', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    const abort = new AbortController()
    const waiting = codeOf(agent.claim({ wait: '20s' }, { signal: abort.signal }))
    await host.bench.clock.settle()
    abort.abort(new Error('no more'))
    await waiting
    const { id } = await host.ada.submit(job, { file: 'x' })
    await host.bench.clock.settle()
    expect(await statusOf(host.ada.get(id))).toBe('pending')
    expect(await agent.claim()).toHaveLength(1)
  })

  test('that is aborted while its task is committed gives the task back', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    const abort = new AbortController()
    const claiming = agent.claim({ wait: '20s' }, { signal: abort.signal }).catch((error: unknown) => error)
    await host.bench.clock.settle()
    const stop = host.engine.on('job.transitioned', () => abort.abort(new Error('no more')))
    const { id } = await host.ada.submit(job, { file: 'x' })
    await claiming
    stop()
    await host.bench.clock.settle()
    const { status, agent: holder } = await host.ada.get(id)
    expect({ status, holder }).toEqual({ status: 'pending', holder: undefined })
    expect(await agent.claim()).toHaveLength(1)
  })

  test('ends when its agent registers again, because it may be of a process that has died', async () => {
    const host = await started()
    const dead = await agentOf(host, 'a1')
    const waiting = dead.claim({ wait: '60s' })
    await host.bench.clock.settle()
    const agent = await agentOf(host, 'a1')
    expect(await waiting).toEqual([])
    await host.ada.submit(job, { file: 'x' })
    expect(await agent.claim()).toHaveLength(1)
  })

  test('goes on when another agent registers', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    const waiting = agent.claim({ wait: '60s' })
    await host.bench.clock.settle()
    await agentOf(host, 'a2')
    const { id } = await host.ada.submit(job, { file: 'x' })
    expect((await waiting).map(({ job: claimed }) => claimed.id)).toEqual([id])
  })

  test('in an engine that stops ends with an error', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    const waiting = codeOf(agent.claim({ wait: '20s' }))
    await host.bench.clock.settle()
    await host.engine.stop()
    expect(await waiting).toBe('ENGINE_STOPPED')
  })

  test('works in an engine that runs no tasks itself', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs: [job], work: false })
    const agent = await agentOf(host, 'a1')
    await host.ada.submit(job, { file: 'x' })
    expect(await agent.claim()).toHaveLength(1)
  })

  test('in one process brings a job that another process has submitted', async () => {
    const bench = new Bench()
    const [front, back] = [await bench.start({ jobs: [job] }), await bench.start({ jobs: [job] })]
    const agent = await agentOf(back, 'a1')
    const waiting = agent.claim({ wait: '60s' })
    await bench.clock.settle()
    const { id } = await front.ada.submit(job, { file: 'x' })
    await bench.clock.advance(10_000)
    expect((await waiting).map(({ job: claimed }) => claimed.id)).toEqual([id])
  })

  test.each([
    ['max', { max: 0 }],
    ['max', { max: 101 }],
    ['wait', { wait: 'soon' }],
    ['often', { often: true }],
  ])('refuses a wrong %s', async (option, options) => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    await expect(agent.claim(options as never)).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringContaining(option),
    })
  })
})

describe('which agent gets a task', () => {
  const versions: readonly [string, string, string | undefined, string, boolean][] = [
    ['the function and version', '@viewer/extract', '2', 'x.new', true],
    ['another version', '@viewer/extract', '1', 'x.new', false],
    ['no version, for a task that asks for one', '@viewer/extract', undefined, 'x.new', false],
    ['a version, for a task that asks for none', '@viewer/extract', '1', 'x', true],
    ['no version, for a task that asks for none', '@viewer/extract', undefined, 'x', true],
    ['another function', '@viewer/other', '2', 'x', false],
  ]
  test.each(versions)('an agent with %s', async (_, name, version, file, isAble) => {
    const host = await started()
    const agent = await agentOf(host, 'a1', { functions: [version === undefined ? { name } : { name, version }] })
    const { id } = await host.ada.submit(job, { file })
    expect((await agent.claim()).map(({ job: claimed }) => claimed.id)).toEqual(isAble ? [id] : [])
    if (!isAble) expect(await codeOf(agent.claim({ job: id }))).toBe('FORBIDDEN')
  })

  test('a job that is assigned to an agent goes to that agent alone', async () => {
    const host = await started()
    const [a1, a2] = [await agentOf(host, 'a1'), await agentOf(host, 'a2')]
    const { id } = await host.ada.submit(job, { file: 'x' }, { assignment: { agent: 'a1' } })
    expect(await a2.claim()).toEqual([])
    expect(await codeOf(a2.claim({ job: id }))).toBe('FORBIDDEN')
    expect((await a1.claim({ job: id })).map(({ job: claimed }) => claimed.id)).toEqual([id])
    expect(await codeOf(a1.claim({ job: id }))).toBe('INVALID_STATE')
  })

  test('a job that is assigned to a pool goes to an agent of the pool', async () => {
    const host = await started()
    const outside = await agentOf(host, 'a1', { pools: ['slow'] })
    const inside = await agentOf(host, 'a2', { pools: ['slow', 'fast'] })
    const { id } = await host.ada.submit(job, { file: 'x' }, { assignment: { pool: 'fast' } })
    expect(await outside.claim()).toEqual([])
    expect(await inside.claim()).toHaveLength(1)
    expect(await host.ada.get(id)).toMatchObject({
      assignment: { pool: 'fast' },
      agent: { id: 'a2', name: 'A2', pool: 'fast' },
    })
  })

  test('an agent that leaves the pool gets no more of its tasks', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1', { pools: ['fast'] })
    await agentOf(host, 'a1', { pools: [] })
    await host.ada.submit(job, { file: 'x' }, { assignment: { pool: 'fast' } })
    expect(await agent.claim()).toEqual([])
  })

  test('agents of another tenant see nothing of the job', async () => {
    const host = await started()
    const other = host.engine.asAgent({ id: 'a1', tenant: 'other' }).agents
    await other.register({ functions: [{ name: '@viewer/extract' }] })
    const { id } = await host.ada.submit(job, { file: 'x' })
    expect(await other.claim()).toEqual([])
    expect(await codeOf(other.claim({ job: id }))).toBe('JOB_NOT_FOUND')
    const own = await agentOf(host, 'a1')
    const [claimed] = await own.claim()
    const claim = keyOf(claimed as ClaimedTask)
    expect(await codeOf(other.done(claim, []))).toBe('STALE_CLAIM')
    expect((await other.heartbeat({ claims: [claim] })).claims).toMatchObject([{ state: 'gone' }])
    expect((await own.heartbeat({ claims: [claim] })).claims).toMatchObject([{ state: 'held' }])
  })

  test('two agents that claim one job at once: one gets it', async () => {
    const host = await started()
    const [a1, a2] = [await agentOf(host, 'a1'), await agentOf(host, 'a2')]
    const { id } = await host.ada.submit(job, { file: 'x' })
    const codes = await Promise.all([codeOf(a1.claim({ job: id })), codeOf(a2.claim({ job: id }))])
    expect(codes.sort()).toEqual(['INVALID_STATE', 'ok'])
  })

  test('explain says that no agent can run the task, or which agents may', async () => {
    const host = await started()
    const { id } = await host.ada.submit(job, { file: 'x.new' }, { assignment: { pool: 'fast' } })
    await agentOf(host, 'old', { pools: ['fast'], functions: [{ name: '@viewer/extract', version: '1' }] })
    const asked = {
      kind: 'noAgent',
      task: 'work',
      function: '@viewer/extract',
      version: '2',
      assignment: { pool: 'fast' },
    }
    expect(await host.ada.explain(id)).toEqual([asked])
    const agent = await agentOf(host, 'new', { pools: ['fast'] })
    expect(await host.ada.explain(id)).toMatchObject([
      { kind: 'waitsForAgent', agents: [{ id: 'new', name: 'NEW', seenAt: expect.any(String) }] },
    ])
    const [task] = await agent.claim()
    const held = { task: 'work', attempt: 1, agent: { id: 'new', name: 'NEW', pool: 'fast' } }
    expect(await host.ada.explain(id)).toEqual([{ kind: 'claimed', ...held }])
    await agent.started(keyOf(task as ClaimedTask))
    expect(await host.ada.explain(id)).toEqual([{ kind: 'running', ...held }])
  })
})

/** A job whose task one agent holds. */
async function claimed(file = 'x') {
  const host = await started()
  const agent = await agentOf(host, 'a1')
  const { id } = await host.ada.submit(job, { file })
  const [task] = await agent.claim()
  const claim = keyOf(task as ClaimedTask)
  return { ...host, agent, id, claim, status: () => statusOf(host.ada.get(id)) }
}

describe('a lease', () => {
  test('that no heartbeat renews ends, and the task goes to another agent', async () => {
    const { bench, id, status, agent, claim, ...host } = await claimed()
    await bench.clock.advance(LEASE_MS - 1)
    expect(await status()).toBe('claimed')
    await bench.clock.advance(1)
    expect(await host.ada.get(id)).toMatchObject({ status: 'pending' })
    expect((await host.ada.get(id)).agent).toBeUndefined()
    const other = await agentOf(host, 'a2')
    const [again] = await other.claim()
    expect(again?.token).toBeGreaterThan(claim.token)
    expect((await host.ada.get(id)).agent).toEqual({ id: 'a2', name: 'A2' })
    expect(await codeOf(agent.done(claim, []))).toBe('STALE_CLAIM')
    await other.started(keyOf(again as ClaimedTask))
    await other.done(keyOf(again as ClaimedTask), ['late'])
    expect((await host.ada.get(id)).output).toEqual(['late'])
  })

  test('lasts as long as heartbeats name it', async () => {
    const { bench, agent, claim, status } = await claimed()
    for (let n = 0; n < 5; n += 1) {
      await bench.clock.advance(LEASE_MS - 1)
      const { claims, leaseMs } = await agent.heartbeat({ claims: [claim] })
      expect({ leaseMs, state: claims[0]?.state }).toEqual({ leaseMs: LEASE_MS, state: 'held' })
    }
    await agent.heartbeat({ claims: [] })
    await bench.clock.advance(LEASE_MS)
    expect(await status()).toBe('pending')
  })

  test('is renewed without a write of the job', async () => {
    const { bench, agent, claim, id } = await claimed()
    const before = await bench.row(id)
    for (let n = 0; n < 3; n += 1) await agent.heartbeat({ claims: [claim] })
    expect(await bench.row(id)).toEqual(before)
  })

  const late: readonly [string, (agent: AgentTransport, claim: { job: string; token: number }) => Promise<unknown>][] =
    [
      ['started', (agent, claim) => agent.started(claim)],
      ['progress', (agent, claim) => agent.progress(claim, 0.5)],
      ['log', (agent, claim) => agent.log(claim, [{ text: 'late' }])],
      ['item', (agent, claim) => agent.item(claim, 'late')],
      ['step', (agent, claim) => agent.step(claim, 'late', 1)],
      ['event', (agent, claim) => agent.event(claim, { type: 'checking' })],
      ['done', (agent, claim) => agent.done(claim, [])],
      ['fail', (agent, claim) => agent.fail(claim, { message: 'late' })],
      ['exit', (agent, claim) => agent.exit(claim, 0)],
      ['release', (agent, claim) => agent.release(claim)],
    ]
  test.each(late)('that has ended makes "%s" stale, before and after the sweep', async (_, call) => {
    const { bench, faults, agent, claim, id, ada } = await claimed()
    // The sweeps do not find the lease.
    faults.plan('expiredLeases', ...Array<'refused'>(1_000).fill('refused'))
    await bench.clock.advance(LEASE_MS)
    const before = await bench.contents()
    expect((await bench.row(id)).tasks[0]?.status).toBe('claimed')
    expect(await codeOf(call(agent, claim))).toBe('STALE_CLAIM')
    expect(await bench.contents()).toBe(before)
    faults.heal()
    await bench.clock.advance(60_000)
    expect((await bench.row(id)).tasks[0]?.status).toBe('available')
    const after = await bench.contents()
    expect(await codeOf(call(agent, claim))).toBe('STALE_CLAIM')
    expect(await bench.contents()).toBe(after)
    expect(await all(ada.logs(id))).toEqual([])
  })

  test('that ends three times in a row makes the task poison', async () => {
    const work = setup({ actors: { work: agentTask({ function: '@viewer/extract' }) } }).createMachine({
      initial: 'on',
      states: {
        on: { invoke: { src: 'work', onDone: 'over', onError: 'failed' } },
        over: { type: 'final' },
        failed: { type: 'final', tags: 'failure' },
      },
    })
    const plain = defineJob({ type: 'plain', lifecycle: work })
    const bench = new Bench()
    const host = await bench.start({ jobs: [plain] })
    const agent = await agentOf(host, 'a1')
    const { id } = await host.ada.submit(plain)
    for (let n = 0; n < 3; n += 1) {
      const [task] = await agent.claim({ wait: '20s' })
      await agent.started(keyOf(task as ClaimedTask))
      await bench.clock.advance(LEASE_MS)
    }
    expect(await host.ada.get(id)).toMatchObject({ status: 'failed', outcome: 'failure' })
  })

  test('that ends before the code has begun is no crash, however often that happens', async () => {
    const { bench, agent, id, ada } = await claimed()
    for (let n = 0; n < 5; n += 1) {
      await bench.clock.advance(LEASE_MS)
      expect((await ada.get(id)).status).toBe('pending')
      expect(await agent.claim()).toHaveLength(1)
    }
  })

  test('goes on over a restart of the only engine, and reports arrive at the new one', async () => {
    const { bench, claim, id, ...host } = await claimed()
    await host.crash()
    await bench.clock.advance(LEASE_MS * 3)
    const next = await bench.start({ jobs: [job] })
    await bench.clock.advance(LEASE_MS - 1)
    const agent = next.engine.asAgent({ id: 'a1' }).agents
    await agent.started(claim)
    expect((await next.ada.get(id)).status).toBe('running')
    await bench.clock.advance(1)
    expect((await next.ada.get(id)).status).toBe('failed')
  })

  test('is not made longer by the start of another engine', async () => {
    const { bench, id, ada } = await claimed()
    await bench.clock.advance(LEASE_MS - 1)
    await bench.start({ jobs: [job] })
    await bench.clock.advance(1)
    expect((await ada.get(id)).status).toBe('pending')
  })
})

describe('reports', () => {
  test('progress, log lines, items and steps are stored with the job', async () => {
    const { agent, claim, id, ada, admin } = await claimed()
    await agent.started(claim)
    await agent.progress(claim, { completed: 1, total: 4, failed: 1 })
    await agent.log(claim, [{ text: 'one' }, { text: 'two', stream: 'stderr' }])
    await agent.item(claim, 'page-1', { status: 'failed', message: 'torn' })
    await agent.step(claim, 'unpack', { files: 3 })
    expect((await ada.get(id)).progress).toMatchObject({ completed: 1, total: 4, failed: 1 })
    const lines = await all(ada.logs(id))
    expect(lines.map(({ text, stream }) => [text, stream])).toEqual([
      ['one', undefined],
      ['two', 'stderr'],
    ])
    expect(await all(ada.items(id))).toMatchObject([{ key: 'page-1', status: 'failed' }])
    await agent.release(claim)
    expect(await statusOf(admin.get(id))).toBe('failed')
  })

  test('progress without a number is refused, no lines are no report, and a report after the end is stale', async () => {
    const { agent, claim, id, ada } = await claimed()
    await agent.started(claim)
    expect(await codeOf(agent.progress(claim, Number.NaN))).toBe('INVALID_INPUT')
    await agent.progress(claim, { completed: 1, total: 4 })
    await agent.progress(claim, 3)
    expect((await ada.get(id)).progress).toMatchObject({ completed: 3, total: 4 })
    await agent.log(claim, [])
    expect(await all(ada.logs(id))).toEqual([])
    await agent.event(claim, { type: 'checking' })
    await agent.done(claim, [])
    const late = [
      agent.progress(claim, 4),
      agent.event(claim, { type: 'checking' }),
      agent.item(claim, 'late'),
      agent.step(claim, 'late', 1),
      agent.started(claim),
      agent.release(claim),
    ]
    expect(await Promise.all(late.map(codeOf))).toEqual(late.map(() => 'STALE_CLAIM'))
  })

  test('what an attempt has recorded is given to the next one', async () => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    const { id } = await host.ada.submit(job, { file: 'x' })
    const [first] = await agent.claim()
    await agent.step(keyOf(first as ClaimedTask), 'unpack', { files: 3 })
    await agent.step(keyOf(first as ClaimedTask), 'nothing')
    await agent.progress(keyOf(first as ClaimedTask), 0.5)
    await agent.release(keyOf(first as ClaimedTask))
    const [second] = await agent.claim()
    expect(second).toMatchObject({ attempt: 1, job: { id }, idempotencyKey: first?.idempotencyKey })
    expect(second?.steps).toHaveLength(2)
    expect(second?.steps).toEqual(
      expect.arrayContaining([{ name: 'unpack', result: { files: 3 } }, { name: 'nothing' }]),
    )
    expect(second?.reported).toBeDefined()
  })

  test('an event that the chart does not take now changes nothing', async () => {
    const { agent, claim, bench } = await claimed()
    const before = await bench.contents()
    expect(await codeOf(agent.event(claim, { type: 'checking' }))).toBe('INVALID_STATE')
    expect(await bench.contents()).toBe(before)
    await agent.started(claim)
    expect(await codeOf(agent.event(claim, { type: 'checking' }))).toBe('ok')
  })

  test('an event that the task does not name is refused', async () => {
    const { agent, claim } = await claimed()
    expect(await codeOf(agent.event(claim, { type: 'cancel' }))).toBe('INVALID_INPUT')
    expect(await codeOf(agent.event(claim, { type: 'xstate.done.actor.work' }))).toBe('INVALID_INPUT')
  })

  test('an end that the chart does not take now changes nothing, and the claim stays', async () => {
    const guarded = setup({ actors: { work: agentTask({ function: '@viewer/extract' }) } }).createMachine({
      initial: 'on',
      states: {
        on: {
          invoke: {
            id: 'work',
            src: 'work',
            onDone: { guard: ({ event }) => event.output === 'right', target: 'over' },
          },
        },
        over: { type: 'final' },
      },
    })
    const plain = defineJob({ type: 'plain', lifecycle: guarded })
    const bench = new Bench()
    const host = await bench.start({ jobs: [plain] })
    const agent = await agentOf(host, 'a1')
    const { id } = await host.ada.submit(plain)
    const [task] = await agent.claim()
    const before = await bench.contents()
    expect(await codeOf(agent.done(keyOf(task as ClaimedTask), 'wrong'))).toBe('INVALID_STATE')
    expect(await bench.contents()).toBe(before)
    await agent.done(keyOf(task as ClaimedTask), 'right')
    expect((await host.ada.get(id)).outcome).toBe('success')
  })

  test('an output that does not fit is refused, and the claim stays', async () => {
    const { agent, claim } = await claimed()
    expect(await codeOf(agent.done(claim, { not: 'a list' }))).toBe('INVALID_INPUT')
    expect((await agent.heartbeat({ claims: [claim] })).claims[0]?.state).toBe('held')
  })

  test('a failure, and an exit code, end the task', async () => {
    for (const [end, error] of [
      [(agent: AgentTransport, claim: never) => agent.fail(claim, { message: 'torn' }), { message: 'torn' }],
      [(agent: AgentTransport, claim: never) => agent.exit(claim, 3, { message: 'bad file' }), { exitCode: 3 }],
    ] as const) {
      const { agent, claim, id, ada } = await claimed()
      await agent.started(claim)
      await end(agent, claim as never)
      expect(await ada.get(id)).toMatchObject({ status: 'failed', outcome: 'failure' })
      void error
    }
  })

  test('a failed attempt is retried as the task says, by any agent', async () => {
    const work = setup({
      actors: {
        work: agentTask({ function: '@viewer/extract', retry: { limit: 3, backoff: '10s' } }),
      },
    }).createMachine({
      initial: 'on',
      states: {
        on: { invoke: { src: 'work', onDone: 'over', onError: 'failed' } },
        over: { type: 'final' },
        failed: { type: 'final', tags: 'failure' },
      },
    })
    const plain = defineJob({ type: 'plain', lifecycle: work })
    const bench = new Bench()
    const host = await bench.start({ jobs: [plain] })
    const [a1, a2] = [await agentOf(host, 'a1'), await agentOf(host, 'a2')]
    await host.ada.submit(plain)
    const [first] = await a1.claim()
    await a1.fail(keyOf(first as ClaimedTask), { message: 'torn' })
    expect(await a2.claim()).toEqual([])
    const waiting = a2.claim({ wait: '60s' })
    await bench.clock.advance(10_000)
    const [second] = await waiting
    expect(second).toMatchObject({ attempt: 2, idempotencyKey: first?.idempotencyKey })
    await a2.fail(keyOf(second as ClaimedTask), { message: 'torn' }, { isFinal: true })
    await bench.clock.advance(600_000)
    expect(await a1.claim()).toEqual([])
  })

  test('a second start, or none, is no error', async () => {
    const { agent, claim, status } = await claimed()
    await agent.started(claim)
    await agent.started(claim)
    expect(await status()).toBe('running')
    const other = await claimed()
    await other.agent.done(other.claim, ['a'])
    expect((await other.ada.get(other.id)).outcome).toBe('success')
  })

  test('history names the agent', async () => {
    const { agent, claim, id, ada } = await claimed()
    await agent.started(claim)
    await agent.done(claim, [])
    const history = await ada.history(id)
    expect(history.map(({ to, by }) => [to, by.kind, by.id])).toEqual([
      ['pending', 'user', 'ada'],
      ['claimed', 'agent', 'a1'],
      ['running', 'agent', 'a1'],
      ['completed', 'agent', 'a1'],
    ])
  })

  const wrong: readonly [string, (agent: AgentTransport, claim: never) => Promise<unknown>][] = [
    ['claim', (agent) => agent.done({} as never, [])],
    ['token', (agent, claim) => agent.done({ ...(claim as object), token: '1' } as never, [])],
    ['other', (agent, claim) => agent.done({ ...(claim as object), other: 1 } as never, [])],
    ['lines', (agent, claim) => agent.log(claim, 'line' as never)],
    ['text', (agent, claim) => agent.log(claim, [{ text: 1 } as never])],
    ['lines', (agent, claim) => agent.log(claim, Array(1_001).fill({ text: 'x' }))],
    ['exitCode', (agent, claim) => agent.exit(claim, 0.5)],
    ['isFinal', (agent, claim) => agent.fail(claim, null, { isFinal: 1 } as never)],
    ['progress', (agent, claim) => agent.progress(claim, 'half' as never)],
    ['key', (agent, claim) => agent.item(claim, 1 as never)],
    ['name', (agent, claim) => agent.step(claim, 1 as never)],
    ['result', (agent, claim) => agent.step(claim, 'x', (() => 1) as never)],
    ['event', (agent, claim) => agent.event(claim, 'checking' as never)],
    ['error', (agent, claim) => agent.fail(claim, (() => 1) as never)],
    ['claims', (agent) => agent.heartbeat({} as never)],
    ['claims', (agent, claim) => agent.heartbeat({ claims: Array(1_001).fill(claim) })],
  ]
  test.each(wrong)('a wrong %s is refused, and nothing is stored', async (_, call) => {
    const { agent, claim, bench } = await claimed()
    const before = await bench.contents()
    expect(['INVALID_INPUT', 'NOT_STORABLE']).toContain(await codeOf(call(agent, claim as never)))
    expect(await bench.contents()).toBe(before)
  })
})

/** A job whose chart can leave its task and send messages to it. */
const stoppable = defineJob({
  type: 'stoppable',
  lifecycle: setup({ actors: { work: agentTask({ function: '@viewer/extract', killGrace: '10s' }) } }).createMachine({
    initial: 'on',
    states: {
      on: {
        invoke: { id: 'work', src: 'work', onDone: 'over', onError: 'over' },
        on: {
          leave: 'left',
          say: { actions: sendTo('work', ({ event }) => ({ type: 'said', text: event.text })) },
          rest: { actions: sendTo('work', { type: 'task.stop' }) },
          drain: { actions: sendTo('work', { type: 'task.drain' }) },
        },
      },
      left: { on: { again: 'on' } },
      over: { type: 'final' },
    },
  }),
  commands: {
    leave: z.object({}),
    say: z.object({ text: z.string() }),
    rest: z.object({}),
    drain: z.object({}),
    again: z.object({}),
  },
})

async function holding() {
  const bench = new Bench()
  const host = await bench.start({ jobs: [stoppable] })
  const agent = await agentOf(host, 'a1')
  const { id } = await host.ada.submit(stoppable)
  const [task] = await agent.claim()
  const claim = keyOf(task as ClaimedTask)
  await agent.started(claim)
  const beat = async (held: object = {}) => (await agent.heartbeat({ claims: [{ ...claim, ...held }] })).claims[0]
  return { ...host, bench, agent, id, claim, beat }
}

describe('what reaches an agent', () => {
  test('a stop arrives with the next heartbeat, and at once where one waits', async () => {
    const { agent, claim, beat, ada, id, bench } = await holding()
    const waiting = agent.heartbeat({ claims: [claim], wait: '10s' })
    await bench.clock.settle()
    await ada.send(id, { type: 'leave' })
    expect((await waiting).claims).toMatchObject([{ state: 'stopping', reason: { code: 'TASK_STOPPED' } }])
    expect(await beat()).toMatchObject({ state: 'stopping' })
    await agent.done(claim)
    expect((await bench.row(id)).tasks).toEqual([])
    expect(await beat()).toMatchObject({ state: 'gone', reason: { code: 'STALE_CLAIM' } })
  })

  test('a heartbeat that knows of the stop waits for the next news', async () => {
    const { agent, claim, ada, id, bench } = await holding()
    await ada.send(id, { type: 'leave' })
    await bench.clock.advance(5_000)
    const waiting = agent.heartbeat({ claims: [{ ...claim, state: 'stopping' }], wait: '60s' })
    let isOver = false
    void waiting.then(() => {
      isOver = true
    })
    await bench.clock.advance(4_999)
    expect(isOver).toBe(false)
    await bench.clock.advance(2_001)
    expect((await waiting).claims).toMatchObject([{ state: 'killing' }])
  })

  test('an agent that is told to kill and does not answer loses the task with its lease', async () => {
    const { bench, id, ada } = await holding()
    await ada.send(id, { type: 'leave' })
    await bench.clock.advance(LEASE_MS - 1)
    expect((await bench.row(id)).tasks).toMatchObject([{ status: 'stopping' }])
    await bench.clock.advance(1)
    expect((await bench.row(id)).tasks).toEqual([])
  })

  test('a task is not given to another agent before the first has stopped', async () => {
    const { agent, claim, ada, id, ...host } = await holding()
    const other = await agentOf(host, 'a2')
    await ada.send(id, { type: 'leave' })
    await ada.send(id, { type: 'again' })
    expect(await other.claim()).toEqual([])
    expect(await codeOf(other.claim({ job: id }))).toBe('INVALID_STATE')
    await agent.release(claim)
    expect(await other.claim({ job: id })).toHaveLength(1)
  })

  test('messages of the chart arrive in order, once each', async () => {
    const { agent, claim, beat, ada, id, bench } = await holding()
    const waiting = agent.heartbeat({ claims: [claim], wait: '10s' })
    await bench.clock.settle()
    await ada.send(id, { type: 'say', text: 'one' })
    expect((await waiting).claims[0]?.messages).toEqual([{ type: 'said', text: 'one' }])
    await ada.send(id, { type: 'say', text: 'two' })
    expect(await beat({ messages: 1 })).toMatchObject({ state: 'held', messages: [{ type: 'said', text: 'two' }] })
    expect(await beat({ messages: 2 })).toMatchObject({ messages: [] })
  })

  test('a stop that the chart sends as a message is a stop', async () => {
    const { beat, ada, id } = await holding()
    await ada.send(id, { type: 'rest' })
    expect(await beat()).toMatchObject({ state: 'stopping', reason: { code: 'TASK_STOPPED' }, messages: [] })
  })

  test('a drain arrives with the next heartbeat, the agent keeps the task, and so does the next one', async () => {
    const { agent, beat, claim, ada, id } = await holding()
    expect(await beat()).not.toHaveProperty('draining')
    await ada.send(id, { type: 'drain' })
    expect(await beat()).toMatchObject({ state: 'held', draining: true })
    await agent.release(claim)
    expect(await agent.claim()).toMatchObject([{ job: { id }, draining: true }])
  })

  test('an agent counts as running a task until it has stopped', async () => {
    const { agent, claim, ada, admin, id } = await holding()
    await ada.send(id, { type: 'leave' })
    expect((await admin.agents.list()).items).toMatchObject([{ id: 'a1', running: 1, jobs: [id] }])
    await agent.done(claim)
    expect((await admin.agents.list()).items).toMatchObject([{ id: 'a1', running: 0, jobs: [] }])
  })

  test('a deleted job tells its agent to stop', async () => {
    const { beat, ada, id, agent, claim } = await holding()
    await ada.send(id, { type: 'leave' })
    await agent.done(claim)
    await ada.delete(id).catch(() => {})
    expect(await beat()).toMatchObject({ state: 'gone' })
  })

  test('a timeout arrives as a stop', async () => {
    const work = setup({ actors: { work: agentTask({ function: '@viewer/extract', timeout: '5s' }) } }).createMachine({
      initial: 'on',
      states: {
        on: { invoke: { src: 'work', onDone: 'over', onError: 'failed' } },
        over: { type: 'final' },
        failed: { type: 'final', tags: 'failure' },
      },
    })
    const slow = defineJob({ type: 'slow', lifecycle: work })
    const bench = new Bench()
    const host = await bench.start({ jobs: [slow] })
    const agent = await agentOf(host, 'a1')
    const { id } = await host.ada.submit(slow)
    const [task] = await agent.claim()
    const claim = keyOf(task as ClaimedTask)
    await bench.clock.advance(10_000)
    expect((await agent.heartbeat({ claims: [claim] })).claims).toMatchObject([{ state: 'held' }])
    await agent.started(claim)
    await bench.clock.advance(5_000)
    expect((await agent.heartbeat({ claims: [claim] })).claims).toMatchObject([
      { state: 'stopping', reason: { code: 'TIMEOUT' } },
    ])
    await agent.fail(claim, { message: 'stopped' })
    expect((await host.ada.get(id)).status).toBe('failed')
  })
})

describe('the rights of agents', () => {
  test('an agent with too many functions in too many pools is refused', async () => {
    const { engine } = await started()
    const { agents } = engine.asAgent({ id: 'a1' })
    const pools = Array.from({ length: 99 }, (_, index) => `p${index}`)
    const functions = Array.from({ length: 51 }, (_, index) => ({ name: `f${index}` }))
    expect(await codeOf(agents.register({ pools, functions }))).toBe('INVALID_INPUT')
    expect(await codeOf(agents.register({ pools, functions: functions.slice(1) }))).toBe('ok')
  })

  test('a person cannot claim or report, and an agent cannot read, submit or manage', async () => {
    const { ada, engine, id, claim } = await claimed()
    expect(await codeOf(ada.agents.register({ functions: [{ name: 'x' }] }))).toBe('FORBIDDEN')
    expect(await codeOf(ada.agents.claim())).toBe('FORBIDDEN')
    expect(await codeOf(ada.agents.heartbeat({ claims: [claim] }))).toBe('FORBIDDEN')
    expect(await codeOf(ada.agents.done(claim))).toBe('FORBIDDEN')
    const agent = engine.asAgent({ id: 'a1' })
    expect(await codeOf(agent.get(id))).toBe('JOB_NOT_FOUND')
    expect(await codeOf(agent.list())).toBe('FORBIDDEN')
    expect(await codeOf(agent.submit(job, { file: 'x' }))).toBe('FORBIDDEN')
    expect(await codeOf(agent.agents.list())).toBe('FORBIDDEN')
    expect(await codeOf(agent.agents.enroll())).toBe('FORBIDDEN')
  })

  test('an agent that has not registered cannot claim', async () => {
    const { engine } = await started()
    expect(await codeOf(engine.asAgent({ id: 'new' }).agents.claim())).toBe('FORBIDDEN')
  })

  test('an enrolled agent is known by its credential, until it is revoked', async () => {
    const host = await started()
    const { id, credential } = await host.admin.agents.enroll({ name: 'Box 1', pools: ['fast'] })
    expect(await codeOf(host.ada.agents.enroll())).toBe('FORBIDDEN')
    const agent = (await host.engine.authenticateAgent(credential)).agents
    expect(await codeOf(agent.register({ pools: ['slow'], functions: [{ name: '@viewer/extract' }] }))).toBe(
      'FORBIDDEN',
    )
    await agent.register({ pools: ['fast'], functions: [{ name: '@viewer/extract' }] })
    const { id: jobId } = await host.ada.submit(job, { file: 'x' })
    const [task] = await agent.claim()
    const claim = keyOf(task as ClaimedTask)
    expect((await host.ada.get(jobId)).agent).toEqual({ id, name: 'Box 1' })
    expect(JSON.stringify(await (await host.bench.probe()).agents({ limit: 10 }))).not.toContain(credential)
    expect(await codeOf(host.ada.agents.revoke(id))).toBe('FORBIDDEN')
    await host.admin.agents.revoke(id)
    expect(await codeOf(agent.done(claim, []))).toBe('STALE_CLAIM')
    expect(await codeOf(agent.claim())).toBe('FORBIDDEN')
    expect(await codeOf(agent.heartbeat({ claims: [claim] }))).toBe('FORBIDDEN')
    expect(await codeOf(agent.register({ functions: [{ name: 'x' }] }))).toBe('FORBIDDEN')
    expect(await codeOf(host.engine.authenticateAgent(credential))).toBe('FORBIDDEN')
    expect(await codeOf(host.admin.agents.revoke(id))).toBe('AGENT_NOT_FOUND')
    const again = await host.admin.agents.enroll({ id })
    expect(await codeOf(agent.register({ functions: [{ name: 'x' }] }))).toBe('FORBIDDEN')
    await expect(host.admin.agents.enroll({ id })).rejects.toMatchObject({
      code: 'INVALID_INPUT',
      message: `id is taken: there is an agent "${id}". To enroll it anew, revoke it first; or choose another id`,
      issues: [{ path: ['id'] }],
    })
    const renewed = await host.engine.authenticateAgent(again.credential)
    expect(await codeOf(renewed.agents.register({ functions: [{ name: 'x' }] }))).toBe('ok')
    await host.bench.clock.advance(1)
    expect(await statusOf(host.ada.get(jobId))).toBe('pending')
  })

  test('an id that is no well-formed text names no agent, not even one that a storage would take it for', async () => {
    const host = await started()
    const agent = await agentOf(host, '\ufffd')
    expect(await codeOf(host.admin.agents.revoke('\ud800'))).toBe('AGENT_NOT_FOUND')
    expect(await codeOf(agent.claim())).toBe('ok')
  })

  test('agents and pools are listed with what they run, when they last called, and who enrolled them', async () => {
    const host = await started()
    await host.admin.agents.enroll({ id: 'later', pools: ['fast'] })
    const a1 = await agentOf(host, 'a1', { pools: ['fast'] })
    await agentOf(host, 'a2', { pools: ['fast', 'slow'], functions: [{ name: 'other' }] })
    const { id } = await host.bob.submit(job, { file: 'x' })
    await host.bench.clock.advance(1_000)
    await a1.claim()
    await host.bench.clock.advance(10_000)
    const page = await host.ada.agents.list({ limit: 2 })
    expect(page.items).toMatchObject([
      {
        id: 'a1',
        name: 'A1',
        createdBy: 'a1',
        pools: ['fast'],
        running: 1,
        jobs: [],
        seenAt: '2026-01-01T00:00:01.000Z',
      },
      { id: 'a2', running: 0, functions: [{ name: 'other' }] },
    ])
    const rest = await host.ada.agents.list({
      limit: 2,
      ...(page.nextCursor === undefined ? {} : { cursor: page.nextCursor }),
    })
    expect(rest.items).toMatchObject([{ id: 'later', createdBy: 'root', functions: [] }])
    expect(rest.nextCursor).toBeUndefined()
    expect((await host.admin.agents.list()).items[0]?.jobs).toEqual([id])
    expect(await host.ada.agents.pools()).toEqual([
      {
        name: 'fast',
        agents: ['a1', 'a2'],
        functions: [{ name: '@viewer/extract', version: '2' }, { name: 'other' }],
        seenAt: expect.any(String),
        running: 1,
      },
      { name: 'slow', agents: ['a2'], functions: [{ name: 'other' }], seenAt: expect.any(String), running: 0 },
    ])
  })

  test('a pool whose agents have never called is listed, and pools are sorted by name', async () => {
    const host = await started()
    await host.admin.agents.enroll({ id: 'later', pools: ['slow', 'fast'] })
    expect(await host.ada.agents.pools()).toEqual([
      { name: 'fast', agents: [], functions: [], running: 0 },
      { name: 'slow', agents: [], functions: [], running: 0 },
    ])
  })

  test('a pool lists all of its agents, also more than one read gives', async () => {
    const host = await started()
    const probe = await host.bench.probe()
    const names = Array.from({ length: 1_001 }, (_, number) => `a${String(number).padStart(4, '0')}`)
    await Promise.all(
      names.map((id) =>
        probe.putAgent({
          ...{ tenant: 'default', id, name: id, createdBy: 'root', pools: ['fast'], functions: [] },
          ...{ createdAt: 1, revision: 1 },
        }),
      ),
    )
    expect((await host.ada.agents.pools()).map(({ agents }) => agents)).toEqual([names])
  })

  test('the engine’s own session lists the agents of all tenants', async () => {
    const host = await started()
    await agentOf(host, 'a1')
    const other = host.engine.asAgent({ id: 'a2', tenant: 'other' }).agents
    await other.register({ functions: [{ name: 'x' }] })
    const { items } = await host.engine.system.agents.list()
    expect(items.map(({ tenant, id }) => [tenant, id])).toEqual([
      ['default', 'a1'],
      ['other', 'a2'],
    ])
  })

  test('two registrations of one agent at once both succeed', async () => {
    const host = await started()
    const agent = host.engine.asAgent({ id: 'a1' }).agents
    const both = ['x', 'y'].map((name) => agent.register({ functions: [{ name }] }))
    expect((await Promise.all(both)).map(({ id }) => id)).toEqual(['a1', 'a1'])
    expect((await host.admin.agents.list()).items).toHaveLength(1)
  })

  test('agents of another tenant are not listed', async () => {
    const host = await started()
    await agentOf(host, 'a1')
    const other = host.engine.as({ id: 'eve', role: 'admin', tenant: 'other' })
    expect(await other.agents.list()).toEqual({ items: [] })
    expect(await other.agents.pools()).toEqual([])
    expect(await codeOf(other.agents.revoke('a1'))).toBe('AGENT_NOT_FOUND')
  })
})

describe('a claim and a cancel at once', () => {
  test.each([
    ['claim first', 0],
    ['cancel first', 1],
  ])('%s: one of them takes effect', async (_, order) => {
    const host = await started()
    const agent = await agentOf(host, 'a1')
    const { id } = await host.ada.submit(job, { file: 'x' })
    const calls = [() => codeOf(agent.claim({ job: id })), () => codeOf(host.ada.cancel(id))]
    if (order === 1) calls.reverse()
    const codes = await Promise.all(calls.map((call) => call()))
    if (order === 1) codes.reverse()
    const { status } = await host.ada.get(id)
    expect([...codes, status]).toEqual(
      codes[0] === 'ok' ? ['ok', 'INVALID_STATE', 'claimed'] : ['INVALID_STATE', 'ok', 'canceled'],
    )
  })
})
