import type { DatabaseSync } from 'node:sqlite'
import type { Action, By, Policy, Principal, Scope, Target, Verdict } from 'jobchart'

/** What one is in a project. */
type Level = 'reader' | 'member' | 'lead'

const READS: ReadonlySet<Action> = new Set<Action>([
  ...(['get', 'list', 'history', 'logs', 'items', 'result', 'explain', 'events'] as const),
  ...(['getPipeline', 'listPipelines'] as const),
])

/** Makes the table of who is what in which project. */
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
 * Who may do what, by a table of memberships that the host has anyway. A job belongs to the project that its label
 * `project` names:
 *
 * | | reader | member | lead |
 * |---|---|---|---|
 * | see the project's jobs | without their inputs | yes | yes |
 * | submit, run | | yes | yes |
 * | cancel, retry, delete | | own | yes |
 * | other commands | | as their type says | as their type says |
 *
 * Whoever is nothing in a project is told nothing of it. A query that fails is left to throw: the engine takes that, and
 * silence, for a denial.
 */
export class ProjectPolicy implements Policy {
  readonly #database: DatabaseSync

  constructor(database: DatabaseSync) {
    this.#database = database
  }

  /** The sets of jobs that `authorize` shows, said as data. The two must agree, so both read the same table. */
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
    // Said for each action that is allowed, so that one which is new to this policy is denied.
    if (READS.has(action)) return level === 'reader' ? { redact: ['input'] } : 'allow'
    return level !== 'reader' && may(level, action, principal, target) ? 'allow' : 'deny'
  }

  #levelOf({ tenant, id }: Principal, target: Target): Level | undefined {
    // Two tenants may have projects of one name.
    const { project } = target.labels
    if (target.tenant !== tenant || project === undefined) return undefined
    const query = 'select level from memberships where tenant = ? and person = ? and project = ?'
    const found = this.#database.prepare(query).get(tenant, id, project)
    // The table takes no other.
    return found?.level as Level | undefined
  }
}

/** What members and leads may, beside seeing. */
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

/** Whether a command is for who asks. What `roles` are is the policy's to say: here, levels in the job's own project. */
function isMeant({ relation, roles, on }: By, level: Level, isCreator: boolean): boolean {
  if (relation !== undefined && isCreator !== (relation === 'creator')) return false
  // What is not understood must not be passed over: it would let in whom the type meant to keep out.
  return on === undefined && (roles === undefined || roles.includes(level))
}
