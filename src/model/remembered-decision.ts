/**
 * Remembers decisions of plain jobs as templates, so that most decisions need not run XState. The function that decides
 * by running XState is called the general function here.
 *
 * A chart is plain if nothing in it is a function: no guard, action, input or output. One exception: the output of the
 * default lifecycle, which only passes on the event's output. Decisions on plain jobs in the same situation (the shape)
 * differ only in the given values: times, ids, holder, output. So the first job of a shape is decided twice by the
 * general function: with its real values, and with marks in place of them. Where a mark appears in the result, the
 * template has a hole. Later jobs of the same shape fill the holes with their own values:
 *
 * ```
 *  job of a shape ── general function with marks ── template: the changes, with holes
 *                                                       │
 *  next job of that shape ───────────── filled in ──────┘
 * ```
 *
 * A template is kept only if, filled in for its first job, it gives the same result as the general function.
 *
 * Always decided by the general function: jobs with a parent, children, messages or a history, and types with
 * `describe`, batches, tasks for agents or a version to migrate to.
 */
import type { AnyStateNode } from 'xstate'
import type { ChartEvent } from './chart.ts'
import type { Decision, DecisionContext } from './decision-data.ts'
import { isEventOutput } from './default-lifecycle.ts'
import { eventReason } from './description.ts'
import { stateNodes } from './inert-machine.ts'
import type { Job, OpenJob, Timer } from './job.ts'
import type { AnyJobType } from './job-type.ts'
import { type Json, storableCopy } from './storable.ts'
import type { TaskSettings } from './task.ts'
import type { Task } from './task-record.ts'

/** The requested decision. */
export interface Asked {
  readonly type: AnyJobType
  /**
   * The kind of change, with everything that the result may depend on besides the job's shape, e.g. the event's type.
   */
  readonly what: string
  readonly context: DecisionContext
  /** The instance that claims a task. */
  readonly holder?: string
  /** The output with which an attempt ended. */
  readonly output?: Json
  readonly event?: ChartEvent
}

/** Returns the record to decide on: a stored job, or a new job that was created at `at`. */
type RecordAt = (at: number) => Job

/** Decides from a template if there is one, otherwise by `general`. Both ways give the same result. */
export function remembered(asked: Asked, recordAt: RecordAt, general: (asked: Asked) => Decision): Decision {
  const templates = templatesOf(asked.type)
  const record = templates === undefined ? undefined : recordAt(asked.context.at)
  if (templates === undefined || record === undefined || !isPlainJob(record) || !isPlainEvent(asked.event))
    return general(asked)
  const state = typeof record.state === 'string' ? record.state : JSON.stringify(record.state)
  const known = templates.get(state) ?? NONE
  for (const template of known) {
    if (isFor(template, asked, record)) return fill(template, asked, record) ?? general(asked)
  }
  const decision = general(asked)
  if (known.length < SHAPES_MAX && templates.size < STATES_MAX) {
    templates.set(state, [...known, learned(asked, recordAt, decision, general)])
  }
  return decision
}

/** Templates by the state of the job. */
type Templates = Map<string, readonly Template[]>

/** The most states per job type that have templates. Jobs in other states are decided by the general function. */
const STATES_MAX = 500
/** The most shapes that are remembered per state. */
const SHAPES_MAX = 24
/** The most tasks and timers of a plain job, counted together. */
const PARTS_MAX = 8

const templatesByType = new WeakMap<AnyJobType, Templates | 'not plain'>()

function templatesOf(type: AnyJobType): Templates | undefined {
  let templates = templatesByType.get(type)
  if (templates === undefined) {
    templates = isPlainType(type) ? new Map<string, readonly Template[]>() : 'not plain'
    templatesByType.set(type, templates)
  }
  return templates === 'not plain' ? undefined : templates
}

function isPlainType(type: AnyJobType): boolean {
  const { describe, successor, children, inline, tasks, lifecycle } = type
  if (describe !== undefined || successor !== undefined || children.size + inline.size > 0) return false
  if (![...tasks.values()].every(isPlainWork)) return false
  const { context } = lifecycle.config as { readonly context?: unknown }
  const delays = Object.values(lifecycle.implementations.delays as { readonly [name: string]: unknown })
  return (
    typeof context !== 'function' &&
    delays.every((delay) => typeof delay === 'number') &&
    stateNodes(lifecycle.root).every(isPlainState)
  )
}

// The queue of a task for agents depends on the tenant and the assignment of its job, which are not part of the shape.
// Nor are the counts of a batch, which its beginning stores.
function isPlainWork({ limit, function: named, version, isForAgents, batch }: TaskSettings): boolean {
  return (
    !isForAgents && batch === undefined && [limit?.key, named, version].every((option) => typeof option !== 'function')
  )
}

