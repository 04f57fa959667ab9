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
