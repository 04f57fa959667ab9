/**
 * Plans from which machines are generated. A plan is data, so a failing one can be printed, shrunk, and made into two
 * machines: one for a live actor, one for stored jobs.
 */
import fc from 'fast-check'

/** What an action does; see actions.ts. */
export const actionKinds = [
  'add',
  'add',
  'keep',
  'take',
  'take',
  'emit',
  'emit',
  'log',
  'effect',
  'raise',
  'arm',
  'armUnnamed',
  'disarm',
  'tell',
  'tell',
  'tellInvoke',
  'tellInvoke',
  'tellRef',
  'tellSystem',
  'tellSystem',
  'tellLater',
  'tellSelf',
  'tellSelfLater',
  'forward',
  'answer',
  'answer',
  'answer',
  'answer',
  'answerLater',
  'answerLater',
  'spawnRef',
  'dropRef',
  'stopRef',
  'spawnNamed',
  'stopNamed',
  'many',
  'many',
  'throw',
] as const

export type ActionKind = (typeof actionKinds)[number]

export interface ActionPlan {
  readonly kind: ActionKind
  /** Picks a target, if there are several. */
  readonly pick: number
}

export interface GuardPlan {
  readonly kind: 'even' | 'not' | 'both' | 'either' | 'inside' | 'fragile'
  readonly pick: number
}

/** The target of a transition, and its actions. */
export interface StepPlan {
  readonly target: number | null
  readonly guard: GuardPlan | null
  readonly actions: readonly ActionPlan[]
  readonly reenter: boolean
}

export const descriptors = [
  'A',
  'A',
  'B',
  'B',
  'C',
  'A.*',
  '*',
  'xstate.done.actor.*',
  'xstate.error.actor.*',
  'xstate.snapshot.*',
] as const

export interface TransitionPlan extends StepPlan {
  readonly on: (typeof descriptors)[number]
}

/** An invoked or spawned actor: a promise, a machine, or transition logic. */
export type Source = 'promise' | 'machine' | 'logic'

export interface InvokePlan {
  readonly source: Source
  readonly isInline: boolean
  readonly input: 'none' | 'context' | 'event'
  readonly hasSystemId: boolean
  readonly done: StepPlan | null
  readonly error: StepPlan | null
  readonly snapshot: StepPlan | null
}

export interface AfterPlan {
  readonly delay: DelayPlan
  readonly step: StepPlan
}

export interface DelayPlan {
  readonly kind: 'number' | 'named' | 'computed'
  readonly length: number
}

export type NodeKind = 'atomic' | 'compound' | 'parallel' | 'final'

export interface NodePlan {
  readonly kind: NodeKind
  readonly states: readonly NodePlan[]
  readonly history: 'shallow' | 'deep' | null
  readonly transitions: readonly TransitionPlan[]
  readonly invokes: readonly InvokePlan[]
  readonly after: readonly AfterPlan[]
  readonly always: StepPlan | null
  readonly done: StepPlan | null
  readonly entry: readonly ActionPlan[]
  readonly exit: readonly ActionPlan[]
}

/** The machines of a run, by the depth at which they are invoked. */
export const roles = ['parent', 'child', 'grandchild'] as const

export type Role = (typeof roles)[number]

/** Everything from which a run's machines are made. */
export interface Plan {
  readonly machines: { readonly [Name in Role]: NodePlan }
  /** An actor that `spawn` in an assign makes. The context keeps its reference. */
  readonly kept: Source
  /** An actor that `spawnChild` makes. */
  readonly named: Source
  readonly delays: readonly DelayPlan[]
}

function weighted<Value>(...choices: readonly (readonly [number, Value])[]): fc.Arbitrary<Value> {
  const all = choices.map(([weight, value]) => ({ weight, arbitrary: fc.constant(value) }))
  return fc.oneof({ withCrossShrink: true }, ...all)
}

function some<Value>(value: fc.Arbitrary<Value>, percent: number): fc.Arbitrary<Value | null> {
  const none = { weight: 100 - percent, arbitrary: fc.constant(null) }
  return fc.oneof({ withCrossShrink: true }, none, { weight: percent, arbitrary: value })
}

function listOf<Value>(value: fc.Arbitrary<Value>, ...weights: readonly number[]): fc.Arbitrary<readonly Value[]> {
  const lists = weights.map((weight, length) => ({
    weight,
    arbitrary: fc.array(value, { minLength: length, maxLength: length, size: 'max' as const }),
  }))
  return fc.oneof({ withCrossShrink: true }, ...lists)
}

const pick = fc.nat(59)

const actions = listOf(fc.record({ kind: fc.constantFrom(...actionKinds), pick }), 5, 4, 3)

const guard = fc.record({
  kind: weighted<GuardPlan['kind']>([6, 'even'], [6, 'not'], [3, 'both'], [6, 'either'], [3, 'inside'], [1, 'fragile']),
  pick,
})

const step: fc.Arbitrary<StepPlan> = fc.record({
  target: some(pick, 75),
  guard: some(guard, 35),
  actions,
  reenter: fc.boolean(),
})

