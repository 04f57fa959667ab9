import type { AnyStateMachine } from 'xstate'
import type { ChartEvent } from '../model/chart.ts'
import type { JobError } from '../model/error.ts'
import { stateNodes } from '../model/inert-machine.ts'
import type { Outcome, Phase } from '../model/job.ts'
import type { Json } from '../model/storable.ts'
import type { Untried } from './explore-examples.ts'
import type { Stop, Walk, Way } from './explore-walk.ts'

/** A state of a job: the state value of its chart, and the tasks and timers that the job waits for. */
export interface MappedState {
  /**
   * The path of each active state from the root, e.g. `shipping` or `both.left.a + both.right.b`. If two states differ
   * only by what they wait for, the name lists that too, e.g. `working [ship]`. All ends by an error are one state,
   * named by the type's error label, e.g. `(error)`.
   */
  readonly name: string
  /** XState's state value. `null` for an end by an error. */
  readonly value: Json
  /** The job's `status` in this state. */
  readonly label: string
  readonly phase: Phase
  readonly outcome?: Outcome
  readonly tags: readonly string[]
  /** The ids of the active invokes. */
  readonly tasks: readonly string[]
  /** The types of the events that timers will send. */
  readonly timers: readonly string[]
  /**
   * A shortest list of events that leads to this state. It begins with `xstate.init` and its input. Events that follow
   * from other events are left out.
   */
  readonly path: readonly ChartEvent[]
}

/**
 * An event that moved the chart from one state to another. The same event may lead to several states, depending on its
 * fields and the context.
 */
export interface MappedEdge {
  readonly from: string
  readonly event: string
  readonly to: string
}

/**
 * The commands that a state takes and refuses. A command is in both lists if it is taken only in some contexts or with
 * some fields.
 */
export interface MappedCommands {
  readonly state: string
  readonly taken: readonly string[]
  readonly refused: readonly string[]
}

/** A state from which no end can be reached. */
export interface DeadEnd {
  readonly state: string
  /**
   * `stuck`: the job has no task and no timer, and takes no command. `trapped`: something can happen to it, but nothing
   * leads to an end.
   */
  readonly kind: 'stuck' | 'trapped'
  readonly path: readonly ChartEvent[]
}

/** A state and an event for which the chart's own code throws, or makes a value that cannot be stored. */
export interface ThrowingCell {
  /** The name of the state. `(start)` if the error was thrown when the job was submitted. */
  readonly state: string
  readonly event: string
  readonly error: Omit<JobError, 'stack'>
  /** A shortest list of events that leads to the error, including this event. */
  readonly path: readonly ChartEvent[]
}

/** The result of {@link explore}. It is frozen plain data, and its lists are sorted by name. */
export interface JobMap {
  readonly states: readonly MappedState[]
  readonly edges: readonly MappedEdge[]
  /** For each state that is not an end, its commands. */
  readonly commands: readonly MappedCommands[]
  /** The names of the end states, with their outcomes. */
  readonly ends: readonly { readonly state: string; readonly outcome: Outcome }[]
  readonly throws: readonly ThrowingCell[]
  /** States without a way to an end. A state is left out if an event that was not tried can be reached from it. */
  readonly deadEnds: readonly DeadEnd[]
  /** States of the machine that were never entered, not even in passing. */
  readonly unreachable: readonly string[]
  readonly untried: readonly Untried[]
  /** `false`: the limit stopped the walk, so every list may be incomplete. */
  readonly isComplete: boolean
}

/** Makes a map from a finished walk: names the states, and joins all jobs whose states have the same name. */
export function mapOf(walk: Walk, untried: readonly Untried[], machine: AnyStateMachine): JobMap {
  const stops = [...walk.stops.values()].sort((a, b) => a.way.length - b.way.length)
  const names = namesOf(stops)
  const nameOf = (stop: Stop) => names.get(stop) ?? ''
  const states = firstOfEach(stops, nameOf).map((stop) => stateOf(stop, nameOf(stop)))
  const active = stops.filter(({ job }) => job.phase !== 'settled')
  const map: JobMap = {
    states: states.sort(by('name')),
    edges: edgesOf(active, nameOf).sort(by('from', 'event', 'to')),
    commands: commandsOf(active, nameOf).sort(by('state')),
    ends: states.flatMap(({ name: state, outcome }) => (outcome === undefined ? [] : [{ state, outcome }])),
    throws: throwsOf(walk, active, nameOf).sort(by('state', 'event')),
    deadEnds: deadEndsOf(stops, active, nameOf).sort(by('state', 'kind')),
    unreachable: unreachableOf(machine, walk.watched.entered),
    untried: [...untried].sort(by('event')),
    isComplete: walk.isComplete,
  }
  // Only a copy is frozen, because parts of the map are objects of XState.
  return frozen(structuredClone(map))
}

type NameOf = (stop: Stop) => string

function stateOf({ job, tags, way, error }: Stop, name: string): MappedState {
  const { state, status: label, phase, outcome } = job
  return {
    name,
    // After an error the chart still has its last state, which says nothing about the end.
    value: error === undefined ? state : null,
    label,
    phase,
    ...(outcome === undefined ? {} : { outcome }),
    tags: error === undefined ? tags : [],
    ...waitsOf(job),
    path: eventsOf(way),
  }
}

function waitsOf({ tasks, timers }: Stop['job']): Pick<MappedState, 'tasks' | 'timers'> {
  return { tasks: tasks.map(({ id }) => id).sort(), timers: timers.map(({ event }) => event.type).sort() }
}

