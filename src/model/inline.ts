import type { AnyJobType } from './definition.ts'
import { InertScope } from './inert-scope.ts'
import { doneEvent, errorEvent, errorValue } from './record.ts'
import { type Json, storableCopy } from './storable.ts'
import type { Task } from './task.ts'
import type { ChartEvent } from './transition.ts'

/** What became of logic that moves with its job: its state, or its end as an event for the chart. */
export interface InlineMove {
  readonly snapshot?: Json
  readonly event?: ChartEvent
}

/** The first state of transition logic. */
export function startInline(type: AnyJobType, task: Task): InlineMove {
  return run(type, task, (logic, scope) => logic.getInitialSnapshot(scope, task.input))
}

/** The state of transition logic after an event. */
export function moveInline(type: AnyJobType, task: Task, event: ChartEvent): InlineMove {
  return run(type, task, (logic, scope) => {
    const snapshot = logic.restoreSnapshot?.(task.snapshot, scope) ?? task.snapshot
    return logic.transition(snapshot, event, scope)
  })
}

type Logic = NonNullable<ReturnType<AnyJobType['inline']['get']>>

function run(type: AnyJobType, task: Task, compute: (logic: Logic, scope: InertScope) => unknown): InlineMove {
  const logic = type.inline.get(task.src)
  if (logic === undefined) throw new Error(`job type "${type.type}" has no logic "${task.src}"`)
  try {
    const scope = new InertScope(task.id)
    const next = compute(logic, scope)
    const { status, output, error } = next as {
      readonly status: string
      readonly output?: Json
      readonly error?: unknown
    }
    if (status === 'error') throw error
    if (status === 'done') return { event: doneEvent(task.id, output) }
    return { snapshot: storableCopy(logic.getPersistedSnapshot(next), `state of "${task.id}"`, true) }
  } catch (thrown) {
    return { event: errorEvent(task.id, errorValue(thrown)) }
  }
}
