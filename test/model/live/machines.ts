/**
 * Makes a machine of a plan. A run makes it twice: for the live actor, and for the stored jobs.
 *
 * No two timers of a run are due at the same time: each delay has distinct lowest digits, and each invoke has its own
 * machine, so no two jobs set the same delay at the same time. If a chain of several delays still adds up to another
 * one, the run ends there and is counted.
 */
import { type AnyStateMachine, and, createMachine, fromPromise, fromTransition, not, or, stateIn } from 'xstate'
import { actionsOf, burn, firstContext, isFuelled, KEPT, NAMED, type Place, type Scope } from './actions.ts'
import type { DelayPlan, GuardPlan, InvokePlan, NodePlan, Plan, Role, Source, StepPlan } from './plans.ts'

/** Settles a promise of the live side. Stored jobs never run promises. */
export type PromiseCreator = Parameters<typeof fromPromise>[0]

/** Is told each construct that a machine contains. */
export type Note = (construct: string) => void

interface Build {
  readonly plan: Plan
  readonly role: Role
  readonly creator: PromiseCreator
  readonly note: Note
  /** Numbers the delays of all machines of the run. */
  readonly numbers: { next: number }
  readonly targets: readonly Target[]
  readonly place: Omit<Place, 'ownInvokes' | 'delay'>
  readonly actors: { [name: string]: unknown }
  readonly delays: { [name: string]: unknown }
}

interface Target {
  readonly id: string
  /** The state to which the history belongs. */
  readonly historyOf?: string
}

const guards = {
  fuelled: isFuelled,
  even: ({ context }: Scope) => context.n % 2 === 0,
  small: ({ context }: Scope) => context.n < 4,
  // Only for an event from outside. Otherwise a machine that fails at its start could be restarted forever.
  fragile: ({ context, event }: Scope) => {
    if (event.isOutside === true && context.n === 5) throw new Error('fragile')
    return true
  },
}

/** The machine of a plan, with everything that it invokes. */
export function machineOf(plan: Plan, creator: PromiseCreator, note: Note = () => {}): AnyStateMachine {
  return machineIn({ plan, role: 'parent', creator, note, numbers: { next: 1 } })
}

function machineIn(given: Pick<Build, 'plan' | 'role' | 'creator' | 'note' | 'numbers'>): AnyStateMachine {
  const { plan, role } = given
  const root = plan.machines[role]
  const found = nodesOf(root, 'm')
  const invoking = found.flatMap(({ node, id }) =>
    node.invokes.map((invoke, index) => ({ invoke, id: `${index}.${id}` })),
  )
  const asked = kindsIn(root)
  const build: Build = {
    ...given,
    targets: found.flatMap(targetsOf),
    actors: {},
    delays: {},
    place: {
      isChild: role !== 'parent',
      invokes: invoking.map(({ id }) => id),
      systemIds: invoking.flatMap(({ invoke, id }) => (isKnown(invoke, role) ? [id] : [])),
      spawned: [...(asked.has('spawnRef') ? [KEPT] : []), ...(asked.has('spawnNamed') ? [NAMED] : [])],
      delays: plan.delays,
    },
  }
  for (const name of build.place.spawned) build.actors[name] = logicOf(build, name === KEPT ? plan.kept : plan.named)
  if (role !== 'parent') build.note(role)
  const config = {
    ...stateOf(build, root, 'm'),
    id: 'm',
    context: firstContext,
    output: ({ context, event }: Scope) => ({ n: context.n, of: event.output ?? null }),
    options: { maxIterations: 100 },
  }
  const { actors, delays } = build
  return createMachine(config as never, { actors, delays, guards } as never) as unknown as AnyStateMachine
}

interface Found {
  readonly node: NodePlan
  readonly id: string
}

function nodesOf(node: NodePlan, id: string): readonly Found[] {
  return [{ node, id }, ...node.states.flatMap((each, index) => nodesOf(each, `${id}.s${index}`))]
}

