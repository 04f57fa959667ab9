import type { AnyStateMachine } from 'xstate'
import type { ChartEvent } from '../model/chart.ts'
import type { JobError } from '../model/error.ts'
import { stateNodes } from '../model/inert-machine.ts'
import type { Outcome, Phase } from '../model/job.ts'
import type { Json } from '../model/storable.ts'
import type { Untried } from './explore-examples.ts'
import type { Stop, Walk, Way } from './explore-walk.ts'

/** Where a chart can stand: a state value, with the tasks and timers that it waits for. */
export interface MappedState {
  /**
   * The keys of the active states from the root, such as `shipping` or `both.left.a + both.right.b`. States that differ
   * only by what they wait for say so: `working [ship]`. All ends by an error are one state, named by the type's label
   * for it: `(error)`.
   */
  readonly name: string
  /** XState's state value; null for an end by an error. */
  readonly value: Json
  /** What a job shows as its `status`. */
  readonly label: string
  readonly phase: Phase
  readonly outcome?: Outcome
  readonly tags: readonly string[]
  /** The ids of the invokes that are on. */
  readonly tasks: readonly string[]
  /** The types of the events that are due at a time. */
  readonly timers: readonly string[]
  /** A shortest way here: the events, from `xstate.init` with its input. What they cause by themselves is left out. */
  readonly path: readonly ChartEvent[]
}

/** An event that moved the chart. `to` may be several for one event: by its fields, and by the context. */
export interface MappedEdge {
  readonly from: string
  readonly event: string
  readonly to: string
}

/** What a state does with commands. One that is in both lists is taken by some contexts, or with some fields. */
export interface MappedCommands {
  readonly state: string
  readonly taken: readonly string[]
  readonly refused: readonly string[]
}

/** A state that a job may never come out of. */
export interface DeadEnd {
  readonly state: string
  /** `stuck`: no task, no timer and no command. `trapped`: things can happen, and none of them leads to an end. */
  readonly kind: 'stuck' | 'trapped'
  readonly path: readonly ChartEvent[]
}

/** A state and an event in it by which the chart's own code throws, or gives what cannot be stored. */
export interface ThrowingCell {
  /** `(start)`: the job was just submitted. */
  readonly state: string
  readonly event: string
  readonly error: Omit<JobError, 'stack'>
  /** A shortest way here, this event included. */
  readonly path: readonly ChartEvent[]
}

/** What {@link explore} found: plain frozen data in a stable order, by name. */
export interface JobMap {
  readonly states: readonly MappedState[]
  readonly edges: readonly MappedEdge[]
  /** For each state that is no end. */
  readonly commands: readonly MappedCommands[]
  /** The names of the states that are an end, with their outcome. */
  readonly ends: readonly { readonly state: string; readonly outcome: Outcome }[]
  readonly throws: readonly ThrowingCell[]
  /** Not told of states from which something was left untried. */
  readonly deadEnds: readonly DeadEnd[]
  /** States of the machine that nothing entered, not even in passing. */
  readonly unreachable: readonly string[]
  readonly untried: readonly Untried[]
  /** False: the limit was hit, and there may be more of everything. */
  readonly isComplete: boolean
}

/** What a walk found, by the names of its states. */
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
  // A copy: parts of it are XState's.
  return frozen(structuredClone(map))
}

type NameOf = (stop: Stop) => string

function stateOf({ job, tags, way, error }: Stop, name: string): MappedState {
  const { state, status: label, phase, outcome } = job
  return {
    name,
    // The chart stands where it stood before, and that tells nothing of the end.
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

/** Those from which an end can be reached, or something of which nobody knows where it leads. */
function endable(stops: readonly Stop[]): ReadonlySet<Stop> {
  const before = new Map<Stop, Stop[]>(stops.map((stop) => [stop, []]))
  for (const stop of stops) for (const to of stop.next) before.get(to)?.push(stop)
  const alive = new Set(stops.filter(({ job, isOpen }) => job.phase === 'settled' || isOpen))
  // A set is walked in the order in which it grows.
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

/** By code units, so that the order is the same everywhere. */
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
