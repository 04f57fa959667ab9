import type { AnyJobType } from '../model/definition.ts'
import { isUnreadable, JobchartError, jobNotFound, pipelineNotFound } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import type { Job, JobSummary } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import type { Action, PipelineAction, Principal, Scope, Target, Verdict } from '../port/policy.ts'
import type { Core } from './core.ts'
import { ALL, BARE, both, type Grant, grantOf, WHOLE } from './grant.ts'
import { askScopes, askVerdict } from './policy-answer.ts'

/** What is asked of a policy about a job. */
export interface Question {
  readonly action: Action
  readonly command?: Target['command']
  /** Gives up waiting for the answer. */
  readonly signal?: AbortSignal | undefined
}

/** A command as a policy is asked about it: with what its type says of who may send it. */
export function commandOf(
  type: Pick<AnyJobType, 'by' | 'cancel'> | undefined,
  name: string,
  isCancel = name === type?.cancel,
): NonNullable<Target['command']> {
  const by = type !== undefined && Object.hasOwn(type.by, name) ? type.by[name] : undefined
  return { name, isCancel, ...(by === undefined ? {} : { by }) }
}

/** What a policy may know of a job, of whatever is at hand. */
type Known = JobSummary & Pick<Job, 'deletedAt'>

/**
 * Asks the policy about a job that is not loaded yet, by what a policy may know of it: a job that may not be seen is never
 * read, so that its size tells nothing.
 *
 * @param question  may depend on the job's type.
 * @throws {JobchartError} as {@link authorizeJob}; `JOB_NOT_FOUND` too for an id that names none.
 */
export async function reach(
  core: Core,
  who: Principal,
  id: string,
  question: (head: JobSummary | undefined) => Question,
): Promise<{ readonly head: JobSummary; readonly grant: Grant }> {
  const head = await headOf(core, who, id)
  if (head !== undefined) return { head, grant: await authorizeJob(core, who, head, question(head)) }
  await askInVain(core, who, id, question(undefined))
  throw jobNotFound(id)
}

// Whose a broken one is cannot be asked.
async function headOf({ storage }: Core, who: Principal, id: string): Promise<JobSummary | undefined> {
  try {
    return await storage.head(id)
  } catch (error) {
    if (who.kind !== 'system' && isUnreadable(error)) return undefined
    throw error
  }
}

// P5: a policy that takes its time would else tell by it that there is a job. What it answers is not read.
async function askInVain(core: Core, who: Principal, id: string, { action, command, signal }: Question): Promise<void> {
  const jobId = typeof id === 'string' ? id : ''
  const absent: Target = { jobId, tenant: who.tenant, type: '', createdBy: '', labels: {}, status: '' }
  const target = command === undefined ? absent : { ...absent, command }
  const verdict = await ask(core, who, action, target, signal)
  if (verdict === 'deny' && action !== 'get') await ask(core, who, 'get', absent, signal)
}

/**
 * Asks the policy about a job.
 *
 * @returns what is shown of it.
 * @throws {JobchartError} `JOB_NOT_FOUND` it is hidden; `FORBIDDEN` it can be seen, but not this.
 */
export async function authorizeJob(
  core: Core,
  who: Principal,
  job: Known,
  { action, command, signal }: Question,
): Promise<Grant> {
  if (job.deletedAt !== undefined) throw jobNotFound(job.id)
  const seen = targetOf(job)
  const target = command === undefined ? seen : { ...seen, command }
  const verdict = await ask(core, who, action, target, signal)
  if (isShown(verdict)) return granted(core, who, verdict, job)
  // A denial says that there is a job, so it is only for who may know that.
  const isSeen = verdict === 'deny' && action !== 'get' && isShown(await ask(core, who, 'get', seen, signal))
  if (!isSeen) throw jobNotFound(job.id)
  const what = command === undefined ? action : `send "${command.name}" to`
  throw new JobchartError('FORBIDDEN', `"${who.id}" may not ${what} this job`, { jobId: job.id })
}

