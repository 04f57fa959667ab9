/**
 * What the policy is asked, and by which mask its answer shows a job, a pipeline or an event.
 *
 * Where the policy answers at once, so do the questions here: none of them makes a promise then.
 */
import type { AnyJobType } from '../model/definition.ts'
import { isUnreadable, JobchartError, jobNotFound, pipelineNotFound } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import type { Job, JobSummary } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import type { Action, PipelineAction, Principal, Scope, Target, Verdict } from '../port/policy.ts'
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
import { type Soon, whenKnown } from './soon.ts'
import { BARE } from './view.ts'

/** What is asked of a policy about a job. */
export interface Question {
  readonly action: Action
  readonly command?: Target['command']
  /** Gives up waiting for the answer. */
  readonly signal?: AbortSignal | undefined
}

/** A job's summary, and whether it was deleted. */
type Known = JobSummary & Pick<Job, 'deletedAt'>

/** A command as a policy is asked about it: with what its type says of who may send it. */
export function commandOf(
  type: Pick<AnyJobType, 'by' | 'cancel'> | undefined,
  name: string,
  isCancel = name === type?.cancel,
): NonNullable<Target['command']> {
  const by = type !== undefined && Object.hasOwn(type.by, name) ? type.by[name] : undefined
  return { name, isCancel, ...(by === undefined ? {} : { by }) }
}

/**
 * Asks the policy about a job that is not loaded yet, by its summary.
 *
 * @param question  may depend on the job's type.
 * @throws {JobchartError} as {@link authorizeJob}; `JOB_NOT_FOUND` too for an id that names none.
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

// Whose a broken job is cannot be asked, so that to a person there is none.
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
 * @returns what is shown of it.
 * @throws {JobchartError} `JOB_NOT_FOUND` it is hidden; `FORBIDDEN` it can be seen, but not this.
 */
export function authorizeJob(core: Core, who: Principal, job: Known, question: Question): Soon<FieldMask> {
  if (job.deletedAt !== undefined) throw jobNotFound(job.id)
  return whenKnown(askJob(core, who, job, question), (verdict) => {
    return isShowing(verdict) ? maskFor(core, who, verdict, job) : refusedJob(core, who, job, question, verdict)
  })
}

// A denial says that there is a job, so it is only for who may know that.
function refusedJob(core: Core, who: Principal, job: Known, question: Question, verdict: Verdict): Soon<never> {
  const { action, command, signal } = question
  const seen = verdict === 'deny' && action !== 'get' ? askJob(core, who, job, { action: 'get', signal }) : verdict
  return whenKnown(seen, (get) => {
    if (!isShowing(get)) throw jobNotFound(job.id)
    const what = command === undefined ? action : `send "${command.name}" to`
    throw new JobchartError('FORBIDDEN', `"${who.id}" may not ${what} this job`, { jobId: job.id })
  })
}

/** What a verdict on one action shows of a job, without an error for a refusal; undefined: it is refused. */
export function allowed(core: Core, who: Principal, job: Known, question: Question): Soon<FieldMask | undefined> {
  if (job.deletedAt !== undefined) return undefined
  return whenKnown(askJob(core, who, job, question), (verdict) => {
    return isShowing(verdict) ? maskFor(core, who, verdict, job) : undefined
  })
}

/**
 * What the answer to an action on a job shows of it: no more than `get` would, and where that shows nothing, that the job
 * is there, which who may act on it knows.
 *
 * @param mask  of the action.
 */
export function maskOfAnswer(core: Core, who: Principal, job: Known, mask: FieldMask): Soon<FieldMask> {
  if (who.kind === 'system') return mask
  return whenKnown(allowed(core, who, job, { action: 'get' }), (get) => narrower(mask, get ?? BARE))
}

/** What is told of a row of the log to whom `events` of its job is allowed; undefined: nothing. An event knows no status. */
export function maskOfEvent(
  core: Core,
  who: Principal,
  { jobId, jobType: type, tenant, createdBy, pipeline, labels }: EventRow,
  signal: AbortSignal | undefined,
): Soon<FieldMask | undefined> {
  if (who.kind === 'system') return ALL
  const target = { jobId, tenant, type, createdBy, labels, ...(pipeline === undefined ? {} : { pipeline }) }
  return whenKnown(askVerdict(core, who, 'events', target, signal), (verdict) => {
    return isShowing(verdict) ? jobMask(verdict, core.types.safeOf(type)) : undefined
  })
}

/** A refusal that names another job, without it where the asker may not see that job. */
export async function withoutHiddenJob(core: Core, who: Principal, error: unknown): Promise<unknown> {
  if (!(error instanceof JobchartError) || error.code !== 'ALREADY_RUNNING' || error.jobId === undefined) return error
  const summary = await summaryOf(core, who, error.jobId)
  const isSeen = summary !== undefined && (await allowed(core, who, summary, { action: 'get' })) !== undefined
  return isSeen ? error : new JobchartError(error.code, error.message)
}

/** A refusal as it is told to a person: without a job that is hidden, and without what the mask hides of this one. */
export async function toldRefusal(core: Core, who: Principal, error: unknown, mask: FieldMask): Promise<unknown> {
  return maskedError(await withoutHiddenJob(core, who, error), mask)
}

