import type { Action, Policy, Principal, Scope, Target, Verdict } from '../port/policy.ts'

/** Which of the caller's role names mean what. */
export interface RolePolicyOptions {
  /** See every job of their tenant. Default `['admin']`. */
  readonly admin?: readonly string[]
  /** See the jobs that they created. Default `['editor']`. */
  readonly editor?: readonly string[]
}

const OWNERS: ReadonlySet<Action> = new Set(['retry', 'delete', 'definePipeline', 'pausePipeline', 'deletePipeline'])
/** Asked before there is anything to hide. */
const FIRST: ReadonlySet<Action> = new Set(['submit', 'list', 'definePipeline', 'listPipelines'])

/**
 * An admin sees all of the tenant, an editor sees own jobs, nobody else sees any. Only its creator cancels, retries or
 * deletes a job, an admin included; the other commands are for whoever may see it. The same holds of pipelines: only its
 * owner changes, pauses or deletes one, and whoever may see it runs it.
 */
export function rolePolicy({ admin = ['admin'], editor = ['editor'] }: RolePolicyOptions = {}): Policy {
  const scope = (principal: Principal): false | readonly Scope[] => {
    const { tenant, role, id } = principal
    if (admin.includes(role)) return [{ tenant }]
    return editor.includes(role) ? [{ tenant, createdBy: id }] : false
  }
  const authorize = (principal: Principal, action: Action, target: Target): Verdict => {
    const scopes = scope(principal)
    if (scopes === false) return FIRST.has(action) ? 'deny' : 'hide'
    const isSeen = scopes.some(({ tenant, createdBy }) => {
      return tenant === target.tenant && (createdBy === undefined || createdBy === target.createdBy)
    })
    if (!isSeen) return 'hide'
    const isOwners = OWNERS.has(action) || target.command?.isCancel === true
    return isOwners && target.createdBy !== principal.id ? 'deny' : 'allow'
  }
  return { scope, authorize }
}
