/**
 * Asks the policy, and turns its answer into a field mask for a job, a pipeline or an event.
 *
 * If the policy answers synchronously, these functions do too, without creating a promise.
 */

import { type Soon, whenKnown } from '../context/soon.ts'
import type { StoredAgent } from '../model/agent.ts'
import type { AnyJobType } from '../model/definition.ts'
import { hasCode, isUnreadable, JobchartError, jobNotFound, pipelineNotFound } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import type { Job, JobSummary } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import type { Action, AgentAction, PipelineAction, Principal, Scope, Target, Verdict } from '../port/policy.ts'
import type { Core } from './core.ts'
import {
  ALL,
  type FieldMask,
  jobMask,
  maskedError,
  narrower,
  pipelineMask,
  type ShowingVerdict,
  WHOLE,
} from './field-mask.ts'
import { askScopes, askVerdict } from './policy-answer.ts'
import { BARE } from './view.ts'

/** A question to the policy about a job. */
export interface Question {
  readonly action: Action
  readonly command?: Target['command']
  /** If this signal is aborted, the wait for the answer ends. */
  readonly signal?: AbortSignal | undefined
}

/** A job's summary, and whether it was deleted. */
type Known = JobSummary & Pick<Job, 'deletedAt'>

/**
 * Describes a command to the policy: its name, whether it is the type's cancel command, and the type's `by` rule for it
 * (who may send it).
 */
export function commandOf(
  type: Pick<AnyJobType, 'by' | 'cancel'> | undefined,
  name: string,
  isCancel = name === type?.cancel,
): NonNullable<Target['command']> {
  const by = type !== undefined && Object.hasOwn(type.by, name) ? type.by[name] : undefined
  return { name, isCancel, ...(by === undefined ? {} : { by }) }
}

/**
 * Asks the policy about a job by its summary, before the job is loaded.
 *
 * @param question  returns the question for the job's summary. It may depend, for example, on the job's type.
 * @throws {JobchartError} as {@link authorizeJob}; also `JOB_NOT_FOUND` if no job has the id.
 */
export async function reach(
  core: Core,
  who: Principal,
  id: string,
  question: (summary: JobSummary) => Question,
): Promise<{ readonly summary: JobSummary; readonly mask: FieldMask }> {
  const summary = await summaryOf(core, who, id)
  if (summary === undefined) throw jobNotFound(id)
  return { summary, mask: await authorizeJob(core, who, summary, question(summary)) }
}

// If a job's row cannot be read, its owner is unknown. So for a person, the job does not exist.
async function summaryOf({ storage }: Core, who: Principal, id: string): Promise<JobSummary | undefined> {
  try {
    return await storage.summary(id)
  } catch (error) {
    if (who.kind !== 'system' && isUnreadable(error)) return undefined
    throw error
  }
}

/**
 * Asks the policy about a job.
 *
 * @returns the mask for what the caller may see of the job.
 * @throws {JobchartError} `JOB_NOT_FOUND` the job is hidden from the caller; `FORBIDDEN` the caller may see the job, but not do this.
 */
export function authorizeJob(core: Core, who: Principal, job: Known, question: Question): Soon<FieldMask> {
  if (job.deletedAt !== undefined) throw jobNotFound(job.id)
  return whenKnown(askJob(core, who, job, question), (verdict) => {
    return isShowing(verdict) ? maskFor(core, who, verdict, job) : refusedJob(core, who, job, question, verdict)
  })
}

// `FORBIDDEN` reveals that the job exists. So only a caller who may `get` the job receives it; others get
// `JOB_NOT_FOUND`.
function refusedJob(core: Core, who: Principal, job: Known, question: Question, verdict: Verdict): Soon<never> {
  const { action, command, signal } = question
  const seen = verdict === 'deny' && action !== 'get' ? askJob(core, who, job, { action: 'get', signal }) : verdict
  return whenKnown(seen, (get) => {
    if (!isShowing(get)) throw jobNotFound(job.id)
    const what = command === undefined ? action : `send "${command.name}" to`
    throw new JobchartError('FORBIDDEN', `"${who.id}" may not ${what} this job`, { jobId: job.id })
  })
}

