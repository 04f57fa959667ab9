/**
 * How tasks are asked to stop.
 *
 * Messages for a task are stored in its inbox. Three are reserved, and every executor obeys them: `task.drain` (start
 * no new part of the work), `task.stop` (abort the signal; kill after the grace), `task.kill`. A chart may send them
 * with `sendTo`. If the chart leaves the invoke, or an attempt exceeds its timeout, the task is sent `task.stop`, or
 * `task.kill` if a stop was already sent.
 */

import type { ChartEvent } from './chart.ts'
import type { AnyJobType } from './job-type.ts'
import { madeAvailable } from './record.ts'
import type { Json } from './storable.ts'
import type { Task } from './task-record.ts'

/** Why a task was asked to stop: the chart told it to, the chart left the invoke, or the attempt took too long. */
export type StopReason = 'told' | 'left' | 'timeout'

/** Whether the message asks its task to stop. */
export function isStop(message: Json): message is { readonly type: 'task.stop' | 'task.kill' } {
  const type = (message as { readonly type?: unknown } | null)?.type
  return type === 'task.stop' || type === 'task.kill'
}

/**
 * Whether the task is stopping and its chart no longer waits for it. A task that stops only to be retried does not
 * count.
 */
export function isLeft({ status, again }: Task): boolean {
  return status === 'stopping' && again === undefined
}

/** Whether the task was sent a stop. Then it is never retried. */
export function isToldToStop({ inbox }: Task): boolean {
  return inbox.some(isStop)
}

/** Whether a `task.kill` was sent: the executor then ends the task's code without further grace. */
export function isToldToEnd({ inbox }: Task): boolean {
  return inbox.some((message) => (message as { readonly type?: unknown } | null)?.type === 'task.kill')
}

/** Why the task was asked to stop, from its newest stop message. `undefined`: it was not. */
export function stopReasonOf({ inbox }: Task): StopReason | undefined {
  const last = inbox.findLast(isStop) as { readonly reason?: unknown } | undefined
  if (last === undefined) return undefined
  return last.reason === 'left' || last.reason === 'timeout' ? last.reason : 'told'
}

/** Adds a message to the task's inbox. If the message tells a running task to stop, the grace counts from `from`. */
export function withMessage(type: AnyJobType, task: Task, message: ChartEvent, from: number): Task {
  // Events of charts are checked to be JSON when they are captured.
  const told = { ...task, inbox: [...task.inbox, message as Json] }
  const mayRun = task.status === 'claimed' || task.status === 'lost'
  return isStop(message as Json) && mayRun ? withGrace(type, told, message.type, from) : told
}

/** Asks a task that may be running to stop, because the chart left it or its attempt took too long. */
export function stopping(type: AnyJobType, task: Task, from: number, reason: 'left' | 'timeout'): Task {
  const { deadlineAt, ...rest } = task
  const message = { type: isToldToStop(task) ? 'task.kill' : 'task.stop', reason }
  const told = { ...rest, inbox: [...task.inbox, message] }
  return { ...withGrace(type, told, message.type, from), status: 'stopping' }
}

/** The grace of a task whose code is missing in its job type. */
const UNKNOWN_GRACE_MS = 5_000

/**
 * Sends `task.kill` to a task whose grace is over. Its executor can end the code, so the task waits until the code has
 * ended.
 */
export function killed(task: Task): Task {
  const { stopBy, ...rest } = task
  return isToldToEnd(task) ? rest : { ...rest, inbox: [...task.inbox, { type: 'task.kill' }] }
}

// Sets the end of the grace. If the task already has one, only a kill changes it, to an earlier time.
function withGrace(type: AnyJobType, task: Task, message: string, from: number): Task {
  const { killGraceMs } = type.tasks.get(task.src) ?? { killGraceMs: UNKNOWN_GRACE_MS }
  if (killGraceMs === null) return task
  if (message === 'task.kill') return { ...task, stopBy: Math.min(task.stopBy ?? from, from) }
  return { ...task, stopBy: task.stopBy ?? from + killGraceMs }
}

/** Makes a timed-out task available again from `availableAt`, without the message that told it to stop. */
export function availableAgain(task: Task, availableAt: number): Task {
  return madeAvailable(task, { availableAt, inbox: task.inbox.filter((message) => !isStop(message)) })
}

/** The error of a stopped task whose code did not report its own end. */
export function stopError({ id }: Task, why: string): Json {
  return { name: 'JobchartError', code: 'TASK_STOPPED', message: `"${id}": ${why}` }
}

/** The most messages in a task's inbox. They are kept until the task ends, for later attempts. */
const INBOX_MAX = 1_000

/** Whether the task's inbox is full. */
export function isFull({ inbox }: Task): boolean {
  return inbox.length >= INBOX_MAX
}

/** The error of a task whose inbox was full when another message came. */
export function fullError({ id }: Task): Json {
  const message = `"${id}" was sent more than ${INBOX_MAX} messages, the most that are kept for later attempts`
  return { name: 'JobchartError', code: 'PAYLOAD_TOO_LARGE', message }
}
