import { type Policy, rolePolicy } from 'jobchart'
import { z } from 'zod'
import { checkBy } from './preset-options.ts'

/** The role names that the host app uses. A role that is in neither list sees no jobs, not even its own. */
export interface MemberRoles {
  /** Roles that see every job of their organization. Default `['Administrator']`. */
  readonly administrator?: readonly string[]
  /** Roles that see the jobs that they started. Default `['Editor', 'Manager']`. */
  readonly editor?: readonly string[]
}

const rolesSchema = z.strictObject({
  administrator: z.array(z.string()).optional(),
  editor: z.array(z.string()).optional(),
})

/**
 * Rights on members' jobs: those of `rolePolicy()`, with the host's role names. A tenant is an organization. Only the
 * member who started a job may cancel it; not even an administrator may. Nobody may retry or delete a job.
 */
export function memberPolicy(roles: MemberRoles = {}): Policy {
  checkBy(rolesSchema, roles, 'memberJobs')
  const { administrator = ['Administrator'], editor = ['Editor', 'Manager'] } = roles
  const { scope, authorize } = rolePolicy({ admin: administrator, editor })
  return {
    scope,
    // A job that the caller may not see stays hidden: the engine then answers as for a missing job.
    authorize: (principal, action, target) =>
      action === 'retry' || action === 'delete' ? 'deny' : authorize(principal, action, target),
  }
}
