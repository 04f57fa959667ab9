/**
 * Laws that hold for every chart and every order of events: charts are generated, jobs of them and their children are
 * walked at random, and each step of a walk is checked.
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  type AnyActorRef,
  type AnyStateMachine,
  assign,
  cancel,
  createActor,
  createMachine,
  emit,
  enqueueActions,
  fromPromise,
  fromTransition,
  log,
  raise,
} from 'xstate'
import {
  claim,
  create,
  type Decision,
  due,
  end,
  type JobDecision,
  lose,
  type Moment,
  type Relatives,
  release,
  report,
  send,
} from '../../src/model/decision.ts'
import { type AnyJobType, defineJob, withChildren } from '../../src/model/definition.ts'
import { claimableTasks, isBusy, type Job, wakeAt } from '../../src/model/job.ts'
import { assertStorable } from '../../src/model/storable.ts'
import { task } from '../../src/model/task.ts'
import { type ChartEvent, createChart, type Origin, type Place } from '../../src/model/transition.ts'

describe('walks over generated charts', () => {
  test('I10 revision, event count and label are what the changes of each job add up to', () => {
    forWalks((steps) => {
      for (const changes of byJob(steps)) {
        let revision = 0
        let eventCount = 0
        let label: string | undefined
        for (const { job, events } of changes) {
          revision++
          eventCount += events.length
          for (const event of events) {
            if (event.type === 'job.transitioned') expect(event.from).toBe(label)
            if (event.type === 'job.transitioned' || event.type === 'job.created') label = event.to
          }
          expect(job).toMatchObject({ revision, eventCount, status: label })
        }
        const types = changes.flatMap(({ events }) => events.map(({ type }) => type))
        expect([types.indexOf('job.created'), types.lastIndexOf('job.created')]).toEqual([0, 0])
      }
    })
  })

  test('a job that a decision did not change is given back as it was, and nothing is said of it', () => {
    forWalks((steps) => {
      for (const { decision } of steps) {
        if (decision.job.revision !== decision.before?.revision) continue
        const { job, before, events, inputs, logs, over, changed, others } = decision
        expect({ job, events, inputs, logs, over }).toEqual({ job: before, events: [], inputs: [], logs: [], over: [] })
        expect(changed).toBe(others.length > 0)
      }
    })
  })

  test('I10 state and context are the fold of the recorded inputs', () => {
    forWalks((steps, { plan }) => {
      for (const changes of byJob(steps)) {
        const { parentInvoke, input } = changes[0]?.job ?? {}
        const chart = createChart(machineOf(plan, parentInvoke === undefined ? 'parent' : 'child'))
        const origin: Origin = { children: [], nextEntry: 1, ...(parentInvoke === undefined ? {} : { parentInvoke }) }
        let place: Place | undefined
        let hasEnded = false
        for (const { job, inputs } of changes) {
          for (const event of JSON.parse(JSON.stringify(inputs)) as readonly ChartEvent[]) {
            expect(hasEnded).toBe(false)
            const move = place === undefined ? chart.start(input, origin) : chart.move(place, event, origin)
            place = move.place
            hasEnded = move.end !== undefined
          }
          const { state, context, status } = job
          expect({ state, context }).toEqual({ state: place?.state, context: place?.context })
          // A child whose parent left it is stopped wherever it stands.
          expect(job.phase === 'settled').toBe(hasEnded || status === 'stopped')
        }
      }
    })
  })

  test('I12 a decision is pure: the same job, event and moment give the same, and a frozen job is left as it is', () => {
    forWalks((steps) => {
      for (const { world, type, op, decision } of steps) {
        const before = new Map([...world].map(([id, job]) => [id, freeze(structuredClone(job))]))
        for (const other of [0, 1].map(() => decide(type, before, op))) expect(dataOf(other)).toEqual(dataOf(decision))
        expect(before).toEqual(world)
      }
    })
  })

  test('I13 a job that is stored and loaded between any two changes goes the same way', () => {
    forWalks((steps, { plan, ops }) => {
      const stored = walk(typeOf(plan), ops, (job) => JSON.parse(JSON.stringify(job)))
      expect(stored.map(({ decision }) => dataOf(decision))).toEqual(steps.map(({ decision }) => dataOf(decision)))
    })
  })

  test('I48 every record, event and input is plain JSON', () => {
    forWalks((steps) => {
      for (const { job, events, inputs } of changesOf(steps)) {
        for (const [name, value] of Object.entries({ job, events, inputs })) assertStorable(value, name, true)
      }
    })
  })

  test('times never fall within a record, under any clock', () => {
    forWalks((steps) => {
      for (const { before, job } of changesOf(steps)) {
        const { createdAt, startedAt, endedAt, updatedAt, timers, tasks } = job
        const times = [createdAt, startedAt ?? createdAt, endedAt ?? updatedAt, updatedAt]
        expect([...times].sort((a, b) => a - b)).toEqual(times)
        expect(updatedAt).toBeGreaterThanOrEqual(before?.updatedAt ?? 0)
        const later = [...timers.map(({ dueAt }) => dueAt), ...tasks.map(({ availableAt }) => availableAt)]
        expect([...times, ...later].filter((time) => !Number.isSafeInteger(time))).toEqual([])
      }
    })
  })

  test('what was set once stays: creation, first start, end and outcome', () => {
    forWalks((steps) => {
      for (const { before, job } of changesOf(steps)) {
        for (const key of ['createdAt', 'startedAt', 'endedAt', 'outcome', 'output', 'parentId'] as const) {
          if (before?.[key] !== undefined) expect(job[key]).toEqual(before[key])
        }
      }
    })
  })

  test('I16 tokens rise with each claim, and no token or entry repeats within a job', () => {
    forWalks((steps) => {
      for (const changes of byJob(steps)) {
        const tokens: number[] = []
        const entries: number[] = []
        for (const { before, job } of changes) {
          expect(new Set(job.tasks.map(({ entry }) => entry)).size).toBe(job.tasks.length)
          for (const { entry, token } of job.tasks) {
            const earlier = before?.tasks.find((each) => each.entry === entry)
            if (earlier === undefined) {
              expect(entries).not.toContain(entry)
              entries.push(entry)
            }
            if (token === (earlier?.token ?? 0)) continue
            expect(token).toBeGreaterThan(tokens.at(-1) ?? 0)
            tokens.push(token)
          }
        }
      }
    })
  })

  test('I16 a report under a token that is not at work is not taken', () => {
    forWalks(
      (steps) => {
        for (const { world, type, op } of steps) {
          const job = world.get(op.id)
          if (job === undefined) continue
          const good = new Set(job.tasks.filter(isAtWork).map(({ token }) => token))
          for (let token = 0; token <= job.counter + 1; token++) {
            if (good.has(token)) continue
            expect(end(typeIn(type, job), job, token, { ok: true }, op, relativesIn(type, world))).toBeUndefined()
            expect(release(typeIn(type, job), job, token, op).changed).toBe(false)
          }
        }
      },
      { numRuns: 30 },
    )
  })

  test('I20 an attempt is counted once for each claim that was not given back', () => {
    forWalks((steps) => {
      const counted = new Map<string, number>()
      for (const { before, job, op } of changesOf(steps)) {
        for (const { entry, attempt, claims, status } of job.tasks) {
          const earlier = before?.tasks.find((each) => each.entry === entry)
          const isReleased = op.kind === 'release' && earlier?.status === 'held' && status === 'offered'
          const key = `${job.id} ${entry}`
          counted.set(key, (counted.get(key) ?? 0) + claims - (earlier?.claims ?? 0) - (isReleased ? 1 : 0))
          expect(attempt).toBe(counted.get(key))
        }
      }
    })
  })

  test('the code of an invoke never runs beside that of its earlier entry', () => {
    forWalks((steps) => {
      for (const { job } of changesOf(steps)) {
        const busy = job.tasks.filter((task) => isAtWork(task) && task.child === undefined).map(({ id }) => id)
        expect(new Set(busy).size).toBe(busy.length)
      }
    })
  })

  test('work that is stopping goes only by its report, its loss, or its grace, and an event says so', () => {
    forWalks((steps) => {
      for (const { before, job, op, events } of changesOf(steps)) {
        for (const gone of before?.tasks.filter(({ status, child }) => status === 'stopping' && !child) ?? []) {
          if (job.tasks.some(({ entry }) => entry === gone.entry)) continue
          expect(['end', 'lose', 'due']).toContain(op.kind)
          expect(events).toContainEqual(expect.objectContaining({ task: gone.id }))
        }
        for (const { status, stopBy, holder, child } of job.tasks) {
          const isHeld = (status === 'held' || status === 'stopping') && child === undefined
          expect(holder !== undefined).toBe(isHeld)
          if (status !== 'stopping') expect(stopBy).toBeUndefined()
        }
      }
    })
  })

  test('a job is settled exactly when it has an end and an outcome, and then nothing of it can start', () => {
    forWalks((steps) => {
      for (const { job } of changesOf(steps)) {
        const { phase, endedAt, outcome, timers, tasks } = job
        const isSettled = phase === 'settled'
        expect([endedAt !== undefined, outcome !== undefined]).toEqual([isSettled, isSettled])
        if (!isSettled) continue
        expect(timers).toEqual([])
        expect(tasks.filter(({ status }) => status !== 'stopping')).toEqual([])
      }
    })
  })

  test('I9 a settled job never changes: at most its last work ends, and then nothing at all', () => {
    forWalks((steps) => {
      for (const { before, job, inputs } of changesOf(steps)) {
        if (before?.phase !== 'settled') continue
        expect(lifeOf(job)).toEqual(lifeOf(before))
        expect(inputs).toEqual([])
        expect(isBusy(before)).toBe(true)
      }
    })
  })

  test('I29 a child lives while its parent is in the invoke, and stands in its tasks until its own work is gone', () => {
    forWalks((steps) => {
      for (const { after } of steps) {
        for (const child of after.values()) {
          if (child.parentId === undefined) continue
          const [stand, ...more] = jobIn(after, child.parentId).tasks.filter((each) => each.child === child.id)
          expect(more).toEqual([])
          const expected = child.phase !== 'settled' ? 'held' : isBusy(child) ? 'stopping' : undefined
          expect(stand?.status).toBe(expected)
        }
      }
    })
  })

  test('I19 a job that waits is woken: what is due is no more after it was looked at', () => {
    forWalks(
      (steps) => {
        for (const { type, after } of steps) {
          for (const job of after.values()) {
            const wake = wakeAt(job)
            if (wake === undefined) continue
            expect(Number.isSafeInteger(wake)).toBe(true)
            const at = Math.max(wake, job.updatedAt)
            const next = due(typeIn(type, job), job, momentAt(at), relativesIn(type, after))
            expect(next.changed).toBe(true)
            expect(wakeAt(next.job) ?? Number.POSITIVE_INFINITY).toBeGreaterThan(at)
          }
        }
      },
      { numRuns: 30 },
    )
  })

  // By one seed, or rare ends would be missed now and then: it shows what the generators reach.
  test('the walks go everywhere', () => {
    const seen = new Map<string, number>()
    const note = (what: string) => seen.set(what, (seen.get(what) ?? 0) + 1)
    forWalks(
      (steps) => {
        for (const { before, job, events, op } of changesOf(steps)) {
          for (const { type } of events) note(type)
          if (before?.phase !== job.phase) note(`${job.phase} ${job.outcome ?? ''} ${job.error?.code ?? ''}`.trim())
          if (job.tasks.some(({ status }) => status === 'offered') && claimableTasks(job).length === 0) note('blocked')
          if (job.historyValue !== undefined) note('history')
          if (job.status === 'stopped') note('stopped')
          for (const { status, child, inbox } of job.tasks)
            note(`${status}${child === undefined ? '' : ' child'}${inbox.length > 0 ? ' told' : ''}`)
          if (op.id !== job.id && before !== undefined) note('moved by a relative')
        }
      },
      { numRuns: 300, seed: 3 },
    )
    const least = [
      'job.created',
      'job.transitioned',
      'job.emitted',
      'task.started',
      'task.retried',
      'task.lost',
      'task.released',
      'task.stopped',
      'task.leaked',
      'settled success',
      'settled failure',
      'settled cancelled',
      'settled failure NOT_STORABLE',
      'settled failure POISON',
      'settled failure TASK_LOST',
      'indeterminate',
      'blocked',
      'history',
      'stopped',
      'lost',
      'inline',
      'held child',
      'stopping child',
      'held told',
      'moved by a relative',
    ]
    expect(least.filter((what) => !seen.has(what))).toEqual([])
  })
})

describe('moves of generated charts', () => {
  test('I12 law: every event in every reached place is taken, refused, or ends the job; none throws', () => {
    forPlaces(({ plan, place, event }) => {
      const move = createChart(machineOf(plan)).move(place, event)
      if (!move.handled) expect(move).toMatchObject({ moved: false, place: { state: place.state }, actions: [] })
    })
  })

  test('I12 law: a move is pure: the same twice, on frozen places, and whatever was moved between', () => {
    const origin = freeze({ children: [{ id: 'w', src: 'work', entry: 1 }], nextEntry: 4 })
    forPlaces(({ plan, chart, place, event }) => {
      const moves = [chart, chart, createChart(machineOf(plan))].map((each) =>
        each.move(freeze(place), freeze(event), origin),
      )
      for (const move of moves) expect(plainMove(move)).toEqual(plainMove(moves[0]))
    })
  })

  test('the chart hears of an event by its exact name only, never by a wildcard', () => {
    forPlaces(({ plan, place, event }) => {
      if (!event.type.startsWith('task.')) return
      expect(createChart(machineOf(withoutNames(plan))).names(place, event)).toBe(false)
    })
  })

  test('I8 law: a chart stands where a live XState actor of its machine would', () => {
    const isSafe = (type: string) => type !== 'xstate.stop' && !type.startsWith('task.')
    const types = fc.array(fc.constantFrom(...eventTypes.filter(isSafe)), { maxLength: 25, size: 'max' })
    fc.assert(
      fc.property(plans, types, (generated, sent) => {
        const plan = withoutOutside(generated)
        const chart = createChart(machineOf(plan))
        const actor = createActor(machineOf(plan), { input: { n: 1 }, clock: stillClock, logger: () => {} } as never)
        actor.subscribe({ error: () => {} })
        actor.start()
        let move = chart.start({ n: 1 })
        for (const type of sent) {
          const { status, value, context, output } = actor.getSnapshot() as LiveSnapshot
          expect(move.end?.kind ?? 'active').toBe(status)
          if (move.end?.kind === 'error') return
          expect([move.place.state, move.place.context]).toEqual([value, context])
          if (move.end?.kind === 'done') {
            expect(move.end.output).toEqual(output)
            return
          }
          actor.send({ type })
          move = chart.move(move.place, { type })
        }
        actor.stop()
      }),
      { numRuns: 200 },
    )
  })
})

interface LiveSnapshot {
  readonly status: string
  readonly value: unknown
  readonly context: unknown
  readonly output: unknown
}

const stillClock = { setTimeout: () => 0, clearTimeout: () => {} }

// What charts are generated from

const eventTypes = [
  'A',
  'B',
  'A.part',
  'later',
  'task.claimed',
  'task.started',
  'task.lost',
  'xstate.done.actor.w',
  'xstate.error.actor.w',
  'xstate.done.state.m.s0',
  'xstate.after.100.m.s0',
  'xstate.init',
  'xstate.stop',
  'constructor',
  '__proto__',
  '*',
  '',
] as const

const descriptors = ['A', 'B', 'later', 'task.claimed', 'task.started', 'task.lost', '*', 'A.*', 'task.*'] as const

const actionKinds = [
  'add',
  'add',
  'keep',
  'throw',
  'spoil',
  'raise',
  'emit',
  'log',
  'arm',
  'armUnnamed',
  'disarm',
  'effect',
  'tell',
  'tell',
  'answer',
] as const

interface TransitionPlan {
  readonly on: (typeof descriptors)[number]
  readonly target: number | null
  readonly guard: 'even' | 'fragile' | null
  readonly actions: readonly (typeof actionKinds)[number][]
  readonly reenter: boolean
}

interface NodePlan {
  readonly transitions: readonly TransitionPlan[]
  readonly invoke: {
    readonly src: string
    readonly isShared: boolean
    readonly done: number
    readonly error: number | null
  } | null
  readonly after: number | null
  readonly always: number | null
  readonly entry: readonly (typeof actionKinds)[number][]
  readonly exit: readonly (typeof actionKinds)[number][]
  readonly tags: readonly string[]
}

interface StatePlan extends NodePlan {
  readonly kind: 'atomic' | 'compound' | 'parallel' | 'final'
  readonly history: 'shallow' | 'deep'
  readonly inner: readonly NodePlan[]
}

interface Plan {
  readonly root: Pick<NodePlan, 'transitions' | 'invoke'>
  readonly states: readonly StatePlan[]
  /** Of the machine that the source `child` names; it has no children itself. */
  readonly child: readonly StatePlan[]
}

