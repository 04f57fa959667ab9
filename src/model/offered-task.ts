/**
 * What is computed when a task becomes available: which code it needs, in which queue agents find it, and the key of its
 * limit.
 */
import { queueOf } from './agent.ts'
import { jobError } from './error.ts'
import type { Job } from './job.ts'
import type { AnyJobType } from './job-type.ts'
import { limitKeyOf } from './limits.ts'
import type { Json } from './storable.ts'
import type { TaskSettings } from './task.ts'
import type { Task } from './task-record.ts'
import { optionalTextOf, textOf } from './task-scope.ts'

/** A task that becomes available. `error`: it cannot, because an option of it has no valid value. */
export interface Offered {
  readonly task: Task
  readonly error?: Json
}

/** A new task, with everything that is computed when it becomes available. Never throws. */
export function offered(type: AnyJobType, job: Job, task: Task): Offered {
  const settings = type.tasks.get(task.src)
  if (settings === undefined) return { task }
  return orError(task, () => {
    const limitKey = limitKeyOf(settings, job, task)
    const coded = withCode(settings, job, task)
    return limitKey === undefined ? coded : { ...coded, limitKey }
  })
}

/** The task, with the executor, function, version and queue that another version of its job type gives it. Never throws. */
export function recoded(type: AnyJobType, job: Job, task: Task): Offered {
  const settings = type.tasks.get(task.src)
  if (settings === undefined) return { task }
  const { function: _, version, queue, ...rest } = task
  const { executor } = settings
  return orError(task, () => withCode(settings, job, { ...rest, executor }))
}

function orError(task: Task, offer: () => Task): Offered {
  try {
    return { task: offer() }
  } catch (error) {
    return { task, error: { name: 'JobchartError', code: 'INVALID_INPUT', message: jobError(error).message } }
  }
}

function withCode(
  { function: named, version: chosen, isForAgents, takesJobInput }: TaskSettings,
  job: Job,
  task: Task,
): Task {
  const of = { task, job, takesJobInput }
  const version = optionalTextOf(of, 'version', chosen)
  const versioned = version === undefined ? task : { ...task, version }
  if (named === undefined && !isForAgents) return versioned
  const called = textOf(of, 'function', named ?? task.src)
  if (!isForAgents) return { ...versioned, function: called }
  const { tenant, assignment } = job
  return { ...versioned, function: called, queue: queueOf({ tenant, function: called, version, assignment }) }
}
