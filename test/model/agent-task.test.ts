import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type AnyStateMachine, assign, createActor, createMachine, setup, toPromise } from 'xstate'
import { z } from 'zod'
import { type AgentRef, holderOf, queueOf } from '../../src/model/agent.ts'
import {
  claim,
  create,
  type Decision,
  due,
  end,
  lose,
  release,
  report,
  send,
  started,
} from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import { claimableTasks, type Job } from '../../src/model/job.ts'
import { agentTask, program, type Task, task, taskSettings } from '../../src/model/task.ts'
import { contextAt, created, seed, taskOf } from './one-job.ts'

const HELD = { status: 'claimed', holder: holderOf({ tenant: 'acme', id: 'a1' }) }
const A1: AgentRef = { id: 'a1', name: 'One' }
const A2: AgentRef = { id: 'a2', name: 'Two', pool: 'gpu' }

/** A job type whose chart, in its only state, invokes one task for agents. */
function typeOf(options: Parameters<typeof agentTask>[0], invoke: object = {}, more: object = {}): AnyJobType {
  const lifecycle: AnyStateMachine = createMachine({
    initial: 'open',
    states: {
      open: { invoke: { id: 'w', src: 'work', onDone: 'done', onError: 'failed', ...invoke } },
      done: { type: 'final', output: ({ event }) => event },
      failed: { type: 'final', tags: 'failure' },
    },
  }).provide({ actors: { work: agentTask(options) } })
  return defineJob({ type: 'chart', lifecycle, ...more })
}

function claimedBy(type: AnyJobType, job: Job, agent = A1, at = 2_000): Decision {
  const [ready] = claimableTasks(job)
  const holder = holderOf({ tenant: job.tenant, id: agent.id })
  return claim(type, job, ready?.invocation ?? 0, { holder, agent, startsLater: true, kills: true }, contextAt(at))
}

/** The decision; it fails the test if the token was not good. */
function good(decision: Decision | undefined): Decision {
  if (decision === undefined) throw new Error('the token is not good')
  return decision
}

function endOf(type: AnyJobType, job: Job, result: Parameters<typeof end>[3]): Decision {
  return good(end(type, job, taskOf(job).token, result, contextAt(3_000)))
}

function saying(type: AnyJobType, job: Job, event: { type: string }): Decision {
  return good(report(type, job, taskOf(job).token, { kind: 'event', event }, contextAt(3_000)))
}

function lost(type: AnyJobType, job: Job): Decision {
  return lose(type, job, { invocation: taskOf(job).invocation, reason: 'its lease ended', steps: 0 }, contextAt(3_000))
}

const released = (type: AnyJobType, job: Job) =>
  release(type, job, taskOf(job).token, contextAt(3_000), undefined, 'its agent gave it back')

