import { runsAlone } from './batch-record.ts'
import type { Draft } from './draft.ts'
import { errorEvent, madeAvailable, settingsOf } from './record.ts'
import { isToldToStop } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task, TaskSettings } from './task.ts'
import { isRunning } from './task-record.ts'

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

/** Applies the loss of an attempt: its task is available again, is awaited, or ends. */
export function attemptLost(draft: Draft, { invocation, reason, isCrash = true, steps }: Loss): void {
  const task = draft.task(invocation)
  if (task === undefined || task.child !== undefined || !isRunning(task)) return
  draft.touch()
  if (task.status === 'stopping') {
    draft.events.push({ type: 'task.stopped', task: task.id })
    draft.gone(task)
    return
  }
  const settings = settingsOf(draft.type, task)
  // If an item of a batch ran alone, it has caused the crash, whatever was recorded before it. The next attempt ends the
  // item, and the batch goes on.
  const isByItem = runsAlone(draft.job, task)
  const crashes = crashesAfter(settings, task, isByItem ? task.steps : steps)
  const counted = isCrash ? { crashes, steps } : {}
  const lost = madeAvailable(task, { ...counted, losses: task.losses + 1, availableAt: draft.steady() })
  const { deadlineAt, stopBy } = task
  // The code may still run in another process. If so, it must end within these bounds.
  const bounds = { ...(deadlineAt === undefined ? {} : { deadlineAt }), ...(stopBy === undefined ? {} : { stopBy }) }
  draft.put(settings.recovery === 'await' ? { ...lost, ...bounds, status: 'lost' } : lost)
  draft.events.push({ type: 'task.lost', task: task.id, attempt: task.attempt, reason })
  draft.receiveNamed({ type: 'task.lost', reason })
  if (draft.endIfDrained(invocation)) return
  const left = draft.task(invocation)
  const error = left && lossError(settings, left, { reason, isCrash, mayBePoison: isCrash && !isByItem })
  if (left === undefined || error === undefined) return
  draft.remove(left)
  draft.receiveEnd(left, errorEvent(left.id, error))
}

/**
 * The number of crashes in a row, including this one. If the task has recorded steps since the last crash, the count
 * starts again: a task that gets further each time is not the cause of the crashes.
 *
 * Crashes of callbacks and observables are not counted. They run all the time, so each crash of their process would
 * count for them. They would soon be suspects and would run for ever, and other suspects may not run meanwhile.
 */
function crashesAfter({ kind }: TaskSettings, task: Task, steps: number): number {
  if (kind !== 'promise') return 0
  return steps > task.steps ? 1 : task.crashes + 1
}

/** The error with which a loss ends its task. `undefined`: the task does not end. */
function lossError(
  { recovery }: TaskSettings,
  task: Task,
  loss: Pick<Loss, 'reason' | 'isCrash'> & { readonly mayBePoison: boolean },
): Json | undefined {
  const { crashes } = task
  const { reason, isCrash, mayBePoison } = loss
  // A task that was told to stop is never restarted.
  if (recovery === 'fail' || (recovery === 'restart' && isToldToStop(task))) {
    const what = isCrash === true ? 'the process of the attempt' : 'the attempt'
    return { name: 'JobchartError', code: 'TASK_LOST', message: `${what} was lost: ${reason}` }
  }
  if (recovery === 'await' || crashes < CRASHES_MAX || !mayBePoison) return undefined
  const message = `${crashes} attempts in a row were lost with their process; the last: ${reason}`
  return { name: 'JobchartError', code: 'POISON', message }
}
