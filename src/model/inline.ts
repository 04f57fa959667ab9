import type { ChartEvent, ChartScope, SendAction } from './chart.ts'
import { readActions } from './chart-action.ts'
import type { AnyJobType } from './job-type.ts'
import { doneEvent, errorEvent, errorValue } from './record.ts'
import { revivedCopy } from './references.ts'
import { type Json, jsonCopy, storableCopy } from './storable.ts'
import type { Task } from './task-record.ts'
import { InertScope } from './xstate-internals.ts'

/** What an event did to transition logic: its new state, or its end as an event for the chart. */
export interface InlineTransition {
  readonly snapshot?: Json
  readonly event?: ChartEvent
  /** The events that the logic has sent, to itself or to other actors. */
  readonly sent: readonly SendAction[]
}

/** The first state of transition logic. */
export function startInline(type: AnyJobType, task: Inline, scope: ChartScope): InlineTransition {
  return run(type, task, scope, (logic, inert) => logic.getInitialSnapshot(inert, alive(task.input, inert)))
}

/** The state of transition logic after an event sent by a chart. */
export function transitionInline(
  type: AnyJobType,
  task: Inline,
  event: ChartEvent,
  scope: ChartScope,
): InlineTransition {
  return run(type, task, scope, (logic, inert) => {
    const own = copyOf(task.snapshot)
    const snapshot = logic.restoreSnapshot?.(own, inert) ?? own
    return logic.transition(snapshot, alive(event as unknown as Json, inert), inert)
  })
}

type Inline = Pick<Task, 'id' | 'src' | 'input' | 'snapshot'>

type Logic = NonNullable<ReturnType<AnyJobType['inline']['get']>>

function run(
  type: AnyJobType,
  task: Inline,
  scope: ChartScope,
  compute: (logic: Logic, inert: InertScope) => unknown,
): InlineTransition {
  const logic = type.inline.get(task.src)
  if (logic === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
  try {
    const inert = new InertScope(task.id)
    inert.enter(scope)
    const next = compute(logic, inert)
    const sent = readActions(inert, scope.nextInvocation, false).filter((action) => action.kind === 'send')
    const { status, output, error } = next as {
      readonly status: string
      readonly output?: unknown
      readonly error?: unknown
    }
    if (status === 'error') throw error
    if (status === 'done') return { event: doneEvent(task.id, storedOutput(task, output)), sent }
    return { snapshot: storableCopy(logic.getPersistedSnapshot(next), `state of "${task.id}"`, true), sent }
  } catch (thrown) {
    return { event: errorEvent(task.id, errorValue(thrown)), sent: [] }
  }
}

// A copy of a stored value for the code, with references and errors restored to objects.
function alive(value: Json | undefined, { turn }: InertScope): unknown {
  return value === undefined ? undefined : revivedCopy(value, turn.refTo)
}

function copyOf(value: Json | undefined): Json | undefined {
  return value === undefined ? undefined : jsonCopy(value)
}

function storedOutput({ id }: Inline, output: unknown): Json | undefined {
  return output === undefined ? undefined : storableCopy(output, `output of "${id}"`, true)
}
