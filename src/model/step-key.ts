/**
 * By what recorded steps are found again, and the keys that their code is given.
 *
 * A step belongs to an invocation: the id of its invoke, and its ordinal. Steps of child jobs are kept with the job at the
 * top of the tree, by the invocations that lead to them. So a retry finds those of the whole tree, though its child jobs are
 * other jobs:
 *
 * ```
 *  key of a step              01890…/import/1:load rows      first try / invoke / ordinal : name
 *  of a step of a child job   01890…/import/1/fetch/2:page   …the child's own invoke and ordinal behind those of its parent
 * ```
 */
import type { Job, Outcome } from './job.ts'
import type { Task } from './task-record.ts'

/** Whose step keys a job has, and by which invocations it is reached from the job at the top of its tree. */
type StepOwner = Pick<Job, 'id' | 'stepOrigin' | 'stepPath'>

/** By what the steps of an invoke are kept, beside its ordinal. */
export function stepAddress({ stepPath = '' }: StepOwner, { id }: Pick<Task, 'id'>): string {
  return stepPath + segment(id)
}

/**
 * Names an invocation: the same in every attempt, and in every retry that continues the job. With a colon and the name of a step
 * behind it, it is the key of that step.
 */
export function invocationKey(job: StepOwner, task: Pick<Task, 'id' | 'ordinal'>): string {
  return `${originOf(job)}/${stepAddress(job, task)}/${task.ordinal}`
}

/** Where the steps of a child job stand. */
export function stepsOfChild(
  parent: StepOwner,
  task: Pick<Task, 'id' | 'ordinal'>,
): Pick<Job, 'stepOrigin' | 'stepPath'> {
  return { stepOrigin: originOf(parent), stepPath: `${stepAddress(parent, task)}/${task.ordinal}/` }
}

/** What makes a retry continue a job. A job that succeeded has nothing to continue: its retry is fresh. */
export function continued(job: StepOwner & { readonly outcome?: Outcome }, isFresh: boolean): Pick<Job, 'stepOrigin'> {
  return isFresh || job.outcome === 'success' ? {} : { stepOrigin: originOf(job) }
}

/** The job whose recorded steps a new job begins with. */
export function continuedJob({ retryOf, stepOrigin, parentId }: Job): string | undefined {
  return parentId === undefined && stepOrigin !== undefined ? retryOf : undefined
}

function originOf({ stepOrigin, id }: StepOwner): string {
  return stepOrigin ?? id
}

// An id may be any text, and a slash ends it.
function segment(id: string): string {
  return id.replaceAll('%', '%25').replaceAll('/', '%2F')
}
