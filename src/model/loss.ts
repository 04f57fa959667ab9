import { isToldToStop } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'

/** An attempt that was lost, and how. */
export interface Loss {
  readonly invocation: number
  readonly reason: string
  /**
   * True: the attempt's process crashed. A task that crashes its process too often in a row is poison: it is not tried
   * again. Other losses do not count for this. Default: true.
   */
  readonly isCrash?: boolean
  /** How many steps and items the invocation has recorded so far. */
  readonly steps: number
}

/** The number of crashes in a row, without a new step or item between them, after which the task counts as poison. */
const CRASHES_MAX = 3

/**
 * Whether one more crash would make the task poison. An engine runs at most one such task at a time: if several run
 * when their process crashes, nobody can tell which of them is the cause.
 */
export function isSuspect({ crashes }: Task): boolean {
  return crashes >= CRASHES_MAX - 1
}

/**
 * The number of crashes in a row, including this one. If the task has recorded steps since the last crash, the count
 * starts again: a task that gets further each time is not the cause of the crashes.
 *
 * Crashes of callbacks and observables are not counted. They run all the time, so each crash of their process would
 * count for them. They would soon be suspects and would run for ever, and other suspects may not run meanwhile.
 */
export function crashesAfter({ kind }: TaskSettings, task: Task, steps: number): number {
  if (kind !== 'promise') return 0
  return steps > task.steps ? 1 : task.crashes + 1
}

/** The error with which a loss ends its task. `undefined`: the task does not end. */
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
