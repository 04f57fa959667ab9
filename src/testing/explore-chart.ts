import { type AnyStateMachine, createMachine, log } from 'xstate'
import type {
  Chart,
  ChartAction,
  ChartEvent,
  ChartScope,
  ChartSnapshot,
  RefTo,
  ResumedState,
  Standing,
  StateInfo,
  TransitionResult,
} from '../model/chart.ts'
import type { AnyJobType } from '../model/definition.ts'
import { createChart } from '../model/transition.ts'

/** A transition of a chart, and the event that caused it. */
export interface Seen {
  readonly event: ChartEvent
  readonly result: TransitionResult
}

/**
 * Records the transitions of a job type's chart. The walk needs this because a decision alone does not show tags,
 * thrown errors, or states that a transition only passed through.
 */
export class WatchedChart implements Chart {
  readonly invokes: ReadonlyMap<string, string>
  readonly hasAccepts: boolean
  /** Every state that was entered, even if the same transition left it again, e.g. `both.left.a`. */
  readonly entered = new Set<string>()
  /** The ids of invokes whose snapshots the chart listens to. Invokes of transition logic are not included. */
  readonly observed = new Set<string>()
  #seen: Seen | undefined
  readonly #type: AnyJobType
  readonly #chart: Chart
  readonly #traced: Chart

  constructor(type: AnyJobType) {
    this.#type = type
    this.#chart = type.chart
    this.invokes = type.chart.invokes
    this.hasAccepts = type.chart.hasAccepts
    this.#traced = createChart(traced(type.lifecycle))
  }

  /** The last transition, if there was one since the previous call. */
  takeSeen(): Seen | undefined {
    const seen = this.#seen
    this.#seen = undefined
    return seen
  }

  start(input: unknown, scope?: ChartScope): TransitionResult {
    const move = this.#chart.start(input, scope)
    this.#trace(this.#traced.start(input, scope))
    return this.#see({ type: 'xstate.init' }, move)
  }

  transition(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope, isSent?: boolean): TransitionResult {
    const move = this.#chart.transition(snapshot, event, scope, isSent)
    this.#trace(this.#traced.transition(snapshot, event, scope, isSent))
    return this.#see(event, move)
  }

  transitionIfNamed(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope): TransitionResult {
    const result = this.#chart.transitionIfNamed(snapshot, event, scope)
    if (!result.handled) return result
    this.#trace(this.#traced.transitionIfNamed(snapshot, event, scope))
    return this.#see(event, result)
  }

  canHandle(snapshot: ChartSnapshot, event: ChartEvent, scope?: ChartScope): boolean {
    return this.#chart.canHandle(snapshot, event, scope)
  }

  isNamed(eventType: string): boolean {
    return this.#chart.isNamed(eventType)
  }

  info(snapshot: ChartSnapshot): StateInfo {
    return this.#chart.info(snapshot)
  }

  liveSnapshot(standing: Standing, refTo: RefTo): unknown {
    return this.#chart.liveSnapshot(standing, refTo)
  }

  resumed(snapshot: ChartSnapshot, scope?: ChartScope): ResumedState {
    return this.#chart.resumed(snapshot, scope)
  }

  #see(event: ChartEvent, move: TransitionResult): TransitionResult {
    this.#seen = { event, result: move }
    return { ...move, actions: move.actions.map((action) => this.#unobserved(action)) }
  }

  // In the walk a child job is only a task. Its first snapshot would not be that of a child, so the chart does not get
  // it.
  #unobserved(action: ChartAction): ChartAction {
    if (action.kind !== 'start' || !action.sync || this.#type.inline.has(action.src)) return action
    this.observed.add(action.id)
    return this.#type.children.has(action.src) ? { ...action, sync: false } : action
  }

  #trace({ actions }: TransitionResult): void {
    for (const action of actions) {
      if (action.kind === 'log' && action.text.startsWith(MARK)) this.entered.add(action.text.slice(MARK.length))
    }
  }
}

// Marks the lines that `traced` adds. No log line of the chart itself begins with this text.
const MARK = '\u0000entered '

interface StateConfig {
  readonly entry?: unknown
  readonly states?: { readonly [key: string]: StateConfig }
}

/** A copy of the machine that logs a line for each state that it enters. */
function traced(machine: AnyStateMachine): AnyStateMachine {
  const config = tracedState(machine.config as StateConfig, [])
  return createMachine(config as never, machine.implementations as never) as AnyStateMachine
}

function tracedState(config: StateConfig, path: readonly string[]): StateConfig {
  const states = Object.entries(config.states ?? {}).map(([key, state]) => [key, tracedState(state, [...path, key])])
  return {
    ...config,
    entry: [log(MARK + path.join('.')), ...[config.entry ?? []].flat()],
    ...(config.states === undefined ? {} : { states: Object.fromEntries(states) }),
  }
}
