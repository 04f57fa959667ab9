/**
 * How work is asked to stop.
 *
 * Messages for a task wait in its inbox. Three are reserved, and every executor obeys them: `task.drain` (take no new
 * part), `task.stop` (abort the signal; kill after the grace), `task.kill`. A chart may send them with `sendTo`; leaving
 * the invoke, and a timeout, send a stop, or a kill where a stop was sent before.
 */

import type { ChartEvent } from './chart.ts'
import type { AnyJobType } from './job-type.ts'
import { offered } from './record.ts'
import type { Json } from './storable.ts'
import type { Task } from './task-record.ts'

/** Why work should stop: its chart said so, left the invoke, or the attempt took too long. */
export type StopReason = 'told' | 'left' | 'timeout'

/** The message asks its task to stop. */
export function isStop(message: Json): message is { readonly type: 'task.stop' | 'task.kill' } {
  const type = (message as { readonly type?: unknown } | null)?.type
  return type === 'task.stop' || type === 'task.kill'
}

/** What is stopping is no child of the chart any more, unless it is only stopped to be made again. */
export function isLeft({ status, again }: Task): boolean {
  return status === 'stopping' && again === undefined
}

/** A stop was sent: the task's attempt is never made again. */
export function isToldToStop({ inbox }: Task): boolean {
  return inbox.some(isStop)
}

/** It has no more grace: its executor kills it. */
export function isToldToEnd({ inbox }: Task): boolean {
  return inbox.some((message) => (message as { readonly type?: unknown } | null)?.type === 'task.kill')
}

/** Why the task was asked to stop, as its newest stop message says; undefined: it was not. */
export function stopReasonOf({ inbox }: Task): StopReason | undefined {
  const last = inbox.findLast(isStop) as { readonly reason?: unknown } | undefined
  if (last === undefined) return undefined
  return last.reason === 'left' || last.reason === 'timeout' ? last.reason : 'told'
}

/** The task with one more message; one that runs, here or elsewhere, and is told to stop has its grace from `from` on. */
export function withMessage(type: AnyJobType, task: Task, message: ChartEvent, from: number): Task {
  // Events of charts are checked to be JSON when they are captured.
  const told = { ...task, inbox: [...task.inbox, message as Json] }
  const mayRun = task.status === 'claimed' || task.status === 'lost'
  return isStop(message as Json) && mayRun ? withGrace(type, told, message.type, from) : told
}

/** A held task that is asked to stop, since the chart has left it or it took too long. */
export function stopping(type: AnyJobType, task: Task, from: number, reason: 'left' | 'timeout'): Task {
  const { deadlineAt, ...rest } = task
  const message = { type: isToldToStop(task) ? 'task.kill' : 'task.stop', reason }
  const told = { ...rest, inbox: [...task.inbox, message] }
  return { ...withGrace(type, told, message.type, from), status: 'stopping' }
}

/** Of code that its type does not have any more. */
const UNKNOWN_GRACE_MS = 5_000

/** A task whose grace is over, and whose executor can end it: it is told so, and its end is waited for. */
export function killed(task: Task): Task {
  const { stopBy, ...rest } = task
  return isToldToEnd(task) ? rest : { ...rest, inbox: [...task.inbox, { type: 'task.kill' }] }
}

// What was promised to the code before is kept: only a kill shortens its grace.
function withGrace(type: AnyJobType, task: Task, message: string, from: number): Task {
  const { killGraceMs } = type.tasks.get(task.src) ?? { killGraceMs: UNKNOWN_GRACE_MS }
  if (killGraceMs === null) return task
  if (message === 'task.kill') return { ...task, stopBy: Math.min(task.stopBy ?? from, from) }
  return { ...task, stopBy: task.stopBy ?? from + killGraceMs }
}

/** An attempt that took too long, made again from `availableAt`: what told it to stop is not for the next one. */
export function offeredAgain(task: Task, availableAt: number): Task {
  return offered(task, { availableAt, inbox: task.inbox.filter((message) => !isStop(message)) })
}

/** The end of a task that was stopped, where its own code reported none. */
export function stopError({ id }: Task, why: string): Json {
  return { name: 'JobchartError', code: 'TASK_STOPPED', message: `"${id}": ${why}` }
}

/** Messages that a task's inbox holds: they are kept for its next attempt, as long as the task lives. */
const INBOX_MAX = 1_000

/** No more messages are kept for the task. */
export function isFull({ inbox }: Task): boolean {
  return inbox.length >= INBOX_MAX
}

/** The end of a task that was sent more than its inbox holds. */
export function fullError({ id }: Task): Json {
  const message = `"${id}" was sent more than ${INBOX_MAX} messages, and each is kept for a later attempt`
  return { name: 'JobchartError', code: 'PAYLOAD_TOO_LARGE', message }
}
