import { describe, expect, test } from 'vitest'
import { type AnyStateMachine, assign, createMachine, emit, fromPromise, log, raise } from 'xstate'
import type { ChartEvent } from '../../src/model/chart.ts'
import { claim, create, type Decision, type DecisionContext, due, end, lose, send } from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import { claimableTasks, holdsSlot, type Job, wakeAt } from '../../src/model/job.ts'
import { type Task, task } from '../../src/model/task.ts'

const HEARTBEAT = 2_000
const GRACE = 5_000

const plain = defineJob({ type: 'plain', execute: () => 1 })
const tried = defineJob({ type: 'tried', retry: { limit: 2, backoff: '10s', backoffMax: '15s' }, execute: () => 1 })
const patient = defineJob({ type: 'patient', killGrace: 'never', execute: () => 1 })

const failed = { ok: false, error: { name: 'Error', message: 'broken' } } as const

describe('leaving work', () => {
  test('a cancel while its work is only available leaves nothing behind', () => {
    const decision = send(plain, created(plain), { type: 'cancel', reason: 'late' }, contextAt(2_000))
    expect(decision.job).toMatchObject({ status: 'cancelled', outcome: 'cancelled', phase: 'settled', tasks: [] })
    const settled = { from: 'queued', to: 'cancelled', outcome: 'cancelled', reason: 'late', command: 'cancel' }
    expect(decision.events).toEqual([{ type: 'job.transitioned', ...settled }])
  })

  test('a cancel while its work is claimed asks it to stop, within a heartbeat and its grace', () => {
    const { job } = cancelled(plain)
    expect(job).toMatchObject({ status: 'cancelled', phase: 'settled', endedAt: 3_000 })
    expect(taskOf(job)).toMatchObject({ status: 'stopping', token: 2, holder: 'me', stopBy: 3_000 + HEARTBEAT + GRACE })
    expect(wakeAt(job)).toBe(3_000 + HEARTBEAT + GRACE)
  })

  test("with killGrace 'never' its stop is waited for without end", () => {
    const { job } = cancelled(patient)
    expect(taskOf(job)).toMatchObject({ status: 'stopping' })
    expect(taskOf(job)).not.toHaveProperty('stopBy')
    expect(wakeAt(job)).toBeUndefined()
    expect(due(patient, job, contextAt(9_999_999)).changed).toBe(false)
  })

  test('the slot is held until the stop is reported', () => {
    const { job } = cancelled(plain, created(plain, { pipeline: 'nightly' }))
    expect(holdsSlot(job)).toBe(true)
    expect(holdsSlot(ended(plain, job, { ok: true }).job)).toBe(false)
  })

  test.each([{ ok: true, output: 5 } as const, failed])(
    'the end of work that was left only removes it: %j',
    (result) => {
      const { job } = cancelled(plain)
      const decision = ended(plain, job, result, contextAt(4_000))
      expect(decision).toMatchObject({ inputs: [], events: [{ type: 'task.stopped', task: 'execute' }] })
      expect(decision.job).toEqual({ ...job, tasks: [], updatedAt: 4_000, revision: 4, eventCount: job.eventCount + 1 })
    },
  )

  test('work that was left is not retried', () => {
    const { job } = cancelled(tried)
    expect(ended(tried, job, failed).job.tasks).toEqual([])
  })

  test('the death of a process ends the work that was left there', () => {
    const { job } = cancelled(plain)
    const decision = lose(plain, job, { invocation: 1, reason: 'died', steps: 0 }, contextAt(4_000))
    expect(decision).toMatchObject({ events: [{ type: 'task.stopped' }], inputs: [], job: { tasks: [] } })
  })

  test('an invoke that is entered again has two tasks, and the new one waits for the old one', () => {
    const type = machineType({
      initial: 'a',
      states: { a: { invoke: { id: 'w', src: 'work' }, on: { AGAIN: { target: 'a', reenter: true } } } },
    })
    const { job } = send(type, claimed(type), { type: 'AGAIN' }, contextAt(3_000))
    expect(job.tasks).toMatchObject([
      { id: 'w', invocation: 1, token: 2, status: 'stopping' },
      { id: 'w', invocation: 3, token: 0, status: 'available', attempt: 0 },
    ])
    expect(claimableTasks(job)).toEqual([])
    const stopped = ended(type, job, failed).job
    expect(claimableTasks(stopped)).toMatchObject([{ invocation: 3 }])
    // It is left again: the invocation that was never claimed goes at once, and the one that is still stopping stays.
    expect(send(type, job, { type: 'AGAIN' }, contextAt(4_000)).job.tasks).toMatchObject([
      { invocation: 1, status: 'stopping', stopBy: 3_000 + HEARTBEAT + GRACE },
      { invocation: 4, status: 'available' },
    ])
  })
})

