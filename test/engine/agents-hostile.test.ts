import { agentTask, batch, defineJob, type JobType, type Policy, rolePolicy, task } from 'jobchart'
import { answerAgent } from 'jobchart/agents'
import { agents } from 'jobchart/executors'
import type { AgentTransport, ClaimedTask, ClaimKey } from 'jobchart/port'
import { describe, expect, test } from 'vitest'
import { sendTo, setup } from 'xstate'
import { z } from 'zod'
import { Bench, codeOf, type Host, type HostOptions, Work } from './bench.ts'
import { ends, piece, rows } from './hand-batch.ts'

const LEASE_MS = 30_000

const plain = defineJob({ type: 'plain', agent: { function: 'x' } })

/** A job whose only work is this one. */
function jobOf(type: string, work: ReturnType<typeof agentTask>) {
  const lifecycle = setup({ actors: { work } }).createMachine({
    initial: 'on',
    states: {
      on: { invoke: { src: 'work', onDone: 'off', onError: 'failed' } },
      off: { type: 'final' },
      failed: { type: 'final', tags: 'failure' },
    },
  })
  return defineJob({ type, lifecycle })
}

async function agentOf({ engine }: Pick<Host, 'engine'>, id: string): Promise<AgentTransport> {
  const agent = engine.asAgent({ id }).agents
  await agent.register({ functions: [{ name: 'x' }] })
  return agent
}

const keyOf = ({ job: { id }, token }: ClaimedTask): ClaimKey => ({ job: id, token })

async function claimOf(agent: AgentTransport): Promise<ClaimKey> {
  const [claimed] = await agent.claim({ wait: '1s' })
  return keyOf(claimed as ClaimedTask)
}

/** A job of which an agent holds the task. */
async function held(type: JobType<string, unknown, unknown> = plain, options: Omit<HostOptions, 'jobs'> = {}) {
  const bench = new Bench()
  const host = await bench.start({ jobs: [type], ...options })
  const agent = await agentOf(host, 'a1')
  const { id } = await host.ada.submit(type)
  const claim = await claimOf(agent)
  const tasks = async () => (await bench.row(id)).tasks
  const events = async () => (await bench.log(id)).flatMap((row) => row.events)
  return { bench, ...host, agent, id, claim, tasks, events }
}

describe('an engine that runs another task of the job, and has not heard of the claim at another engine', () => {
  async function open() {
    const bench = new Bench()
    const work = new Work()
    const lifecycle = setup({
      actors: { here: task({}, work.execute), there: agentTask({ function: 'x', events: ['said'] }) },
    }).createMachine({
      type: 'parallel',
      states: {
        here: { initial: 'on', states: { on: { invoke: { src: 'here', onDone: 'off' } }, off: { type: 'final' } } },
        there: {
          initial: 'on',
          on: { said: { actions: () => {} } },
          states: { on: { invoke: { src: 'there', onDone: 'off' } }, off: { type: 'final' } },
        },
      },
    })
    const type = defineJob({ type: 'both', lifecycle })
    const one = await bench.start({ jobs: [type], poll: '1h', sweep: '1h' })
    const other = await bench.start({ jobs: [type], work: false, poll: '1h', sweep: '1h' })
    const { id } = await one.ada.submit(type)
    const claim = await claimOf(await agentOf(other, 'a1'))
    const tasks = async () => (await bench.row(id)).tasks.filter(({ src }) => src === 'there')
    return { bench, work, one, id, claim, agent: one.engine.asAgent({ id: 'a1' }).agents, tasks }
  }

  test.each<readonly [string, (agent: AgentTransport, claim: ClaimKey) => Promise<unknown>]>([
    ['a start', (agent, claim) => agent.started(claim)],
    ['progress', (agent, claim) => agent.progress(claim, 1)],
    ['an event', (agent, claim) => agent.event(claim, { type: 'said' })],
    ['an end', (agent, claim) => agent.done(claim)],
    ['a release', (agent, claim) => agent.release(claim)],
  ])('takes %s', async (_, report) => {
    const { agent, claim } = await open()
    expect(await codeOf(report(agent, claim))).toBe('ok')
  })

  test('takes the task back when its agent is revoked', async () => {
    const { one, bench, tasks, work } = await open()
    // In the same tick, the code of this engine reports an end, which is decided on the record in memory.
    work.run().finish()
    await one.engine.system.agents.revoke('a1')
    await bench.clock.advance(1)
    expect(await tasks()).toMatchObject([{ status: 'available' }])
  })

  test('gives the task to another agent that asks for it', async () => {
    const { one, agent, claim, id, bench } = await open()
    await agent.release(claim)
    await bench.clock.settle()
    expect(await (await agentOf(one, 'a2')).claim({ job: id })).toHaveLength(1)
  })
})