function repeated<const Value>(value: Value, times: number): readonly Value[] {
  return Array.from({ length: times }, () => value)
}

const actions = fc.array(fc.constantFrom(...actionKinds), { maxLength: 2, size: 'max' })
const target = fc.nat(30)
const rarely = <Value>(value: fc.Arbitrary<Value>, freq: number) => fc.option(value, { freq })

const transitions = fc.array(
  fc.record({
    on: fc.constantFrom(...descriptors),
    target: fc.option(target, { freq: 6 }),
    guard: fc.option(fc.constantFrom('even', 'fragile')),
    actions,
    reenter: fc.boolean(),
  }),
  { maxLength: 4, size: 'max' },
)

const invoke = fc.record({
  src: fc.constantFrom(
    'work',
    ...repeated('tried', 3),
    'frail',
    'frail',
    'patient',
    'elsewhere',
    'pure',
    'child',
    'child',
  ),
  isShared: fc.boolean(),
  done: target,
  error: fc.option(target, { freq: 3 }),
})

const node = {
  transitions,
  invoke: fc.option(invoke, { freq: 3 }),
  after: rarely(target, 1),
  always: fc.oneof({ weight: 9, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: target }),
  entry: actions,
  exit: actions,
  tags: fc.subarray(['success', 'failure', 'cancelled', 'vacates', 'indeterminate'], { maxLength: 2 }),
}

