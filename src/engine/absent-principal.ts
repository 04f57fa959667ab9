/** Whom work without a session is authorized as: a follow-up goes by the rights of who created the job that it follows. */
import { JobchartError } from '../model/error.ts'
import type { Principal } from '../port/policy.ts'
import type { Core } from './core.ts'
import { askPrincipal } from './policy-answer.ts'
import { SYSTEM, userOf } from './principal.ts'

/** Whose work it is. */
interface Owned {
  readonly tenant: string
  readonly createdBy: string
}

/**
 * The principal that a policy is asked about for work without a session: `{ kind: 'scheduler', id, tenant, role }`. The role
 * and the relations are those that `createEngine({ principal })` finds now; without that option, the role is `''`, and there
 * are no `relations`. What the engine's own session has created goes by its rights.
 *
 * @throws {JobchartError} `FORBIDDEN` the host does not know the person any more, or could not say.
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