/** What a verdict on one action is, without an error for a refusal; undefined: it is refused. */
export async function allowed(
  core: Core,
  who: Principal,
  job: Known,
  { action, command, signal }: Question,
): Promise<Grant | undefined> {
  if (job.deletedAt !== undefined) return undefined
  const target = command === undefined ? targetOf(job) : { ...targetOf(job), command }
  const verdict = await ask(core, who, action, target, signal)
  return isShown(verdict) ? granted(core, who, verdict, job) : undefined
}

/**
 * What the answer to an action on a job shows of it: no more than `get` would, and where that shows nothing, that the job
 * is there, which who may act on it knows.
 */
export async function grantOfAnswer(core: Core, who: Principal, job: Known, grant: Grant): Promise<Grant> {
  if (who.kind === 'system') return grant
  return both(grant, (await allowed(core, who, job, { action: 'get' })) ?? BARE)
}

/**
 * Whether a job of the principal's own would show him what a grant hides of that which it is made from.
 *
 * @param fields  what it has from there.
 */
export async function wouldTell(
  core: Core,
  who: Principal,
  own: JobSummary,
  { hidden }: Grant,
  fields: readonly string[],
): Promise<boolean> {
  const kept = fields.filter((field) => hidden.has(field))
  if (kept.length === 0) return false
  const shown = await allowed(core, who, own, { action: 'get' })
  return shown !== undefined && kept.some((field) => !shown.hidden.has(field))
}

/** What is told of a row of the log to whom `events` of its job is allowed; undefined: nothing. An event knows no status. */
export function grantOfEvent(
  core: Core,
  who: Principal,
  { jobId, jobType: type, tenant, createdBy, pipeline, labels }: EventRow,
  signal: AbortSignal | undefined,
): Grant | undefined | Promise<Grant | undefined> {
  if (who.kind === 'system') return ALL
  const target = { jobId, tenant, type, createdBy, labels, ...(pipeline === undefined ? {} : { pipeline }) }
  const shown = (verdict: Verdict) => {
    if (!isShown(verdict)) return undefined
    return verdict === 'allow' ? WHOLE : grantOf(verdict, core.types.safeOf(type))
  }
  const verdict = askVerdict(core, who, 'events', target, signal)
  return verdict instanceof Promise ? verdict.then(shown) : shown(verdict)
}

/** A refusal that names another job, without it where the asker may not see that job. */
export async function withoutHidden(core: Core, who: Principal, error: unknown): Promise<unknown> {
  if (!(error instanceof JobchartError) || error.code !== 'ALREADY_RUNNING' || error.jobId === undefined) return error
  const head = await headOf(core, who, error.jobId)
  const isSeen = head !== undefined && (await allowed(core, who, head, { action: 'get' })) !== undefined
  return isSeen ? error : new JobchartError(error.code, error.message)
}

/**
 * Asks the policy about a stored pipeline.
 *
 * @returns what is shown of it.
 * @throws {JobchartError} `PIPELINE_NOT_FOUND` it is hidden; `FORBIDDEN` it can be seen, but not this.
 */
export async function authorizePipeline(
  core: Core,
  who: Principal,
  pipeline: Pipeline,
  action: PipelineAction,
  signal: AbortSignal | undefined,
): Promise<Grant> {
  const { id, tenant, type, createdBy, labels } = pipeline
  const target = { tenant, type, createdBy, labels, pipeline: id }
  const verdict = await ask(core, who, action, target, signal)
  if (isShown(verdict)) return grantOf(verdict, undefined)
  const mayBeSeen = verdict === 'deny' && action !== 'getPipeline'
  const isSeen = mayBeSeen && isShown(await ask(core, who, 'getPipeline', target, signal))
  throw isSeen ? forbidden(who, action, `pipeline "${id}"`) : pipelineNotFound(id)
}

/** What is shown of a pipeline to whom an action on it is allowed: no more than `getPipeline` would, where that shows it. */
export async function grantOfPipeline(
  core: Core,
  who: Principal,
  { id, tenant, type, createdBy, labels }: Pipeline,
  grant: Grant,
  signal: AbortSignal | undefined,
): Promise<Grant> {
  const verdict = await ask(core, who, 'getPipeline', { tenant, type, createdBy, labels, pipeline: id }, signal)
  return isShown(verdict) ? both(grant, grantOf(verdict, undefined)) : grant
}

