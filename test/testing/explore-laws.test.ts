/**
 * Laws of `explore` over generated machines. It is compared with a separate exhaustive walk of bare transitions, and
 * with jobs that live at random while time passes.
 */
import fc from 'fast-check'
import { agentTask, defineJob, task } from 'jobchart'
import { explore, type JobMap } from 'jobchart/testing'
import { expect, test } from 'vitest'
import { type AnyStateMachine, assign, createMachine } from 'xstate'
import { z } from 'zod'
import type { ChartEvent, ChartSnapshot, TransitionResult } from '../../src/model/chart.ts'
import {
  type Claimant,
  claim,
  create,
  type Decision,
  due,
  end,
  lose,
  release,
  send,
  started,
} from '../../src/model/decision.ts'
import type { AnyJobType } from '../../src/model/definition.ts'
import { claimableTasks, type Job } from '../../src/model/job.ts'
import type { Task } from '../../src/model/task.ts'
import { createChart } from '../../src/model/transition.ts'
import { listed } from '../../src/model/xstate-internals.ts'

test('edges and dead ends equal those of bare transitions, and each path leads to its state', () => {
  fc.assert(
    fc.property(plans, (generated) => {
      const plan = generated.map((region) => region.map((node) => ({ ...node, delay: 100 })))
      const map = explore(typeOf(plan))
      expect(map).toMatchObject({ isComplete: true, untried: [] })
      const { edges, dead } = walkBare(machineOf(plan))
      expect(new Set(edgesIn(map))).toEqual(edges)
      const valueOfState = new Map(map.states.map(({ name, value }) => [name, JSON.stringify(value)]))
      expect(new Set(map.deadEnds.map(({ state }) => valueOfState.get(state)))).toEqual(dead)
      for (const { value, path } of map.states) expect(valueAfter(machineOf(plan), path)).toBe(JSON.stringify(value))
      for (const { path } of map.throws) expect(valueAfter(machineOf(plan), path)).toBe('null')
    }),
    { numRuns: 150 },
  )
})

test('a complete map contains everything that a job does as time passes, here or with agents', () => {
  fc.assert(
    fc.property(plans, ops, fc.boolean(), (plan, list, isForAgents) => {
      const type = typeOf(plan, isForAgents)
      const map = explore(type)
      const known = new Set(edgesIn(map))
      const values = new Set(map.states.map(({ value }) => JSON.stringify(value)))
      let job = create(type, seed, contextAt(0)).job
      for (const op of list) {
        expect(values).toContain(standOf(job))
        if (job.phase === 'settled') return
        const decision = decide(type, job, op)
        if (decision === undefined) continue
        const heard = decision.inputs as unknown as readonly ChartEvent[]
        if (heard.length === 1) expect(known).toContain(`${standOf(job)} ${heard[0]?.type} ${standOf(decision.job)}`)
        job = decision.job
      }
    }),
    { numRuns: 400 },
  )
})

// Plans from which machines are generated

interface NodePlan {
  readonly on: readonly {
    readonly type: string
    readonly target: number
    readonly how: 'plain' | 'add' | 'even' | 'fragile'
  }[]
  readonly invoke: { readonly done: number | null; readonly error: number | null } | null
  readonly after: number | null
  readonly delay: number
  readonly always: number | null
  readonly isFinal: boolean
}

type Plan = readonly (readonly NodePlan[])[]

const STATES = 3
const target = fc.nat(STATES - 1)
const rarely = <Value>(value: fc.Arbitrary<Value>, freq: number) => fc.option(value, { freq })

const nodes: fc.Arbitrary<NodePlan> = fc.record({
  on: fc.uniqueArray(
    fc.record({
      type: fc.constantFrom('A', 'B', 'task.started', 'task.lost'),
      target,
      how: fc.constantFrom('plain', 'add', 'even', 'fragile'),
    }),
    { maxLength: 3, selector: ({ type }) => type },
  ),
  invoke: rarely(fc.record({ done: fc.option(target), error: fc.option(target) }), 1),
  after: rarely(target, 1),
  delay: fc.constantFrom(100, 300),
  always: fc.oneof({ weight: 6, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: target }),
  isFinal: fc.oneof({ weight: 5, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) }),
})

const plans: fc.Arbitrary<Plan> = fc.array(fc.array(nodes, { minLength: STATES, maxLength: STATES }), {
  minLength: 1,
  maxLength: 2,
})

interface Scope {
  readonly context: { readonly n: number }
}

const ways = {
  plain: {},
  add: { actions: assign((scope: unknown) => ({ n: ((scope as Scope).context.n + 1) % 3 })) },
  even: { guard: ({ context }: Scope) => context.n % 2 === 0 },
  fragile: {
    guard: ({ context }: Scope) => {
      if (context.n === 2) throw new Error('fragile')
      return true
    },
  },
}

