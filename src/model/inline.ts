import type { ChartEvent } from './chart.ts'
import type { AnyJobType } from './job-type.ts'
import { doneEvent, errorEvent, errorValue } from './record.ts'
import { type Json, jsonCopy, storableCopy } from './storable.ts'
import type { Task } from './task-record.ts'
import { InertScope } from './xstate-internals.ts'

/** What became of logic that moves with its job: its state, or its end as an event for the chart. */
export interface InlineTransition {
  readonly snapshot?: Json
  readonly event?: ChartEvent
}

/** The first state of transition logic. */
export function startInline(type: AnyJobType, task: Inline): InlineTransition {
  return run(type, task, (logic, scope) => logic.getInitialSnapshot(scope, copyOf(task.input)))
}

/** The state of transition logic after an event. */
export function transitionInline(type: AnyJobType, task: Inline, event: ChartEvent): InlineTransition {
  return run(type, task, (logic, scope) => {
    const own = copyOf(task.snapshot)
    const snapshot = logic.restoreSnapshot?.(own, scope) ?? own
    // Events are JSON when they are captured.
    return logic.transition(snapshot, jsonCopy(event as unknown as Json), scope)
  })
}

type Inline = Pick<Task, 'id' | 'src' | 'input' | 'snapshot'>

type Logic = NonNullable<ReturnType<AnyJobType['inline']['get']>>

function run(type: AnyJobType, task: Inline, compute: (logic: Logic, scope: InertScope) => unknown): InlineTransition {
  const logic = type.inline.get(task.src)
  if (logic === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
  try {
    const scope = new InertScope(task.id)
    const next = compute(logic, scope)
    const { status, output, error } = next as {
      readonly status: string
      readonly output?: unknown
      readonly error?: unknown
    }
    if (status === 'error') throw error
    if (status === 'done') return { event: doneEvent(task.id, storedOutput(task, output)) }
    return { snapshot: storableCopy(logic.getPersistedSnapshot(next), `state of "${task.id}"`, true) }
  } catch (thrown) {
    return { event: errorEvent(task.id, errorValue(thrown)) }
  }
}

// Its code gets values of its own.
function copyOf(value: Json | undefined): Json | undefined {
  return value === undefined ? undefined : jsonCopy(value)
}

function storedOutput({ id }: Inline, output: unknown): Json | undefined {
  return output === undefined ? undefined : storableCopy(output, `output of "${id}"`, true)
}