function isPlainState(node: AnyStateNode): boolean {
  const { type, output, invoke, config } = node
  const transitions = [...node.transitions.values(), node.always ?? []].flat()
  return (
    type !== 'history' &&
    (typeof output !== 'function' || isEventOutput(output)) &&
    config.entry === undefined &&
    config.exit === undefined &&
    (type !== 'compound' || node.initial.actions.length === 0) &&
    transitions.every(({ guard, actions }) => guard === undefined && actions.length === 0) &&
    invoke.every(({ input }) => typeof input !== 'function')
  )
}

function isPlainJob({ parentId, deletedAt, ended, hasRefs, historyValue, blocked, tasks, timers }: Job): boolean {
  const isAlone = parentId === undefined && deletedAt === undefined && blocked === undefined && ended === undefined
  const isSmall = hasRefs === undefined && historyValue === undefined && tasks.length + timers.length <= PARTS_MAX
  return isAlone && isSmall && tasks.every(isPlainTask)
}

function isPlainTask({ inbox, stopBy, again, snapshot, claims }: Task): boolean {
  const isQuiet = inbox.length === 0 && stopBy === undefined && again === undefined
  // A job with many retries has a new shape at each attempt. So few jobs would use its templates.
  return isQuiet && snapshot === undefined && claims <= 2
}

// Whether templates can handle the event. They cannot handle XState's own events, because XState reads the fields of
// these.
function isPlainEvent(event: ChartEvent | undefined): boolean {
  if (event === undefined) return true
  const { type, reason } = event
  return !type.startsWith('xstate.') && (reason === undefined || typeof reason === 'string')
}

/** The decision for all jobs of one shape, as a function of the given values. */
interface Template {
  readonly what: string
  readonly hasReason: boolean
  readonly hasOutput: boolean
  readonly shape: Shape
  readonly heartbeatMs: number
  /** The engine that made the decision from which the template was learned. */
  readonly instance: string | undefined
  /** `undefined`: this shape is decided by the general function. */
  readonly change: Change | undefined
}

/** The shape of a job: everything in its record, besides its state, that a decision on a plain job depends on. */
interface Shape extends Pick<Job, 'counter' | 'phase'> {
  readonly isAdmitted: boolean
  readonly isStarted: boolean
  readonly ordinals: string | undefined
  readonly tasks: readonly Task[]
  readonly timers: readonly string[]
}

/** The parts of a record that a template can change. A decision that changes anything else is not remembered. */
interface Change extends Pick<Job, 'state' | 'status' | 'phase' | 'vacates' | 'counter' | 'outcome' | 'ordinals'> {
  readonly handled: boolean
  /** True: the decision sets `startedAt`. */
  readonly startsNow: boolean
  /** True: the decision sets `endedAt`. */
  readonly endsNow: boolean
  readonly hasOutput: boolean
  readonly tasks: Hole<readonly Task[]>
  readonly timers: Hole<readonly Timer[]>
  readonly events: Hole<Decision['events']>
  readonly inputs: Hole<Decision['inputs']>
  readonly eventCount: number
}

/** Computes a part of the result from the given values. */
type Hole<Part = unknown> = (given: Given) => Part

interface Given {
  readonly time: number
  readonly steady: number
  readonly before: Job
  readonly holder: string | undefined
  readonly output: Json | undefined
  readonly event: ChartEvent | undefined
}

function shapeOf({ counter, phase, admittedAt, startedAt, ordinals, tasks, timers }: Job): Shape {
  return {
    counter,
    phase,
    isAdmitted: admittedAt !== undefined,
    isStarted: startedAt !== undefined,
    ordinals: JSON.stringify(ordinals),
    // Without inputs: these may be large, and the template outlives the job.
    tasks: tasks.map(({ input, ...task }) => task),
    timers: timers.map(({ id }) => id),
  }
}

function isFor(template: Template, { what, context, output, event }: Asked, job: Job): boolean {
  return (
    template.what === what &&
    template.heartbeatMs === context.heartbeatMs &&
    template.hasOutput === (output !== undefined) &&
    template.hasReason === (event?.reason !== undefined) &&
    hasShape(template, job, context)
  )
}

function hasShape({ shape, instance }: Template, job: Job, context: DecisionContext): boolean {
  return (
    shape.counter === job.counter &&
    shape.phase === job.phase &&
    shape.isAdmitted === (job.admittedAt !== undefined) &&
    shape.isStarted === (job.startedAt !== undefined) &&
    shape.ordinals === (job.ordinals === undefined ? undefined : JSON.stringify(job.ordinals)) &&
    shape.tasks.length === job.tasks.length &&
    shape.tasks.every((task, index) => isAlike(task, job.tasks[index])) &&
    // A task that another engine runs gets a longer grace. So the template fits only if the deciding engine runs the
    // same tasks as in the first decision.
    shape.tasks.every(
      ({ holder }, index) => (holder === instance) === (job.tasks[index]?.holder === context.instance),
    ) &&
    shape.timers.length === job.timers.length &&
    shape.timers.every((id, index) => id === job.timers[index]?.id)
  )
}