/**
 * Asks the policy about a stored pipeline.
 *
 * @returns what is shown of it: no more than `getPipeline` would, where that shows it.
 * @throws {JobchartError} `PIPELINE_NOT_FOUND` it is hidden; `FORBIDDEN` it can be seen, but not this.
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
      throw isShowing(get) ? forbidden(who, action, `pipeline "${pipeline.id}"`) : pipelineNotFound(pipeline.id)
    })
  })
}

function pipelineTarget({ id: pipeline, tenant, type, createdBy, labels }: Pipeline): Target {
  return { tenant, type, createdBy, labels, pipeline }
}

/** @throws {JobchartError} `FORBIDDEN` the principal may define no such pipeline. */
export function authorizeDefine(
  core: Core,
  who: Principal,
  target: Target,
  signal: AbortSignal | undefined,
): Soon<void> {
  return whenKnown(ask(core, who, 'definePipeline', target, signal), (verdict) => {
    if (isShowing(verdict)) return
    throw forbidden(who, 'definePipeline', `pipeline "${target.pipeline}" of jobs of type "${target.type}"`)
  })
}

function forbidden(who: Principal, action: PipelineAction, what: string): JobchartError {
  return new JobchartError('FORBIDDEN', `"${who.id}" may not ${action.replace('Pipeline', '')} ${what}`)
}

/** @returns what the answer shows of the new job. @throws {JobchartError} `FORBIDDEN` */
export function authorizeSubmit(
  core: Core,
  who: Principal,
  target: Target,
  signal: AbortSignal | undefined,
): Soon<FieldMask> {
  return whenKnown(ask(core, who, 'submit', target, signal), (verdict) => {
    if (!isShowing(verdict)) {
      throw new JobchartError('FORBIDDEN', `"${who.id}" may not submit jobs of type "${target.type}"`)
    }
    return who.kind === 'system' ? ALL : jobMask(verdict, core.types.safeOf(target.type))
  })
}

/** Whether the principal may submit such a job. */
export function maySubmit(core: Core, who: Principal, target: Target, signal: AbortSignal | undefined): Soon<boolean> {
  return whenKnown(ask(core, who, 'submit', target, signal), isShowing)
}

/** What is asked for of many. */
const MANY = {
  list: 'list jobs',
  listAll: 'list all jobs',
  listPipelines: 'list pipelines',
  events: 'follow events',
} as const

/** Scopes of one list, and labels of one scope. */
const SCOPES_MAX = 1_000
const SCOPE_LABELS_MAX = 100

function checkSize(scopes: readonly Scope[]): void {
  if (scopes.length > SCOPES_MAX) {
    throw new JobchartError(
      'INVALID_INPUT',
      `the policy gives ${scopes.length} scopes; at most ${SCOPES_MAX} are searched`,
    )
  }
  const labels = Math.max(0, ...scopes.map((scope) => Object.keys(scope.labels ?? {}).length))
  if (labels <= SCOPE_LABELS_MAX) return
  throw new JobchartError(
    'INVALID_INPUT',
    `a scope of the policy has ${labels} labels; at most ${SCOPE_LABELS_MAX} are searched`,
  )
}

/**
 * @throws {JobchartError} `FORBIDDEN` the principal may see nothing at all; `INVALID_INPUT` the policy gives more scopes than
 *   are searched.
 */
export function authorizeMany(
  core: Core,
  who: Principal,
  action: keyof typeof MANY,
  signal: AbortSignal | undefined,
): Soon<readonly Scope[]> {
  if (who.kind === 'system') return [{}]
  return whenKnown(askMany(core, who, action, signal), (scopes) => {
    if (scopes === undefined) throw new JobchartError('FORBIDDEN', `"${who.id}" may not ${MANY[action]}`)
    checkSize(scopes)
    // A scope that names no tenant is of the principal's own: only the engine's session sees them all.
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

/** The views of the jobs that a principal may list. */
export function viewsOf(core: Core, who: Principal, signal: AbortSignal | undefined): Soon<readonly JobsView[]> {
  if (who.kind === 'system') return ['mine', 'all']
  return whenKnown(askMany(core, who, 'list', signal), (own) => {
    if (own === undefined) return []
    return whenKnown(askMany(core, who, 'listAll', signal), (all) => {
      return all === undefined ? (['mine'] as const) : (['mine', 'all'] as const)
    })
  })
}

/** Jobs that the principal created, or all that there are for them. */
export type JobsView = 'mine' | 'all'

/**
 * Scopes as they are searched by some fields.
 *
 * @throws {JobchartError} `FORBIDDEN` one of the scopes redacts one of the fields: that a job is found by it would tell it.
 */
export function searchedBy(who: Principal, scopes: readonly Scope[], fields: readonly string[]): readonly Scope[] {
  const redacted = fields.find((field) => scopes.some(({ redact }) => redact?.includes(field)))
  if (redacted === undefined) return scopes.map(({ redact, ...scope }) => scope)
  const text = `"${who.id}" may not filter by "${redacted}", which is redacted in some of what is listed`
  throw new JobchartError('FORBIDDEN', text, { issues: [{ message: 'is redacted', path: [redacted] }] })
}

/** The scopes of a principal's own jobs: those of everybody's that an own scope holds anyway are left out. */
export function ownScopes(who: Principal, scopes: readonly Scope[]): readonly Scope[] {
  const own = scopes.filter(({ createdBy = who.id }) => createdBy === who.id)
  const open = own.filter(({ redact = [] }) => redact.length === 0)
  return own.filter(
    (scope) => open.includes(scope) || !open.some((other) => holds(other, { ...scope, createdBy: who.id })),
  )
}

/** Whether every job of a scope is in another too. */
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

function targetOf({ id: jobId, tenant, type, createdBy, labels, pipeline, status }: Known): Target {
  return { jobId, tenant, type, createdBy, labels, status, ...(pipeline === undefined ? {} : { pipeline }) }
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