function namesOf(stops: readonly Stop[]): ReadonlyMap<Stop, string> {
  const waits = new Map<string, Set<string>>()
  for (const stop of stops) {
    const known = waits.get(plainName(stop)) ?? new Set()
    waits.set(plainName(stop), known.add(waitsName(stop)))
  }
  return new Map(
    stops.map((stop) => {
      const name = plainName(stop)
      return [stop, waits.get(name)?.size === 1 ? name : `${name} ${waitsName(stop)}`]
    }),
  )
}

function plainName({ job, error }: Stop): string {
  return error !== undefined ? `(${job.status})` : leavesOf(job.state).join(' + ') || '(root)'
}

function waitsName({ job }: Stop): string {
  const { tasks, timers } = waitsOf(job)
  return `[${[...tasks, ...timers].join(', ')}]`
}

function leavesOf(value: Json): readonly string[] {
  if (typeof value === 'string') return [value]
  return Object.entries(value ?? {}).flatMap(([key, inner]) => {
    const leaves = leavesOf(inner as Json)
    return leaves.length === 0 ? [key] : leaves.map((leaf) => `${key}.${leaf}`)
  })
}

function edgesOf(active: readonly Stop[], nameOf: NameOf): MappedEdge[] {
  const edges = active.flatMap((stop) =>
    stop.cells.flatMap(({ event, to }) => (to === undefined ? [] : [{ from: nameOf(stop), event, to: nameOf(to) }])),
  )
  return firstOfEach(edges, ({ from, event, to }) => JSON.stringify([from, event, to]))
}

function commandsOf(active: readonly Stop[], nameOf: NameOf): MappedCommands[] {
  return [...Map.groupBy(active, nameOf)].map(([state, stops]) => {
    const asked = stops.flatMap(({ cells }) => cells).filter(({ isCommand }) => isCommand)
    const names = (isTaken: boolean) => asked.filter((cell) => cell.isTaken === isTaken).map(({ event }) => event)
    return { state, taken: [...new Set(names(true))].sort(), refused: [...new Set(names(false))].sort() }
  })
}

function throwsOf({ starts }: Walk, active: readonly Stop[], nameOf: NameOf): ThrowingCell[] {
  const begun = starts.map((to) => ({ state: '(start)', event: 'xstate.init', to, way: to.way }))
  const moved = active.flatMap((stop) =>
    stop.cells.flatMap(({ event, to, way }) => (to === undefined ? [] : [{ state: nameOf(stop), event, to, way }])),
  )
  const thrown = [...begun, ...moved].flatMap(({ to, way, ...cell }) => {
    if (!to.isThrown || to.error === undefined) return []
    const { stack, ...error } = to.error
    return [{ ...cell, error, way }]
  })
  const cells = firstOfEach(thrown, ({ state, event, error }) => JSON.stringify([state, event, error]))
  return cells.map(({ way, ...cell }) => ({ ...cell, path: eventsOf(way) }))
}

function deadEndsOf(stops: readonly Stop[], active: readonly Stop[], nameOf: NameOf): DeadEnd[] {
  const alive = endable(stops)
  const dead = active.filter((stop) => !alive.has(stop))
  const found = dead.map((stop) => ({ state: nameOf(stop), kind: kindOf(stop), way: stop.way }))
  const ends = firstOfEach(found, ({ state, kind }) => JSON.stringify([state, kind]))
  return ends.map(({ way, ...end }) => ({ ...end, path: eventsOf(way) }))
}

function kindOf({ job, cells }: Stop): DeadEnd['kind'] {
  const takesCommand = cells.some(({ isCommand, isTaken }) => isCommand && isTaken)
  return job.tasks.length === 0 && job.timers.length === 0 && !takesCommand ? 'stuck' : 'trapped'
}

/** The stops from which an end can be reached, or an event that was not tried. */
function endable(stops: readonly Stop[]): ReadonlySet<Stop> {
  const before = new Map<Stop, Stop[]>(stops.map((stop) => [stop, []]))
  for (const stop of stops) for (const to of stop.next) before.get(to)?.push(stop)
  const alive = new Set(stops.filter(({ job, isOpen }) => job.phase === 'settled' || isOpen))
  // The loop also visits stops that are added during it.
  for (const stop of alive) for (const from of before.get(stop) ?? []) alive.add(from)
  return alive
}

function unreachableOf(machine: AnyStateMachine, entered: ReadonlySet<string>): readonly string[] {
  const nodes = stateNodes(machine.root).filter(({ type, path }) => type !== 'history' && path.length > 0)
  return nodes
    .map(({ path }) => path.join('.'))
    .filter((name) => !entered.has(name))
    .sort()
}

function eventsOf(way: Way): readonly ChartEvent[] {
  const events: ChartEvent[] = []
  for (let last: Way | undefined = way; last !== undefined; last = last.before) events.push(last.event)
  return events.reverse()
}

function firstOfEach<Value>(values: readonly Value[], keyOf: (value: Value) => string): Value[] {
  const known = new Map<string, Value>()
  for (const value of values) if (!known.has(keyOf(value))) known.set(keyOf(value), value)
  return [...known.values()]
}

/** Compares by code units, so that the order is the same on every machine. */
function by<Key extends string>(...keys: readonly Key[]) {
  return (a: { readonly [Each in Key]: string }, b: { readonly [Each in Key]: string }): number => {
    const key = keys.find((each) => a[each] !== b[each])
    return key === undefined ? 0 : a[key] < b[key] ? -1 : 1
  }
}

function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const each of Object.values(value)) frozen(each)
  return Object.freeze(value)
}