function machineOf(plan: Plan, isForAgents = false): AnyStateMachine {
  const stateOf = ({ on, invoke, after, delay, always, isFinal }: NodePlan) => {
    if (isFinal) return { type: 'final' }
    const to = (index: number | null) => (index === null ? {} : { target: `s${index}` })
    const ends = invoke && {
      src: 'work',
      onDone: to(invoke.done),
      ...(invoke.error === null ? {} : { onError: to(invoke.error) }),
    }
    return {
      on: Object.fromEntries(on.map(({ type, target: index, how }) => [type, { ...to(index), ...ways[how] }])),
      ...(ends === null ? {} : { invoke: ends }),
      ...(after === null ? {} : { after: { [delay]: to(after) } }),
      ...(always === null ? {} : { always: { ...to(always), guard: ({ context }: Scope) => context.n === 1 } }),
    }
  }
  const regionOf = (region: readonly NodePlan[]) => ({
    initial: 's0',
    states: Object.fromEntries(region.map((node, index) => [`s${index}`, stateOf(node)])),
  })
  const regions = Object.fromEntries(plan.map((region, index) => [`r${index}`, regionOf(region)]))
  // A command that no state takes could not be declared.
  const on = { A: {}, B: {} }
  // Work that outlasts the states, so that one attempt is heard of in several states.
  const invoke = plan[0]?.[1]?.on.length === 1 ? [] : [{ id: 'root', src: 'work', onDone: {}, onError: {} }]
  const fixed = { id: 'm', type: 'parallel', context: { n: 0 }, options: { maxIterations: 50 } }
  const config = { ...fixed, on, invoke, states: regions }
  const options = { retry: { limit: 1, backoff: 70 } }
  const work = isForAgents ? agentTask(options) : task(options, async () => {})
  return createMachine(config as never).provide({ actors: { work } as never })
}

function typeOf(plan: Plan, isForAgents = false): AnyJobType {
  const commands = { A: z.object({}), B: z.object({}) }
  return defineJob({ type: 'generated', lifecycle: machineOf(plan, isForAgents), commands })
}

function edgesIn({ edges, states }: JobMap): readonly string[] {
  const values = new Map(states.map(({ name, value }) => [name, JSON.stringify(value)]))
  return edges.map(({ from, event, to }) => `${values.get(from)} ${event} ${values.get(to)}`)
}

// The same results from bare transitions, with a table of their actions

interface Bare {
  readonly snapshot: ChartSnapshot
  readonly tasks: readonly {
    readonly id: string
    readonly src: string
    readonly invocation: number
    readonly isClaimed: boolean
  }[]
  /** In the order in which they were set, which is the firing order of equal delays. */
  readonly timers: readonly { readonly id: string; readonly event: ChartEvent }[]
}

/** The edges, and the states of jobs that can never end. */
function walkBare(machine: AnyStateMachine): {
  readonly edges: ReadonlySet<string>
  readonly dead: ReadonlySet<string>
} {
  const chart = createChart(machine)
  const edges = new Set<string>()
  const met = new Map<string, Bare>()
  /** For each node, the nodes from which it is reachable. */
  const before = new Map<string, Set<string>>([[END, new Set()]])
  let here = ''
  let entries = 0

  const visit = (node: Bare | undefined) => {
    const key = node === undefined ? END : keyOf(node)
    before.set(key, (before.get(key) ?? new Set()).add(here))
    if (node !== undefined && !met.has(key)) met.set(key, node)
  }
  const arrive = (from: Omit<Bare, 'snapshot'>, result: TransitionResult) => {
    entries += result.created
    visit(result.end === undefined ? { snapshot: result.snapshot, ...asked(from, result) } : undefined)
  }
  const hear = (node: Bare, event: ChartEvent) => {
    const scope = { children: listed(node.tasks), nextInvocation: entries + 1 }
    const isNamed = event.type.startsWith('task.')
    const result = isNamed
      ? chart.transitionIfNamed(node.snapshot, event, scope)
      : chart.transition(node.snapshot, event, scope)
    if (!result.moved) return visit(node)
    const to = result.end?.kind === 'error' ? null : result.snapshot.state
    edges.add(`${JSON.stringify(node.snapshot.state)} ${event.type} ${JSON.stringify(to)}`)
    arrive(node, result)
  }
  const hearOfTask = (node: Bare, one: Bare['tasks'][number]) => {
    const without = { ...node, tasks: node.tasks.filter((each) => each !== one) }
    const turned = {
      ...node,
      tasks: node.tasks.map((each) => (each === one ? { ...one, isClaimed: !one.isClaimed } : each)),
    }
    if (!one.isClaimed) return hear(turned, { type: 'task.started' })
    visit(turned)
    hear(turned, { type: 'task.lost' })
    hear(without, { type: `xstate.done.actor.${one.id}` })
    hear(without, { type: `xstate.error.actor.${one.id}`, error: 'broken' })
  }

  arrive({ tasks: [], timers: [] }, chart.start(undefined))
  // Iterating over a map includes entries added during the iteration.
  for (const [key, node] of met) {
    here = key
    for (const type of ['A', 'B']) hear(node, { type })
    for (const one of node.tasks) hearOfTask(node, one)
    const [first, ...timers] = node.timers
    if (first !== undefined) hear({ ...node, timers }, first.event)
  }
  const alive = new Set([END])
  for (const key of alive) for (const from of before.get(key) ?? []) alive.add(from)
  const dead = [...met].filter(([key]) => !alive.has(key)).map(([, { snapshot }]) => JSON.stringify(snapshot.state))
  return { edges, dead: new Set(dead) }
}

