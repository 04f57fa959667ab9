import { JobchartError } from '../model/error.ts'
import type { Actor } from '../model/event.ts'
import { anything, checkOptions, isOptions } from '../model/option-checks.ts'
import type { Principal } from '../port/policy.ts'
import { principalSchema } from './options.ts'

/** The person whose session it is, as described by the host (the app that embeds the engine). */
export interface SessionPrincipal {
  readonly id: string
  /** The tenant of the person. Default `'default'`. */
  readonly tenant?: string
  /** The one role, as the policy names it: `rolePolicy()` knows `'admin'` and `'editor'`. Default: none. */
  readonly role?: string
  readonly relations?: { readonly [resource: string]: string }
}

/** A person's current rights, from the host: the role, or the role and relations. */
export type FoundPrincipal = string | Pick<SessionPrincipal, 'role' | 'relations'>

/** Returns a person's current rights; `undefined`: none. */
export type FindPrincipal = (
  id: string,
  tenant: string,
) => FoundPrincipal | undefined | PromiseLike<FoundPrincipal | undefined>

/** The principal of the engine's own session. The policy is not asked about it. */
export const SYSTEM: Principal = { kind: 'system', id: 'system', tenant: 'default', role: 'system' }

/** The principal as the cause of an event. */
export function actorOf({ kind, id }: Principal): Actor {
  return { kind, id }
}

/** An agent, as the host names it. */
export interface SessionAgent {
  readonly id: string
  /** The tenant of the agent. Default `'default'`. */
  readonly tenant?: string
}

/** An agent as a principal. */
export interface AgentPrincipal extends Principal {
  /** The hash of the credential by which the engine knew the agent. Absent: the host has authenticated the agent. */
  readonly credential?: string
}

/**
 * Makes a principal of an agent.
 *
 * @param credential  the hash of its credential, if the engine has authenticated it.
 * @throws {JobchartError} `INVALID_INPUT` it is not `{ id, tenant? }`.
 */
export function agentPrincipal(agent: SessionAgent, credential?: string): AgentPrincipal {
  checkOptions('asAgent', agent, { id: anything, tenant: anything }, { code: 'INVALID_INPUT' })
  const { id, tenant } = agent
  const who = { ...userOf(tenant === undefined ? { id } : { id, tenant }), kind: 'agent' } as const
  return credential === undefined ? who : { ...who, credential }
}

/**
 * Refuses what a caller gives beside the principal. Its tenant and role are fields of the principal.
 *
 * @param method  the method, as the error names it.
 * @param fields  the fields of its one argument.
 * @throws {JobchartError} `INVALID_INPUT` names the first option.
 */
export function refuseMore(method: string, fields: string, more: readonly unknown[]): void {
  const given = more.find((each) => each !== undefined)
  if (given === undefined) return
  const [option = 'options'] = isOptions(given) ? Object.keys(given) : []
  const message = `is not an option of ${method}, which takes one argument: ${method}({ ${fields} })`
  throw new JobchartError('INVALID_INPUT', `${option} ${message}`, { issues: [{ message, path: [option] }] })
}

/**
 * Makes a principal of a person that the host describes. Fields of the host's own are ignored. The engine sets `kind`.
 *
 * @throws {JobchartError} `INVALID_INPUT` it is not `{ id, tenant?, role?, relations? }`.
 */
export function userOf(principal: SessionPrincipal): Principal {
  const parsed = principalSchema.safeParse(principal)
  if (parsed.success) {
    const { id, tenant, role, relations } = parsed.data
    return { kind: 'user', id, tenant, role, ...(relations === undefined ? {} : { relations }) }
  }
  const issues = parsed.error.issues.map(({ message, path }) => ({ message, path: path.map(String) }))
  const wrong = issues.map(({ message, path }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`))
  const expected = `a principal should be { id, tenant?, role?, relations? }: ${wrong.join('; ')}`
  throw new JobchartError('INVALID_INPUT', expected, { issues })
}