describe('a task for agents', () => {
  test('waits for the function of its logic’s name, in no version, on the executor for agents', () => {
    const queued = taskOf(created(typeOf({})))
    const queue = queueOf({ tenant: 'acme', function: 'work' })
    expect(queued).toMatchObject({ status: 'available', executor: 'agents', function: 'work', queue })
    expect(queued).not.toHaveProperty('version')
  })

  test('waits for the function and version that its options name, and for whom the job is assigned to', () => {
    const type = typeOf({ function: '@viewer/extract', version: '2.1', executor: 'far' })
    for (const assignment of [undefined, { agent: 'a1' }, { pool: 'gpu' }]) {
      const code = { function: '@viewer/extract', version: '2.1' }
      const queued = taskOf(created(type, assignment === undefined ? {} : { assignment }))
      expect(queued).toMatchObject({
        executor: 'far',
        ...code,
        queue: queueOf({ tenant: 'acme', ...code, assignment }),
      })
    }
  })

  test('may compute function and version from its input and its job, of which the functions get copies', () => {
    const seen: unknown[] = []
    const type = typeOf(
      {
        function: (of) => {
          seen.push(structuredClone(of))
          Object.assign(of.labels, { team: 'mine' })
          Object.assign(Object(of.input), { tool: 'mine' })
          return `${of.labels.team}/run`
        },
        version: ({ input }) => (input as { tool: string }).tool || undefined,
      },
      { input: () => ({ tool: 'v9' }) },
    )
    const job = created(type, { pipeline: 'nightly' })
    expect(taskOf(job)).toMatchObject({ function: 'mine/run', version: 'v9', input: { tool: 'v9' } })
    expect(job.labels).toEqual({ team: 'blue' })
    const scope = { input: { tool: 'v9' }, type: 'chart', tenant: 'acme', createdBy: 'ada', labels: { team: 'blue' } }
    expect(seen).toEqual([{ ...scope, pipeline: 'nightly' }])
    const none = typeOf({ version: () => undefined })
    expect(taskOf(created(none))).not.toHaveProperty('version')
  })

  test.each([
    ['function', () => ''],
    ['function', () => undefined],
    ['function', () => 'x'.repeat(201)],
    ['function', () => Promise.reject(new Error('late'))],
    ['version', () => 5],
    [
      'version',
      () => {
        throw new Error('no such tool')
      },
    ],
  ])('ends with an error if its %s gives no valid text, and nothing waits', (option, made) => {
    const job = created(typeOf({ [option]: made } as never))
    expect(job).toMatchObject({ status: 'failed', outcome: 'failure', tasks: [] })
    const type = typeOf({ [option]: made } as never, { onError: undefined })
    const { error } = created(type)
    expect(error).toMatchObject({
      code: 'INVALID_INPUT',
      message: expect.stringMatching(`^"w": ${option} should be text`),
    })
  })

  test('has options that are checked when it is made', () => {
    const wrong = (options: object) => () => agentTask(options as never)
    const refusal = (message: RegExp) =>
      expect.objectContaining({ code: 'INVALID_DEFINITION', message: expect.stringMatching(message) })
    expect(wrong({ functoin: 'x' })).toThrow(refusal(/^functoin is not an option of agentTask/))
    expect(wrong({ function: 5 })).toThrow(refusal(/^function should be text of 1 to 200 characters, or a function/))
    expect(wrong({ version: '' })).toThrow(refusal(/^version should be text/))
    expect(wrong({ recovery: 'await' })).toThrow(refusal(/cannot have recovery: 'await'/))
    expect(taskSettings(agentTask({ retry: { limit: 2 } }))).toMatchObject({ isForAgents: true, retry: { limit: 2 } })
    expect(taskSettings(task({}, () => 1))).toMatchObject({ isForAgents: false })
    expect(taskSettings(program({}, { command: 'ls' }))).toMatchObject({ isForAgents: false })
  })

  test('fails in a plain actor, which has no agents', async () => {
    await expect(toPromise(createActor(agentTask()).start())).rejects.toThrow('is run by an agent')
  })

  test('waits in the same queue after a loss, a release, a retry and a timeout', () => {
    const type = typeOf({ function: 'f', version: '1', retry: { limit: 3, backoff: 0 }, timeout: '1s' })
    const job = created(type, { assignment: { pool: 'gpu' } })
    const { queue } = taskOf(job)
    const held = claimedBy(type, job).job
    const running = good(started(type, held, taskOf(held).token, true, contextAt(2_000))).job
    const overdue = due(type, running, contextAt(9_000)).job
    for (const next of [
      lost(type, held).job,
      released(type, held).job,
      endOf(type, held, { ok: false, error: 'x' }).job,
      endOf(type, overdue, { ok: false, error: 'x' }).job,
    ]) {
      expect(taskOf(next)).toMatchObject({ status: 'available', queue, function: 'f', version: '1' })
    }
  })

  test('in a child job waits for those to whom the top job is assigned', () => {
    const child = setup({ actors: { work: agentTask({ function: 'f' }) } }).createMachine({ invoke: { src: 'work' } })
    const lifecycle = setup({ actors: { child } }).createMachine({ invoke: { src: 'child' } })
    const type = defineJob({ type: 'top', lifecycle })
    let ids = 0
    const tree = { get: () => undefined, newId: () => `child ${++ids}` }
    const assignment = { agent: 'a1' }
    const { others } = create(type, { ...seed, assignment }, contextAt(1_000), tree)
    expect(others.map(({ job }) => job)).toMatchObject([
      { parentId: 'j1', assignment, tasks: [{ queue: queueOf({ tenant: 'acme', function: 'f', assignment }) }] },
    ])
  })
})