const states: fc.Arbitrary<StatePlan> = fc.record({
  kind: fc.constantFrom(...repeated('atomic', 4), ...repeated('compound', 3), ...repeated('parallel', 2), 'final'),
  history: fc.constantFrom('shallow', 'deep'),
  inner: fc.array(fc.record(node), { minLength: 4, maxLength: 4 }),
  ...node,
})

const plans: fc.Arbitrary<Plan> = fc.record({
  root: fc.record({
    transitions: fc
      .array(
        transitions.map((list) => list.slice(0, 1)),
        { maxLength: 1 },
      )
      .map((lists) => lists.flat()),
    invoke: fc.option(invoke, { freq: 1 }),
  }),
  states: fc.array(states, { minLength: 3, maxLength: 4, size: 'max' }),
  child: fc.array(states, { minLength: 2, maxLength: 3, size: 'max' }),
})

function withoutNames(plan: Plan): Plan {
  return eachTransition(plan, (each) =>
    each.on.startsWith('task.') && each.on !== 'task.*' ? { ...each, on: '*' } : each,
  )
}

/** What stands outside a chart, or differs by intent: tasks, timers, and contexts that cannot be stored. */
function withoutOutside(plan: Plan): Plan {
  const plain = (list: readonly (typeof actionKinds)[number][]) =>
    list.filter((kind) => kind !== 'spoil' && kind !== 'tell')
  const bare = <Node extends NodePlan>(each: Node): Node => ({
    ...each,
    invoke: null,
    after: null,
    entry: plain(each.entry),
    exit: plain(each.exit),
  })
  const next = eachTransition(plan, (each) => ({ ...each, actions: plain(each.actions) }))
  return {
    ...next,
    root: { ...next.root, invoke: null },
    states: next.states.map((state) => ({ ...bare(state), inner: state.inner.map(bare) })),
  }
}