function isAlike(one: Task, other: Task | undefined): boolean {
  return (
    other !== undefined &&
    one.id === other.id &&
    one.src === other.src &&
    one.status === other.status &&
    one.invocation === other.invocation &&
    one.ordinal === other.ordinal &&
    one.token === other.token &&
    one.attempt === other.attempt &&
    one.claims === other.claims &&
    one.crashes === other.crashes &&
    one.losses === other.losses &&
    (one.deadlineAt === undefined) === (other.deadlineAt === undefined)
  )
}

function fill({ change }: Template, asked: Asked, before: Job): Decision | undefined {
  const output = ownOutput(asked)
  if (change === undefined || output === NOT_STORABLE) return undefined
  const { type, context, holder, event } = asked
  const { at, steadyAt: steady = at } = context
  const given: Given = { time: Math.max(at, before.updatedAt), steady, before, holder, output, event }
  return {
    type,
    before: before.revision === 0 ? undefined : before,
    job: jobOf(change, given),
    events: change.events(given),
    inputs: change.inputs(given),
    logs: NONE,
    effects: NONE,
    handled: change.handled,
    changed: true,
    others: NONE,
    looked: NONE,
  }
}

function jobOf(change: Change, given: Given): Job {
  const { before, time, output } = given
  const { state, status, phase, vacates, counter, outcome, ordinals } = change
  const job: OpenJob = {
    ...(ordinals === undefined ? withoutOrdinals(before) : before),
    state,
    status,
    phase,
    vacates,
    timers: change.timers(given),
    tasks: change.tasks(given),
    counter,
    updatedAt: time,
    revision: before.revision + 1,
    eventCount: before.eventCount + change.eventCount,
  }
  if (change.startsNow) job.startedAt = time
  if (outcome !== undefined) job.outcome = outcome
  if (change.hasOutput && output !== undefined) job.output = output
  if (ordinals !== undefined) job.ordinals = ordinals
  if (change.endsNow) job.endedAt = time
  return job
}

const NONE: readonly never[] = Object.freeze([])
const NOT_STORABLE = Symbol('an output that ends its job with an error')

function ownOutput({ output }: Asked): Json | undefined | typeof NOT_STORABLE {
  if (output === undefined) return undefined
  try {
    return storableCopy(output, 'output', true)
  } catch {
    return NOT_STORABLE
  }
}

/** The marks that stand for the given values: numbers and texts that no real job has. */
const AT = 7e15
const STEADY = 8e15
const STEADY_MAX = 8.6e15
const HOLDER = '\u0000the holder'
const OUTPUT = '\u0000the output'
const REASON = '\u0000the reason'

// Builds a new object, because deleting a field makes V8 objects slow.
function withoutOrdinals(job: Job): Job {
  if (job.ordinals === undefined) return job
  const { ordinals, ...rest } = job
  return rest
}

function learned(asked: Asked, recordAt: RecordAt, decision: Decision, general: (asked: Asked) => Decision): Template {
  const { at, heartbeatMs, instance } = asked.context
  const shape = shapeOf(recordAt(at))
  const marked = withMarks(asked)
  const result = isPlainDecision(decision) ? general(marked) : undefined
  const change = result === undefined ? undefined : changeOf(recordAt(AT), result, marked.event)
  const { what, output, event } = asked
  const given = { what, hasReason: event?.reason !== undefined, hasOutput: output !== undefined }
  const template: Template = { ...given, shape, heartbeatMs, instance, change }
  const isRight =
    textOf(fill(template, marked, recordAt(AT))) === textOf(result) &&
    textOf(fill(template, asked, recordAt(at))) === textOf(decision)
  return isRight ? template : { ...template, change: undefined }
}

function isPlainDecision({ changed, others, looked, logs, effects }: Decision): boolean {
  return changed && others.length + looked.length + logs.length + effects.length === 0
}

function withMarks({ type, what, context, holder, output, event }: Asked): Asked {
  const reason = event?.reason === undefined ? {} : { reason: REASON }
  return {
    type,
    what,
    // With NaN as `random`, a decision that uses randomness gives another result than its template, so the template is
    // not used.
    context: { ...context, at: AT, steadyAt: STEADY, random: Number.NaN },
    ...(holder === undefined ? {} : { holder: HOLDER }),
    ...(output === undefined ? {} : { output: OUTPUT }),
    ...(event === undefined ? {} : { event: { type: event.type, ...reason } }),
  }
}

