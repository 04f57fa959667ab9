/**
 * Finds the principal for work that no session asked for. Example: a job ends, and its type submits another job. Then
 * the creator of the first job needs the right to submit the second.
 */
import { JobchartError } from '../model/error.ts'
import type { Principal } from '../port/policy.ts'
import type { Core } from './core.ts'
import { askPrincipal } from './policy-answer.ts'
import { SYSTEM, userOf } from './principal.ts'

/** The tenant and the creator of the job that the work belongs to. */
interface Owned {
  readonly tenant: string
  readonly createdBy: string
}

/**
 * Returns a job's creator as a principal: `{ kind: 'scheduler', id, tenant, role, relations }`. The role and relations
 * are the current ones, from `createEngine({ principal })`. Without that option, `role` is `''` and `relations` is
 * absent. If the engine's own session created the job, returns that session's principal with the job's tenant.
 *
 * @throws {JobchartError} `FORBIDDEN` the host no longer knows the person, or failed to answer.
 */
export async function absentPrincipal(
  core: Core,
  { tenant, createdBy: id }: Owned,
  signal: AbortSignal,
): Promise<Principal> {
  if (id === SYSTEM.id) return { ...SYSTEM, tenant }
  const who = { kind: 'scheduler', id, tenant, role: '' } as const
  if (core.findPrincipal === undefined) return who
  const found = await askPrincipal(core, who, signal)
  if (found === undefined) throw new JobchartError('FORBIDDEN', `"${id}" has no rights now`)
  const { role, relations = {} } = userOf({ ...(typeof found === 'string' ? { role: found } : found), id, tenant })
  return { ...who, role, relations }
}