function eachTransition(plan: Plan, change: (each: TransitionPlan) => TransitionPlan): Plan {
  const changed = <Node extends Pick<NodePlan, 'transitions'>>(each: Node): Node => ({
    ...each,
    transitions: each.transitions.map(change),
  })
  return {
    ...plan,
    root: changed(plan.root),
    states: plan.states.map((state) => ({ ...changed(state), inner: state.inner.map(changed) })),
  }
}

// How a machine is made of a plan

interface Scope {
  readonly context: { readonly n: number; readonly last: string }
  readonly event: { readonly type: string }
}

// Only by an event from outside: a parent that starts its child again as it fails would do so without end.
const isSpoiled = ({ context, event }: Scope, n: number) => context.n % 4 === n && event.type === 'A'

const guards = {
  even: ({ context }: Scope) => context.n % 2 === 0,
  fragile: (scope: Scope) => {
    if (isSpoiled(scope, 1)) throw new Error('fragile')
    return true
  },
}

const actionsByKind: { readonly [Kind in (typeof actionKinds)[number]]: unknown } = {
  add: assign((scope: unknown) => ({ n: ((scope as Scope).context.n + 1) % 8 })),
  keep: assign((scope: unknown) => ({ last: (scope as Scope).event.type })),
  throw: assign((scope: unknown) => {
    if (isSpoiled(scope as Scope, 2)) throw new RangeError('thrown')
    return {}
  }),
  spoil: assign((scope: unknown) => (isSpoiled(scope as Scope, 3) ? { last: Number.NaN } : {}) as never),
  raise: raise({ type: 'B' }),
  emit: emit((scope: unknown) => ({ type: 'said', n: (scope as Scope).context.n })),
  log: log((scope: unknown) => (scope as Scope).event.type),
  arm: raise({ type: 'later' }, { id: 'armed', delay: 300 }),
  armUnnamed: raise({ type: 'later' }, { delay: 700 }),
  disarm: cancel('armed'),
  effect: () => {},
  // Only by an event from outside: a child answers, and an answer to that would go on without end.
  tell: enqueueActions(({ enqueue, event, self }) => {
    if (event.type !== 'A') return
    const [child] = Object.values<AnyActorRef>((self as AnyActorRef).getSnapshot().children)
    if (child !== undefined) enqueue.sendTo(child, { type: 'A' })
  }),
  answer: enqueueActions(({ enqueue, event }) => {
    if (event.type === 'A') enqueue.sendParent({ type: 'B' })
  }),
}

