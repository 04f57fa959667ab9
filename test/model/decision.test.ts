import { describe, expect, test } from 'vitest'
import { assign, cancel, emit, log, raise } from 'xstate'
import { maySend } from '../../src/model/can-handle.ts'
import { claim, create, due, end, lose, release, report } from '../../src/model/decision.ts'
import { defineJob } from '../../src/model/definition.ts'
import { claimableTasks, holdsSlot, wakeAt } from '../../src/model/job.ts'
import { parseTask, type TaskSettings } from '../../src/model/task.ts'
import {
  cancelled,
  claimed,
  contextAt,
  created,
  ended,
  GRACE,
  HEARTBEAT,
  lost,
  machineType,
  seed,
  sent,
  taskOf,
  thrower,
} from './one-job.ts'

const plain = defineJob({ type: 'plain', execute: () => 1 })
const tried = defineJob({ type: 'tried', retry: { limit: 2, backoff: '10s', backoffMax: '15s' }, execute: () => 1 })
const frail = defineJob({ type: 'frail', recovery: 'fail', execute: () => 1 })

const failed = { ok: false, error: { name: 'Error', message: 'broken' } } as const

describe('create', () => {
  test('a new job is in its first state, its task is available, and job.created is its only event', () => {
    const decision = create(plain, { ...seed, input: { path: 'a.zip' }, pipeline: 'nightly' }, contextAt(1_000))
    expect(decision).toMatchObject({ handled: true, changed: true, logs: [], effects: [] })
    expect(decision.events).toEqual([{ type: 'job.created', to: 'queued' }])
    expect(decision.inputs).toEqual([{ type: 'xstate.init' }])
    expect(decision.job).toEqual({
      ...seed,
      type: 'plain',
      version: '1',
      pipeline: 'nightly',
      input: { path: 'a.zip' },
      state: 'queued',
      context: {},
      status: 'queued',
      phase: 'active',
      vacates: false,
      timers: [],
      tasks: [
        {
          id: 'execute',
          invocation: 1,
          ordinal: 1,
          src: 'execute',
          executor: 'default',
          status: 'available',
          token: 0,
          availableAt: 1_000,
          attempt: 0,
          claims: 0,
          crashes: 0,
          losses: 0,
          steps: 0,
          inbox: [],
        },
      ],
      counter: 1,
      admittedAt: 1_000,
      createdAt: 1_000,
      updatedAt: 1_000,
      revision: 1,
      eventCount: 1,
    })
  })

  test('job.created comes first, even if the entry emitted something', () => {
    const type = machineType({ entry: [emit({ type: 'HELLO' }), log('begun')] })
    const decision = create(type, seed, contextAt(1_000))
    expect(decision.events.map((event) => event.type)).toEqual(['job.created', 'job.emitted'])
    expect(decision).toMatchObject({ logs: ['begun'], job: { eventCount: 2 } })
  })

  test('a machine gets the job’s input as its own', () => {
    const type = machineType({ context: ({ input }: { input: unknown }) => ({ given: input }) })
    expect(create(type, { ...seed, input: [5] }, contextAt(1_000)).job.context).toEqual({ given: [5] })
  })

  test('a job that ends at its start is settled at once', () => {
    const type = machineType({ initial: 'z', states: { z: { type: 'final', tags: ['cancelled'] } } })
    expect(create(type, seed, contextAt(1_000)).job).toMatchObject({
      phase: 'settled',
      outcome: 'cancelled',
      status: 'z',
      endedAt: 1_000,
    })
  })

  test('a job whose machine throws at its start is stored as a failure, with the thrown error', () => {
    const type = machineType({ context: thrower })
    const { job, events } = create(type, seed, contextAt(1_000))
    expect(job).toMatchObject({ phase: 'settled', outcome: 'failure', status: 'error', tasks: [], timers: [] })
    expect(job.error).toMatchObject({ name: 'RangeError', message: 'mine' })
    expect(events).toMatchObject([{ type: 'job.created', to: 'error' }])
  })

  test('throwing undefined is a failure with an error all the same', () => {
    const type = machineType({ entry: assign(() => Promise.reject.call(undefined, undefined) as never) })
    expect(create(type, seed, contextAt(1_000)).job.error).toBeDefined()
    const nothing = machineType({
      entry: assign(() => {
        throw undefined
      }),
    })
    expect(create(nothing, seed, contextAt(1_000)).job).toMatchObject({ outcome: 'failure', error: { name: 'Error' } })
  })
})

