import { type Policy, rolePolicy } from 'jobchart'
import { z } from 'zod'
import { checkBy } from './preset-options.ts'

/** Which of the host's role names mean what; a role that is named by neither sees nothing, its own jobs included. */
export interface MemberRoles {
  /** See every job of their organization. Default `['Administrator']`. */
  readonly administrator?: readonly string[]
  /** See the jobs that they started. Default `['Editor', 'Manager']`. */
  readonly editor?: readonly string[]
}

const rolesSchema = z.strictObject({
  administrator: z.array(z.string()).optional(),
  editor: z.array(z.string()).optional(),
})

/**
 * Who may see and do what with members' jobs: `rolePolicy()` under their role names, an organization being a tenant. A job
 * is cancelled by the member who started it alone, administrators included. Nobody retries a job or deletes one.
 */
export function memberPolicy(roles: MemberRoles = {}): Policy {
  checkBy(rolesSchema, roles, 'memberJobs')
  const { administrator = ['Administrator'], editor = ['Editor', 'Manager'] } = roles
  const { scope, authorize } = rolePolicy({ admin: administrator, editor })
  return {
    scope,
    // The engine hides a denial from whoever may not see the job.
    authorize: (principal, action, target) =>
      action === 'retry' || action === 'delete' ? 'deny' : authorize(principal, action, target),
  }
}