function targetsOf({ node, id }: Found): readonly Target[] {
  if (id === 'm') return []
  // Added twice, because otherwise few transitions would lead there.
  const back: Target = { id: `#${id}.back`, historyOf: id }
  return [{ id: `#${id}` }, ...(hasHistory(node) ? [back, back] : [])]
}

function hasHistory({ history, states }: NodePlan): boolean {
  return history !== null && states.length > 0
}

function kindsIn(root: NodePlan): ReadonlySet<string> {
  const kinds = new Set<string>()
  JSON.stringify(root, (key, value) => {
    if (key === 'kind') kinds.add(String(value))
    return value
  })
  return kinds
}

// A child machine that fails leaves its own children, whose ids no later child can take.
function isKnown({ hasSystemId }: InvokePlan, role: Role): boolean {
  return hasSystemId && role === 'parent'
}

function stateOf(build: Build, node: NodePlan, id: string): object {
  if (node.kind === 'final') {
    return {
      type: 'final',
      entry: actions(build, node.entry, []),
      output: ({ context }: Scope) => context.n,
    }
  }
  const invokes = node.invokes.map((_, index) => `${index}.${id}`)
  return {
    ...(node.kind === 'parallel' ? { type: 'parallel' } : {}),
    ...(node.kind === 'compound' ? { initial: 's0' } : {}),
    ...innerOf(build, node, id),
    on: transitionsOf(build, node, id, invokes),
    invoke: node.invokes.map((invoke, index) => invokeOf(build, invoke, id, index)),
    after: afterOf(build, node, id),
    ...(node.always === null ? {} : { always: alwaysOf(build, node.always, id) }),
    ...(node.done === null || node.states.length === 0
      ? {}
      : { onDone: noted(build, 'onDone of a state', node.done, id) }),
    entry: actions(build, node.entry, invokes),
    exit: actions(build, node.exit, invokes),
  }
}

function innerOf(build: Build, node: NodePlan, id: string): object {
  if (node.states.length === 0) return {}
  if (node.kind === 'parallel') build.note('parallel')
  const states = node.states.map((each, index) => [`s${index}`, stateOf(build, each, `${id}.s${index}`)])
  if (!hasHistory(node)) return { states: Object.fromEntries(states) }
  build.note(`${node.history} history`)
  build.note('history')
  // Without its own default, the history of a parallel state would lead nowhere.
  const fallback = node.kind === 'parallel' ? { target: 's0' } : {}
  return { states: Object.fromEntries([...states, ['back', { type: 'history', history: node.history, ...fallback }]]) }
}

function transitionsOf(build: Build, node: NodePlan, id: string, invokes: readonly string[]): object {
  const names = [...new Set(node.transitions.map(({ on }) => on))]
  const all = names.map((name) => {
    if (name.includes('*')) build.note(name === '*' ? 'wildcard' : 'partial wildcard')
    const list = node.transitions.filter(({ on }) => on === name)
    return [name, list.map((each) => stepOf(build, each, id, each.target === null ? invokes : []))]
  })
  return Object.fromEntries(all)
}

function alwaysOf(build: Build, step: StepPlan, id: string): object {
  return noted(build, 'always', { ...step, guard: step.guard ?? { kind: 'even', pick: 0 } }, id)
}

function afterOf(build: Build, node: NodePlan, id: string): object {
  const entries = node.after.map(({ delay, step }) => {
    build.note('after')
    return [delayKey(build, delay), stepOf(build, step, id, [])]
  })
  return Object.fromEntries(entries)
}

function invokeOf(build: Build, invoke: InvokePlan, id: string, index: number): object {
  const { input, source, done, error, snapshot, isInline } = invoke
  const logic = logicOf(build, source)
  const name = `${source} ${index}.${id}`
  if (!isInline) build.actors[name] = logic
  build.note(isInline ? 'inline logic' : 'named logic')
  build.note(`invoke of ${source}`)
  if (done !== null && error !== null) build.note('invoke with done and error')
  if (isKnown(invoke, build.role)) build.note('systemId')
  return {
    src: isInline ? logic : name,
    ...(input === 'none' ? {} : { input: input === 'context' ? fromContext : fromEvent }),
    ...(isKnown(invoke, build.role) ? { systemId: `${index}.${id}` } : {}),
    ...(done === null ? {} : { onDone: stepOf(build, done, id, []) }),
    ...(error === null ? {} : { onError: stepOf(build, error, id, []) }),
    ...(snapshot === null ? {} : { onSnapshot: noted(build, 'onSnapshot', snapshot, id) }),
  }
}