const transition: fc.Arbitrary<TransitionPlan> = fc
  .tuple(fc.constantFrom(...descriptors), step)
  .map(([on, rest]) => ({ on, ...rest }))

const delay: fc.Arbitrary<DelayPlan> = fc.record({
  kind: fc.constantFrom('number', 'named', 'computed'),
  length: fc.nat(11),
})

const invoke: fc.Arbitrary<InvokePlan> = fc.record({
  source: weighted<Source>([4, 'promise'], [4, 'machine'], [2, 'logic']),
  isInline: fc.boolean(),
  input: fc.constantFrom('none', 'context', 'event'),
  hasSystemId: weighted([5, false], [1, true]),
  done: some(step, 80),
  error: some(step, 80),
  snapshot: some(step, 20),
})

function node(kind: fc.Arbitrary<NodeKind>, states: fc.Arbitrary<readonly NodePlan[]>): fc.Arbitrary<NodePlan> {
  return fc.record({
    kind,
    states,
    history: fc.constantFrom('shallow', 'deep', null),
    transitions: listOf(transition, 2, 3, 3, 2),
    invokes: listOf(invoke, 14, 5, 1),
    after: listOf(fc.record({ delay, step }), 8, 2, 1),
    always: some(step, 8),
    done: some(step, 60),
    entry: actions,
    exit: actions,
  })
}

const leaf = node(weighted<NodeKind>([4, 'atomic'], [1, 'final']), fc.constant([]))

// No machine and no region starts in a final state, because it would end before any event.
function lasting(plan: NodePlan): NodePlan {
  return plan.kind === 'final' ? { ...plan, kind: 'atomic' } : plan
}

function first([head, ...rest]: readonly NodePlan[]): readonly NodePlan[] {
  return head === undefined ? [] : [lasting(head), ...rest]
}

function compound(inner: fc.Arbitrary<NodePlan>, ...weights: readonly number[]): fc.Arbitrary<NodePlan> {
  return node(fc.constant('compound'), listOf(inner, ...weights).map(first))
}

/** Usually the last state is final; `atomics` of ten are not. */
function ending(machine: fc.Arbitrary<NodePlan>, atomics: number): fc.Arbitrary<NodePlan> {
  return fc.tuple(machine, fc.nat(9)).map(([plan, draw]) => ({
    ...plan,
    states: plan.states.map((each, index) =>
      index > 0 && index === plan.states.length - 1 && draw >= atomics ? { ...each, kind: 'final', states: [] } : each,
    ),
  }))
}

function parallel(inner: fc.Arbitrary<NodePlan>): fc.Arbitrary<NodePlan> {
  return node(
    fc.constant('parallel'),
    listOf(inner, 0, 0, 3, 1).map((list) => list.map(lasting)),
  )
}

const pair = ending(compound(leaf, 0, 0, 1), 2)
const inner = fc.oneof({ weight: 5, arbitrary: leaf }, { weight: 2, arbitrary: pair })
const outer = fc.oneof(
  { weight: 4, arbitrary: leaf },
  { weight: 3, arbitrary: compound(inner, 0, 0, 2, 1) },
  { weight: 2, arbitrary: parallel(fc.oneof({ weight: 1, arbitrary: leaf }, { weight: 3, arbitrary: pair })) },
)
const small = fc.oneof({ weight: 6, arbitrary: leaf }, { weight: 1, arbitrary: pair })

// Nothing leaves the root, so it has no history, and no event follows its end.
function rootOf(machine: fc.Arbitrary<NodePlan>): fc.Arbitrary<NodePlan> {
  return machine.map((plan) => ({ ...plan, history: null, done: null }))
}

export const plans: fc.Arbitrary<Plan> = fc.record({
  machines: fc.record({
    parent: rootOf(
      fc.oneof({ weight: 8, arbitrary: compound(outer, 0, 0, 0, 2, 1) }, { weight: 1, arbitrary: parallel(outer) }),
    ),
    child: rootOf(ending(compound(small, 0, 0, 2, 1), 1)),
    grandchild: rootOf(ending(compound(leaf, 0, 0, 1), 1)),
  }),
  kept: fc.constantFrom('promise', 'machine', 'logic'),
  named: fc.constantFrom('promise', 'machine', 'logic'),
  delays: listOf(delay, 0, 0, 0, 1),
})

/** Something that happens to a run from outside. */
export interface Op {
  readonly kind: 'send' | 'end' | 'claim' | 'lose' | 'pass'
  readonly event: string
  readonly pick: number
  readonly isGood: boolean
  /** Milliseconds that pass before it. */
  readonly passed: number
}

export const ops: fc.Arbitrary<readonly Op[]> = fc.array(
  fc.record({
    kind: weighted<Op['kind']>([6, 'send'], [4, 'end'], [1, 'claim'], [1, 'lose'], [3, 'pass']),
    event: weighted([6, 'A'], [6, 'B'], [4, 'C'], [1, 'A.part'], [1, 'A.part.deep'], [1, 'unknown']),
    pick: fc.nat(11),
    isGood: fc.boolean(),
    passed: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(9_000) }),
  }),
  { minLength: 6, maxLength: 24, size: 'max' },
)