describe('a job that was migrated', () => {
  const old = typeOf({ function: 'f', version: '1' })
  const moved = (options: Parameters<typeof agentTask>[0]) => {
    const next = typeOf(options, {}, { version: '2', previous: [old], migrate: () => ({ state: 'open' }) })
    return { type: { ...old, successor: next }, next }
  }

  test('waits for the code of its new version', () => {
    const { type } = moved({ function: 'f', version: '2' })
    const job = send(type, created(old), { type: 'none' }, contextAt(2_000)).job
    expect(taskOf(job)).toMatchObject({ version: '2', queue: queueOf({ tenant: 'acme', function: 'f', version: '2' }) })
  })

  test('is not claimed by the agent of its old queue', () => {
    const { type, next } = moved({ function: 'f', version: '2' })
    const decision = claimedBy(type, created(old))
    expect(decision.events.map((event) => event.type)).toEqual(['job.migrated'])
    expect(taskOf(decision.job)).toMatchObject({ status: 'available', token: 0 })
    expect(decision.job).not.toHaveProperty('agent')
    expect(taskOf(claimedBy(next, decision.job).job)).toMatchObject(HELD)
    const same = moved({ function: 'f', version: '1' })
    expect(taskOf(claimedBy(same.type, created(old)).job)).toMatchObject(HELD)
  })

  test('gets an error event if its new version gives no valid function, and the event that moved it still counts', () => {
    const { type } = moved({ function: () => '' })
    const decision = send(type, created(old), { type: 'none' }, contextAt(2_000))
    expect(decision.job).toMatchObject({ version: '2', status: 'failed', tasks: [] })
    expect(decision.handled).toBe(true)
  })

  test('leaves the agents if its new version runs the code itself, and the other way round', () => {
    const lifecycle = old.lifecycle.provide({ actors: { work: task({}, () => 1) } } as never)
    const inside = defineJob({
      type: 'chart',
      version: '2',
      lifecycle,
      previous: [old],
      migrate: () => ({ state: 'open' }),
    })
    const away = send({ ...old, successor: inside }, created(old), { type: 'none' }, contextAt(2_000)).job
    expect(taskOf(away)).toMatchObject({ executor: 'default' })
    expect(taskOf(away)).not.toHaveProperty('queue')
    const outside = typeOf({}, {}, { version: '3', previous: [inside], migrate: () => ({ state: 'open' }) })
    const back = send({ ...inside, successor: outside }, away, { type: 'none' }, contextAt(2_000)).job
    expect(taskOf(back)).toMatchObject({ executor: 'agents', queue: queueOf({ tenant: 'acme', function: 'work' }) })
  })
})

