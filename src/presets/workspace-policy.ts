import { type Policy, rolePolicy } from 'jobchart'
import { z } from 'zod'
import { checkBy } from './preset-options.ts'

/** The role names that the host app uses for the users of a workspace. Other roles see nothing. */
export interface WorkspaceRoles {
  /** Roles that see, stop and delete all jobs of the workspace, and run its pipelines. Default `['Owner', 'Administrator']`. */
  readonly administrator?: readonly string[]
  /** Roles that see all jobs of the workspace, run its pipelines, and delete their own jobs. Default `['Member']`. */
  readonly member?: readonly string[]
}

const rolesSchema = z.strictObject({
  administrator: z.array(z.string()).optional(),
  member: z.array(z.string()).optional(),
})

/**
 * The rights in a workspace, which is a tenant. Everyone who sees a job may read its details: the chart's context,
 * which has the arguments, and the stacks of errors. Nobody may retry a job. Instead, users run the job's pipeline
 * again.
 */
export function workspacePolicy(roles: WorkspaceRoles = {}, preset = 'taskExecutions'): Policy {
  checkBy(rolesSchema, roles, preset)
  const { administrator = ['Owner', 'Administrator'], member = ['Member'] } = roles
  const { scope, authorize } = rolePolicy({
    admin: administrator,
    member,
    editor: [],
    cancel: 'creatorOrAdmin',
    delete: 'creatorOrAdmin',
    open: ['context', 'stack'],
  })
  return {
    scope,
    authorize: (principal, action, target) => (action === 'retry' ? 'deny' : authorize(principal, action, target)),
  }
}