// A child that ends as it begins, by what it raises, could be begun again without end.
const notFor = { parent: ['answer'], child: ['tell', 'raise'] }

function machineOf(plan: Plan, role: 'parent' | 'child' = 'parent'): AnyStateMachine {
  const { root, states } =
    role === 'parent' ? plan : { root: { transitions: [], invoke: null }, states: plan.child.map(lasting) }
  const acts = (kinds: readonly (typeof actionKinds)[number][]) =>
    kinds.filter((kind) => !notFor[role].includes(kind)).map((kind) => actionsByKind[kind])
  const targets = states.flatMap((state, index) => targetsIn(state, `#m.s${index}`))
  const place = (index: number | null) => (index === null ? {} : { target: targets[index % targets.length] })
  const take = ({ actions: kinds, guard, reenter, target: to }: Omit<TransitionPlan, 'on'>) => ({
    ...place(to),
    ...(guard === null ? {} : { guard: guards[guard] }),
    actions: acts(kinds),
    reenter,
  })
  const takes = (list: readonly TransitionPlan[]) => ({
    on: Object.fromEntries(
      [...new Set(list.map((each) => each.on))].map((on) => [on, list.filter((each) => each.on === on).map(take)]),
    ),
  })
  const invokes = (asked: NodePlan['invoke'], isAlone: boolean) => {
    if (asked === null) return {}
    const { isShared, done, error } = asked
    const src = role === 'child' && asked.src === 'child' ? 'work' : asked.src
    const id = isShared && isAlone ? { id: 'w' } : {}
    const input = ({ context }: Scope) => ({ n: context.n })
    return { invoke: { ...id, src, input, onDone: place(done), ...(error === null ? {} : { onError: place(error) }) } }
  }
  const nodeOf = (each: NodePlan, isAlone: boolean) => ({
    ...takes(each.transitions),
    ...invokes(each.invoke, isAlone),
    ...(each.after === null ? {} : { after: { 100: place(each.after) } }),
    ...(each.always === null ? {} : { always: { ...place(each.always), guard: guards.even } }),
    entry: acts(each.entry),
    exit: acts(each.exit),
    tags: each.tags,
  })
  const stateOf = (state: StatePlan) => {
    if (state.kind === 'final') return { type: 'final', tags: state.tags, output: ({ context }: Scope) => context.n }
    const [x, y, p, q] = state.inner.map((each) => nodeOf(each, state.kind === 'compound' && state.invoke === null))
    const pair = { initial: 'p', states: { p, q } }
    if (state.kind === 'atomic') return nodeOf(state, true)
    const outer = nodeOf(state, false)
    if (state.kind === 'parallel') return { ...outer, type: 'parallel', states: { x, y: { ...y, ...pair } } }
    const back = { type: 'history', history: state.history }
    return { ...outer, initial: 'x', states: { x, y: { ...withoutInvoke(y), ...pair }, back } }
  }
  const config = {
    id: 'm',
    initial: 's0',
    context: ({ input }: { readonly input: { readonly n: number } }) => ({ n: input.n, last: '' }),
    output: ({ context }: Scope) => ({ n: context.n }),
    options: { maxIterations: 100 },
    ...takes(root.transitions),
    ...invokes(root.invoke, false),
    states: Object.fromEntries(states.map((state, index) => [`s${index}`, stateOf(state)])),
  }
  return createMachine(config as never).provide({
    actors: role === 'parent' ? { ...logics, child: machineOf(plan, 'child') } : logics,
  })
}