describe('a job type with agent', () => {
  test('queues its job for the function of its name, and runs through the usual states', () => {
    const type = defineJob({ type: '@viewer/extract', agent: {} })
    const job = created(type)
    expect(job.status).toBe('queued')
    expect(taskOf(job)).toMatchObject({ executor: 'agents', queue: queueOf({ tenant: 'acme', function: type.type }) })
    const held = claimedBy(type, job).job
    expect(held.status).toBe('queued')
    const running = good(started(type, held, taskOf(held).token, true, contextAt(2_500))).job
    expect(running.status).toBe('running')
    expect(endOf(type, running, { ok: true, output: 7 }).job).toMatchObject({
      status: 'completed',
      output: 7,
      agent: A1,
    })
    expect(lost(type, running).job.status).toBe('queued')
    expect(released(type, running).job.status).toBe('queued')
  })

  test('computes function and version from the input of the job', () => {
    const type = defineJob({
      type: 'extract',
      input: z.object({ tool: z.string(), version: z.string() }),
      agent: { function: ({ input }) => input.tool, version: ({ input }) => input.version },
      retry: { limit: 1 },
    })
    const input = { tool: '@viewer/extract', version: '2.1' }
    const code = { function: '@viewer/extract', version: '2.1' }
    expect(taskOf(created(type, { input }))).toMatchObject({ ...code, queue: queueOf({ tenant: 'acme', ...code }) })
    expect(type.tasks.get('execute')).toMatchObject({ retry: { limit: 1 }, takesJobInput: true })
    expect(created(type, { input: { ...input, tool: '' } })).toMatchObject({ status: 'failed', outcome: 'failure' })
  })

  test.each<[unknown, RegExp]>([
    [
      { agent: { funtion: 'x' } },
      /^agent\.funtion is not an option of job type "j"; its options are function, version$/,
    ],
    [{ agent: { function: 5 } }, /^agent\.function should be text of 1 to 200 characters, or a function/],
    [{ agent: 'x' }, /^agent should be an object/],
    [
      { agent: {}, execute: () => 1 },
      /^job type "j": a job type has one of execute, run, agent, lifecycle; found execute and agent$/,
    ],
    [{ agent: {}, run: { command: 'ls' } }, /has one of execute, run, agent, lifecycle; found run and agent$/],
    [{ agent: {}, lifecycle: createMachine({}) }, /found agent and lifecycle$/],
    [{ run: { command: 'ls' }, execute: () => 1, lifecycle: 1 }, /found execute and run and lifecycle$/],
    [
      { agent: {}, retries: 1 },
      /^retries is not an option of job type "j"; its options are (?!.*(execute|run\b|lifecycle))/,
    ],
    [
      {},
      /^job type "j" needs one of execute \(a function\), run \(a program\), agent \(.*\), lifecycle \(a machine\)$/,
    ],
  ])('refuses options that do not fit: %#', (options, message) => {
    expect(() => defineJob({ type: 'j', ...(options as object) } as never)).toThrow(
      expect.objectContaining({ code: 'INVALID_DEFINITION', message: expect.stringMatching(message) }),
    )
  })
})

test.each([
  ['execute', { execute: () => 1 }],
  ['run', { run: { command: 'ls' } }],
  ['agent', { agent: {} }],
  ['lifecycle', { lifecycle: createMachine({}) }],
])('a job type with %s may have the options of the other kinds as undefined', (_, options) => {
  const absent = { execute: undefined, run: undefined, agent: undefined, lifecycle: undefined }
  const type = defineJob({ type: 'j', ...absent, ...options } as never)
  expect([...type.tasks]).toEqual(
    [...defineJob({ type: 'j', ...options } as never).tasks].map(([src, settings]) => [
      src,
      expect.objectContaining({ executor: settings.executor, isForAgents: settings.isForAgents }),
    ]),
  )
})

/** A chart that notes in its context what it hears about its task. */
const hearing = (() => {
  const note = assign({ heard: ({ context, event }) => [...(context as { heard: object[] }).heard, event] })
  const names = ['task.claimed', 'task.started', 'task.lost', 'task.released']
  const lifecycle: AnyStateMachine = createMachine({
    context: { heard: [] },
    invoke: { id: 'w', src: 'work' },
    on: Object.fromEntries(names.map((name) => [name, { actions: note }])),
  } as never).provide({ actors: { work: agentTask() } })
  return defineJob({ type: 'chart', lifecycle })
})()

