import type { SessionPrincipal } from 'jobchart'
import type { Action, Principal, Target } from '../port/policy.ts'

/** A job or a pipeline that a policy is asked about. */
export interface SampleTarget {
  /** Default `'default'`. */
  readonly tenant?: string
  /** Default `'sample'`. */
  readonly type?: string
  /** Default: a user who is not one of the principals. */
  readonly createdBy?: string
  /** Default: nobody. */
  readonly assignee?: string
  /** Default: no pipeline. */
  readonly pipeline?: string
  /** Default: none. */
  readonly labels?: { readonly [name: string]: string }
}

/** The id of a user who is not one of the principals. */
const STRANGER = 'jobchart-conformance-stranger'
const OTHER_TENANT = 'jobchart-conformance-tenant'
const TYPE = 'sample'

/** The principal of a session, in the form in which an engine passes it to a policy. */
export function principalOf({ id, tenant = 'default', role = '', relations }: SessionPrincipal): Principal {
  return { kind: 'user', id, tenant, role, ...(relations === undefined ? {} : { relations }) }
}

/** A user of the tenant who has no role and no relations. */
export function strangerOf(tenant: string): Principal {
  return { kind: 'user', id: STRANGER, tenant, role: '' }
}

/** The target with its defaults filled in. It is not a stored job, so it has no status and no id. */
export function targetOf({
  tenant = 'default',
  type = TYPE,
  createdBy = STRANGER,
  assignee,
  pipeline,
  labels = {},
}: SampleTarget) {
  return {
    ...{ tenant, type, createdBy, labels },
    ...(assignee === undefined ? {} : { assignee }),
    ...(pipeline === undefined ? {} : { pipeline }),
  } satisfies Target
}

/**
 * All targets to ask about: the given ones, and one for each combination of
 *
 * - a tenant: that of a principal, or one that no principal has,
 * - a creator: a principal, or a stranger,
 * - labels: none, those of a resource in a principal's relations, or those of a given target.
 *
 * Also one for each combination of such a tenant and creator with an assignee: a principal, or a stranger.
 */
export function targetsFor(principals: readonly Principal[], given: readonly SampleTarget[]): readonly Target[] {
  const own = given.map(targetOf)
  const tenants = unique([...principals.map(({ tenant }) => tenant), OTHER_TENANT])
  const creators = unique([...principals.map(({ id }) => id), STRANGER])
  const labels = [{}, ...principals.flatMap(resourcesOf), ...own.map((target) => target.labels)]
  const made = tenants.flatMap((tenant) =>
    creators.flatMap((createdBy) => distinct(labels).map((each) => targetOf({ tenant, createdBy, labels: each }))),
  )
  const assigned = tenants.flatMap((tenant) =>
    creators.flatMap((createdBy) => creators.map((assignee) => targetOf({ tenant, createdBy, assignee }))),
  )
  return distinct([...own, ...made, ...assigned])
}

// The labels of the resources in a principal's relations. A relation on `system:7` is about jobs with the label
// `system: '7'`.
function resourcesOf({ relations = {} }: Principal): readonly { readonly [label: string]: string }[] {
  return Object.keys(relations).flatMap((resource) => {
    const at = resource.indexOf(':')
    return at < 1 ? [] : [{ [resource.slice(0, at)]: resource.slice(at + 1) }]
  })
}

/** A question to a policy. */
export interface Question {
  readonly who: Principal
  readonly action: Action
  readonly target: Target
}

const READS = ['get', 'history', 'logs', 'items', 'result', 'explain'] as const

/** The actions that read one job. For a job that `get` hides, all of them must be denied. */
export const JOB_READS: readonly Action[] = [...READS, 'events']

const COMMANDS: readonly NonNullable<Target['command']>[] = [
  { name: 'cancel', isCancel: true },
  { name: 'note', isCancel: false },
  { name: 'finish', isCancel: false, by: { relation: 'assignee' } },
  { name: 'approve', isCancel: false, by: { relation: 'others', roles: ['approver'], on: { system: ['owner'] } } },
]