test.each([{}, { wait: '5s' }])(
  'a claim %o brings all its tasks together, also those whose claim notifies somebody',
  async (how) => {
    const lifecycle = setup({ actors: { work: agentTask({ function: 'x' }) } }).createMachine({
      initial: 'on',
      states: {
        on: {
          invoke: { src: 'work', onDone: 'off', onError: 'off' },
          initial: 'pending',
          states: { pending: { on: { 'task.claimed': 'claimed' } }, claimed: { on: { 'task.released': '#failed' } } },
        },
        off: { type: 'final' },
        failed: { id: 'failed', type: 'final', tags: 'failure' },
      },
    })
    const rule = { name: 'CLAIMED', on: { status: 'claimed' }, channels: ['toast'], audience: 'creator' } as const
    const told = defineJob({ type: 'told', lifecycle, notify: [rule] })
    const bench = new Bench()
    const host = await bench.start({ jobs: [told, plain] })
    const agent = await agentOf(host, 'a1')
    for (let n = 0; n < 5; n++) await host.ada.submit(n === 2 ? plain : told)
    const tasks = await agent.claim({ max: 4, ...how })
    expect(tasks).toHaveLength(4)
    await bench.clock.advance(100)
    const { items } = await host.ada.list()
    expect(items.map(({ status }) => status).sort()).toEqual(['claimed', 'claimed', 'claimed', 'pending', 'queued'])
  },
)

describe('a start', () => {
  test('that is reported twice at once counts once', async () => {
    const { agent, claim, events } = await held()
    await Promise.all([agent.started(claim), agent.started(claim)])
    expect((await events()).filter(({ type }) => type === 'task.started')).toHaveLength(1)
  })

  test('that is repeated after the lease is stale', async () => {
    const { agent, claim, bench, faults } = await held()
    await agent.started(claim)
    faults.plan('expiredLeases', ...Array<'refused'>(100).fill('refused'))
    await bench.clock.advance(LEASE_MS)
    expect(await codeOf(agent.started(claim))).toBe('STALE_CLAIM')
  })
})

test('exit code 0 does not end a task whose output has another schema', async () => {
  const typed = jobOf('typed', agentTask({ function: 'x', output: z.object({ pages: z.number() }) }) as never)
  const { agent, claim, tasks } = await held(typed as never)
  expect(await codeOf(agent.exit(claim, 0))).toBe('INVALID_INPUT')
  expect(await tasks()).toMatchObject([{ status: 'claimed' }])
})

describe('revoking an agent', () => {
  test('is no crash of the task, however often it happens', async () => {
    const { bench, engine, id, ada, events, ...host } = await held()
    for (let round = 0; round < 4; round++) {
      await engine.system.agents.revoke('a1')
      await bench.clock.advance(1)
      await claimOf(await agentOf({ ...host, engine }, 'a1'))
    }
    expect(await ada.get(id)).toMatchObject({ phase: 'active', agent: { id: 'a1' } })
    const lost = (await events()).filter(({ type }) => type === 'task.lost')
    expect(lost).toMatchObject(Array(4).fill({ reason: 'its agent was revoked' }))
  })

  test('ends its sessions, even if an agent with the same id is enrolled anew', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs: [plain] })
    const enrolled = async () => {
      const { credential } = await host.admin.agents.enroll({ id: 'box' })
      const agent = (await host.engine.authenticateAgent(credential)).agents
      await agent.register({ functions: [{ name: 'x' }] })
      return agent
    }
    const rogue = await enrolled()
    await host.admin.agents.revoke('box')
    const agent = await enrolled()
    const { id } = await host.ada.submit(plain)
    const claim = await claimOf(agent)
    const before = await bench.contents()
    expect(await codeOf(rogue.done(claim))).toBe('STALE_CLAIM')
    expect(await codeOf(rogue.progress(claim, 1))).toBe('STALE_CLAIM')
    expect(await bench.contents()).toBe(before)
    expect(await codeOf(agent.done(claim))).toBe('ok')
    expect((await host.ada.get(id)).outcome).toBe('success')
  })
})