describe('an agent that claims a task', () => {
  test('is named to the chart, in the log and in the job, and holds the task', () => {
    const decision = claimedBy(hearing, created(hearing), A2)
    expect(decision.job).toMatchObject({ agent: A2, context: { heard: [{ type: 'task.claimed', agent: A2 }] } })
    expect(decision.events[0]).toEqual({ type: 'task.claimed', task: 'w', attempt: 1, agent: A2 })
    expect(taskOf(decision.job)).toMatchObject({ holder: holderOf({ tenant: 'acme', id: 'a2' }), isKillable: true })
    expect(decision.job).not.toHaveProperty('startedAt')
  })

  test('tells the chart when the code starts, and whether the task was lost or given back, and why', () => {
    const held = claimedBy(hearing, created(hearing)).job
    const { token } = taskOf(held)
    const heard = (decision: Decision) => (decision.job.context as { heard: object[] }).heard.at(-1)
    expect(heard(good(started(hearing, held, token, true, contextAt(2_500))))).toEqual({
      type: 'task.started',
      at: 2_500,
    })
    expect(heard(lost(hearing, held))).toEqual({ type: 'task.lost', reason: 'its lease ended' })
    expect(heard(released(hearing, held))).toEqual({ type: 'task.released', reason: 'its agent gave it back' })
    expect(heard(release(hearing, held, token, contextAt(3_000)))).toMatchObject({ reason: 'its engine stopped' })
  })

  test('is the agent of the job while it holds a task, and of an ended job if it was the last', () => {
    const type = typeOf({ retry: { limit: 1, backoff: 0 } })
    const held = claimedBy(type, created(type)).job
    for (const next of [
      lost(type, held).job,
      released(type, held).job,
      endOf(type, held, { ok: false, error: 1 }).job,
    ]) {
      expect(next.agent).toEqual({ ...A1, isGone: true })
      expect(claimedBy(type, next, A2).job.agent).toEqual(A2)
      expect(claimedBy(type, next, A1).job.agent).toEqual(A1)
    }
    expect(endOf(type, held, { ok: true }).job.agent).toEqual(A1)
    expect(endOf(type, held, { ok: false, error: 1, isFinal: true }).job.agent).toEqual(A1)
  })
})

test('the agent of a job that has not ended holds a task of it, and the agent of an ended job claimed last', () => {
  const region = {
    initial: 'a',
    states: {
      a: { invoke: { src: 'work', onDone: 'b', onError: 'b' }, on: { leave: 'b' } },
      b: { on: { again: 'a' } },
    },
  }
  const lifecycle: AnyStateMachine = createMachine({
    initial: 'work',
    states: {
      work: { type: 'parallel', states: { one: region, other: region }, on: { end: 'over' } },
      over: { type: 'final' },
    },
  } as never).provide({ actors: { work: agentTask({ retry: { limit: 2, backoff: 0 } }) } })
  const type = defineJob({ type: 'two', lifecycle })
  const step = fc.record({
    kind: fc.constantFrom(
      'claim',
      'claim',
      'claim',
      'start',
      'done',
      'fail',
      'lose',
      'release',
      'leave',
      'again',
      'end',
    ),
    task: fc.nat(3),
    agent: fc.constantFrom(A1, A2),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40, size: 'max' }), (steps) => {
      let job = created(type)
      let last: AgentRef | undefined
      for (const { kind, task: nth, agent } of steps) {
        const at = job.tasks[nth % Math.max(1, job.tasks.length)]
        const next = at === undefined ? undefined : stepped(type, job, at, kind, agent)
        if (next === undefined) continue
        if (kind === 'claim' && next.revision > job.revision) last = agent
        job = next
        const isHeld = job.tasks.some(({ holder }) => holder === holderOf({ tenant: 'acme', id: last?.id ?? '' }))
        const isShown = job.phase === 'settled' || isHeld
        expect(job.agent).toEqual(last === undefined ? undefined : isShown ? last : { ...last, isGone: true })
      }
    }),
    { numRuns: 300 },
  )
})

