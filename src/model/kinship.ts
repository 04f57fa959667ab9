/** What passes between a job and its child jobs, while a decision is made of them. */
import { type AnyJobType, childTypeOf } from './definition.ts'
import type { Draft } from './draft.ts'
import { isBusy } from './job.ts'
import { childRecord, endEvent, snapshotEvent } from './record.ts'
import type { Task } from './task.ts'
import type { ChartEnd, ChartEvent } from './transition.ts'

/**
 * Begins the child job of a task. Where the work of an earlier invocation of the invoke still stops, none of the child's own
 * work runs before that has stopped.
 */
export function startChild(draft: Draft, task: Task, type: AnyJobType, early: readonly ChartEvent[]): void {
  const id = draft.family.newId()
  const isBlocked = draft.job.tasks.some((other) => other.id === task.id && other.status === 'stopping')
  const blocked = isBlocked || draft.job.blocked === true ? { blocked: true as const } : {}
  const record = { ...childRecord(type, draft.job, task, id, draft.time()), ...blocked }
  draft.job.tasks = [
    ...draft.job.tasks.filter(({ invocation }) => invocation !== task.invocation),
    { ...task, inbox: [], status: 'claimed', child: id },
  ]
  draft.family.open(type, record).begin(early)
}

/** Begins the children of a job that was waiting, each with what was sent to it meanwhile. */
export function startHeldBack(draft: Draft): void {
  for (const task of draft.job.tasks) {
    const type = childTypeOf(draft.type, task.src)
    // What a chart sends was stored as JSON, and is an event again.
    if (type !== undefined) startChild(draft, task, type, task.inbox as unknown as readonly ChartEvent[])
  }
}

/** The chart left the invoke: the child stops, and all below it. */
export function leaveChild(draft: Draft, task: Task, id: string): void {
  const child = draft.family.draft(id)
  // First, so that the child's own end finds the invoke left.
  draft.put({ ...task, status: 'stopping' })
  if (child.job.deletedAt === undefined) child.stop()
  if (!isBusy(child.job)) forgetChild(draft, id)
}

/** A child job has settled: its end is an event for the chart, unless that has left the invoke. */
function childEnded(draft: Draft, id: string, event: ChartEvent): void {
  const task = draft.job.tasks.find((each) => each.child === id && each.status === 'claimed')
  if (task === undefined) return
  draft.touch()
  if (isBusy(draft.family.draft(id).job)) draft.put({ ...task, status: 'stopping' })
  else draft.remove(task)
  draft.receiveEnd(task, event)
}

/** Nothing of a child runs any more; what waited for that may run. */
export function forgetChild(draft: Draft, id: string): boolean {
  const task = draft.job.tasks.find((each) => each.child === id && each.status === 'stopping')
  if (task === undefined) return false
  draft.touch()
  draft.remove(task)
  const next = draft.job.tasks.find((each) => each.id === task.id && each.child !== undefined)
  if (next?.child !== undefined && next.status === 'claimed' && draft.job.blocked !== true) unblock(draft, next.child)
  return true
}

function unblock({ family }: Draft, id: string): void {
  const child = family.draft(id)
  if (child.job.blocked === undefined) return
  child.touch()
  delete child.job.blocked
  for (const task of child.job.tasks) if (task.child !== undefined) unblock(child, task.child)
}

/** Tells the parent that the job has ended. */
export function tellEnd({ job, family }: Draft, end: ChartEnd): void {
  const { parentId, parentInvoke = '', id } = job
  if (parentId !== undefined) childEnded(family.draft(parentId), id, endEvent(parentInvoke, end))
}

/** Tells a parent that asks for snapshots where the job stands. */
export function tellSnapshot({ job, family }: Draft): void {
  const { parentId, parentInvoke = '', id, state: value, context } = job
  if (parentId === undefined) return
  const parent = family.draft(parentId)
  if (!parent.job.tasks.some((task) => task.child === id && task.status === 'claimed' && task.sync === true)) return
  parent.receive(snapshotEvent(parentInvoke, { status: 'active', value, context }))
}
