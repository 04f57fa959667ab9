import { describe, expect, test } from 'vitest'
import { type AnyStateMachine, assign, createMachine, fromPromise, fromTransition, raise, spawnChild } from 'xstate'
import { claim, due, send } from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import type { Job } from '../../src/model/job.ts'
import type { Migrated, MigratingJob } from '../../src/model/job-type.ts'
import { typeWhenTouched } from '../../src/model/migration.ts'
import { task } from '../../src/model/task.ts'
import { claimed, contextAt, created, ended, machineType, sent, taskOf } from './one-job.ts'

const defaultActors = { work: fromPromise(async () => {}), other: fromPromise(async () => {}) }

const old = typeOf('1', {
  id: 'm',
  initial: 'wait',
  context: { n: 1 },
  states: {
    wait: {
      invoke: { id: 'w', src: 'work' },
      after: { 60000: 'late' },
      entry: raise({ type: 'NUDGE' }, { delay: 90_000, id: 'nudge' }),
      on: { GO: 'done', OLD: 'late' },
    },
    late: {},
    done: { type: 'final' },
  },
})

const next = {
  id: 'm',
  initial: 'waiting',
  context: { n: 1 },
  states: {
    waiting: {
      invoke: [{ id: 'w', src: 'work', input: ({ context }: Scope) => context.n }],
      after: { PATIENCE: 'late', 5000: {} },
      entry: assign({ entered: true }),
      always: { guard: () => false, target: 'late' },
      on: { GO: 'done' },
    },
    elsewhere: {
      invoke: { id: 'x', src: 'other', systemId: 'one', input: ({ context }: Scope) => context.n.valueOf() },
    },
    outer: {
      initial: 'p',
      invoke: { id: 'w', src: 'work' },
      states: { p: { invoke: { id: 'y', src: 'work' } }, q: {} },
    },
    both: { type: 'parallel', states: { a: { invoke: { id: 'w', src: 'other' } }, b: { after: { 100: {} } } } },
    late: { on: { NUDGE: 'done' } },
    done: { type: 'final' },
  },
}

const PATIENCE = 'xstate.after.PATIENCE.m.waiting'
const MINUTE = 'xstate.after.60000.m.wait'