const END = 'end'

function keyOf({ snapshot, tasks, timers }: Bare): string {
  return JSON.stringify([snapshot, tasks.map(({ id, isClaimed }) => [id, isClaimed]), timers.map(({ id }) => id)])
}

/** Tasks and timers after the actions of a transition. */
function asked({ tasks, timers }: Omit<Bare, 'snapshot'>, { actions }: TransitionResult): Omit<Bare, 'snapshot'> {
  let next = { tasks, timers }
  for (const action of actions) {
    if (action.kind === 'start') next = { ...next, tasks: [...next.tasks, { ...action, isClaimed: false }] }
    if (action.kind === 'leave')
      next = { ...next, tasks: next.tasks.filter(({ invocation }) => invocation !== action.invocation) }
    if (action.kind === 'cancelTimer') next = { ...next, timers: next.timers.filter(({ id }) => id !== action.id) }
    if (action.kind === 'send') {
      next = { ...next, timers: [...next.timers, { id: String(action.id), event: action.event }] }
    }
  }
  return next
}

/** The state that a path leads to; `null` if it ends by an error. */
function valueAfter(machine: AnyStateMachine, path: readonly ChartEvent[]): string {
  const chart = createChart(machine)
  let result = chart.start(undefined)
  for (const event of path.slice(1)) result = chart.transition(result.snapshot, event)
  return JSON.stringify(result.end?.kind === 'error' ? null : result.snapshot.state)
}

// Jobs that live at random

const ops = fc.array(
  fc.record({
    kind: fc.constantFrom('send', 'claim', 'claim', 'start', 'start', 'end', 'end', 'lose', 'release', 'due', 'due'),
    pick: fc.nat(9),
    ok: fc.boolean(),
    passed: fc.oneof(fc.constant(0), fc.nat(120)),
  }),
  { minLength: 10, maxLength: 40, size: 'max' },
)

interface Op {
  readonly kind: string
  readonly pick: number
  readonly ok: boolean
  readonly passed: number
}

const seed = { id: 'j', tenant: 't', createdBy: 'ada', trigger: 'manual', labels: {}, priority: 0 } as const

function contextAt(at: number) {
  return { at, random: 0.5, heartbeatMs: 10 }
}

function decide(type: AnyJobType, job: Job, { kind, pick, ok, passed }: Op): Decision | undefined {
  const context = contextAt(job.updatedAt + passed)
  const claimedTasks = job.tasks.filter(({ status }) => status === 'claimed' || status === 'stopping')
  const one = claimedTasks[pick % Math.max(1, claimedTasks.length)]
  const available = claimableTasks(job)[0]
  if (kind === 'due') return due(type, job, nextDue(job))
  if (kind === 'send') return send(type, job, { type: ok ? 'A' : 'B' }, context)
  if (kind === 'claim') return available && claim(type, job, available.invocation, claimantOf(available), context)
  if (one === undefined) return undefined
  if (kind === 'release') return release(type, job, one.token, context)
  if (kind === 'lose') return lose(type, job, { invocation: one.invocation, reason: 'died', steps: 0 }, context)
  // Other work starts with its claim, and its start is reported once.
  if (kind === 'start') return one.queue === undefined ? undefined : started(type, job, one.token, true, context)
  const ended = end(type, job, one.token, ok ? { ok: true } : { ok: false, error: { message: 'broken' } }, context)
  // A report of an agent that the chart does not take is refused.
  return one.queue !== undefined && ended?.handled === false ? undefined : ended
}

function claimantOf({ queue }: Task): Claimant {
  return queue === undefined ? { holder: 'me' } : { holder: 'agent', agent: { id: 'a', name: 'a' }, startsLater: true }
}

/** The time at which the next timer falls due, so that each timer is handled alone if it can be. */
function nextDue({ timers, updatedAt }: Job) {
  return contextAt(Math.max(updatedAt, Math.min(...timers.map(({ dueAt }) => dueAt), updatedAt + 1_000)))
}

function standOf({ state, phase, error }: Job): string {
  return JSON.stringify(phase === 'settled' && error !== undefined ? null : state)
}
