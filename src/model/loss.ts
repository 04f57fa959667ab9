import { isToldToStop } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'

/** How an attempt was lost. */
export interface Loss {
  readonly invocation: number
  readonly reason: string
  /** Its process died of itself. Only such a loss may make the task poison. Default true. */
  readonly isCrash?: boolean
  /** Steps and items recorded under the invocation by now. */
  readonly steps: number
}

/** Crashes in a row, without a further step or item recorded, before the task is given up as poison (I20). */
const CRASHES_MAX = 3

/**
 * One more loss makes it poison. It should run alone of its kind: of several that died together, only one can be what
 * their process died of.
 */
export function isSuspect({ crashes }: Task): boolean {
  return crashes >= CRASHES_MAX - 1
}

/** Crashes in a row by now: work that gets further each time is not what takes its process down. */
export function crashesAfter(task: Task, steps: number): number {
  return steps > task.steps ? 1 : task.crashes + 1
}

/** How a loss ends its task; undefined: it does not. */
export function lossError(
  { recovery }: TaskSettings,
  task: Task,
  loss: Pick<Loss, 'reason' | 'isCrash'>,
): Json | undefined {
  const { crashes } = task
  const { reason, isCrash } = loss
  // One that was told to stop is never made again.
  if (recovery === 'fail' || (recovery === 'restart' && isToldToStop(task))) {
    const what = isCrash === true ? 'the process of the attempt' : 'the attempt'
    return { name: 'JobchartError', code: 'TASK_LOST', message: `${what} was lost: ${reason}` }
  }
  if (recovery === 'await' || crashes < CRASHES_MAX || isCrash !== true) return undefined
  const message = `${crashes} attempts in a row were lost with their process; the last: ${reason}`
  return { name: 'JobchartError', code: 'POISON', message }
}