function textOf(decision: Decision | undefined): string | undefined {
  if (decision === undefined) return undefined
  const { before, job, events, inputs, handled, changed } = decision
  return JSON.stringify([before?.revision, job, events, inputs, handled, changed])
}

function changeOf(before: Job, { job, events, inputs, handled }: Decision, event: ChartEvent | undefined): Change {
  const { state, status, phase, vacates, counter, outcome, ordinals, output } = job
  return {
    ...{ state, status, phase, vacates, counter, handled },
    ...(outcome === undefined ? {} : { outcome }),
    ...(ordinals === undefined ? {} : { ordinals }),
    startsNow: job.startedAt !== before.startedAt,
    endsNow: job.endedAt !== before.endedAt,
    hasOutput: output !== before.output,
    tasks: tasksHole(before.tasks, job.tasks),
    timers: timersHole(before.timers, job.timers),
    events: holeOf(events, event).hole as Hole<Decision['events']>,
    inputs: holeOf(inputs, event).hole as Hole<Decision['inputs']>,
    eventCount: events.length,
  }
}

function tasksHole(before: readonly Task[], after: readonly Task[]): Hole<readonly Task[]> {
  if (after === before) return (given) => given.before.tasks
  const holes = after.map((task) => {
    const index = before.findIndex(({ invocation }) => invocation === task.invocation)
    return taskHole(index, before[index], task)
  })
  return (given) => holes.map((hole) => hole(given))
}

function taskHole(index: number, before: Task | undefined, after: Task): Hole<Task> {
  if (before === undefined) return holeOf(after, undefined).hole as Hole<Task>
  // Jobs of one shape have tasks of one shape, so the index exists.
  if (after === before) return (given) => given.before.tasks[index] as Task
  const { status, token, attempt, claims, deadlineAt } = after
  if (status !== 'claimed') return changedHole(index, before, after)
  return ({ before: { tasks }, holder, steady }) => {
    const task = { ...(tasks[index] as Task), status, token, attempt, claims, holder: String(holder) }
    return deadlineAt === undefined ? task : { ...task, deadlineAt: steady + (deadlineAt - STEADY) }
  }
}

// For a task that was left or became available again: takes the stored task, with the fields that changed.
function changedHole(index: number, before: Task, after: Task): Hole<Task> {
  const was = new Map<string, unknown>(Object.entries(before))
  const changed = Object.entries(after).filter(([key, value]) => was.get(key) !== value)
  const holes = changed.map(([key, value]) => [key, holeOf(value, undefined).hole] as const)
  const gone = [...was.keys()].filter((key) => !Object.hasOwn(after, key))
  return (given) => {
    const task: { [key: string]: unknown } = { ...given.before.tasks[index] }
    for (const key of gone) delete task[key]
    for (const [key, hole] of holes) task[key] = hole(given)
    return task as unknown as Task
  }
}

function timersHole(before: readonly Timer[], after: readonly Timer[]): Hole<readonly Timer[]> {
  if (after === before) return (given) => given.before.timers
  const holes = after.map((timer): Hole<Timer> => {
    const index = before.indexOf(timer)
    if (index >= 0) return (given) => given.before.timers[index] as Timer
    return holeOf(timer, undefined).hole as Hole<Timer>
  })
  return (given) => holes.map((hole) => hole(given))
}

interface Part {
  readonly isConstant: boolean
  readonly hole: Hole
}

/**
 * Turns a value of the marked decision into a function that returns it with real values in place of the marks. A value
 * without marks is a constant.
 */
function holeOf(value: unknown, event: ChartEvent | undefined): Part {
  if (value === event && event !== undefined) return filledBy((given) => given.event)
  if (value === HOLDER) return filledBy((given) => given.holder)
  if (value === OUTPUT) return filledBy((given) => given.output)
  if (value === REASON) return filledBy((given) => eventReason(given.event))
  if (typeof value === 'number' && value >= AT && value <= STEADY_MAX) {
    return value < STEADY
      ? filledBy(({ time }) => time + (value - AT))
      : filledBy(({ steady }) => steady + (value - STEADY))
  }
  if (typeof value !== 'object' || value === null) return { isConstant: true, hole: () => value }
  const parts = Object.entries(value).map(([key, each]) => [key, holeOf(each, event)] as const)
  if (parts.every(([, { isConstant }]) => isConstant)) return { isConstant: true, hole: () => value }
  if (Array.isArray(value)) return filledBy((given) => parts.map(([, { hole }]) => hole(given)))
  const holes = parts.flatMap(([key, { isConstant, hole }]) => (isConstant ? [] : [[key, hole] as const]))
  return filledBy((given) => {
    const copy: { [key: string]: unknown } = { ...value }
    for (const [key, hole] of holes) copy[key] = hole(given)
    return copy
  })
}

function filledBy(hole: Hole): Part {
  return { isConstant: false, hole }
}
