/** Applies the end of one attempt of a task: its task ends too, or is tried again. */

import { batchProgress } from './batch-record.ts'
import type { DecisionContext } from './decision-data.ts'
import type { Draft } from './draft.ts'
import { jobError } from './error.ts'
import { attemptLost } from './loss.ts'
import { doneEvent, errorEvent, madeAvailable, settingsOf } from './record.ts'
import { backoffMs } from './retry.ts'
import { isToldToStop, killed, stopError, stopping } from './stop.ts'
import type { Json } from './storable.ts'
import type { Task } from './task.ts'
import { isoTime } from './time.ts'

/** How the code of an attempt ended. */
export type TaskEnd =
  | { readonly ok: true; readonly output?: Json; readonly exitCode?: number }
  | {
      readonly ok: false
      readonly error: Json
      /** The exit code. Present if the task ran a program. */
      readonly exitCode?: number
      /** True: the error would occur again, so the task is not retried. */
      readonly isFinal?: boolean
    }

/** Applies the end that an attempt's code reported. A failed attempt is retried, or ends its task. */
export function attemptEnded(draft: Draft, task: Task, result: TaskEnd, context: DecisionContext): void {
  draft.touch()
  if (task.status === 'stopping') {
    draft.events.push({ type: 'task.stopped', task: task.id })
    draft.gone(task)
  } else if (result.ok) {
    draft.remove(task)
    exited(draft, result)
    draft.receiveEnd(task, doneEvent(task.id, result.output))
  } else if (isCrashOfBatch(draft, task, result)) {
    const { invocation } = task
    const { completed, failed, skipped = 0 } = batchProgress(draft.job, task)
    attemptLost(draft, { invocation, reason: jobError(result.error).message, steps: completed + failed + skipped })
  } else failed(draft, task, result, context)
}

// Whether the process of a batch's code has ended without reporting an end. An item may be the cause, so the batch goes
// on as after a crash of its engine. The exit of an agent's program is reported by the agent, which goes on.
function isCrashOfBatch({ type }: Draft, task: Task, { exitCode }: TaskEnd): boolean {
  const { batch, recovery } = settingsOf(type, task)
  const isRestarted = recovery === 'restart' && !isToldToStop(task)
  return batch !== undefined && exitCode !== undefined && task.queue === undefined && isRestarted
}

/** Ends an attempt that has taken longer than its timeout, or that did not stop within its grace. */
export function endLate(draft: Draft, task: Task | undefined, context: DecisionContext): void {
  if (task?.stopBy !== undefined && task.stopBy <= draft.steady()) abandoned(draft, task)
  else if (task?.deadlineAt !== undefined && task.deadlineAt <= draft.steady()) timedOut(draft, task, context)
}

function abandoned(draft: Draft, task: Task): void {
  draft.touch()
  if (task.isKillable === true && task.status !== 'lost') {
    draft.put(killed(task))
    return
  }
  draft.events.push({ type: 'task.abandoned', task: task.id })
  draft.gone(task)
  if (task.status === 'stopping') return
  draft.receiveEnd(task, errorEvent(task.id, stopError(task, 'it was told to stop, and did not stop within its grace')))
}

function timedOut(draft: Draft, task: Task, context: DecisionContext): void {
  draft.touch()
  const { timeoutMs } = settingsOf(draft.type, task)
  const message = `attempt ${task.attempt} took longer than ${timeoutMs} ms`
  const error = { name: 'JobchartError', code: 'TIMEOUT', message }
  const again = nextAttemptAt(draft, task, context)
  // A claimed task runs, so its code must stop before the next attempt. A lost task has no code that this engine could
  // stop, so it is retried or removed at once.
  const isRunning = task.status === 'claimed'
  if (isRunning) {
    const stopped = stopping(draft.type, task, draft.graceFrom(task), 'timeout')
    draft.put(again === undefined ? stopped : { ...stopped, again, crashes: 0 })
  } else if (again === undefined) draft.remove(task)
  else draft.put(madeAvailable(task, { availableAt: again, losses: lossesOf(task), crashes: 0 }))
  if (draft.endIfDrained(task.invocation)) return
  if (again === undefined) draft.receiveEnd(task, errorEvent(task.id, error))
  else noteRetry(draft, task, again, error)
}

function exited({ job }: Draft, { exitCode }: TaskEnd): void {
  if (exitCode !== undefined) job.exitCode = exitCode
}

function failed(draft: Draft, task: Task, result: TaskEnd & { ok: false }, context: DecisionContext): void {
  const { error, isFinal } = result
  const losses = lossesOf(task)
  const availableAt = isFinal === true ? undefined : nextAttemptAt(draft, task, context)
  if (availableAt === undefined) {
    draft.remove(task)
    exited(draft, result)
    draft.receiveEnd(task, errorEvent(task.id, error))
    return
  }
  draft.put(madeAvailable(task, { availableAt, losses, crashes: 0 }))
  if (draft.endIfDrained(task.invocation)) return
  noteRetry(draft, task, availableAt, error)
}

/** The time at which a failed attempt is retried. `undefined`: it is not retried. */
function nextAttemptAt(draft: Draft, task: Task, { random }: DecisionContext): number | undefined {
  const { retry } = settingsOf(draft.type, task)
  const failures = task.attempt - lossesOf(task)
  if (failures > retry.limit || isToldToStop(task)) return undefined
  return draft.steady() + backoffMs(retry, failures, random)
}

// How many attempts of a task count as lost. A task with status `lost` has already counted its last attempt. That
// attempt has now failed or timed out, so it counts as a failure and not as a loss.
function lossesOf({ status, losses }: Task): number {
  return status === 'lost' ? losses - 1 : losses
}

function noteRetry(draft: Draft, { id, attempt }: Task, availableAt: number, error: Json): void {
  const at = isoTime(draft.time() + (availableAt - draft.steady()))
  draft.events.push({ type: 'task.retried', task: id, attempt, availableAt: at, error: jobError(error) })
}