/** As {@link authorizeJob}, but returns `undefined` for a refusal instead of throwing. */
export function allowed(core: Core, who: Principal, job: Known, question: Question): Soon<FieldMask | undefined> {
  if (job.deletedAt !== undefined) return undefined
  return whenKnown(askJob(core, who, job, question), (verdict) => {
    return isShowing(verdict) ? maskFor(core, who, verdict, job) : undefined
  })
}

/**
 * Returns the mask for a job that an action returns to the caller. It shows no more than `get` would show. If the
 * caller may not `get` the job, it shows only the id and the time of creation: the caller may act on the job, so the
 * job's existence is no secret.
 *
 * @param mask  the mask that the policy gave for the action.
 */
export function maskOfAnswer(core: Core, who: Principal, job: Known, mask: FieldMask): Soon<FieldMask> {
  if (who.kind === 'system') return mask
  return whenKnown(allowed(core, who, job, { action: 'get' }), (get) => narrower(mask, get ?? BARE))
}

/**
 * Asks the policy whether the caller may read the events of a log row. Returns the mask for what the caller may see of
 * them; `undefined`: nothing. The policy is not told the job's status, because the right to read past events does not
 * depend on it.
 */
export function maskOfEvent(
  core: Core,
  who: Principal,
  row: EventRow,
  signal: AbortSignal | undefined,
): Soon<FieldMask | undefined> {
  if (who.kind === 'system') return ALL
  const { jobId, jobType: type, tenant, createdBy, assignee, pipeline, labels } = row
  if (jobId === '') return maskOfPipelineEvent(core, who, row, signal)
  const target = { jobId, tenant, type, createdBy, labels, ...assigned(assignee), ...inPipeline(pipeline) }
  return whenKnown(askVerdict(core, who, 'events', target, signal), (verdict) => {
    return isShowing(verdict) ? jobMask(verdict, core.types.safeOf(type)) : undefined
  })
}

// The mask for the events of a pipeline itself. If an event names a blocking job that the caller may not see, the mask
// hides that name.
function maskOfPipelineEvent(
  core: Core,
  who: Principal,
  { jobType: type, tenant, createdBy, pipeline = '', labels, events }: EventRow,
  signal: AbortSignal | undefined,
): Soon<FieldMask | undefined> {
  return whenKnown(
    askVerdict(core, who, 'getPipeline', { tenant, type, createdBy, labels, pipeline }, signal),
    (verdict) => {
      if (!isShowing(verdict)) return undefined
      const mask = pipelineMask(verdict)
      const blockers = events.flatMap((event) =>
        'blocker' in event && event.blocker !== undefined ? [event.blocker] : [],
      )
      return blockers.length === 0 ? mask : withoutHiddenBlockers(core, who, mask, blockers)
    },
  )
}

async function withoutHiddenBlockers(
  core: Core,
  who: Principal,
  mask: FieldMask,
  blockers: readonly string[],
): Promise<FieldMask> {
  const jobs = await core.storage.summaries(blockers)
  const seen = await Promise.all(jobs.map((job) => allowed(core, who, job, { action: 'get' })))
  const isHidden = seen.length < new Set(blockers).size || seen.includes(undefined)
  return isHidden ? narrower(mask, pipelineMask({ redact: ['blocker'] })) : mask
}

/** Removes the job id from an `ALREADY_RUNNING` error, if the caller may not see the job that it names. */
export async function withoutHiddenJob(core: Core, who: Principal, error: unknown): Promise<unknown> {
  if (!hasCode(error, 'ALREADY_RUNNING') || error.jobId === undefined) return error
  const summary = await summaryOf(core, who, error.jobId)
  const isSeen = summary !== undefined && (await allowed(core, who, summary, { action: 'get' })) !== undefined
  return isSeen ? error : new JobchartError(error.code, error.message)
}