/** P5, of a pipeline that is not there. @throws {JobchartError} `PIPELINE_NOT_FOUND` */
export async function refusePipeline(
  core: Core,
  who: Principal,
  id: string,
  action: PipelineAction,
  signal: AbortSignal | undefined,
): Promise<never> {
  const pipeline = typeof id === 'string' ? id : ''
  const absent: Target = { tenant: who.tenant, type: '', createdBy: '', labels: {}, pipeline }
  const verdict = await ask(core, who, action, absent, signal)
  if (verdict === 'deny' && action !== 'getPipeline') await ask(core, who, 'getPipeline', absent, signal)
  throw pipelineNotFound(id)
}

/** @throws {JobchartError} `FORBIDDEN` the principal may define no such pipeline. */
export async function authorizeDefine(
  core: Core,
  who: Principal,
  target: Target,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (isShown(await ask(core, who, 'definePipeline', target, signal))) return
  throw forbidden(who, 'definePipeline', `pipeline "${target.pipeline}" of jobs of type "${target.type}"`)
}

function forbidden(who: Principal, action: PipelineAction, what: string): JobchartError {
  return new JobchartError('FORBIDDEN', `"${who.id}" may not ${action.replace('Pipeline', '')} ${what}`)
}

/** @returns what the answer shows of the new job. @throws {JobchartError} `FORBIDDEN` */
export async function authorizeSubmit(
  core: Core,
  who: Principal,
  target: Target,
  signal: AbortSignal | undefined,
): Promise<Grant> {
  const verdict = await ask(core, who, 'submit', target, signal)
  if (isShown(verdict)) return who.kind === 'system' ? ALL : grantOf(verdict, core.types.safeOf(target.type))
  throw new JobchartError('FORBIDDEN', `"${who.id}" may not submit jobs of type "${target.type}"`)
}

/** Whether the principal may submit such a job. */
export async function maySubmit(
  core: Core,
  who: Principal,
  target: Target,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  return isShown(await ask(core, who, 'submit', target, signal))
}

/** What is asked for of many. */
const MANY = { list: 'list jobs', listPipelines: 'list pipelines', events: 'follow events' } as const

/** @throws {JobchartError} `FORBIDDEN` the principal may see nothing at all. */
export async function authorizeMany(
  core: Core,
  who: Principal,
  action: keyof typeof MANY,
  signal: AbortSignal | undefined,
): Promise<readonly Scope[]> {
  if (who.kind === 'system') return [{}]
  const scopes = await askScopes(core, who, action, signal)
  if (scopes === undefined) throw new JobchartError('FORBIDDEN', `"${who.id}" may not ${MANY[action]}`)
  // A scope that names no tenant is of the principal's own: only the engine's session sees them all.
  return scopes.map((scope) => ({ ...scope, tenant: scope.tenant ?? who.tenant }))
}

/** The scopes whose jobs may be searched by some fields: those that do not redact any of them. */
export function searchable(scopes: readonly Scope[], fields: readonly string[]): readonly Scope[] {
  return scopes
    .filter(({ redact = [] }) => !redact.some((field) => fields.includes(field)))
    .map(({ redact, ...scope }) => scope)
}

function granted(core: Core, who: Principal, verdict: Shown, job: Known): Grant {
  if (who.kind === 'system') return ALL
  return verdict === 'allow' ? WHOLE : grantOf(verdict, core.types.of(job)?.safe)
}

function targetOf({ id: jobId, tenant, type, createdBy, labels, pipeline, status }: Known): Target {
  return { jobId, tenant, type, createdBy, labels, status, ...(pipeline === undefined ? {} : { pipeline }) }
}

async function ask(
  core: Core,
  who: Principal,
  action: Action,
  target: Target,
  signal: AbortSignal | undefined,
): Promise<Verdict> {
  return who.kind === 'system' ? 'allow' : await askVerdict(core, who, action, target, signal)
}

type Shown = Exclude<Verdict, 'deny' | 'hide'>

function isShown(verdict: Verdict): verdict is Shown {
  return verdict === 'allow' || typeof verdict === 'object'
}