describe('claim', () => {
  test('I20 a claim counts the attempt, with its token, holder and start', () => {
    const decision = claim(plain, created(plain), 1, { holder: 'me' }, contextAt(2_000))
    expect(taskOf(decision.job)).toMatchObject({ status: 'claimed', token: 2, holder: 'me', attempt: 1, claims: 1 })
    expect(decision.job).toMatchObject({
      state: 'running',
      status: 'running',
      startedAt: 2_000,
      counter: 2,
      revision: 2,
    })
    expect(decision.events).toEqual([
      { type: 'task.started', task: 'execute', attempt: 1 },
      { type: 'job.transitioned', from: 'queued', to: 'running' },
    ])
    expect(decision.inputs).toEqual([{ type: 'task.started', at: 2_000 }])
  })

  test.each([
    ['is held', 1],
    ['is not there', 9],
  ])('a task that %s cannot be claimed: nothing changes', (_, invocation) => {
    const job = claimed(plain)
    expect(claim(plain, job, invocation, { holder: 'other' }, contextAt(3_000))).toMatchObject({
      changed: false,
      job,
      events: [],
    })
  })

  test('a later start keeps the first start time of the job', () => {
    const again = claim(plain, lost(plain, claimed(plain)).job, 1, { holder: 'you' }, contextAt(9_000)).job
    expect(again).toMatchObject({ startedAt: 2_000, updatedAt: 9_000 })
    expect(taskOf(again)).toMatchObject({ attempt: 2, claims: 2, holder: 'you', token: 3 })
  })

  test('a chart that names task.claimed hears which agent it was; one with only a wildcard hears nothing', () => {
    const invoke = { id: 'w', src: 'work' }
    const naming = machineType({
      invoke,
      context: { by: '' },
      on: { 'task.claimed': { actions: assign({ by: ({ event }) => (event as unknown as { agent: string }).agent }) } },
    })
    const wild = machineType({ invoke, initial: 'a', states: { a: { on: { '*': 'b', 'task.*': 'b' } }, b: {} } })
    expect(claimed(naming).context).toEqual({ by: { id: 'me' } })
    expect(claimed(wild).state).toBe('a')
  })

  test('a chart that leaves the invoke at its claim leaves no task, because no code has begun', () => {
    const type = machineType({
      initial: 'a',
      states: { a: { invoke: { id: 'w', src: 'work' }, on: { 'task.claimed': 'b' } }, b: {} },
    })
    const job = created(type)
    const decision = claim(type, job, taskOf(job).invocation, { holder: 'me' }, contextAt(2_000))
    expect(decision.job).toMatchObject({ status: 'b', tasks: [] })
    expect(decision.events.map((event) => event.type)).toEqual(['task.started', 'job.transitioned', 'task.stopped'])
    expect(end(type, decision.job, 2, { ok: true }, contextAt(3_000))).toBeUndefined()
  })
})