/**
 * The error that a person gets for a refusal: without the id of a hidden job, and without fields that the mask hides.
 */
export async function toldRefusal(core: Core, who: Principal, error: unknown, mask: FieldMask): Promise<unknown> {
  return maskedError(await withoutHiddenJob(core, who, error), mask)
}

/**
 * Asks the policy about a stored pipeline.
 *
 * @returns the mask for what the caller may see of the pipeline. If the caller may do `getPipeline`, it shows no more
 * than `getPipeline` would show.
 * @throws {JobchartError} `PIPELINE_NOT_FOUND` the pipeline is hidden from the caller; `FORBIDDEN` the caller may see the pipeline, but not do this.
 */
export function authorizePipeline(
  core: Core,
  who: Principal,
  pipeline: Pipeline,
  action: PipelineAction,
  signal: AbortSignal | undefined,
): Soon<FieldMask> {
  if (who.kind === 'system') return ALL
  const target = pipelineTarget(pipeline)
  return whenKnown(askVerdict(core, who, action, target, signal), (verdict) => {
    const isOver = action === 'getPipeline' || verdict === 'hide'
    return whenKnown(isOver ? verdict : askVerdict(core, who, 'getPipeline', target, signal), (get) => {
      if (isShowing(verdict))
        return isShowing(get) ? narrower(pipelineMask(verdict), pipelineMask(get)) : pipelineMask(verdict)
      throw isShowing(get)
        ? forbidden(`"${who.id}"`, action, `pipeline "${pipeline.id}"`)
        : pipelineNotFound(pipeline.id)
    })
  })
}

function pipelineTarget({ id: pipeline, tenant, type, createdBy, labels }: Pipeline): Target {
  return { tenant, type, createdBy, labels, pipeline }
}

/** Checks that the principal may define such a pipeline. @throws {JobchartError} `FORBIDDEN` otherwise. */
export function authorizeDefine(
  core: Core,
  who: Principal,
  target: Target,
  signal: AbortSignal | undefined,
): Soon<void> {
  return whenKnown(ask(core, who, 'definePipeline', target, signal), (verdict) => {
    if (isShowing(verdict)) return
    throw forbidden(withRole(who), 'definePipeline', `pipeline "${target.pipeline}" of jobs of type "${target.type}"`)
  })
}

function forbidden(who: string, action: PipelineAction, what: string): JobchartError {
  return new JobchartError('FORBIDDEN', `${who} may not ${action.replace('Pipeline', '')} ${what}`)
}

/**
 * Checks that the principal may do this with an agent.
 *
 * @throws {JobchartError} `FORBIDDEN` the principal may not.
 */
export function authorizeAgent(
  core: Core,
  who: Principal,
  action: AgentAction,
  { tenant, id, createdBy }: Pick<StoredAgent, 'tenant' | 'id' | 'createdBy'>,
  signal: AbortSignal | undefined,
): Soon<void> {
  const target: Target = { tenant, type: '', createdBy, labels: {}, ...(id === '' ? {} : { agent: id }) }
  return whenKnown(ask(core, who, action, target, signal), (verdict) => {
    if (!isShowing(verdict)) throw new JobchartError('FORBIDDEN', `"${who.id}" may not ${AGENT_ACTIONS[action]}`)
  })
}

const AGENT_ACTIONS = {
  listAgents: 'list agents',
  enrollAgent: 'enroll this agent',
  revokeAgent: 'revoke this agent',
  registerAgent: 'register as this agent',
  claimTasks: 'claim tasks',
} as const satisfies { readonly [Action in AgentAction]: string }

/**
 * Checks that the principal may submit such a job.
 *
 * @returns the mask for what the caller may see of the new job.
 * @throws {JobchartError} `FORBIDDEN` the principal may not submit it.
 */
