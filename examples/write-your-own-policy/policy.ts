import type { DatabaseSync } from 'node:sqlite'
import type { Action, By, Policy, Principal, Scope, Target, Verdict } from 'jobchart'

/** A person's role in a project. */
type Level = 'reader' | 'member' | 'lead'

const READS: ReadonlySet<Action> = new Set<Action>([
  ...(['get', 'list', 'history', 'logs', 'items', 'result', 'explain', 'events'] as const),
  ...(['getPipeline', 'listPipelines'] as const),
])

/** Makes a table of roles in projects. */
export function createMemberships(database: DatabaseSync): void {
  database.exec(`
    create table memberships (
      tenant text not null,
      person text not null,
      project text not null,
      level text not null check (level in ('reader', 'member', 'lead')),
      primary key (tenant, person, project)
    ) strict, without rowid
  `)
}

/**
 * Rights by a table of memberships that the host already has. A job belongs to the project that its label `project`
 * names:
 *
 * | | reader | member | lead |
 * |---|---|---|---|
 * | see the project's jobs | without their inputs | yes | yes |
 * | submit, run | | yes | yes |
 * | cancel, retry, delete | | own | yes |
 * | other commands | | as their type says | as their type says |
 *
 * A person without a role in a project learns nothing about it. If a query fails, it throws: the engine denies then, as
 * it does when no answer comes.
 */
export class ProjectPolicy implements Policy {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** The sets of jobs that `authorize` shows, as data. The two must agree, so both read the same table. */
  async scope({ tenant, id }: Principal): Promise<false | readonly Scope[]> {
    const query = 'select project, level from memberships where tenant = ? and person = ?'
    const scopes = this.#database
      .prepare(query)
      .all(tenant, id)
      .map(({ project, level }) => {
        const labels = { project: String(project) }
        return level === 'reader' ? { tenant, labels, redact: ['input'] } : { tenant, labels }
      })
    return scopes.length > 0 && scopes
  }

  async authorize(principal: Principal, action: Action, target: Target): Promise<Verdict> {
    const level = this.#levelOf(principal, target)
    if (level === undefined) return 'hide'
    // Lists each allowed action, so that an action that this policy does not know is denied.
    if (READS.has(action)) return level === 'reader' ? { redact: ['input'] } : 'allow'
    return level !== 'reader' && may(level, action, principal, target) ? 'allow' : 'deny'
  }

  #levelOf({ tenant, id }: Principal, target: Target): Level | undefined {
    // Two tenants may have projects of the same name.
    const { project } = target.labels
    if (target.tenant !== tenant || project === undefined) return undefined
    const query = 'select level from memberships where tenant = ? and person = ? and project = ?'
    const found = this.#database.prepare(query).get(tenant, id, project)
    // The table has no other values.
    return found?.level as Level | undefined
  }
}

/** Actions of members and leads, besides seeing. */
function may(
  level: Exclude<Level, 'reader'>,
  action: Action,
  { id }: Principal,
  { createdBy, command }: Target,
): boolean {
  const isOwners = level === 'lead' || createdBy === id
  if (action === 'submit' || action === 'runPipeline') return true
  if (action !== 'command') return MANAGES.has(action) && isOwners
  if (command?.by !== undefined) return isMeant(command.by, level, createdBy === id)
  return command?.isCancel === false || isOwners
}

const MANAGES: ReadonlySet<Action> = new Set<Action>([
  'retry',
  'delete',
  'definePipeline',
  'pausePipeline',
  'deletePipeline',
])

/** Whether the caller may send a command. The policy decides what `roles` are: here, roles in the job's project. */
function isMeant({ relation, roles, on }: By, level: Level, isCreator: boolean): boolean {
  if (relation !== undefined && isCreator !== (relation === 'creator')) return false
  // Refuses unknown rules. Ignoring one would let in people whom the type meant to exclude.
  return on === undefined && (roles === undefined || roles.includes(level))
}