const PIPELINE_ACTIONS = [
  'definePipeline',
  'getPipeline',
  'runPipeline',
  'pausePipeline',
  'deletePipeline',
  'listPipelines',
] as const

/** All questions about one target that an engine may ask. */
export function questionsOf(who: Principal, target: Target): readonly Question[] {
  const stored: Target = { ...target, jobId: 'job-1', status: 'open' }
  const ask = (action: Action, about: Target) => ({ who, action, target: about })
  return [
    ...[...READS, 'retry', 'delete'].map((action) => ask(action as Action, stored)),
    ...COMMANDS.map((command) => ask('command', { ...stored, command })),
    ask('events', { ...target, jobId: 'job-1' }),
    ask('submit', target),
    ask('list', target),
    ask('listAll', target),
    ...PIPELINE_ACTIONS.map((action) => ask(action, asPipeline(target))),
  ]
}

/**
 * The question to a policy whether a principal may do an action. It contains only those facts of the target that an
 * engine gives for this action.
 */
export function questionOf(who: Principal, action: Action, target: Target): Question {
  if (action === 'events') return { who, action, target: { ...target, jobId: 'job-1' } }
  if (action.endsWith('Pipeline')) return { who, action, target: asPipeline(target) }
  return { who, action, target: { ...target, jobId: 'job-1', status: 'open' } }
}

/** Makes the target of a pipeline, which has no assignee, from that of a job. */
export function asPipeline({ tenant, type, createdBy, labels, pipeline = 'nightly' }: Target): Target {
  return { tenant, type, createdBy, labels, pipeline }
}

const ODD_NAMES = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'isPrototypeOf',
  'length',
  '0',
  ' ',
  '*',
  '%',
  'undefined',
  'null',
  '\u0000',
  '\ud800',
  'x'.repeat(200),
]

/**
 * Principals with roles or relations that mean nothing. Careless code may give them rights, e.g. by a look-up of
 * `constructor` in an object.
 */
export function oddPrincipals(tenant: string): readonly Principal[] {
  const stranger = strangerOf(tenant)
  const roles = ODD_NAMES.map((role) => ({ ...stranger, role }))
  const relations = ODD_NAMES.flatMap((name) => [
    { ...stranger, relations: own(name, name) },
    { ...stranger, relations: own(`${name}:${name}`, name) },
  ])
  return [...roles, ...relations, { ...stranger, relations: {} }]
}

/**
 * Copies of the target with odd names. Each copy has one as its type, as its pipeline, as the name of its only label,
 * or as the value of one of the given labels. Tenant and creator stay the same.
 */
export function oddTargets(target: Target, labels: readonly string[]): readonly Target[] {
  const ofNames = ODD_NAMES.flatMap((name) => [
    { ...target, type: name },
    { ...target, pipeline: name },
    { ...target, labels: own(name, name) },
  ])
  const ofLabels = labels.flatMap((label) => ODD_NAMES.map((value) => ({ ...target, labels: own(label, value) })))
  return [...ofNames, ...ofLabels]
}

/** An object with one own field. The field may have any name, even `__proto__`. */
function own(name: string, value: string): { readonly [name: string]: string } {
  return Object.defineProperty({}, name, { value, enumerable: true, configurable: true, writable: true })
}

/** The texts, each once. */
export function unique(texts: readonly string[]): readonly string[] {
  return [...new Set(texts)]
}

function distinct<Value>(values: readonly Value[]): readonly Value[] {
  return [...new Map(values.map((value) => [JSON.stringify(value), value])).values()]
}

/** Freezes a value with everything in it. */
export function frozen<Value>(value: Value): Value {
  if (typeof value !== 'object' || value === null) return value
  for (const each of Object.values(value)) frozen(each)
  return Object.freeze(value)
}
