/** Walks a job of a generated chart and its children. */
import fc from 'fast-check'
import type { ChartEvent, ChartSnapshot } from '../../../src/model/chart.ts'
import {
  claim,
  create,
  type Decision,
  type DecisionContext,
  due,
  end,
  type JobDecision,
  type JobTree,
  lose,
  release,
  report,
  send,
} from '../../../src/model/decision.ts'
import { type AnyJobType, withChildren } from '../../../src/model/definition.ts'
import { claimableTasks, type Job } from '../../../src/model/job.ts'
import { createChart } from '../../../src/model/transition.ts'
import { machineOf, typeOf } from './machines.ts'
import { eventTypes, type Plan, plans, repeated } from './plans.ts'

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
  /** Picks the job, and the task in it. */
  readonly job: number
  readonly pick: number
  readonly ok: boolean
  readonly steps: number
  readonly passed: number
  readonly random: number
}

/** An operation on a job of the walk, with its time. */
interface TimedOp extends Op, DecisionContext {
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
  // A clock that usually advances, sometimes far, and sometimes falls.
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

// Operations of all kinds, or mostly losses of processes.
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

export function forWalks(
  check: (steps: readonly Step[], walked: Walked) => void,
  options: fc.Parameters<[Plan, readonly Op[]]> = {},
): void {
  fc.assert(
    fc.property(plans, ops, (plan, list) => check(walk(typeOf(plan), list), { plan, ops: list })),
    { numRuns: 60, ...options },
  )
}

interface Reached {
  readonly plan: Plan
  readonly chart: ReturnType<typeof createChart>
  readonly snapshot: ChartSnapshot
  readonly event: ChartEvent
}

/** Every event in every state that a walk reaches. */
export function forSnapshots(check: (reached: Reached) => void): void {
  forWalks(
    (steps, { plan }) => {
      const chart = createChart(machineOf(plan))
      for (const snapshot of snapshotsOf(steps).slice(0, 5)) {
        for (const type of eventTypes) check({ plan, chart, snapshot, event: { type } })
      }
    },
    { numRuns: 15 },
  )
}

export function walk(type: AnyJobType, list: readonly Op[], store: (job: Job) => Job = (job) => job): readonly Step[] {
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

export function decide(type: AnyJobType, world: World, op: TimedOp): Decision | undefined {
  const tree = treeIn(type, world)
  const known = world.get(op.id)
  if (known === undefined) {
    const seed = { id: 'j1', tenant: 't', createdBy: 'ada', trigger: 'manual', labels: {}, priority: 0 } as const
    return create(type, { ...seed, input: { n: 1 }, pipeline: 'p' }, op, tree)
  }
  return change(typeIn(type, known), known, op, tree)
}

function change(type: AnyJobType, job: Job, op: TimedOp, tree: JobTree): Decision | undefined {
  const busy = job.tasks.filter(isAtWork)
  // One report in seven is about a task that does not run.
  const chosen = op.pick % 7 === 6 ? undefined : busy[op.pick % Math.max(1, busy.length)]
  const token = chosen?.token ?? job.counter + 1
  switch (op.kind) {
    case 'send':
      return send(type, job, { type: op.event }, op, tree)
    case 'claim': {
      const ready = claimableTasks(job).filter(({ availableAt }) => availableAt <= op.at)
      const asked = ready[op.pick % Math.max(1, ready.length)] ?? chosen
      return claim(type, job, asked?.invocation ?? -1, { holder: `holder-${op.pick}` }, op, tree)
    }
    case 'end': {
      const result = op.ok
        ? { ok: true as const, output: op.pick }
        : { ok: false as const, error: { message: 'broken' } }
      return end(type, job, token, result, op, tree)
    }
    case 'report': {
      const said = op.ok ? { kind: 'event' as const, event: { type: 'B' } } : { kind: 'value' as const, value: op.pick }
      return report(type, job, token, said, op, tree)
    }
    case 'lose': {
      const loss = {
        invocation: chosen?.invocation ?? -1,
        reason: 'died',
        steps: Math.max(op.steps, chosen?.steps ?? 0),
      }
      return lose(type, job, loss, op, tree)
    }
    case 'release':
      return release(type, job, token, op, tree)
    case 'due':
      return due(type, job, op, tree)
  }
}

/** Code may run under the task's token, or may still report. */
export function isAtWork({ status, child }: Job['tasks'][number]): boolean {
  return child === undefined && (status === 'claimed' || status === 'stopping' || status === 'lost')
}

export function jobIn(world: World, id: string): Job {
  const job = world.get(id)
  if (job === undefined) throw new Error(`no job ${id}`)
  return job
}

export function typeIn(type: AnyJobType, job: Job): AnyJobType {
  const found = [...withChildren(type)].find((each) => each.type === job.type)
  if (found === undefined) throw new Error(`no type ${job.type}`)
  return found
}

export function treeIn(type: AnyJobType, world: World): JobTree {
  let made = Math.max(1, world.size)
  return {
    get: (id) => {
      const job = jobIn(world, id)
      return { type: typeIn(type, job), job }
    },
    newId: () => `j${++made}`,
  }
}

export function contextAt(at: number): DecisionContext {
  return { at, random: 0, heartbeatMs: 500 }
}

type Changed = JobDecision & { readonly op: TimedOp }

/** The fate of each job that a step changed. */
export function changesOf(steps: readonly Step[]): readonly Changed[] {
  return steps.flatMap(({ decision, op }) =>
    [decision, ...decision.others]
      .filter(({ before, job }) => before?.revision !== job.revision)
      .map((each) => ({ ...each, op })),
  )
}

export function byJob(steps: readonly Step[]): readonly (readonly Changed[])[] {
  return [...Map.groupBy(changesOf(steps), ({ job }) => job.id).values()]
}

function snapshotsOf(steps: readonly Step[]): readonly ChartSnapshot[] {
  const active = steps
    .flatMap(({ after }) => [...after.values()])
    .filter(({ id, phase }) => id === 'j1' && phase !== 'settled')
  const snapshots = active.map(({ state, context, historyValue }) => ({
    state,
    context,
    ...(historyValue === undefined ? {} : { historyValue }),
  }))
  return [...new Map(snapshots.map((snapshot) => [JSON.stringify(snapshot), snapshot])).values()]
}

/** A decision without its type, functions and stacks; stacks differ by caller. */
export function dataOf(decision: Decision | undefined): unknown {
  const bare = ({ type, effects, ...data }: JobDecision) => ({ ...data, effects: effects.length })
  return decision === undefined ? undefined : withoutStacks({ ...bare(decision), others: decision.others.map(bare) })
}

export function plainResult(result: unknown): unknown {
  return JSON.parse(JSON.stringify(result, (_, value) => (value instanceof Error ? String(value) : value)))
}

function withoutStacks(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value, (key, each) => (key === 'stack' ? undefined : each)))
}

/** Fields that no operation may change once the job is settled. */
export function lifeOf({ tasks, revision, eventCount, updatedAt, ...life }: Job): object {
  return life
}

export function freeze<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  for (const each of Object.values(value)) freeze(each)
  return Object.freeze(value)
}