describe('a job of a previous version', () => {
  test('continues under its own chart while nothing moves it', () => {
    expect(sent(old, created(old), 'OLD', 2_000)).toMatchObject({ version: '1', state: 'late' })
    const { type } = moving(() => undefined)
    expect(sent(type, created(old), 'OLD', 2_000)).toMatchObject({ version: '1', state: 'late' })
  })

  test('is migrated by an event, which the new chart then takes', () => {
    const { type } = moving(({ context }) => ({ state: 'waiting', context: { n: (context as { n: number }).n + 1 } }))
    const { job, events, inputs } = send(type, created(old), { type: 'GO' }, contextAt(2_000))
    expect(events).toEqual([
      { type: 'job.migrated', version: '2', previous: '1', from: 'wait', to: 'waiting' },
      { type: 'job.transitioned', from: 'waiting', to: 'done', outcome: 'success', command: 'GO' },
    ])
    expect(job).toMatchObject({ version: '2', status: 'done', context: { n: 2 }, outcome: 'success', revision: 2 })
    expect(inputs).toEqual([
      { type: 'job.migrated', version: '2', state: 'waiting', context: { n: 2 } },
      { type: 'GO' },
    ])
  })

  test('is given to migrate as a copy, which may be changed', () => {
    const seen: MigratingJob[] = []
    const { type } = moving((job) => {
      seen.push(structuredClone(job))
      Object.assign(job.context as object, { n: 9 })
      return undefined
    })
    const job = created(old, { input: { a: 1 } })
    sent(type, job, 'NOTHING', 2_000)
    expect(job.context).toEqual({ n: 1 })
    const { id, labels } = job
    const timers = [
      { id: 'nudge', event: { type: 'NUDGE' }, dueAt: 91_000 },
      { id: MINUTE, event: { type: MINUTE }, dueAt: 61_000 },
    ]
    expect(seen[0]).toEqual({
      id,
      version: '1',
      state: 'wait',
      context: { n: 1 },
      input: { a: 1 },
      labels,
      timers: expect.arrayContaining(timers),
    })
  })

  test('keeps a task that the new chart invokes there too, with its attempts; no entry action runs', () => {
    const { type, moved } = moving(() => ({ state: 'waiting' }))
    const failed = ended(old, claimed(old), { ok: false, error: 'x' })
    expect(failed.job.phase).toBe('settled')
    const job = touched(type, created(old))
    expect(taskOf(job)).toMatchObject({ id: 'w', invocation: 1, status: 'available', executor: 'default' })
    expect(job.tasks).toHaveLength(1)
    expect(job.context).toEqual({ n: 1 })
    expect(taskOf(claimed(moved, job))).toMatchObject({ status: 'claimed', token: expect.any(Number) })
  })

  test('runs a kept task with the code that the new version names, not the old', () => {
    const run = () => Promise.resolve()
    const from = typeOf('1', next, {}, { ...defaultActors, work: task({ function: 'pack', version: 'v1' }, run) })
    const code = { executor: 'gpu', function: 'pack2' }
    const { type } = moving(() => ({ state: 'waiting' }), { ...defaultActors, work: task(code, run) }, from)
    expect(taskOf(created(from))).toMatchObject({ executor: 'default', function: 'pack', version: 'v1' })
    const kept = taskOf(touched(type, created(from)))
    expect(kept).toMatchObject({ invocation: 1, ...code })
    expect(kept).not.toHaveProperty('version')
  })

  test('starts what the new chart invokes in its state, and stops other invokes', () => {
    const { type } = moving(() => ({ state: 'elsewhere' }))
    const decision = send(type, created(old), { type: 'NOTHING' }, contextAt(2_000))
    expect(decision.job.tasks).toMatchObject([
      { id: 'x', src: 'other', input: 1, systemId: 'one', status: 'available' },
    ])
    expect(decision.job.counter).toBeGreaterThanOrEqual(taskOf(decision.job).invocation)
  })

  test('is in all substates of a state that was named in part, and in each region', () => {
    const nested = touched(moving(() => ({ state: 'outer' })).type, created(old))
    expect(nested).toMatchObject({ state: { outer: 'p' }, status: 'p' })
    expect(nested.tasks.map(({ id }) => id)).toEqual(['w', 'y'])
    const both = touched(moving(() => ({ state: { both: { a: {}, b: {} } } })).type, created(old))
    // The same id with other logic: the old work is stopped, and the new work started.
    expect(both.tasks).toMatchObject([{ id: 'w', src: 'other' }])
    expect(both.timers.map(({ id }) => id)).toEqual(['nudge', 'xstate.after.100.m.both.b'])
  })

  test('drops an after that its new state does not have, starts a new one now, and keeps other delayed events', () => {
    const { type } = moving(() => ({ state: 'waiting' }))
    const { timers } = touched(type, created(old))
    expect(timers.map(({ id, dueAt }) => [id, dueAt])).toEqual([
      ['nudge', 91_000],
      ['xstate.after.5000.m.waiting', 7_000],
      [PATIENCE, 32_000],
    ])
  })

  test('keeps a timer that is too far off for a date', () => {
    const far = { initial: 'a', states: { a: { after: { FAR: 'b' } }, b: {} } }
    const from = createMachine(far as never, { delays: { FAR: Number.MAX_SAFE_INTEGER } } as never)
    const old = defineJob({ type: 'chart', lifecycle: from as AnyStateMachine })
    const [timer] = created(old).timers
    expect(new Date(timer?.dueAt ?? 0).toISOString()).toBe('+275760-09-13T00:00:00.000Z')
    const moved = typeOf('2', far, { previous: [old], migrate: () => ({ state: 'a' }) })
    expect(touched({ ...old, successor: moved }, created(old))).toMatchObject({ version: '2', timers: [timer] })
  })

  test('does not restart an after that has fired while it is still in that state', () => {
    const chart = { initial: 'a', states: { a: { after: { 1000: { actions: () => {} } } } } }
    const from = typeOf('1', chart)
    const fired = due(from, created(from), contextAt(2_000)).job
    expect(fired.timers).toEqual([])
    const moved = typeOf('2', chart, { previous: [from], migrate: () => ({ state: 'a' }) })
    expect(touched({ ...from, successor: moved }, fired)).toMatchObject({ version: '2', timers: [] })
  })

  test('keeps the time of a renamed delay where migrate says so', () => {
    const { type, moved } = moving(({ timers }) => ({
      state: 'waiting',
      timers: timers.map((timer) =>
        timer.id === MINUTE ? { ...timer, id: PATIENCE, event: { type: PATIENCE } } : timer,
      ),
    }))
    const job = touched(type, created(old))
    expect(job.timers).toContainEqual({ id: PATIENCE, event: { type: PATIENCE }, dueAt: 61_000 })
    expect(due(moved, job, contextAt(61_000)).job).toMatchObject({ status: 'late' })
  })

  test('is migrated by a timer that fell due, which fires if the new chart still has it', () => {
    const { type } = moving(() => ({ state: 'late' }))
    expect(due(type, created(old), contextAt(95_000)).job).toMatchObject({ version: '2', status: 'done' })
    const { type: other } = moving(() => ({ state: 'waiting' }))
    expect(due(other, created(old), contextAt(61_000)).job).toMatchObject({ version: '2', status: 'waiting' })
  })

  test('is migrated by the claim of its task, which is claimed if the task still exists, for the same executor', () => {
    const { type } = moving(() => ({ state: 'waiting' }))
    const kept = claim(type, created(old), 1, { holder: 'me' }, contextAt(2_000))
    expect(kept.events.map((event) => event.type)).toEqual(['job.migrated', 'task.started'])
    expect(taskOf(kept.job)).toMatchObject({ status: 'claimed' })
    const gone = claim(moving(() => ({ state: 'elsewhere' })).type, created(old), 1, { holder: 'me' }, contextAt(2_000))
    expect(gone.events.map((event) => event.type)).toEqual(['job.migrated'])
    const actors = { work: task({ executor: 'big' }, async () => {}), other: fromPromise(async () => {}) }
    const rerouted = claim(
      moving(() => ({ state: 'waiting' }), actors).type,
      created(old),
      1,
      { holder: 'me' },
      contextAt(2_000),
    )
    expect(taskOf(rerouted.job)).toMatchObject({ status: 'available', executor: 'big' })
  })

  test('is not migrated while its code runs, and is migrated after that', () => {
    const { type } = moving(() => ({ state: 'waiting' }))
    const running = claimed(old)
    const nudged = sent(type, running, 'OLD', 3_000)
    expect(nudged).toMatchObject({ version: '1', status: 'late' })
    // It was left, but its code still runs.
    expect(taskOf(nudged).status).toBe('stopping')
    expect(sent(type, nudged, 'NOTHING', 4_000)).toMatchObject({ version: '1' })
    const stopped = ended(type, nudged, { ok: true }, contextAt(5_000)).job
    expect(sent(type, stopped, 'NOTHING', 6_000)).toMatchObject({ version: '2', status: 'waiting' })
  })

  test('does not restart ended work while it is still in that state, however the work ended', () => {
    const pay = (version: string, options: object = {}) => {
      const invoke = { id: 'pay', src: 'work', onDone: { actions: () => {} }, onError: { actions: () => {} } }
      return typeOf(
        version,
        { initial: 'a', states: { a: { invoke }, b: { invoke: { ...invoke, src: 'other' } } } },
        options,
      )
    }
    const from = pay('1')
    for (const result of [{ ok: true }, { ok: false, error: 'no' }] as const) {
      const { job } = ended(from, claimed(from), result)
      const to = (state: string) => pay('2', { previous: [from], migrate: () => ({ state }) })
      const same = touched({ ...from, successor: to('a') }, job)
      expect(same).toMatchObject({ version: '2', state: 'a', tasks: [] })
      // Other logic under the same id is other work.
      expect(touched({ ...from, successor: to('b') }, job).tasks).toMatchObject([{ id: 'pay', src: 'other' }])
    }
  })

  test('stops work whose name means another kind of logic in the new version, and starts that', () => {
    const logics = { task: fromPromise(async () => {}), inline: fromTransition((state: object) => state, {}) }
    const chart = { initial: 'a', states: { a: { invoke: { id: 'w', src: 'work' } } } }
    for (const [was, is, status] of [
      ['task', 'inline', 'inline'],
      ['inline', 'task', 'available'],
    ] as const) {
      const from = typeOf('1', chart, {}, { work: logics[was] })
      const moved = typeOf('2', chart, { previous: [from], migrate: () => ({ state: 'a' }) }, { work: logics[is] })
      const job = touched({ ...from, successor: moved }, created(from))
      expect(job.tasks).toMatchObject([{ id: 'w', invocation: expect.any(Number), status }])
      expect(taskOf(job).invocation).toBeGreaterThan(1)
    }
  })

  test('starts what its new state invokes beside an old child of that id which is still stopping', () => {
    const kid = createMachine({ initial: 'x', states: { x: {} } })
    const from = typeOf('1', { initial: 'a', states: { a: {} } })
    const chart = { initial: 'a', states: { a: { invoke: { id: 'k', src: 'kid' } } } }
    const moved = typeOf('2', chart, { previous: [from], migrate: () => ({ state: 'a' }) }, { kid })
    const old = { ...taskOf(created(machineType({ invoke: { id: 'k', src: 'work' } }))), src: 'kid', child: 'j0' }
    const left: Job = { ...created(from), counter: 1, tasks: [{ ...old, status: 'stopping' }] }
    const tree = { get: () => undefined, newId: () => 'j2' }
    const { job } = send({ ...from, successor: moved }, left, { type: 'NOTHING' }, contextAt(2_000), tree)
    expect(job.tasks.map(({ id, status }) => [id, status])).toEqual([
      ['k', 'stopping'],
      ['k', 'claimed'],
    ])
  })

  test('that has settled stays unchanged', () => {
    const { type } = moving(() => ({ state: 'waiting' }))
    const job = sent(old, created(old), 'GO', 2_000)
    expect(due(type, job, contextAt(9_000))).toMatchObject({ changed: false, job: { version: '1' } })
  })

  test('is migrated through one version after the other', () => {
    const second = typeOf('2', next, { previous: [old], migrate: () => ({ state: 'waiting', context: { n: 2 } }) })
    const third = typeOf('3', next, { previous: [second], migrate: () => ({ state: 'late' }) })
    const first = { ...old, successor: { ...second, successor: third } }
    const job = sent(first, created(old), 'NOTHING', 2_000)
    expect(job).toMatchObject({ version: '3', status: 'late', context: { n: 2 } })
    expect(typeWhenTouched(first, created(old)).version).toBe('3')
  })

  test('keeps a spawned actor whose name the new version knows, and stops one whose name it does not know', () => {
    const spawning = (src: string) => ({
      id: 'm',
      initial: 'wait',
      entry: spawnChild(src, { id: 's' }),
      states: { wait: {} },
    })
    const { type } = moving(() => ({ state: 'late' }), undefined, typeOf('1', spawning('work')))
    expect(touched(type, created(typeOf('1', spawning('work')))).tasks).toMatchObject([{ id: 's', src: 'work' }])
    const gone = typeOf('1', spawning('gone'), {}, { gone: fromPromise(async () => {}) })
    expect(touched(moving(() => ({ state: 'late' }), undefined, gone).type, created(gone)).tasks).toEqual([])
  })
})