describe('leases', () => {
  test('last for a whole term after the storage was away, because agents could not renew them', async () => {
    const { bench, agent, claim, faults, tasks } = await held()
    const all = ['commit', 'beat', 'expiredLeases', 'load', 'get', 'many', 'due', 'agent'] as const
    for (const method of all) faults.plan(method, ...Array<'refused'>(1_000).fill('refused'))
    await bench.clock.advance(LEASE_MS * 2)
    faults.heal()
    await bench.clock.advance(LEASE_MS - 1_000)
    expect((await agent.heartbeat({ claims: [claim] })).claims).toMatchObject([{ state: 'held' }])
    await bench.clock.advance(LEASE_MS)
    expect(await tasks()).toMatchObject([{ status: 'available' }])
  })

  test('of executors with different terms are renewed for their own terms', async () => {
    const slow = jobOf('slow', agentTask({ function: 'x', executor: 'slow' }))
    const executors = { agents: agents({ lease: '10s' }), slow: agents({ lease: '5m' }) }
    const { bench, agent, claim, tasks } = await held(slow as never, { executors })
    await agent.heartbeat({ claims: [claim] })
    await bench.clock.advance(299_000)
    expect(await tasks()).toMatchObject([{ status: 'claimed' }])
    await bench.clock.advance(2_000)
    expect(await tasks()).toMatchObject([{ status: 'available' }])
  })

  test('of executors with different terms are renewed beside a claim that is gone', async () => {
    const slow = jobOf('slow', agentTask({ function: 'x', executor: 'slow' }))
    const executors = { agents: agents({ lease: '10s' }), slow: agents({ lease: '5m' }) }
    const { agent, claim } = await held(slow as never, { executors })
    const { claims } = await agent.heartbeat({ claims: [{ job: 'none', token: 1 }, claim] })
    expect(claims).toMatchObject([
      { job: 'none', state: 'gone' },
      { ...claim, state: 'held' },
    ])
  })

  test('that a heartbeat could not renew are no stale claims, and the next heartbeat renews them', async () => {
    const { bench, agent, claim, faults, tasks } = await held()
    await bench.clock.advance(LEASE_MS - 5_000)
    faults.failing('write')
    expect(await codeOf(agent.heartbeat({ claims: [claim] }))).toBe('STORAGE_UNAVAILABLE')
    faults.heal()
    expect((await agent.heartbeat({ claims: [claim] })).claims).toMatchObject([{ state: 'held' }])
    await bench.clock.advance(LEASE_MS - 1_000)
    expect(await tasks()).toMatchObject([{ status: 'claimed' }])
  })
})

test('a report is refused as STORAGE_UNAVAILABLE while its job cannot be read, and not as stale', async () => {
  const { agent, claim, faults, ada, id } = await held()
  faults.failing('read')
  expect(await codeOf(agent.progress(claim, 1))).toBe('STORAGE_UNAVAILABLE')
  faults.heal()
  expect(await codeOf(agent.progress(claim, 2))).toBe('ok')
  expect((await ada.get(id)).progress?.completed).toBe(2)
})

test('a claim whose recorded steps cannot be read fails, and the task stays for other agents', async () => {
  const { agent, claim, faults, tasks, bench } = await held()
  await agent.started(claim)
  await agent.step(claim, 'download', 'file')
  await agent.release(claim)
  faults.plan('steps', 'refused')
  expect(await codeOf(agent.claim({ wait: '1s' }))).toBe('STORAGE_UNAVAILABLE')
  await bench.clock.settle()
  expect(await tasks()).toMatchObject([{ status: 'available' }])
  // The engine claims nothing before it has seen that its storage works again.
  const again = agent.claim({ wait: '20s' })
  await bench.clock.advance(10_000)
  expect(await again).toMatchObject([{ attempt: 1, steps: [{ name: 'download', result: 'file' }] }])
})

describe('a chart that leaves its task as soon as the task is claimed', () => {
  const rule = { name: 'LEFT', on: { status: 'left' }, channels: ['toast'], audience: 'creator' } as const
  const leaving = (notify: readonly (typeof rule)[]) =>
    defineJob({
      type: 'leaving',
      lifecycle: setup({ actors: { work: agentTask({ function: 'x' }) } }).createMachine({
        initial: 'on',
        states: {
          on: { invoke: { src: 'work', onDone: 'off', onError: 'off' }, on: { 'task.claimed': 'left' } },
          left: { on: { again: 'on' } },
          off: { type: 'final' },
        },
      }),
      commands: { again: z.object({}) },
      notify,
    })

  // A claim that notifies somebody is made by a request of its own.
  describe.each([
    ['and notifies nobody', []],
    ['and notifies somebody', [rule]],
  ])('%s', (_, notify) => {
    test('gives no agent the task, and the agent waits on for another one', async () => {
      const bench = new Bench()
      const type = leaving(notify)
      const host = await bench.start({ jobs: [type, plain] })
      const agent = await agentOf(host, 'a1')
      const waiting = agent.claim({ wait: '20s' })
      const { id } = await host.ada.submit(type)
      await bench.clock.settle()
      expect(await host.ada.get(id)).toMatchObject({ status: 'left', phase: 'active' })
      expect((await bench.row(id)).tasks).toEqual([])
      const other = await host.ada.submit(plain)
      expect((await waiting).map(({ job }) => job.id)).toEqual([other.id])
    })

    test('refuses the claim of that job, and no lease is left', async () => {
      const bench = new Bench()
      const type = leaving(notify)
      const host = await bench.start({ jobs: [type] })
      const agent = await agentOf(host, 'a1')
      const { id } = await host.ada.submit(type)
      expect(await codeOf(agent.claim({ job: id }))).toBe('INVALID_STATE')
      expect((await host.ada.get(id)).status).toBe('left')
      expect(await (await bench.probe()).expiredLeases(Number.MAX_SAFE_INTEGER, 10, 0)).toEqual([])
    })
  })
})