// XState enters a state again, without having left it, through a history that remembers nothing.
test('an invoke that is entered again without having been left replaces its earlier invocation', () => {
  const type = machineType({
    id: 'm',
    initial: 's',
    states: {
      s: {
        initial: 'x',
        states: { x: { invoke: { id: 'w', src: 'work' }, on: { AGAIN: '#m.s.back' } }, back: { type: 'history' } },
      },
    },
  })
  const { job } = send(type, claimed(type), { type: 'AGAIN' }, contextAt(3_000))
  expect(job.tasks).toMatchObject([
    { id: 'w', invocation: 1, status: 'stopping' },
    { id: 'w', invocation: 3, status: 'available' },
  ])
  expect(claimableTasks(job)).toEqual([])
})

describe('send', () => {
  test('an event that the chart does not take is not handled, and nothing is written', () => {
    const job = claimed(plain)
    expect(send(plain, job, { type: 'other' }, contextAt(3_000))).toMatchObject({
      handled: false,
      changed: false,
      job,
      inputs: [],
    })
  })

  test('an event that changes nothing is handled, nothing is written, and its actions run', () => {
    let ran = 0
    const type = machineType({ on: { PING: { actions: () => void ran++ } } })
    const job = created(type)
    const decision = send(type, job, { type: 'PING' }, contextAt(2_000))
    expect(decision).toMatchObject({ handled: true, changed: false, job, events: [] })
    for (const { run } of decision.effects) run(() => {})
    expect(ran).toBe(1)
  })

  test('an event that only emits or logs is written', () => {
    const type = machineType({ on: { SAY: { actions: [emit({ type: 'SAID' }), log('said')] } } })
    const decision = send(type, created(type), { type: 'SAY' }, contextAt(2_000))
    expect(decision).toMatchObject({ changed: true, logs: ['said'], job: { revision: 2 } })
    expect(decision.events).toContainEqual({ type: 'job.emitted', event: { type: 'SAID' } })
  })

  test('tags say what a state means: vacates, indeterminate, and the outcome of several', () => {
    const type = machineType({
      initial: 'a',
      on: { V: '.v', I: '.i', BOTH: '.both', PLAIN: '.plain' },
      states: {
        a: {},
        v: { tags: ['vacates'] },
        i: { tags: ['indeterminate'] },
        both: { type: 'final', tags: ['success', 'cancelled', 'failure'] },
        plain: { type: 'final' },
      },
    })
    const job = created(type, { pipeline: 'nightly' })
    expect(holdsSlot(job)).toBe(true)
    const vacant = sent(type, job, 'V', 2_000)
    expect([vacant.vacates, holdsSlot(vacant)]).toEqual([true, false])
    expect(sent(type, vacant, 'I', 2_000)).toMatchObject({ phase: 'indeterminate', vacates: false })
    expect(sent(type, job, 'BOTH', 2_000).outcome).toBe('failure')
    expect(sent(type, job, 'PLAIN', 2_000).outcome).toBe('success')
  })

  test('a settled job has no timers and no work to start, and takes no further event', () => {
    const type = machineType({
      initial: 'a',
      entry: raise({ type: 'LATER' }, { delay: 10 }),
      on: { '*': '.z' },
      states: { a: { invoke: [{ src: 'work' }, { src: 'work' }], after: { 50: 'z' } }, z: { type: 'final' } },
    })
    const job = sent(type, claimed(type), 'GO', 3_000)
    expect(job).toMatchObject({ phase: 'settled', timers: [] })
    expect(job.tasks.map(({ status }) => status)).toEqual(['stopping'])
    expect(send(type, job, { type: 'GO' }, contextAt(4_000))).toMatchObject({
      changed: false,
      job,
      events: [],
      inputs: [],
    })
    expect(due(type, job, contextAt(4_000))).toMatchObject({ changed: false, job })
  })

  test('I12 a throw in the chart ends that job alone, and its claimed work is asked to stop', () => {
    const type = machineType({ invoke: { id: 'w', src: 'work' }, on: { GO: { actions: assign(thrower) } } })
    const job = sent(type, claimed(type), 'GO', 3_000)
    expect(job).toMatchObject({ status: 'error', outcome: 'failure', error: { name: 'RangeError', message: 'mine' } })
    expect(taskOf(job).status).toBe('stopping')
  })

  test('I12 a thrown value that cannot be read ends that job alone', () => {
    const hostile = new Proxy({}, { get: thrower })
    const type = machineType({
      on: {
        GO: {
          actions: assign(() => {
            throw hostile
          }),
        },
      },
    })
    expect(sent(type, created(type), 'GO', 3_000)).toMatchObject({ status: 'error', outcome: 'failure' })
  })

  test('a history state is stored while the chart has one', () => {
    const type = machineType({
      id: 'm',
      initial: 'on',
      states: {
        on: { initial: 'a', on: { OFF: 'off' }, states: { a: { on: { GO: 'b' } }, b: {}, h: { type: 'history' } } },
        off: { on: { ON: 'on.h' } },
      },
    })
    const off = sent(type, sent(type, created(type), 'GO', 2_000), 'OFF', 3_000)
    expect(off.historyValue).toEqual({ 'm.on.h': ['m.on.b'] })
    const on = sent(type, off, 'ON', 4_000)
    expect(on.state).toEqual({ on: 'b' })
    expect(JSON.stringify(on)).toContain('m.on.b')
  })

  test('times never fall when the clock goes backwards', () => {
    const late = claim(plain, created(plain, {}, 5_000), 1, { holder: 'me' }, contextAt(1_000)).job
    expect(late).toMatchObject({ createdAt: 5_000, startedAt: 5_000, updatedAt: 5_000 })
    const over = sent(plain, late, 'cancel', 10)
    expect(over).toMatchObject({ endedAt: 5_000, updatedAt: 5_000 })
  })

  test('deadlines count by the steady time, whatever the wall clock shows', () => {
    const late = claim(
      plain,
      created(plain, {}, 5_000),
      1,
      { holder: 'me' },
      { ...contextAt(1_000), steadyAt: 7_000 },
    ).job
    const over = send(plain, late, { type: 'cancel' }, { ...contextAt(10), steadyAt: 8_000 }).job
    expect(over).toMatchObject({ endedAt: 5_000, tasks: [{ stopBy: 8_000 + HEARTBEAT + GRACE }] })
  })
})