describe('end', () => {
  test('I21 a task that succeeds completes the default lifecycle with its output', () => {
    const decision = ended(plain, claimed(plain), { ok: true, output: { rows: 3 } })
    expect(decision.job).toMatchObject({
      state: 'completed',
      status: 'completed',
      phase: 'settled',
      outcome: 'success',
      output: { rows: 3 },
      tasks: [],
      endedAt: 3_000,
      updatedAt: 3_000,
    })
    expect(decision.events).toEqual([
      { type: 'job.transitioned', from: 'running', to: 'completed', outcome: 'success' },
    ])
  })

  test('a task that ends without an output gives none', () => {
    expect(ended(plain, claimed(plain), { ok: true }).job).not.toHaveProperty('output')
  })

  test('without retries a failure ends the job, and the record carries the error', () => {
    const { job, events } = ended(plain, claimed(plain), failed)
    expect(job).toMatchObject({ status: 'failed', outcome: 'failure', error: failed.error, tasks: [] })
    const settled = { from: 'running', to: 'failed', outcome: 'failure', error: failed.error }
    expect(events).toEqual([{ type: 'job.transitioned', ...settled }])
  })

  test('with retries a failed task is available again after a pause drawn from the given chance', () => {
    const decision = ended(tried, claimed(tried), failed, contextAt(3_000, 0.5))
    expect(taskOf(decision.job)).toMatchObject({ status: 'available', availableAt: 8_000, attempt: 1, token: 2 })
    expect(taskOf(decision.job)).not.toHaveProperty('holder')
    expect(decision.job.state).toBe('running')
    expect(decision.events).toEqual([
      {
        type: 'task.retried',
        task: 'execute',
        attempt: 1,
        availableAt: '1970-01-01T00:00:08.000Z',
        error: failed.error,
      },
    ])
  })

  test('the pause grows with the failures, to its cap, and the last failure ends the job', () => {
    const once = ended(tried, claimed(tried), failed, contextAt(3_000, 0.5)).job
    const twice = ended(tried, claimed(tried, once, 8_000), failed, contextAt(9_000, 0.5)).job
    expect(taskOf(twice)).toMatchObject({ availableAt: 9_000 + 7_500, attempt: 2 })
    const { job } = ended(tried, claimed(tried, twice, 20_000), failed, contextAt(21_000, 0.5))
    expect(job).toMatchObject({ status: 'failed', outcome: 'failure', tasks: [] })
  })

  test('lost attempts are not failures, and use up no retries', () => {
    const job = claimed(tried, lost(tried, lost(tried, claimed(tried)).job).job)
    expect(taskOf(job)).toMatchObject({ attempt: 3, losses: 2 })
    const once = ended(tried, job, failed).job
    expect(taskOf(once)).toMatchObject({ status: 'available', attempt: 3 })
    expect(ended(tried, claimed(tried, once), failed).job.phase).toBe('active')
  })

  test('I16 an end under an old token is refused, also while the task is available again', () => {
    const again = ended(tried, claimed(tried), failed).job
    expect(end(tried, again, 2, { ok: true }, contextAt(4_000))).toBeUndefined()
    const reclaimed = claimed(tried, again, 5_000)
    expect(end(tried, reclaimed, 2, { ok: true }, contextAt(6_000))).toBeUndefined()
    expect(end(tried, reclaimed, 3, { ok: true }, contextAt(6_000))?.job.outcome).toBe('success')
  })

  test('I16 an end under a token that was never given is refused, also 0', () => {
    expect(end(plain, created(plain), 0, { ok: true }, contextAt(2_000))).toBeUndefined()
    expect(end(plain, claimed(plain), 7, { ok: true }, contextAt(2_000))).toBeUndefined()
  })

  test('an end that no state takes removes the task all the same', () => {
    const type = machineType({ initial: 'a', states: { a: { invoke: { id: 'w', src: 'work' } } } })
    const decision = ended(type, claimed(type), { ok: true })
    expect(decision).toMatchObject({
      handled: false,
      changed: true,
      events: [{ type: 'job.updated' }],
      job: { tasks: [], state: 'a' },
    })
  })

  test('I8 a failure that no state takes ends the job outside its chart, under the type’s own label', () => {
    const type = machineType(
      { initial: 'a', states: { a: { invoke: { id: 'w', src: 'work' } } } },
      { labels: { error: 'broken' } },
    )
    const { job, events } = ended(type, claimed(type), failed)
    expect(job).toMatchObject({
      state: 'a',
      status: 'broken',
      phase: 'settled',
      outcome: 'failure',
      error: failed.error,
    })
    const settled = { from: 'a', to: 'broken', outcome: 'failure', error: failed.error }
    expect(events).toEqual([{ type: 'job.transitioned', ...settled }])
  })
})