test.each<[string, () => Migrated]>([
  [
    'throws',
    () => {
      throw new Error('no way')
    },
  ],
  ['names a state that is not there', () => ({ state: 'nowhere' })],
  ['names a final state', () => ({ state: 'done' })],
  ['gives a context that is no JSON', () => ({ state: 'late', context: { at: new Date() } })],
  [
    'gives a timer that is none',
    () => ({ state: 'late', timers: [{ id: 'x', event: { type: 'X' }, dueAt: Number.NaN }] }),
  ],
  ['gives a context that an input cannot be made of', () => ({ state: 'elsewhere', context: {} })],
])('a migrate that %s is an error for the caller who touches the job, and the job stays unchanged', (_, migrate) => {
  const { type } = moving(migrate)
  const job = created(old)
  const before = structuredClone(job)
  expect(() => send(type, job, { type: 'GO' }, contextAt(2_000))).toThrow(
    expect.objectContaining({
      code: 'INVALID_DEFINITION',
      jobId: 'j1',
      message: expect.stringContaining('could not be migrated'),
    }),
  )
  expect(job).toEqual(before)
})

test.each<[string, object]>([
  ['of another type', { previous: [defineJob({ type: 'other', execute: () => 1 })] }],
  ['of the same version', { previous: [typeOf('2', next)] }],
])('a previous type %s is refused', (_, options) => {
  expect(() => typeOf('2', next, options)).toThrow(expect.objectContaining({ code: 'INVALID_DEFINITION' }))
})

