import type { StartAction } from './chart-action.ts'
import { type AnyJobType, childTypeOf } from './definition.ts'
import { startInline } from './inline.ts'
import { newTask } from './record.ts'
import type { ChartAction, Move, Origin } from './transition.ts'

/**
 * What is done of a job's first move, in its order. As a live actor begins: children that go on are started before all
 * else, and nothing is done of a move that threw.
 */
export function firstActions(type: AnyJobType, { actions, end }: Move): readonly ChartAction[] {
  if (end !== undefined) return end.kind === 'error' ? [] : actions
  const goesOn = (action: ChartAction) => action.kind === 'start' && !endsAtOnce(type, action)
  return [...actions.filter(goesOn), ...actions.filter((action) => !goesOn(action))]
}

function endsAtOnce(type: AnyJobType, action: StartAction): boolean {
  const child = childTypeOf(type, action.src)
  const origin: Origin = { children: [], nextInvocation: 1, parentInvoke: action.id }
  if (child !== undefined) return child.chart.start(action.input, origin).end !== undefined
  return type.inline.has(action.src) && startInline(type, newTask(type, action, 0)).event !== undefined
}