test('an engine that stops grants no task, not even one that an agent asks for by its job', async () => {
  const work = new Work()
  const own = defineJob({ type: 'own', execute: work.execute })
  const bench = new Bench()
  const host = await bench.start({ jobs: [own, plain] })
  const agent = await agentOf(host, 'a1')
  await host.ada.submit(own)
  const { id } = await host.ada.submit(plain)
  await bench.clock.settle()
  const stopping = host.engine.stop()
  await bench.clock.settle()
  expect(await codeOf(agent.claim({ job: id }))).toBe('INVALID_STATE')
  work.run().finish()
  await stopping
})

test('an agent learns nothing of an ended job that was never for agents', async () => {
  const own = defineJob({ type: 'own', execute: () => null })
  const bench = new Bench()
  const host = await bench.start({ jobs: [own, plain] })
  const agent = await agentOf(host, 'a1')
  const { id } = await host.ada.submit(own)
  await bench.clock.settle()
  expect(await codeOf(agent.claim({ job: id }))).toBe('JOB_NOT_FOUND')
})

describe('a caller from whom a policy hides', () => {
  const hiding = (...redact: readonly string[]): Policy => {
    const open = rolePolicy()
    return {
      ...open,
      authorize: async (principal, action, target) => {
        const verdict = await open.authorize(principal, action, target)
        return verdict === 'allow' && principal.role === 'admin' && target.jobId !== undefined ? { redact } : verdict
      },
    }
  }

  test.each(['agent', 'assignment'])('the %s of a job is not told by the list of agents', async (field) => {
    const { admin, ada, id } = await held(plain, { policy: hiding(field) })
    expect((await admin.agents.list()).items).toMatchObject([{ id: 'a1', running: 1, jobs: [] }])
    expect((await ada.agents.list()).items).toMatchObject([{ jobs: [id] }])
  })

  test('the assignment of a job is not told it by explain', async () => {
    const bench = new Bench()
    const host = await bench.start({ jobs: [plain], policy: hiding('assignment') })
    await agentOf(host, 'a1')
    await agentOf(host, 'a2')
    const one = await host.ada.submit(plain, undefined, { assignment: { agent: 'a1' } })
    expect(await host.admin.explain(one.id)).toEqual([{ kind: 'waitsForAgent', task: 'execute' }])
    expect(await host.ada.explain(one.id)).toMatchObject([{ agents: [{ id: 'a1' }] }])
    const two = await host.ada.submit(plain, undefined, { assignment: { agent: 'a3' } })
    expect(await host.admin.explain(two.id)).toEqual([{ kind: 'noAgent', task: 'execute', function: 'x' }])
  })

  test('the input of a job is not told by explain what is computed from it', async () => {
    const computed = jobOf('computed', agentTask({ function: 'x', version: () => '7' }))
    const safe = defineJob({
      type: 'safe',
      input: z.string(),
      safe: ['reason'],
      agent: { function: ({ input }) => input, version: '7' },
    })
    const secret = defineJob({ type: 'secret', input: z.string(), agent: { function: ({ input }) => input } })
    const bench = new Bench()
    const host = await bench.start({ jobs: [computed, safe, secret], policy: hiding('input') })
    const one = await host.ada.submit(computed)
    expect(await host.admin.explain(one.id)).toMatchObject([{ kind: 'noAgent', function: 'x' }])
    expect(JSON.stringify(await host.admin.explain(one.id))).not.toContain('7')
    expect(await host.ada.explain(one.id)).toMatchObject([{ kind: 'noAgent', function: 'x', version: '7' }])
    const two = await host.ada.submit(safe, 'y')
    expect(await host.admin.explain(two.id)).toMatchObject([{ kind: 'noAgent', function: 'y', version: '7' }])
    const three = await host.ada.submit(secret, 'z')
    expect(await host.admin.explain(three.id)).toEqual([{ kind: 'noAgent', task: 'execute' }])
    expect(await host.ada.explain(three.id)).toEqual([{ kind: 'noAgent', task: 'execute', function: 'z' }])
  })
})