// Nor by where it begins.
function lasting(state: StatePlan, index: number): StatePlan {
  const inner = state.inner.map((each) => ({ ...each, always: null }))
  return { ...state, inner, always: null, kind: index === 0 && state.kind === 'final' ? 'atomic' : state.kind }
}

function withoutInvoke(config: object | undefined): object {
  return { ...config, invoke: [] }
}

const logics = {
  work: fromPromise(async () => {}),
  frail: task({ recovery: 'fail' }, async () => {}),
  tried: task({ retry: { limit: 2, backoff: 200 } }, async () => {}),
  patient: task({ killGrace: 'never' }, async () => {}),
  elsewhere: task({ recovery: 'await' }, async () => {}),
  pure: fromTransition((count: number) => count + 1, 0),
}

function targetsIn({ kind }: StatePlan, id: string): readonly string[] {
  if (kind === 'compound') return [id, `${id}.x`, `${id}.y.q`, `${id}.back`, `${id}.back`]
  return kind === 'parallel' ? [id, `${id}.y.q`] : [id]
}

function typeOf(plan: Plan): AnyJobType {
  return defineJob({ type: 'generated', lifecycle: machineOf(plan) })
}

// How a job and its children are walked

const opKinds = [
  ...repeated('send', 4),
  ...repeated('claim', 4),
  ...repeated('end', 4),
  ...repeated('lose', 2),
  'release',
  'report',
  ...repeated('due', 2),
] as const

