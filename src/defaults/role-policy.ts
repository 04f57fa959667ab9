import type { By } from '../model/command.ts'
import { anything, checkOptions, listOf, names, type OptionRule, oneOf, recordOf } from '../model/option-checks.ts'
import { PRIVATE_PARTS, type Private } from '../model/private.ts'
import type { Action, Policy, Principal, Scope, Target, Verdict } from '../port/policy.ts'

/** The options of {@link rolePolicy}: which roles have which rights. A role is any text, and is compared exactly. */
export interface RolePolicyOptions {
  /** Roles that see every job of their tenant. Default `['admin']`. */
  readonly admin?: readonly string[]
  /** Roles that see every job of their tenant and may change none. Default: none. */
  readonly reader?: readonly string[]
  /** Roles that see every job of their tenant, submit jobs, and change only their own. Default: none. */
  readonly member?: readonly string[]
  /** Roles that see the jobs that they created and those that are assigned to them. Default `['editor']`. */
  readonly editor?: readonly string[]
  /** Roles that see the jobs that are assigned to them, and submit none. Default: none. */
  readonly assignee?: readonly string[]
  /** Who may cancel, retry or delete a job that they see. Default: only its creator; not even an admin. */
  readonly cancel?: OwnersRule
  readonly retry?: OwnersRule
  readonly delete?: OwnersRule
  /** Fields of a job that only its creator and its assignee may see, e.g. `['input']`. Default: none. */
  readonly redact?: readonly string[]
  /** Private parts that everyone who sees the job may see, e.g. `['state', 'stack']`. Default: none. */
  readonly open?: readonly Private[]
  /**
   * Rights by a principal's role on a single resource. The key is the name of a label, and the label of a job names the
   * job's resource. For example, a job with the label `system: '7'` belongs to the resource `system:7`, and the role of
   * a principal on it is `relations['system:7']`.
   */
  readonly resources?: { readonly [label: string]: ResourceRoles }
}

/** Who may cancel, retry or delete a job: only its creator, or also an admin. */
export type OwnersRule = 'creator' | 'creatorOrAdmin'

/** Which roles on a resource have which rights. */
export interface ResourceRoles {
  /** Roles that see the jobs of the resource. Principals also see the jobs that their role in the tenant shows. */
  readonly see?: readonly string[]
  /** Roles that may submit jobs of the resource. If given, a role in the tenant gives no right to submit them. */
  readonly submit?: readonly string[]
}

const READS: ReadonlySet<Action> = new Set([
  ...(['get', 'list', 'listAll', 'history', 'logs', 'items', 'result', 'explain', 'events'] as const),
  ...(['getPipeline', 'listPipelines'] as const),
])
const AGENT_ACTIONS: ReadonlySet<Action> = new Set([
  'listAgents',
  'enrollAgent',
  'revokeAgent',
  'registerAgent',
  'claimTasks',
])
/** The policy is asked about these actions without a stored job, so there is nothing to hide. */
const FIRST: ReadonlySet<Action> = new Set(['list', 'listAll', 'definePipeline', 'listPipelines'])

/**
 * A policy by roles. An admin sees all jobs of the tenant, an editor sees own jobs and those assigned to them, and
 * anybody else sees none. Only the creator of a job may cancel, retry or delete it; not even an admin may. Everyone who
 * sees a job may send it any other command, unless the command has a `by`. Pipelines follow the same rules: only the
 * owner changes, pauses or deletes one, and everyone who sees it and may submit jobs may run it. Listing all jobs of the
 * tenant needs the right to see them all. Everyone who sees jobs or submits them may list the agents of the tenant; only
 * an admin may enroll and revoke them. An agent may register itself, and claim tasks. The options change each of these
 * rules, but for agents.
 *
 * Some work continues without a session, e.g. a retry. If `createEngine` has no option `principal`, the engine does not
 * know the role of the creator. Such a creator may only submit jobs, and run, pause and resume own pipelines.
 *
 * @throws {JobchartError} `INVALID_DEFINITION` an option is unknown or of the wrong kind, e.g. a role that is not in a
 * list.
 */
export function rolePolicy(options: RolePolicyOptions = {}): Policy {
  checkOptions('rolePolicy', options, OPTIONS)
  for (const [label, roles] of Object.entries(options.resources ?? {})) {
    checkOptions('rolePolicy', roles, ROLES_ON, { prefix: `resources.${label}.` })
  }
  const rules = new Rules(options)
  return {
    scope: (principal) => rules.scope(principal),
    authorize: (principal, action, target) => rules.authorize(principal, action, target),
  }
}