describe('lose', () => {
  test('a lost attempt is available again at once, and moves the default lifecycle back to queued', () => {
    const decision = lost(plain, claimed(plain))
    expect(taskOf(decision.job)).toMatchObject({
      status: 'available',
      crashes: 1,
      losses: 1,
      attempt: 1,
      token: 2,
      availableAt: 3_000,
    })
    expect(taskOf(decision.job)).not.toHaveProperty('holder')
    expect(decision.job.state).toBe('queued')
    expect(decision.events).toEqual([
      { type: 'task.lost', task: 'execute', attempt: 1, reason: 'died' },
      { type: 'job.transitioned', from: 'running', to: 'queued', reason: 'died' },
    ])
  })

  test('I20 three losses in a row are POISON', () => {
    const twice = lost(plain, claimed(plain, lost(plain, claimed(plain)).job)).job
    expect(taskOf(twice)).toMatchObject({ crashes: 2, status: 'available' })
    const { job, events } = lost(plain, claimed(plain, twice))
    expect(job).toMatchObject({ status: 'failed', outcome: 'failure', error: { code: 'POISON' }, tasks: [] })
    expect(events.map(({ type }) => type)).toEqual(['task.lost', 'job.transitioned', 'job.transitioned'])
  })

  test('a further recorded step starts the count of losses anew', () => {
    const twice = lost(plain, claimed(plain, lost(plain, claimed(plain)).job)).job
    const further = lost(plain, claimed(plain, twice), 1).job
    expect(taskOf(further)).toMatchObject({ status: 'available', crashes: 1, losses: 3, steps: 1 })
    const stuck = lost(plain, claimed(plain, lost(plain, claimed(plain, further), 1).job), 1).job
    expect(stuck.error?.code).toBe('POISON')
  })

  test('losses must be in a row: three losses with a failed attempt between them are not POISON', () => {
    const twice = lost(tried, claimed(tried, lost(tried, claimed(tried)).job)).job
    const between = ended(tried, claimed(tried, twice), failed).job
    const { job } = lost(tried, claimed(tried, between, 30_000))
    expect(taskOf(job)).toMatchObject({ status: 'available', crashes: 1, losses: 3 })
  })

  test('an attempt that is given back neither counts as a loss nor interrupts losses in a row', () => {
    const twice = lost(plain, claimed(plain, lost(plain, claimed(plain)).job)).job
    const running = claimed(plain, twice)
    const back = release(plain, running, taskOf(running).token, contextAt(4_000)).job
    expect(lost(plain, claimed(plain, back)).job.error?.code).toBe('POISON')
  })

  test("recovery 'fail': the first loss is TASK_LOST", () => {
    const { job } = lost(frail, claimed(frail))
    expect(job).toMatchObject({ status: 'failed', outcome: 'failure', error: { code: 'TASK_LOST' }, tasks: [] })
    expect(job.error?.message).toContain('died')
  })

  test('a chart that leaves the invoke by task.lost is not told of it twice', () => {
    const type = machineType({
      initial: 'a',
      states: { a: { invoke: { id: 'w', src: 'frail' }, on: { 'task.lost': 'b' } }, b: {} },
    })
    const { job } = lost(type, claimed(type))
    expect(job).toMatchObject({ state: 'b', phase: 'active', tasks: [] })
  })

  test('a chart with only a wildcard is not moved by a loss', () => {
    const type = machineType({
      initial: 'a',
      invoke: { id: 'w', src: 'work' },
      states: { a: { on: { '*': 'b' } }, b: {} },
    })
    const { job, events } = lost(type, claimed(type))
    expect(job.state).toBe('a')
    expect(events.map((event) => event.type)).toEqual(['task.lost'])
  })

  test.each([1, 9])('invocation %d, which is not claimed, cannot be lost: nothing changes', (invocation) => {
    const job = created(plain)
    expect(lose(plain, job, { invocation, reason: 'died', steps: 0 }, contextAt(2_000))).toMatchObject({
      changed: false,
      job,
    })
  })
})