describe('describe', () => {
  test('the answer of describe is in the record and in the event', () => {
    const type = defineJob({
      type: 'described',
      execute: () => 1,
      describe: (_, event) => ({ message: `by ${event.type}`, exitCode: 3, reason: 'mine', error: 'odd' }),
    })
    const decision = send(type, created(type), { type: 'cancel', reason: 'late' }, contextAt(2_000))
    expect(decision.job).toMatchObject({ message: 'by cancel', exitCode: 3, error: { message: 'odd' } })
    expect(decision.events).toMatchObject([{ reason: 'mine', message: 'by cancel', error: { message: 'odd' } }])
  })

  test('I12 a describe that throws costs the job its description, not its transition', () => {
    const type = defineJob({ type: 'described', execute: () => 1, describe: thrower })
    expect(sent(type, created(type), 'cancel', 2_000)).toMatchObject({ status: 'cancelled', phase: 'settled' })
  })

  test('a message with a lone surrogate can still be stored in the record', () => {
    const type = defineJob({ type: 'described', execute: () => 1, describe: () => ({ message: '\ud800' }) })
    expect(created(type).message?.isWellFormed()).toBe(true)
  })
})

const seed = {
  id: 'j1',
  tenant: 'acme',
  createdBy: 'ada',
  trigger: 'manual',
  labels: { team: 'blue' },
  priority: 0,
} as const

function thrower(): never {
  throw new RangeError('mine')
}

function contextAt(at: number, random = 0): DecisionContext {
  return { at, random, heartbeatMs: HEARTBEAT }
}

function machineType(config: object, options: object = {}): AnyJobType {
  const actors = { work: fromPromise(async () => {}), frail: task({ recovery: 'fail' }, async () => {}) }
  const lifecycle: AnyStateMachine = createMachine(config as never).provide({ actors })
  return defineJob({ type: 'chart', lifecycle, ...options })
}

function created(type: AnyJobType, more: object = {}, at = 1_000): Job {
  return create(type, { ...seed, ...more }, contextAt(at)).job
}

function taskOf(job: Job): Task {
  const [task] = job.tasks
  if (task === undefined) throw new Error('the job has no task')
  return task
}

/** The job with its first available task claimed; by default a new job. */
function claimed(type: AnyJobType, job: Job = created(type), at = 2_000): Job {
  const [task] = claimableTasks(job)
  if (task === undefined) throw new Error('the job has no claimable task')
  return claim(type, job, task.invocation, { holder: 'me' }, contextAt(at)).job
}

function ended(type: AnyJobType, job: Job, result: Parameters<typeof end>[3], when = contextAt(3_000)): Decision {
  const decision = end(type, job, taskOf(job).token, result, when)
  if (decision === undefined) throw new Error('the token is not good')
  return decision
}

function sent(type: AnyJobType, job: Job, name: ChartEvent['type'], at: number): Job {
  return send(type, job, { type: name }, contextAt(at)).job
}

function cancelled(type: AnyJobType, job: Job = created(type)): Decision {
  return send(type, claimed(type, job), { type: 'cancel' }, contextAt(3_000))
}
