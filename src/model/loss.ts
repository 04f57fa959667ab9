import { isToldToStop } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'

/** How an attempt was lost. */
export interface Loss {
  readonly invocation: number
  readonly reason: string
  /** Its process crashed. Only crashes may make the task poison. Default: true. */
  readonly isCrash?: boolean
  /** How many steps and items the invocation has recorded so far. */
  readonly steps: number
}

/** The number of crashes in a row, without a new step or item between them, after which the task counts as poison. */
const CRASHES_MAX = 3

/**
 * Whether one more crash would make the task poison. Such a task should run alone of its kind: if several tasks die
 * together, only one of them can be the cause.
 */
export function isSuspect({ crashes }: Task): boolean {
  return crashes >= CRASHES_MAX - 1
}

/**
 * The crashes in a row including this one. Recorded steps reset the count: a task that gets further each time is not
 * what crashes the process.
 */
export function crashesAfter(task: Task, steps: number): number {
  return steps > task.steps ? 1 : task.crashes + 1
}

/** The error with which a loss ends its task. `undefined`: the task goes on. */
export function lossError(
  { recovery }: TaskSettings,
  task: Task,
  loss: Pick<Loss, 'reason' | 'isCrash'>,
): Json | undefined {
  const { crashes } = task
  const { reason, isCrash } = loss
  // A task that was told to stop is never restarted.
  if (recovery === 'fail' || (recovery === 'restart' && isToldToStop(task))) {
    const what = isCrash === true ? 'the process of the attempt' : 'the attempt'
    return { name: 'JobchartError', code: 'TASK_LOST', message: `${what} was lost: ${reason}` }
  }
  if (recovery === 'await' || crashes < CRASHES_MAX || isCrash !== true) return undefined
  const message = `${crashes} attempts in a row were lost with their process; the last: ${reason}`
  return { name: 'JobchartError', code: 'POISON', message }
}