interface Op {
  readonly kind: (typeof opKinds)[number]
  readonly event: (typeof eventTypes)[number]
  /** Chooses the job, and the task within it. */
  readonly job: number
  readonly pick: number
  readonly ok: boolean
  readonly steps: number
  readonly passed: number
  readonly random: number
}

/** An operation on a job of the walk, at its time. */
interface TimedOp extends Op, Moment {
  readonly id: string
}

type World = ReadonlyMap<string, Job>

interface Step {
  readonly type: AnyJobType
  readonly op: TimedOp
  readonly world: World
  readonly decision: Decision
  readonly after: World
}

const op = {
  event: fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom('A', 'B') },
    { weight: 1, arbitrary: fc.constantFrom(...eventTypes) },
  ),
  job: fc.nat(20),
  pick: fc.nat(20),
  ok: fc.constantFrom(true, false, false),
  steps: fc.constantFrom(0, 0, 0, 1, 2),
  // A clock that mostly goes on, now and then far, and sometimes back.
  passed: fc.oneof(fc.nat(200), fc.integer({ min: -2_000, max: 0 }), fc.integer({ min: 0, max: 9_000 })),
  random: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
}

const lossy = {
  ...op,
  job: fc.nat(1),
  pick: fc.constant(0),
  steps: fc.constantFrom(...repeated(0, 9), 1),
  passed: fc.nat(50),
}

// Of all kinds, or of a machine room where processes die.
const ops: fc.Arbitrary<readonly Op[]> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.array(fc.record({ kind: fc.constantFrom(...opKinds), ...op }), {
      maxLength: 50,
      minLength: 10,
      size: 'max',
    }),
  },
  {
    weight: 1,
    arbitrary: fc.array(fc.record({ kind: fc.constantFrom('claim', 'lose'), ...lossy }), {
      maxLength: 30,
      minLength: 15,
      size: 'max',
    }),
  },
)

const START = 1_000_000

interface Walked {
  readonly plan: Plan
  readonly ops: readonly Op[]
}

function forWalks(
  check: (steps: readonly Step[], walked: Walked) => void,
  options: fc.Parameters<[Plan, readonly Op[]]> = {},
): void {
  fc.assert(
    fc.property(plans, ops, (plan, list) => check(walk(typeOf(plan), list), { plan, ops: list })),
    { numRuns: 60, ...options },
  )
}

interface Placed {
  readonly plan: Plan
  readonly chart: ReturnType<typeof createChart>
  readonly place: Place
  readonly event: ChartEvent
}

/** Every event in the places that a walk reaches. */
function forPlaces(check: (placed: Placed) => void): void {
  forWalks(
    (steps, { plan }) => {
      const chart = createChart(machineOf(plan))
      for (const place of placesOf(steps).slice(0, 5)) {
        for (const type of eventTypes) check({ plan, chart, place, event: { type } })
      }
    },
    { numRuns: 15 },
  )
}

function walk(type: AnyJobType, list: readonly Op[], store: (job: Job) => Job = (job) => job): readonly Step[] {
  let at = START
  const steps: Step[] = []
  let world: World = new Map()
  const first: Op = { kind: 'send', event: 'A', job: 0, pick: 0, ok: true, steps: 0, passed: 0, random: 0 }
  for (const each of [first, ...list]) {
    at += each.passed
    const ids = [...world.keys()]
    const op: TimedOp = { ...each, at, heartbeatMs: 500, id: ids[each.job % Math.max(1, ids.length)] ?? 'j1' }
    const decision = decide(type, world, op)
    if (decision === undefined) continue
    const changed = decision.changed ? [decision, ...decision.others] : []
    const after = new Map([...world, ...changed.map(({ job }) => [job.id, store(job)] as const)])
    steps.push({ type, op, world, decision, after })
    world = after
  }
  return steps
}

function decide(type: AnyJobType, world: World, op: TimedOp): Decision | undefined {
  const relatives = relativesIn(type, world)
  const known = world.get(op.id)
  if (known === undefined) {
    const seed = { id: 'j1', tenant: 't', createdBy: 'ada', trigger: 'manual', labels: {}, priority: 0 } as const
    return create(type, { ...seed, input: { n: 1 }, pipeline: 'p' }, op, relatives)
  }
  return change(typeIn(type, known), known, op, relatives)
}