const owners = oneOf('creator', 'creatorOrAdmin')
const OPTIONS = {
  admin: names,
  reader: names,
  member: names,
  editor: names,
  assignee: names,
  cancel: owners,
  retry: owners,
  delete: owners,
  redact: names,
  open: listOf(oneOf(...PRIVATE_PARTS), PRIVATE_PARTS.join(', ')),
  resources: recordOf(anything, 'an object of { see, submit } by label'),
} satisfies { readonly [Option in keyof RolePolicyOptions]-?: OptionRule }
const ROLES_ON = { see: names, submit: names } satisfies { readonly [Option in keyof ResourceRoles]-?: OptionRule }

class Rules {
  readonly #options: RolePolicyOptions
  readonly #resources: readonly (readonly [string, ResourceRoles])[]
  readonly #admin: readonly string[]
  readonly #reader: readonly string[]
  readonly #member: readonly string[]
  readonly #editor: readonly string[]
  readonly #assignee: readonly string[]
  readonly #redact: readonly string[]

  constructor(options: RolePolicyOptions) {
    this.#options = options
    this.#resources = Object.entries(options.resources ?? {})
    const { admin = ['admin'], reader = [], member = [], editor = ['editor'], assignee = [], redact = [] } = options
    this.#admin = admin
    this.#reader = reader
    this.#member = member
    this.#editor = editor
    this.#assignee = assignee
    this.#redact = redact
  }

