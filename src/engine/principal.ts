import { JobchartError } from '../model/error.ts'
import type { Principal } from '../port/policy.ts'
import { principalSchema } from './options.ts'

/** Who a session is for, as its host knows them. */
export interface SessionPrincipal {
  readonly id: string
  /** Default `'default'`. */
  readonly tenant?: string
  readonly role?: string
  readonly relations?: { readonly [resource: string]: string }
}

/** What a person has now, as the host finds it: the role, or that and relations. */
export type FoundPrincipal = string | Pick<SessionPrincipal, 'role' | 'relations'>

/** Finds what a person may do now; undefined: nothing. */
export type FindPrincipal = (
  id: string,
  tenant: string,
) => FoundPrincipal | undefined | PromiseLike<FoundPrincipal | undefined>

/** The engine's own session, which no policy is asked about. */
export const SYSTEM: Principal = { kind: 'system', id: 'system', tenant: 'default', role: 'system' }

/** Whoever a host names, as a policy is shown them: their kind is the engine's to say. @throws {JobchartError} `INVALID_INPUT` */
export function userOf(principal: SessionPrincipal): Principal {
  const parsed = principalSchema.safeParse(principal)
  if (parsed.success) {
    const { id, tenant, role, relations } = parsed.data
    return { kind: 'user', id, tenant, role, ...(relations === undefined ? {} : { relations }) }
  }
  const issues = parsed.error.issues.map(({ message, path }) => ({ message, path: path.map(String) }))
  throw new JobchartError('INVALID_INPUT', 'a principal should be { id, tenant?, role?, relations? }', { issues })
}