export function authorizeSubmit(
  core: Core,
  who: Principal,
  target: Target,
  signal: AbortSignal | undefined,
): Soon<FieldMask> {
  return whenKnown(ask(core, who, 'submit', target, signal), (verdict) => {
    if (!isShowing(verdict)) {
      throw new JobchartError('FORBIDDEN', `${withRole(who)} may not submit jobs of type "${target.type}"`)
    }
    return who.kind === 'system' ? ALL : jobMask(verdict, core.types.safeOf(target.type))
  })
}

// Most often, somebody may do nothing because the app gave no role, or one that the policy does not know.
function withRole({ kind, id, role }: Principal): string {
  if (kind !== 'user') return `"${id}"`
  return role === '' ? `"${id}", who has no role (see engine.as),` : `"${id}" with the role "${role}"`
}

/** Whether the principal may submit such a job. */
export function maySubmit(core: Core, who: Principal, target: Target, signal: AbortSignal | undefined): Soon<boolean> {
  return whenKnown(ask(core, who, 'submit', target, signal), isShowing)
}

/** How error messages name the actions on many jobs or pipelines. */
const MANY = {
  list: 'list jobs',
  listAll: 'list all jobs',
  listPipelines: 'list pipelines',
  events: 'follow events',
} as const

/** The most scopes that a policy may return for one list, so that a query stays bounded. */
const SCOPES_MAX = 1_000
const SCOPE_LABELS_MAX = 100

function checkSize(scopes: readonly Scope[]): void {
  if (scopes.length > SCOPES_MAX) {
    throw new JobchartError(
      'INVALID_INPUT',
      `the policy returned ${scopes.length} scopes; at most ${SCOPES_MAX} are supported`,
    )
  }
  const labels = Math.max(0, ...scopes.map((scope) => Object.keys(scope.labels ?? {}).length))
  if (labels <= SCOPE_LABELS_MAX) return
  throw new JobchartError(
    'INVALID_INPUT',
    `a scope of the policy has ${labels} labels; at most ${SCOPE_LABELS_MAX} are supported`,
  )
}

/**
 * Asks the policy which jobs or pipelines an action on many of them may cover. Returns a list of scopes, e.g. `[{
 * tenant: 'acme', createdBy: 'ada' }]`: the jobs that Ada created.
 *
 * @throws {JobchartError} `FORBIDDEN` the principal may see nothing at all; `INVALID_INPUT` the policy returned too many scopes.
 */
export function authorizeMany(
  core: Core,
  who: Principal,
  action: keyof typeof MANY,
  signal: AbortSignal | undefined,
): Soon<readonly Scope[]> {
  if (who.kind === 'system') return [{}]
  return whenKnown(askMany(core, who, action, signal), (scopes) => {
    if (scopes === undefined) throw new JobchartError('FORBIDDEN', `${withRole(who)} may not ${MANY[action]}`)
    checkSize(scopes)
    // A scope without a tenant means the principal's own tenant. Only the engine's own session sees all tenants.
    return scopes.map((scope) => ({ ...scope, tenant: scope.tenant ?? who.tenant }))
  })
}

function askMany(
  core: Core,
  who: Principal,
  action: keyof typeof MANY,
  signal: AbortSignal | undefined,
): Soon<readonly Scope[] | undefined> {
  if (action !== 'listAll') return askScopes(core, who, action, signal)
  const any: Target = { tenant: who.tenant, type: '', createdBy: '', labels: {} }
  return whenKnown(askVerdict(core, who, action, any, signal), (verdict) => {
    return isShowing(verdict) ? askScopes(core, who, action, signal) : undefined
  })
}

/** The values of the option `view` (of `list` and `count`) that the principal may use. */
export function viewsOf(core: Core, who: Principal, signal: AbortSignal | undefined): Soon<readonly JobsView[]> {
  if (who.kind === 'system') return ['mine', 'assigned', 'all']
  return whenKnown(askMany(core, who, 'list', signal), (own) => {
    if (own === undefined) return []
    return whenKnown(askMany(core, who, 'listAll', signal), (all) => {
      return all === undefined ? (['mine', 'assigned'] as const) : (['mine', 'assigned', 'all'] as const)
    })
  })
}