describe('an attempt that is awaited after its loss', () => {
  const awaited = defineJob({ type: 'awaited', recovery: 'await', execute: () => 1 })
  const retried = defineJob({ type: 'retried', recovery: 'await', retry: { limit: 1 }, execute: () => 1 })

  test('is not available again, and its token stays valid', () => {
    const { job, events } = lost(awaited, claimed(awaited))
    expect(taskOf(job)).toMatchObject({ status: 'lost', token: 2, losses: 1 })
    expect(taskOf(job)).not.toHaveProperty('holder')
    expect(job.status).toBe('queued')
    expect(events.map((event) => event.type)).toEqual(['task.lost', 'job.transitioned'])
    expect(claimableTasks(job)).toEqual([])
    expect(claim(awaited, job, 1, { holder: 'other' }, contextAt(4_000)).changed).toBe(false)
    expect(ended(awaited, job, { ok: true, output: 5 }).job).toMatchObject({ outcome: 'success', output: 5, tasks: [] })
  })

  test('that reports a failure without retries has failed', () => {
    const { job } = ended(awaited, lost(awaited, claimed(awaited)).job, failed)
    expect(job).toMatchObject({ status: 'failed', outcome: 'failure', error: failed.error, tasks: [] })
  })

  test('that reports a failure is retried where there are retries, because it was not lost after all', () => {
    const once = ended(retried, lost(retried, claimed(retried)).job, failed).job
    expect(taskOf(once)).toMatchObject({ status: 'available', attempt: 1 })
    expect(ended(retried, claimed(retried, once, 9_000), failed, contextAt(9_500)).job.outcome).toBe('failure')
  })

  test('ends at once if the chart leaves it, and its token with it', () => {
    const { job } = lost(awaited, claimed(awaited))
    const over = sent(awaited, job, 'cancel', 4_000)
    expect(over).toMatchObject({ phase: 'settled', tasks: [] })
    expect(end(awaited, over, 2, { ok: true }, contextAt(5_000))).toBeUndefined()
  })

  test('is neither lost twice nor given back', () => {
    const { job } = lost(awaited, claimed(awaited))
    expect(lose(awaited, job, { invocation: 1, reason: 'died', steps: 0 }, contextAt(4_000)).changed).toBe(false)
    expect(release(awaited, job, 2, contextAt(4_000)).changed).toBe(false)
  })
})

describe('report', () => {
  const type = machineType({
    invoke: { id: 'w', src: 'work' },
    initial: 'a',
    states: { a: { on: { MORE: 'b' } }, b: {} },
  })

  test('an event that a running task sends is an event for its chart', () => {
    const decision = report(type, claimed(type), 2, { kind: 'event', event: { type: 'MORE' } }, contextAt(3_000))
    expect(decision?.job).toMatchObject({ state: 'b', tasks: [{ status: 'claimed' }] })
  })

  test('a snapshot of a task moves only a chart that asks for snapshots', () => {
    const said = { kind: 'value', value: 7 } as const
    expect(report(type, claimed(type), 2, said, contextAt(3_000))).toMatchObject({ changed: false })
    const heard = machineType({
      context: { seen: [] },
      invoke: {
        id: 'w',
        src: 'work',
        onSnapshot: {
          actions: assign({ seen: (scope: unknown) => (scope as Snapshots).event.snapshot.context } as never),
        },
      },
    })
    expect(report(heard, claimed(heard), 2, said, contextAt(3_000))?.job.context).toEqual({ seen: 7 })
  })

  test('I16 a report of work that was left, or under an old token, is refused', () => {
    const said = { kind: 'event', event: { type: 'MORE' } } as const
    expect(report(plain, cancelled(plain).job, 2, said, contextAt(4_000))).toBeUndefined()
    expect(report(type, claimed(type), 1, said, contextAt(4_000))).toBeUndefined()
    expect(report(tried, ended(tried, claimed(tried), failed).job, 2, said, contextAt(4_000))).toBeUndefined()
  })

  test('a task may send declared events, and without a declaration all but commands and reserved names', () => {
    const [open] = plain.tasks.values()
    const may = (settings: TaskSettings | undefined, name: string) =>
      settings !== undefined && maySend(plain, settings, name)
    expect(['MORE', 'cancel', 'task.lost', 'xstate.stop', 'toString'].map((name) => may(open, name))).toEqual([
      true,
      false,
      false,
      false,
      true,
    ])
    const declared = parseTask({ events: ['cancel'] }, () => 1)
    expect(['MORE', 'cancel'].map((name) => may(declared, name))).toEqual([false, true])
  })
})