describe('what an agent sends', () => {
  const deep = (levels: number) => JSON.parse('['.repeat(levels) + ']'.repeat(levels))
  const values: readonly unknown[] = [
    ...[null, 0, -1, 1.5, 1e308, 2 ** 53, '', 'x', 'x'.repeat(300), '\u0000', '\ud800', true, [], {}, [1], { a: 1 }],
    ...[deep(20_000), { a: deep(20_000) }, JSON.parse('{ "__proto__": { "a": 1 }, "constructor": 1 }')],
    ...[{ type: 1 }, { type: '__proto__' }, { type: 'task.stop' }, { type: 'xstate.done.actor.execute' }],
    ...[{ toString: 1 }, { length: 1 }, { job: '__proto__' }, { job: '\ud800', token: 1 }],
    ...[
      { claims: [], wait: '-1s' },
      { claims: [], wait: 1e308 },
      { claims: [{ job: 'x', token: 1, messages: 1e308 }] },
    ],
    ...[{ functions: [{ name: '\ud800' }] }, { functions: [{ name: 'constructor', version: '__proto__' }] }],
  ]
  const calls = {
    register: ['registration'],
    claim: ['options'],
    heartbeat: ['beat'],
    started: ['claim'],
    progress: ['claim', 'report'],
    log: ['claim', 'lines'],
    item: ['claim', 'key', 'report'],
    step: ['claim', 'name', 'result'],
    event: ['claim', 'event'],
    done: ['claim', 'output'],
    fail: ['claim', 'error', 'options'],
    exit: ['claim', 'exitCode', 'options'],
    release: ['claim'],
  }

  test.each(Object.entries(calls))('by "%s" is taken or refused with a typed error', async (call, names) => {
    const { agent, claim } = await held()
    const good = { claim, report: 1, lines: [], key: 'k', name: 'n', event: { type: 'x' }, error: null, exitCode: 1 }
    for (const name of names) {
      for (const value of values) {
        const given = Object.fromEntries(Object.entries(good).filter(([argument]) => names.includes(argument)))
        const answer = await answerAgent(agent, { call, ...given, [name]: value })
        expect([name, value, answer.ok ? 'ok' : answer.code]).not.toEqual([name, value, 'OUTCOME_UNKNOWN'])
      }
    }
  })
})

describe('a piece of a batch that an agent sends again while the first one is being written', () => {
  const lifecycle = setup({ actors: { work: batch({ function: 'x', items: () => [1, 2, 3, 4, 5] }) } }).createMachine({
    initial: 'on',
    states: {
      on: {
        invoke: { id: 'work', src: 'work', onDone: 'off' },
        on: { cancel: { actions: sendTo('work', { type: 'task.drain' }) } },
      },
      off: { type: 'final' },
    },
  })
  const scraping = defineJob({ type: 'scraping', lifecycle, commands: { cancel: z.object({}) } })
  const counts = { total: 5, completed: 1, failed: 0, skipped: 0 }
  const second = piece({ ended: ends('completed', 1), begun: 3, running: 2, counts })

  /** A batch of which three items have begun. */
  async function begun() {
    const host = await held(scraping)
    await host.agent.started(host.claim)
    await host.agent.items(host.claim, piece({ added: rows(1, 3), begun: 3, running: 3 }))
    // If its agent gives the batch back, it ends at once. Its counts are then those that were kept with the pieces.
    const drained = async () => {
      await host.ada.cancel(host.id)
      await host.agent.release(host.claim)
      return (await host.ada.get(host.id)).progress
    }
    return { ...host, drained }
  }
  const exact = { total: 5, completed: 1, failed: 2, skipped: 2 }

  test('counts once', async () => {
    const { agent, claim, drained } = await begun()
    await Promise.all([agent.items(claim, second), agent.items(claim, second)])
    expect(await drained()).toMatchObject(exact)
  })

  test('counts once too if the first write has failed', async () => {
    const { agent, claim, faults, drained } = await begun()
    faults.plan('commit', 'refused')
    await Promise.allSettled([agent.items(claim, second), agent.items(claim, second)])
    await agent.items(claim, second)
    expect(await drained()).toMatchObject(exact)
  })
})