test('a migrate without previous versions is refused', () => {
  expect(() => typeOf('2', next, { migrate: () => undefined })).toThrow(
    'migrate needs previous: list there the versions that it migrates',
  )
})

test('a chart’s hash changes with what stored jobs depend on: states, events, targets, delays, invokes', () => {
  const base = {
    id: 'm',
    initial: 'a',
    states: { a: { on: { X: 'b' }, after: { 10: 'b' }, invoke: { id: 'w', src: 'work' } }, b: {} },
  }
  const a = base.states.a
  const hash = (config: object) => typeOf('1', config).hash
  const same = [
    { ...base, states: { ...base.states, a: { ...a, tags: 'x', meta: { status: 'A' }, entry: () => {} } } },
    { ...base, context: { n: 1 }, description: 'more' },
  ]
  const other = [
    { ...base, states: { ...base.states, c: {} } },
    { ...base, initial: 'b' },
    { ...base, states: { a, b: { type: 'final' } } },
    { ...base, states: { ...base.states, a: { ...a, on: { X: 'a' } } } },
    { ...base, states: { ...base.states, a: { ...a, on: { Y: 'b' } } } },
    { ...base, states: { ...base.states, a: { ...a, after: { 20: 'b' } } } },
    { ...base, states: { ...base.states, a: { ...a, always: { guard: () => false, target: 'b' } } } },
    { ...base, states: { ...base.states, a: { ...a, invoke: { id: 'v', src: 'work' } } } },
    { ...base, states: { ...base.states, a: { ...a, invoke: { id: 'w', src: 'other' } } } },
    { ...base, states: { ...base.states, h: { type: 'history' } } },
    { ...base, states: { ...base.states, h: { type: 'history', history: 'deep' } } },
    { ...base, states: { ...base.states, h: { type: 'history', target: 'b' } } },
  ]
  for (const config of same) expect(hash(config)).toBe(hash(base))
  expect(new Set([base, ...other].map(hash)).size).toBe(other.length + 1)
  expect(hash(base)).toMatch(/^[0-9a-f]{16}$/)
})