/**
 * `mine`: jobs that the principal created. `assigned`: jobs that are assigned to the principal. `all`: all jobs that the
 * principal may see.
 */
export type JobsView = 'mine' | 'assigned' | 'all'

/**
 * Checks that the caller may filter by these fields. Returns the scopes without their `redact` lists.
 *
 * @throws {JobchartError} `FORBIDDEN` a scope redacts one of the fields, so a match would reveal the field's value.
 */
export function searchedBy(who: Principal, scopes: readonly Scope[], fields: readonly string[]): readonly Scope[] {
  const redacted = fields.find((field) => scopes.some(({ redact }) => redact?.includes(field)))
  if (redacted === undefined) return scopes.map(({ redact, ...scope }) => scope)
  const text = `"${who.id}" may not filter by "${redacted}", which is redacted in some of the listed jobs`
  throw new JobchartError('FORBIDDEN', text, { issues: [{ message: 'is redacted', path: [redacted] }] })
}

/**
 * Returns the scopes that can contain the principal's own jobs. By `createdBy`, these are the jobs that the principal
 * created: the scopes that name no creator, or this creator. By `assignee`, they are the jobs assigned to the principal.
 * A scope that redacts fields is left out if another scope shows the same own jobs without redaction. Example: Ada has
 * the scopes `{ createdBy: 'ada' }` and `{ redact: ['input'] }`. For the jobs that Ada created, only
 * `{ createdBy: 'ada' }` is returned.
 */
export function ownScopes({ id }: Principal, scopes: readonly Scope[], by: 'createdBy' | 'assignee'): readonly Scope[] {
  const own = scopes.filter((scope) => (scope[by] ?? id) === id)
  const open = own.filter(({ redact = [] }) => redact.length === 0)
  return own.filter((scope) => open.includes(scope) || !open.some((other) => holds(other, { ...scope, [by]: id })))
}

/** Whether the first scope covers every job of the second one. */
function holds({ labels = {}, redact, ...fields }: Scope, scope: Scope): boolean {
  const isSame = ([field, value]: readonly [string, unknown]) =>
    value === undefined || scope[field as keyof Scope] === value
  return (
    Object.entries(fields).every(isSame) &&
    Object.entries(labels).every(([name, value]) => scope.labels?.[name] === value)
  )
}

function maskFor(core: Core, who: Principal, verdict: ShowingVerdict, job: Known): FieldMask {
  if (who.kind === 'system') return ALL
  return verdict === 'allow' ? WHOLE : jobMask(verdict, core.types.of(job)?.safe)
}

function askJob(core: Core, who: Principal, job: Known, { action, command, signal }: Question): Soon<Verdict> {
  if (who.kind === 'system') return 'allow'
  const target = targetOf(job)
  return askVerdict(core, who, action, command === undefined ? target : { ...target, command }, signal)
}

function targetOf({ id: jobId, tenant, type, createdBy, assignee, labels, pipeline, status }: Known): Target {
  const target = { jobId, tenant, type, createdBy, labels, status }
  if (assignee === undefined) return pipeline === undefined ? target : { ...target, pipeline }
  return { ...target, ...assigned(assignee), ...inPipeline(pipeline) }
}

function assigned(assignee: string | undefined): { readonly assignee?: string } {
  return assignee === undefined ? {} : { assignee }
}

function inPipeline(pipeline: string | undefined): { readonly pipeline?: string } {
  return pipeline === undefined ? {} : { pipeline }
}

function ask(
  core: Core,
  who: Principal,
  action: Action,
  target: Target,
  signal: AbortSignal | undefined,
): Soon<Verdict> {
  return who.kind === 'system' ? 'allow' : askVerdict(core, who, action, target, signal)
}

function isShowing(verdict: Verdict): verdict is ShowingVerdict {
  return verdict === 'allow' || typeof verdict === 'object'
}
