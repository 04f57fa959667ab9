import { type AnyStateMachine, createMachine, fromPromise } from 'xstate'
import type { ChartEvent } from '../../src/model/chart.ts'
import { claim, create, type Decision, type DecisionContext, end, lose, send } from '../../src/model/decision.ts'
import { type AnyJobType, defineJob } from '../../src/model/definition.ts'
import { claimableTasks, type Job } from '../../src/model/job.ts'
import { type Task, task } from '../../src/model/task.ts'

// The life of one job, step by step. Each test gives only the arguments that it needs.

export const HEARTBEAT = 2_000
export const GRACE = 5_000

export const seed = {
  id: 'j1',
  tenant: 'acme',
  createdBy: 'ada',
  trigger: 'manual',
  labels: { team: 'blue' },
  priority: 0,
} as const

export function thrower(): never {
  throw new RangeError('mine')
}

export function contextAt(at: number, random = 0): DecisionContext {
  return { at, random, heartbeatMs: HEARTBEAT }
}

export function machineType(config: object, options: object = {}): AnyJobType {
  const actors = { work: fromPromise(async () => {}), frail: task({ recovery: 'fail' }, async () => {}) }
  const lifecycle: AnyStateMachine = createMachine(config as never).provide({ actors })
  return defineJob({ type: 'chart', lifecycle, ...options })
}

export function created(type: AnyJobType, more: object = {}, at = 1_000): Job {
  return create(type, { ...seed, ...more }, contextAt(at)).job
}

export function taskOf(job: Job): Task {
  const [task] = job.tasks
  if (task === undefined) throw new Error('the job has no task')
  return task
}

/** The job with its first available task claimed; by default a new job. */
export function claimed(type: AnyJobType, job: Job = created(type), at = 2_000): Job {
  const [task] = claimableTasks(job)
  if (task === undefined) throw new Error('the job has no claimable task')
  return claim(type, job, task.invocation, { holder: 'me' }, contextAt(at)).job
}

export function ended(
  type: AnyJobType,
  job: Job,
  result: Parameters<typeof end>[3],
  when = contextAt(3_000),
): Decision {
  const decision = end(type, job, taskOf(job).token, result, when)
  if (decision === undefined) throw new Error('the token is not good')
  return decision
}

export function lost(type: AnyJobType, job: Job, steps = 0): Decision {
  const running = job.tasks.some(({ status }) => status === 'claimed') ? job : claimed(type, job)
  return lose(type, running, { invocation: taskOf(running).invocation, reason: 'died', steps }, contextAt(3_000))
}

export function sent(type: AnyJobType, job: Job, name: ChartEvent['type'], at: number): Job {
  return send(type, job, { type: name }, contextAt(at)).job
}

export function cancelled(type: AnyJobType, job: Job = created(type)): Decision {
  return send(type, claimed(type, job), { type: 'cancel' }, contextAt(3_000))
}
