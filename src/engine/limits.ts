/** What limits per key need of an engine: their numbers for the storage, and a look when a place becomes free. */
import type { JobDecision } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { heldKeys } from '../model/job.ts'
import { concurrencyOf } from '../model/limits.ts'
import type { KeyLimit, Route } from '../port/storage.ts'

/** The route of a type's tasks for one executor, with how many of a key may run, by the name of the task. */
export function routeOf({ type, version, tasks }: AnyJobType, executor: string): Route {
  const limited = [...tasks].flatMap(([src, { limit }]) =>
    limit === undefined ? [] : [[src, limit.concurrency] as const],
  )
  return { type, version, executor, ...(limited.length === 0 ? {} : { limits: new Map(limited) }) }
}

/** The limit under which a decision holds a task that was not held before; undefined: none. */
export function limitTaken({ type, before, job }: JobDecision): { readonly limit?: KeyLimit } {
  for (const task of job.tasks) {
    if (task.limitKey === undefined || task.status !== 'claimed') continue
    if (before?.tasks.some(({ token }) => token === task.token) === true) continue
    const concurrency = concurrencyOf(type.tasks, task)
    return concurrency === undefined ? {} : { limit: { key: task.limitKey, concurrency } }
  }
  return {}
}

/** Fewer tasks run under some limit key than before: what waits for its place should be looked for. */
export function freesPlace({ before, job }: JobDecision): boolean {
  const held = before === undefined ? [] : heldKeys(before)
  return held.length > 0 && held.some(({ invocation }) => !heldKeys(job).some((each) => each.invocation === invocation))
}
