/**
 * A chart that asks its machine once.
 *
 * Where nothing in a machine is a function, no guard, action, input or output, its moves follow from where a job stands,
 * the type of the event, and which children it has. Such a move is computed by the machine the first time, and copied
 * from then on, which costs a twentieth. Of an end that gives the event's own output, the output is each event's.
 */
import type { AnyStateMachine, AnyStateNode } from 'xstate'
import { isEventOutput } from './default-lifecycle.ts'
import { stateNodes } from './inert-machine.ts'
import { type Json, storableCopy } from './storable.ts'
import type { Chart, ChartEvent, Move, Origin, Place, Standing } from './transition.ts'

/** Moves that are kept of one machine. */
const MOVES_MAX = 1_000

/** Stands in a remembered move for the output of the event. */
const EVENT_OUTPUT = 'the output of the event'

/** Parts the fields of a key: no id or type of event holds one. */
const SEPARATOR = '\u001f'

/** Whether the moves of a machine follow from place, type of event and children alone. */
export function isRememberable(machine: AnyStateMachine): boolean {
  const { context } = machine.config as { readonly context?: unknown }
  return isEmpty(context ?? {}) && stateNodes(machine.root).every(isPlain)
}

function isEmpty(context: unknown): boolean {
  return typeof context === 'object' && context !== null && Object.keys(context).length === 0
}

function isPlain(node: AnyStateNode): boolean {
  const { type, output, invoke, config } = node
  const transitions = [...node.transitions.values(), node.always ?? []].flat()
  return (
    type !== 'history' &&
    (output === undefined || isEventOutput(output)) &&
    config.entry === undefined &&
    config.exit === undefined &&
    (type !== 'compound' || node.initial.actions.length === 0) &&
    transitions.every(({ guard, actions }) => guard === undefined && actions.length === 0) &&
    invoke.every(({ input, systemId }) => input === undefined && systemId === undefined)
  )
}

/** Remembers the moves of a chart whose machine {@link isRememberable}. */
export class RememberedChart implements Chart {
  readonly invokes: ReadonlySet<string>
  readonly #chart: Chart
  readonly #taken: ReadonlySet<string>
  readonly #moves = new Map<string, Move | undefined>()
  readonly #names = new Map<string, boolean>()

  constructor(chart: Chart, machine: AnyStateMachine) {
    this.#chart = chart
    this.invokes = chart.invokes
    this.#taken = new Set(stateNodes(machine.root).flatMap((node) => [...node.transitions.keys()]))
  }

  start(input: unknown, origin?: Origin): Move {
    const key = keyOf({}, '', origin)
    const move = remembered(this.#moves, key, () => kept(this.#chart.start(undefined, origin)))
    return move === undefined ? this.#chart.start(input, origin) : given(move, {})
  }

  move(place: Place, event: ChartEvent, origin?: Origin): Move {
    const { type } = event
    const move = this.#isKnown(place, type) ? this.#move(place, type, origin) : undefined
    if (move === undefined) return this.#chart.move(place, event, origin)
    const { output } = move.end?.kind === 'done' ? move.end : {}
    if (output === undefined) return given(move, place.context)
    try {
      const own = output === EVENT_OUTPUT ? event.output : output
      const end = { kind: 'done', ...(own === undefined ? {} : { output: storableCopy(own, 'output', true) }) } as const
      return { ...given(move, place.context), end }
    } catch {
      // The machine says how the job ends whose output cannot be stored.
      return this.#chart.move(place, event, origin)
    }
  }

  names(place: Place, event: ChartEvent, origin?: Origin): boolean {
    if (!this.#isKnown(place, event.type)) return this.#chart.names(place, event, origin)
    const key = keyOf(place.state, event.type, undefined)
    return remembered(this.#names, key, () => this.#chart.names(place, event, origin))
  }

  standing(place: Place, origin?: Origin): Standing {
    return this.#chart.standing(place, origin)
  }

  meaning(place: Place): Move['meaning'] {
    return this.#chart.meaning(place)
  }

  look(place: Place): unknown {
    return this.#chart.look(place)
  }

  // Events that the machine does not name may be without number, and what another version of it left is not looked into.
  #isKnown({ historyValue, hasRefs }: Place, type: string): boolean {
    return historyValue === undefined && hasRefs !== true && this.#taken.has(type)
  }

  #move(place: Place, type: string, origin: Origin | undefined): Move | undefined {
    const probe = () => kept(this.#chart.move(place, { type, output: EVENT_OUTPUT }, origin))
    return remembered(this.#moves, keyOf(place.state, type, origin), probe)
  }
}

/** The move, if it is one to remember: an error is each event's own, and what is sent is data that is made anew. */
function kept(move: Move): Move | undefined {
  const isOurs = move.actions.every(({ kind }) => kind === 'start' || kind === 'leave')
  return isOurs && move.end?.kind !== 'error' ? move : undefined
}

/** The remembered move of a job; a copy, since what is handed on may be changed by whoever has it. */
function given({ place, actions, ...move }: Move, context: Json): Move {
  const { state } = place
  const copied = typeof state === 'string' ? state : storableCopy(state, 'state')
  return { ...move, place: { state: copied, context }, actions: actions.map((action) => ({ ...action })) }
}

function keyOf(state: Json, type: string, origin: Origin | undefined): string {
  const place = `${type}${SEPARATOR}${JSON.stringify(state)}`
  if (origin === undefined) return place
  const children = origin.children.map(({ id, invocation }) => `${invocation} ${id}`).join(SEPARATOR)
  return [place, origin.nextInvocation, origin.parentInvoke ?? '', children].join(SEPARATOR)
}

function remembered<Value>(known: Map<string, Value>, key: string, compute: () => Value): Value {
  const found = known.get(key)
  if (found !== undefined || known.has(key)) return found as Value
  if (known.size >= MOVES_MAX) known.clear()
  const value = compute()
  known.set(key, value)
  return value
}