test('a chart’s hash does not depend on the order in which a state names its events and delays', () => {
  const hash = (a: object) => typeOf('1', { id: 'm', initial: 'a', states: { a, b: {} } }).hash
  const sorted = hash({ on: { X: 'b', Y: 'a', '*': 'b' }, after: { LATE: 'b', PATIENCE: 'a' } })
  expect(hash({ after: { PATIENCE: 'a', LATE: 'b' }, on: { '*': 'b', Y: 'a', X: 'b' } })).toBe(sorted)
})

interface Scope {
  readonly context: { readonly n: number }
}

function typeOf(version: string, config: object, options: object = {}, actors: object = defaultActors): AnyJobType {
  const implementations = { actors, delays: { PATIENCE: 30_000, LATE: 60_000, FAR: 1 } }
  const lifecycle: AnyStateMachine = createMachine(config as never, implementations as never)
  return defineJob({ type: 'chart', version, lifecycle, ...options })
}

/** An engine's view of the old version, when it also knows the new one; and the new version. */
function moving(
  migrate: (job: MigratingJob) => Migrated | undefined,
  actors: object = defaultActors,
  from: AnyJobType = old,
): { readonly type: AnyJobType; readonly moved: AnyJobType } {
  const moved = typeOf('2', next, { previous: [from], migrate }, actors)
  return { type: { ...from, successor: moved }, moved }
}

function touched(type: AnyJobType, job: Job): Job {
  return sent(type, job, 'NOTHING', 2_000)
}