function change(type: AnyJobType, job: Job, op: TimedOp, relatives: Relatives): Decision | undefined {
  const busy = job.tasks.filter(isAtWork)
  // One in seven reports is of nothing that is at work.
  const chosen = op.pick % 7 === 6 ? undefined : busy[op.pick % Math.max(1, busy.length)]
  const token = chosen?.token ?? job.counter + 1
  switch (op.kind) {
    case 'send':
      return send(type, job, { type: op.event }, op, relatives)
    case 'claim': {
      const ready = claimableTasks(job).filter(({ availableAt }) => availableAt <= op.at)
      const asked = ready[op.pick % Math.max(1, ready.length)] ?? chosen
      return claim(type, job, asked?.entry ?? -1, `holder-${op.pick}`, op, relatives)
    }
    case 'end': {
      const result = op.ok
        ? { ok: true as const, output: op.pick }
        : { ok: false as const, error: { message: 'broken' } }
      return end(type, job, token, result, op, relatives)
    }
    case 'report': {
      const said = op.ok ? { kind: 'event' as const, event: { type: 'B' } } : { kind: 'value' as const, value: op.pick }
      return report(type, job, token, said, op, relatives)
    }
    case 'lose': {
      const loss = { entry: chosen?.entry ?? -1, reason: 'died', steps: Math.max(op.steps, chosen?.steps ?? 0) }
      return lose(type, job, loss, op, relatives)
    }
    case 'release':
      return release(type, job, token, op)
    case 'due':
      return due(type, job, op, relatives)
  }
}

/** Code may run under the task's token, or may still be heard of. */
function isAtWork({ status, child }: Job['tasks'][number]): boolean {
  return child === undefined && (status === 'held' || status === 'stopping' || status === 'lost')
}

function jobIn(world: World, id: string): Job {
  const job = world.get(id)
  if (job === undefined) throw new Error(`no job ${id}`)
  return job
}

function typeIn(type: AnyJobType, job: Job): AnyJobType {
  const found = [...withChildren(type)].find((each) => each.type === job.type)
  if (found === undefined) throw new Error(`no type ${job.type}`)
  return found
}

function relativesIn(type: AnyJobType, world: World): Relatives {
  let made = Math.max(1, world.size)
  return {
    get: (id) => {
      const job = jobIn(world, id)
      return { type: typeIn(type, job), job }
    },
    newId: () => `j${++made}`,
  }
}

function momentAt(at: number): Moment {
  return { at, random: 0, heartbeatMs: 500 }
}

type Changed = JobDecision & { readonly op: TimedOp }

/** What became of each job that a step changed. */
function changesOf(steps: readonly Step[]): readonly Changed[] {
  return steps.flatMap(({ decision, op }) =>
    [decision, ...decision.others]
      .filter(({ before, job }) => before?.revision !== job.revision)
      .map((each) => ({ ...each, op })),
  )
}

function byJob(steps: readonly Step[]): readonly (readonly Changed[])[] {
  return [...Map.groupBy(changesOf(steps), ({ job }) => job.id).values()]
}

function placesOf(steps: readonly Step[]): readonly Place[] {
  const active = steps
    .flatMap(({ after }) => [...after.values()])
    .filter(({ id, phase }) => id === 'j1' && phase !== 'settled')
  const places = active.map(({ state, context, historyValue }) => ({
    state,
    context,
    ...(historyValue === undefined ? {} : { historyValue }),
  }))
  return [...new Map(places.map((place) => [JSON.stringify(place), place])).values()]
}

/** All of a decision but its type and functions, and stacks, which differ by who asked. */
function dataOf(decision: Decision | undefined): unknown {
  const bare = ({ type, effects, ...data }: JobDecision) => ({ ...data, effects: effects.length })
  return decision === undefined ? undefined : withoutStacks({ ...bare(decision), others: decision.others.map(bare) })
}

function plainMove(move: unknown): unknown {
  return JSON.parse(JSON.stringify(move, (_, value) => (value instanceof Error ? String(value) : value)))
}

function withoutStacks(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, each) => (key === 'stack' ? undefined : each)))
}

/** What no operation may change once the job is settled. */
function lifeOf({ tasks, revision, eventCount, updatedAt, ...life }: Job): object {
  return life
}

function freeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  for (const each of Object.values(value)) freeze(each)
  return Object.freeze(value)
}