const fromContext = ({ context }: Scope) => ({ n: context.n })
const fromEvent = ({ event }: Scope) => ({ n: event.value ?? 0, by: event.type })

function logicOf(build: Build, source: Source): unknown {
  const { role } = build
  if (source === 'logic') return counting()
  // The deepest machines have no machines as children.
  if (source === 'promise' || role === 'grandchild') return fromPromise(build.creator)
  build.note('child machine')
  return machineIn({ ...build, role: role === 'parent' ? 'child' : 'grandchild' })
}

function counting(): unknown {
  const next = (count: number, event: { readonly type: string }) => {
    if (event.type === 'C' && count % 3 === 2) throw new Error(`broke at ${count}`)
    return count + 1
  }
  return fromTransition(
    next as never,
    (({ input }: { readonly input?: { readonly n: number } }) => input?.n ?? 0) as never,
  )
}

function noted(build: Build, construct: string, step: StepPlan, id: string): object {
  build.note(construct)
  return stepOf(build, step, id, [])
}

function stepOf(build: Build, step: StepPlan, id: string, ownInvokes: readonly string[]): object {
  const target = step.target === null ? undefined : build.targets[step.target % build.targets.length]
  // From inside, XState restores a history into states that it has not left, and their timers and children exist twice.
  const isWithin = target?.historyOf !== undefined && id.startsWith(`${target.historyOf}.`)
  return {
    ...(target === undefined ? {} : { target: isWithin ? `#${target.historyOf}` : target.id }),
    guard: step.guard === null ? 'fuelled' : and(['fuelled', guardOf(build, step.guard)]),
    actions: [burn, ...actions(build, step.actions, ownInvokes)],
    reenter: step.reenter,
  }
}

function guardOf(build: Build, { kind, pick }: GuardPlan): never {
  build.note(`guard ${kind}`)
  return guardsByKind[kind](build.targets[pick % build.targets.length]?.historyOf ?? 'm.s0') as never
}

const guardsByKind: { readonly [Kind in GuardPlan['kind']]: (id: string) => unknown } = {
  even: () => 'even',
  not: () => not('even' as never),
  both: () => and(['even', 'small'] as never),
  either: () => or([not('even' as never), 'small'] as never),
  inside: (id) => stateIn(`#${id}`),
  fragile: () => 'fragile',
}

function actions(build: Build, plans: NodePlan['entry'], ownInvokes: readonly string[]): readonly unknown[] {
  return plans.flatMap((plan) => {
    const made = actionsOf([plan], { ...build.place, ownInvokes, delay: (delay) => delayOf(build, delay) })
    if (made.length > 0) build.note(plan.kind)
    return made
  })
}

// Random thousands plus the delay's own number.
function lengthOf(build: Build, { length }: DelayPlan): (n: number) => number {
  const own = build.numbers.next++
  return (n) => (1 + ((length + n) % 12)) * 1_024 + own
}

function delayOf(build: Build, delay: DelayPlan): unknown {
  const length = lengthOf(build, delay)
  build.note(`${delay.kind} delay`)
  if (delay.kind === 'number') return length(0)
  const computed = ({ context }: Scope) => length(context.n)
  return delay.kind === 'computed' ? computed : named(build, computed)
}

function named(build: Build, delay: unknown): string {
  const name = `d${Object.keys(build.delays).length}`
  build.delays[name] = delay
  return name
}

function delayKey(build: Build, delay: DelayPlan): string | number {
  const length = lengthOf(build, delay)
  build.note(`after ${delay.kind} delay`)
  if (delay.kind === 'number') return length(0)
  return named(build, delay.kind === 'named' ? length(0) : ({ context }: Scope) => length(context.n))
}