function stepped(type: AnyJobType, job: Job, at: Task, kind: string, agent: AgentRef): Job | undefined {
  const { invocation, token } = at
  const context = contextAt(job.updatedAt + 1)
  const holder = holderOf({ tenant: 'acme', id: agent.id })
  switch (kind) {
    case 'claim':
      return claim(type, job, invocation, { holder, agent, startsLater: true, kills: true }, context).job
    case 'start':
      return started(type, job, token, true, context)?.job
    case 'done':
      return end(type, job, token, { ok: true }, context)?.job
    case 'fail':
      return end(type, job, token, { ok: false, error: 'x' }, context)?.job
    case 'lose':
      return lose(type, job, { invocation, reason: 'lost', steps: 0, isCrash: false }, context).job
    case 'release':
      return release(type, job, token, context).job
    default:
      return job.phase === 'settled' ? undefined : send(type, job, { type: kind }, context).job
  }
}

describe('a report of an agent', () => {
  /** Takes the result only in the state `last`. */
  const strict = defineJob({
    type: 'chart',
    lifecycle: createMachine({
      initial: 'open',
      states: {
        open: {
          initial: 'first',
          invoke: { id: 'w', src: 'work', onError: 'failed' },
          states: {
            first: { on: { ready: 'last' } },
            last: { on: { 'xstate.done.actor.w': '#done', ready: { actions: () => {} } } },
          },
        },
        failed: { type: 'final', tags: 'failure' },
        done: { id: 'done', type: 'final' },
      },
    }).provide({ actors: { work: agentTask() } }),
  })
  const held = claimedBy(strict, created(strict)).job

  test('is not handled if the chart does not take it in its state: an event, or the end of the task', () => {
    expect(saying(strict, held, { type: 'other' })).toMatchObject({ handled: false, changed: false })
    expect(endOf(strict, held, { ok: true })).toMatchObject({ handled: false })
    expect(endOf(strict, held, { ok: true, exitCode: 0 })).toMatchObject({ handled: false })
  })

  test('is handled if the chart takes it, even if its state stays', () => {
    const last = saying(strict, held, { type: 'ready' })
    expect(last).toMatchObject({ handled: true, changed: true })
    expect(saying(strict, last.job, { type: 'ready' }).handled).toBe(true)
    expect(endOf(strict, last.job, { ok: true })).toMatchObject({ handled: true, job: { status: 'done' } })
    expect(endOf(strict, held, { ok: false, error: 'x' })).toMatchObject({ handled: true, job: { status: 'failed' } })
  })

  test('is handled if the task stops or is retried, of which the chart does not hear', () => {
    const retried = typeOf({ retry: { limit: 1 } })
    const failing = claimedBy(retried, created(retried)).job
    expect(endOf(retried, failing, { ok: false, error: 'x' }).handled).toBe(true)
    const left = defineJob({
      type: 'chart',
      lifecycle: createMachine({
        initial: 'a',
        states: {
          a: { invoke: { src: 'work', onDone: 'b' }, on: { away: 'b' } },
          b: { on: { 'xstate.done.actor.w': 'a' } },
        },
      }).provide({ actors: { work: agentTask() } }),
      commands: { away: z.object({}) },
    })
    const stopping = send(left, claimedBy(left, created(left)).job, { type: 'away' }, contextAt(2_500)).job
    expect(taskOf(stopping).status).toBe('stopping')
    expect(endOf(left, stopping, { ok: true })).toMatchObject({ handled: true, job: { tasks: [] } })
  })

  test('is handled if no state of the chart wants the result: the task just ends', () => {
    const type = defineJob({
      type: 'chart',
      lifecycle: createMachine({ invoke: { src: 'work' } }).provide({ actors: { work: agentTask() } }),
    })
    expect(endOf(type, claimedBy(type, created(type)).job, { ok: true })).toMatchObject({
      handled: true,
      job: { tasks: [] },
    })
  })
})
