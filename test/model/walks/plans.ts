/**
 * Plans from which charts are generated, for laws over every chart and every order of events.
 */
import fc from 'fast-check'

export const eventTypes = [
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

export const actionKinds = [
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

export interface TransitionPlan {
  readonly on: (typeof descriptors)[number]
  readonly target: number | null
  readonly guard: 'even' | 'fragile' | null
  readonly actions: readonly (typeof actionKinds)[number][]
  readonly reenter: boolean
}

export interface NodePlan {
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

export interface StatePlan extends NodePlan {
  readonly kind: 'atomic' | 'compound' | 'parallel' | 'final'
  readonly history: 'shallow' | 'deep'
  readonly inner: readonly NodePlan[]
}

export interface Plan {
  readonly root: Pick<NodePlan, 'transitions' | 'invoke'>
  readonly states: readonly StatePlan[]
  /** The machine that the source `child` names; it has no children itself. */
  readonly child: readonly StatePlan[]
}

export function repeated<const Value>(value: Value, times: number): readonly Value[] {
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

export const plans: fc.Arbitrary<Plan> = fc.record({
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

export function withoutNames(plan: Plan): Plan {
  return eachTransition(plan, (each) =>
    each.on.startsWith('task.') && each.on !== 'task.*' ? { ...each, on: '*' } : each,
  )
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
