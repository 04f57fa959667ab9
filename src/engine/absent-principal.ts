/**
 * The principal for work without a session. A follow-up, for example, has the rights of the creator of the job that it
 * follows.
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
 * The principal for work without a session: `{ kind: 'scheduler', id, tenant, role }`. Role and relations come from
 * `createEngine({ principal })` at this time. Without that option, `role` is `''` and `relations` is absent. For jobs
 * created by the engine's own session, it is that session's principal.
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
