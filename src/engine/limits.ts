/**
 * The engine's part of limits per key, e.g. at most two running tasks per customer. It tells the storage the limit of
 * each key, and notices when a place under a key becomes free.
 */
import type { AnyJobType } from '../model/definition.ts'
import { heldKeys, type Job } from '../model/job.ts'
import { concurrencyOf } from '../model/limits.ts'
import type { KeyLimit, Route } from '../port/storage.ts'

/** The route of a job type for one executor: names the ready tasks, and the limit of each task name that has one. */
export function routeOf({ type, version, tasks }: AnyJobType, executor: string): Route {
  const limited = [...tasks].flatMap(([src, { limit }]) =>
    limit === undefined ? [] : [[src, limit.concurrency] as const],
  )
  return { type, version, executor, ...(limited.length === 0 ? {} : { limits: new Map(limited) }) }
}

interface Changed {
  readonly type: AnyJobType
  readonly before?: Job | undefined
  readonly job: Job
}

/** The limits of the tasks that this change newly claims. `undefined`: it claims no task with a limit. */
export function limitsTaken({ type, before, job }: Changed): readonly KeyLimit[] | undefined {
  let limits: KeyLimit[] | undefined
  for (const task of job.tasks) {
    if (task.limitKey === undefined || task.status !== 'claimed') continue
    if (before?.tasks.some(({ token }) => token === task.token) === true) continue
    const concurrency = concurrencyOf(type.tasks, task)
    if (concurrency === undefined) continue
    limits ??= []
    limits.push({ key: task.limitKey, concurrency })
  }
  return limits
}

/** Whether fewer tasks run under some limit key than before, so that a waiting task may be claimed. */
export function freesPlace({ before, job }: Changed): boolean {
  if (before === undefined || before.tasks.every(({ limitKey }) => limitKey === undefined)) return false
  const held = heldKeys(before)
  const now = new Set(heldKeys(job).map(({ invocation }) => invocation))
  return held.some(({ invocation }) => !now.has(invocation))
}