  scope(principal: Principal): false | readonly Scope[] {
    if (principal.kind === 'agent') return false
    const { tenant, id } = principal
    const [own, assigned] = [
      { tenant, createdBy: id },
      { tenant, assignee: id },
    ]
    const isOpen = this.#redact.length === 0
    const redact = isOpen ? {} : { redact: this.#redact }
    const scopes: Scope[] = []
    if (this.#editor.includes(principal.role)) scopes.push(own)
    if (this.#seesAssigned(principal)) scopes.push(assigned)
    if (this.#seesAll(principal)) scopes.push(...(isOpen ? [] : [own, assigned]), { tenant, ...redact })
    for (const labels of this.#seenResources(principal)) scopes.push({ tenant, labels, ...redact })
    return scopes.length > 0 && scopes
  }

  authorize(principal: Principal, action: Action, target: Target): Verdict {
    if (principal.kind === 'agent') return ofAgent(principal, action, target)
    if (isAbsent(principal)) return ofAbsent(principal, action, target)
    if (AGENT_ACTIONS.has(action)) return this.#mayWithAgents(principal, action, target) ? 'allow' : 'deny'
    if (action === 'submit') return this.#maySubmit(principal, target) ? this.#shown(principal, target) : 'deny'
    if (!this.#sees(principal, target)) return FIRST.has(action) && this.scope(principal) === false ? 'deny' : 'hide'
    return this.#may(principal, action, target) ? this.#shown(principal, target) : 'deny'
  }

  // Everyone who may see or submit jobs may see the agents, to whom jobs are assigned.
  #mayWithAgents(principal: Principal, action: Action, { tenant }: Target): boolean {
    if (tenant !== principal.tenant) return false
    return action === 'listAgents' ? this.scope(principal) !== false : this.#isAdmin(principal)
  }

  #shown({ id }: Principal, { createdBy, assignee }: Target): Verdict {
    const redact = createdBy === id || assignee === id ? [] : this.#redact
    const { open = [] } = this.#options
    return redact.length + open.length === 0 ? 'allow' : { redact, open }
  }

  #sees(principal: Principal, { tenant, createdBy, assignee, labels }: Target): boolean {
    if (tenant !== principal.tenant) return false
    if (this.#seesAll(principal) || this.#isOf(principal, createdBy)) return true
    if (assignee === principal.id && this.#seesAssigned(principal)) return true
    return this.#resources.some(([label, { see = [] }]) => isOneOf(see, roleOn(principal, label, labels)))
  }

  /** Whether the principal sees a job of this creator because of the role in the tenant. */
  #isOf(principal: Principal, createdBy: string): boolean {
    if (this.#isAdmin(principal)) return true
    return createdBy === principal.id && [...this.#editor, ...this.#member].includes(principal.role)
  }

  #may(principal: Principal, action: Action, target: Target): boolean {
    const { createdBy, assignee, command } = target
    const { cancel, retry, delete: remove } = this.#options
    const isCreator = createdBy === principal.id
    // A reader may change nothing, even if the role is also in another list.
    if (this.#reader.includes(principal.role)) return READS.has(action)
    // The run is a job that the caller creates, so it is not enough to see the pipeline.
    if (action === 'runPipeline') return this.#maySubmit(principal, { ...target, createdBy: principal.id })
    if (action === 'definePipeline') return isCreator && this.#maySubmit(principal, target)
    if (action === 'pausePipeline' || action === 'deletePipeline') return isCreator
    if (action === 'retry') return this.#isOwners(retry, isCreator, principal)
    if (action === 'delete') return this.#isOwners(remove, isCreator, principal)
    if (command?.by !== undefined) return isMeant(command.by, principal, target)
    const isOther = !isCreator && assignee !== principal.id
    if (action === 'command' && this.#isMember(principal) && isOther) return false
    return command?.isCancel !== true || this.#isOwners(cancel, isCreator, principal)
  }

  #isOwners(rule: OwnersRule = 'creator', isCreator: boolean, principal: Principal): boolean {
    return isCreator || (rule === 'creatorOrAdmin' && this.#isAdmin(principal))
  }

  #maySubmit(principal: Principal, { tenant, createdBy, labels }: Target): boolean {
    if (tenant !== principal.tenant || this.#reader.includes(principal.role)) return false
    const said = this.#resources.filter(([label, { submit }]) => submit !== undefined && Object.hasOwn(labels, label))
    if (said.length === 0) return this.#isOf(principal, createdBy)
    return said.every(([label, { submit = [] }]) => isOneOf(submit, roleOn(principal, label, labels)))
  }

  #seesAll({ role }: Principal): boolean {
    return [this.#admin, this.#reader, this.#member].some((roles) => roles.includes(role))
  }

  #seesAssigned({ role }: Principal): boolean {
    return this.#editor.includes(role) || this.#assignee.includes(role)
  }

  #isMember(principal: Principal): boolean {
    return this.#member.includes(principal.role) && !this.#isAdmin(principal)
  }

  #isAdmin({ role }: Principal): boolean {
    return this.#admin.includes(role)
  }

  #seenResources({ relations = {} }: Principal): readonly { readonly [label: string]: string }[] {
    return this.#resources.flatMap(([label, { see = [] }]) => {
      const prefix = `${label}:`
      const seen = Object.entries(relations).filter(([resource, role]) => {
        return resource.startsWith(prefix) && see.includes(role)
      })
      return seen.map(([resource]) => ({ [label]: resource.slice(prefix.length) }))
    })
  }
}

/**
 * Whether the principal is a creator whose work continues without a session and whose role is unknown, because
 * `createEngine` has no option `principal`.
 */
function isAbsent({ kind, role, relations }: Principal): boolean {
  return kind === 'scheduler' && role === '' && relations === undefined
}

// Such a creator may submit jobs, and run, pause and resume own pipelines. A run of a pipeline may replace another one, so
// the creator may also cancel own jobs.
function ofAbsent({ id, tenant }: Principal, action: Action, target: Target): Verdict {
  const isCancel = target.command?.isCancel === true && target.command.by === undefined
  const isMeant = isCancel || action === 'submit' || action === 'runPipeline' || action === 'pausePipeline'
  if (isMeant && target.tenant === tenant && target.createdBy === id) return 'allow'
  return action === 'submit' ? 'deny' : 'hide'
}

// An agent registers itself and claims tasks. It sees no jobs but those that it has claimed.
function ofAgent({ id, tenant }: Principal, action: Action, target: Target): Verdict {
  const isItself = target.tenant === tenant && target.agent === id
  if (isItself && (action === 'registerAgent' || action === 'claimTasks')) return 'allow'
  return target.jobId === undefined && target.pipeline === undefined ? 'deny' : 'hide'
}

/** The principal's role on the resource that a label of the job names. `undefined`: no role. */
function roleOn({ relations = {} }: Principal, label: string, labels: Target['labels']): string | undefined {
  const resource = Object.hasOwn(labels, label) ? `${label}:${labels[label]}` : undefined
  return resource !== undefined && Object.hasOwn(relations, resource) ? relations[resource] : undefined
}

function isMeant({ relation, roles, on = {} }: By, principal: Principal, { createdBy, assignee, labels }: Target) {
  if (relation === 'assignee' && assignee !== principal.id) return false
  if (relation === 'creator' && createdBy !== principal.id) return false
  if (relation === 'others' && createdBy === principal.id) return false
  if (roles !== undefined && !roles.includes(principal.role)) return false
  return Object.entries(on).every(([label, wanted]) => isOneOf(wanted, roleOn(principal, label, labels)))
}

function isOneOf(roles: readonly string[], role: string | undefined): boolean {
  return role !== undefined && roles.includes(role)
}