describe('release', () => {
  test('I45 an attempt that is given back is available again and not counted', () => {
    const running = claimed(plain)
    const decision = release(plain, running, 2, contextAt(3_000))
    expect(taskOf(decision.job)).toMatchObject({
      status: 'available',
      attempt: 0,
      claims: 1,
      crashes: 0,
      losses: 0,
      token: 2,
    })
    expect(taskOf(decision.job)).not.toHaveProperty('holder')
    expect(decision.events).toEqual([
      { type: 'task.released', task: 'execute' },
      { type: 'job.transitioned', from: 'running', to: 'queued', reason: 'its engine stopped' },
    ])
    const again = claimed(plain, decision.job, 4_000)
    expect(taskOf(again)).toMatchObject({ attempt: 1, claims: 2, token: 3 })
  })

  test.each([0, 1, 7])('token %d, which holds nothing, gives nothing back', (token) => {
    expect(release(plain, claimed(plain), token, contextAt(3_000)).changed).toBe(false)
  })

  test('work that was left is not given back, because it has to stop', () => {
    expect(release(plain, cancelled(plain).job, 2, contextAt(4_000)).changed).toBe(false)
  })
})

describe('due', () => {
  const ordered = machineType({
    context: { seen: '' },
    entry: ['c', 'a', 'b', 'd'].map((name, index) =>
      raise({ type: 'T', name } as never, { id: name, delay: [300, 100, 200, 200][index] ?? 0 }),
    ),
    on: {
      T: {
        actions: assign({
          seen: (scope: unknown) => (scope as Seen).context.seen + (scope as Seen).event.name,
        } as never),
      },
    },
  } as never)

  test('due timers fire at once, in the order of their times, then of their making', () => {
    const job = created(ordered)
    expect(wakeAt(job)).toBe(1_100)
    expect(due(ordered, job, contextAt(1_099))).toMatchObject({ changed: false, events: [] })
    const some = due(ordered, job, contextAt(1_200))
    expect(some.job).toMatchObject({ context: { seen: 'abd' }, timers: [{ id: 'c', dueAt: 1_300 }] })
    expect(due(ordered, job, contextAt(9_999)).job).toMatchObject({ context: { seen: 'abdc' }, timers: [] })
  })

  test('a timer that the one before it cancels does not fire', () => {
    const type = machineType({
      initial: 'a',
      entry: raise({ type: 'FIRST' }, { delay: 10 }),
      states: { a: { after: { 20: 'late' }, on: { FIRST: 'b' } }, b: {}, late: {} },
    })
    const { job } = due(type, created(type), contextAt(9_999))
    expect(job).toMatchObject({ state: 'b', timers: [] })
  })

  test('a new after counts from the transition that enters its state, however late', () => {
    const type = machineType({
      initial: 'a',
      states: { a: { after: { 1000: 'b' } }, b: { after: { 1000: 'c' } }, c: {} },
    })
    const { job } = due(type, created(type), contextAt(50_000))
    expect(job).toMatchObject({ state: 'b', timers: [{ dueAt: 51_000 }] })
  })

  test('a timer that its state no longer takes is removed, and nothing else changes', () => {
    const type = machineType({ entry: raise({ type: 'NOBODY' }, { delay: 10 }) })
    const decision = due(type, created(type), contextAt(2_000))
    expect(decision).toMatchObject({
      changed: true,
      events: [{ type: 'job.updated' }],
      job: { timers: [], status: '(machine)' },
    })
  })

  test('two timers of one id both stay, and cancel removes the newer', () => {
    const type = machineType({
      on: {
        ARM: { actions: raise({ type: 'X' }, { id: 'x', delay: 100 }) },
        DISARM: { actions: cancel('x') },
      },
    })
    const armed = sent(type, created(type), 'ARM', 2_000)
    expect(armed.timers).toEqual([{ id: 'x', event: { type: 'X' }, dueAt: 2_100 }])
    const twice = sent(type, armed, 'ARM', 2_050)
    expect(twice.timers).toMatchObject([{ dueAt: 2_100 }, { id: 'x', event: { type: 'X' }, dueAt: 2_150 }])
    expect(sent(type, twice, 'DISARM', 2_060).timers).toMatchObject([{ dueAt: 2_100 }])
    expect(sent(type, armed, 'DISARM', 2_050).timers).toEqual([])
  })

  test('two due timers fire together, even if the first sets a third with the id of the second', () => {
    const type = machineType({
      entry: [raise({ type: 'ARM' }, { id: 'first', delay: 100 }), raise({ type: 'X' }, { id: 'x', delay: 100 })],
      on: { ARM: { actions: raise({ type: 'X' }, { id: 'x', delay: 100 }) } },
    })
    const { job } = due(type, created(type), contextAt(1_100))
    expect(job.timers).toMatchObject([{ id: 'x', dueAt: 1_200 }])
  })

  test('timers without an id do not replace each other', () => {
    const type = machineType({ on: { ARM: { actions: raise({ type: 'X' }, { delay: 100 }) } } })
    const job = sent(type, sent(type, created(type), 'ARM', 2_000), 'ARM', 2_000)
    expect(new Set(job.timers.map(({ id }) => id)).size).toBe(2)
  })

  test('a timer falls due at a whole millisecond', () => {
    const type = machineType({ entry: raise({ type: 'X' }, { id: 'x', delay: () => 100 / 3 }) })
    expect(Number.isSafeInteger(created(type).timers[0]?.dueAt)).toBe(true)
  })

  test('a cycle of after: 0 does not block other jobs: each turn is a change of its own', () => {
    const type = machineType({ initial: 'a', states: { a: { after: { 0: 'b' } }, b: { after: { 0: 'a' } } } })
    const once = due(type, created(type), contextAt(2_000))
    expect(once).toMatchObject({ job: { state: 'b', phase: 'active', revision: 2 }, inputs: [{}] })
    expect(due(type, once.job, contextAt(2_000)).job).toMatchObject({ state: 'a', revision: 3 })
  })

  test('an infinite delay never falls due, and one that is not a number is due at once', () => {
    const type = machineType({
      entry: [
        raise({ type: 'NEVER' }, { id: 'never', delay: () => Number.POSITIVE_INFINITY }),
        raise({ type: 'NOW' }, { id: 'now', delay: () => Number.NaN }),
      ],
    })
    expect(created(type).timers).toEqual([{ id: 'now', event: { type: 'NOW' }, dueAt: 1_000 }])
  })

  test('work past its grace is abandoned after the timers: its token is invalid, and the slot is free', () => {
    const { job } = cancelled(plain, created(plain, { pipeline: 'nightly' }))
    const before = 3_000 + HEARTBEAT + GRACE - 1
    expect(due(plain, job, contextAt(before)).changed).toBe(false)
    const abandoned = due(plain, job, contextAt(before + 1))
    expect(abandoned).toMatchObject({
      events: [{ type: 'task.abandoned', task: 'execute' }],
      job: { tasks: [] },
    })
    expect(holdsSlot(abandoned.job)).toBe(false)
    expect(end(plain, abandoned.job, 2, { ok: true }, contextAt(before + 2))).toBeUndefined()
  })

  test('timers fire before work past its grace is abandoned', () => {
    const type = machineType({
      initial: 'a',
      entry: raise({ type: 'LATE' }, { delay: 60_000 }),
      on: { LATE: { actions: emit({ type: 'LATE' }) } },
      states: { a: { invoke: { id: 'w', src: 'work' }, on: { GO: 'b' } }, b: {} },
    })
    const { events } = due(type, sent(type, claimed(type), 'GO', 3_000), contextAt(99_999))
    expect(events.map((event) => event.type)).toEqual(['job.transitioned', 'job.emitted', 'task.abandoned'])
  })

  test('a retry’s pause is not a timer of the job', () => {
    const { job } = ended(tried, claimed(tried), failed, contextAt(3_000, 0.5))
    expect(due(tried, job, contextAt(99_999)).changed).toBe(false)
  })
})

interface Snapshots {
  readonly event: { readonly snapshot: { readonly context: unknown } }
}

interface Seen {
  readonly context: { readonly seen: string }
  readonly event: { readonly name: string }
}
