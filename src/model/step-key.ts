/**
 * Addresses of recorded steps, and the keys that the code of a step receives.
 *
 * A step belongs to an invocation, named by the id of its invoke and an ordinal (1 for the first invocation of that
 * id). Steps of child jobs are stored with the top job of the tree, under the invocations that lead to the child. So a
 * retry finds the steps of the whole tree, although its child jobs are new jobs:
 *
 * ```
 *  key of a step              01890…/import/1:load rows      first try / invoke / ordinal : name
 *  of a step of a child job   01890…/import/1/fetch/2:page   …the child's own invoke and ordinal behind those of its parent
 * ```
 */
import type { ItemsToRetry } from './batch-piece.ts'
import type { Job, Outcome } from './job.ts'
import type { Task } from './task-record.ts'

/** The fields of a job that its step keys depend on. */
type StepOwner = Pick<Job, 'id' | 'stepOrigin' | 'stepPath'>

/** The address of an invoke's steps in the storage, without the ordinal. */
export function stepAddress({ stepPath = '' }: StepOwner, { id }: Pick<Task, 'id'>): string {
  return stepPath + segment(id)
}

/**
 * The key of an invocation. It is the same in every attempt, and in every retry that continues the job. The key of a
 * step is this key, a colon, and the name of the step.
 */
export function invocationKey(job: StepOwner, task: Pick<Task, 'id' | 'ordinal'>): string {
  return `${originOf(job)}/${stepAddress(job, task)}/${task.ordinal}`
}

/** The fields of a child job that say where its steps are stored. */
export function stepsOfChild(
  parent: StepOwner,
  task: Pick<Task, 'id' | 'ordinal'>,
): Pick<Job, 'stepOrigin' | 'stepPath'> {
  return { stepOrigin: originOf(parent), stepPath: `${stepAddress(parent, task)}/${task.ordinal}/` }
}

/**
 * The step origin of a retry that continues the job. A fresh retry has none. After a success, only a retry of some items
 * of its batch continues.
 */
export function continued(
  job: StepOwner & { readonly outcome?: Outcome },
  isFresh: boolean,
  items: ItemsToRetry | undefined,
): Pick<Job, 'stepOrigin'> {
  const isOver = job.outcome === 'success' && items === undefined
  return isFresh || isOver ? {} : { stepOrigin: originOf(job) }
}

/** The id of the job whose recorded steps are copied to a new job. `undefined`: none. */
export function continuedJob({ retryOf, stepOrigin, parentId }: Job): string | undefined {
  return parentId === undefined && stepOrigin !== undefined ? retryOf : undefined
}

function originOf({ stepOrigin, id }: StepOwner): string {
  return stepOrigin ?? id
}

// A slash separates ids, so slashes inside an id are escaped.
function segment(id: string): string {
  return id.replaceAll('%', '%25').replaceAll('/', '%2F')
}
