/** Makes a machine of a plan. */
import {
  type AnyActorRef,
  type AnyStateMachine,
  assign,
  cancel,
  createMachine,
  emit,
  enqueueActions,
  fromPromise,
  fromTransition,
  log,
  raise,
} from 'xstate'
import { type AnyJobType, defineJob } from '../../../src/model/definition.ts'
import { task } from '../../../src/model/task.ts'
import type { actionKinds, NodePlan, Plan, StatePlan, TransitionPlan } from './plans.ts'

interface Scope {
  readonly context: { readonly n: number; readonly last: string }
  readonly event: { readonly type: string }
}

// Only for an event from outside. Otherwise a parent could restart its failing child forever.
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
  // Only for an event from outside. Otherwise a child and its parent could answer each other forever.
  tell: enqueueActions(({ enqueue, event, self }) => {
    if (event.type !== 'A') return
    const [child] = Object.values<AnyActorRef>((self as AnyActorRef).getSnapshot().children)
    if (child !== undefined) enqueue.sendTo(child, { type: 'A' })
  }),
  answer: enqueueActions(({ enqueue, event }) => {
    if (event.type === 'A') enqueue.sendParent({ type: 'B' })
  }),
}

// A child that ends at its start by a raise could be restarted forever.
const notFor = { parent: ['answer'], child: ['tell', 'raise'] }

export function machineOf(plan: Plan, role: 'parent' | 'child' = 'parent'): AnyStateMachine {
  const { root, states } =
    role === 'parent' ? plan : { root: { transitions: [], invoke: null }, states: plan.child.map(lasting) }
  const acts = (kinds: readonly (typeof actionKinds)[number][]) =>
    kinds.filter((kind) => !notFor[role].includes(kind)).map((kind) => actionsByKind[kind])
  const targets = states.flatMap((state, index) => targetsIn(state, `#m.s${index}`))
  const targetOf = (index: number | null) => (index === null ? {} : { target: targets[index % targets.length] })
  const take = ({ actions: kinds, guard, reenter, target: to }: Omit<TransitionPlan, 'on'>) => ({
    ...targetOf(to),
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
    return {
      invoke: { ...id, src, input, onDone: targetOf(done), ...(error === null ? {} : { onError: targetOf(error) }) },
    }
  }
  const nodeOf = (each: NodePlan, isAlone: boolean) => ({
    ...takes(each.transitions),
    ...invokes(each.invoke, isAlone),
    ...(each.after === null ? {} : { after: { 100: targetOf(each.after) } }),
    ...(each.always === null ? {} : { always: { ...targetOf(each.always), guard: guards.even } }),
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

// The initial state must not be final, and no state may move on by `always`: the child must not end at its start.
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

export function typeOf(plan: Plan): AnyJobType {
  return defineJob({ type: 'generated', lifecycle: machineOf(plan) })
}
