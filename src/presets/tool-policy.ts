import { type Policy, type Principal, rolePolicy } from 'jobchart'

/** The role names that the host app uses, and who may cancel. Other roles see nothing. */
export interface ToolRoles {
  /** Roles that see every job of their organization, but not its inputs and parameters. Default `['Administrator']`. */
  readonly administrator?: readonly string[]
  /** Roles that see the jobs that they started. Default `['User']`. */
  readonly user?: readonly string[]
  /**
   * Roles on a system that may start functions which extract from it. Default `['Editor', 'Administrator', 'Owner']`. A
   * person's role on the system with the id 7 is `relations['system:7']`.
   */
  readonly systemEditor?: readonly string[]
  /** Who may cancel a job while it waits. Default: only its creator. */
  readonly cancel?: 'creator' | 'creatorOrAdmin'
  /**
   * Whether a person may use a tool on a file. Called for each new job, after the roles have allowed it. The input names
   * the file and its system, so this function should check that the file belongs to the system, and that the person may
   * read it. Default: yes.
   */
  readonly mayUse?: (use: ToolUse) => boolean | PromiseLike<boolean>
}

/** A person who wants to start a job. */
export interface ToolUse {
  readonly principal: Principal
  readonly tool: string
  readonly function: string
  readonly version?: string
  /** The id of the file. */
  readonly file: string
  /** The id of the system to which the file belongs. Absent: it belongs to none. */
  readonly system?: string
}

/**
 * The rights on the jobs of tools. Only its creator sees a job's inputs and parameters; not even an administrator does.
 * Nobody may retry or delete a job.
 *
 * @param extracting  the job types whose function extracts from a system. Such a job needs a role on its system.
 */
export function toolPolicy(roles: ToolRoles, extracting: ReadonlySet<string>): Policy {
  const { administrator = ['Administrator'], user = ['User'], cancel = 'creator', mayUse = () => true } = roles
  const { systemEditor = ['Editor', 'Administrator', 'Owner'] } = roles
  const { scope, authorize } = rolePolicy({ admin: administrator, editor: user, redact: ['input'], cancel })
  return {
    scope,
    authorize: (principal, action, target) => {
      if (action === 'retry' || action === 'delete') return 'deny'
      const verdict = authorize(principal, action, target)
      if (action !== 'submit' || verdict === 'deny' || verdict === 'hide') return verdict
      // The job types of this preset set these labels from the input, whatever labels the caller gives.
      const { tool = '', function: called = '', version, file = '', system } = target.labels
      if (extracting.has(target.type)) {
        const role = system === undefined ? undefined : principal.relations?.[`system:${system}`]
        if (role === undefined || !systemEditor.includes(role)) return 'deny'
      }
      const use = {
        ...{ principal, tool, function: called, file },
        ...(version === undefined ? {} : { version }),
        ...(system === undefined ? {} : { system }),
      }
      return allowedBy(mayUse(use), verdict)
    },
  }
}

type Verdict = ReturnType<Policy['authorize']>

function allowedBy(may: boolean | PromiseLike<boolean>, verdict: Verdict): Verdict {
  if (typeof may === 'boolean') return may ? verdict : 'deny'
  return may.then((isAllowed) => (isAllowed ? verdict : 'deny'))
}
