import { isUnreadable, JobchartError, jobNotFound, pipelineNotFound } from '../model/error.ts'
import type { Job } from '../model/job.ts'
import type { Pipeline } from '../model/pipeline.ts'
import type { Action, PipelineAction, Principal, Scope, Target, Verdict } from '../port/policy.ts'
import type { Core } from './core.ts'

/** How long a policy may take to answer. */
const ANSWER_MS_MAX = 5_000

/** What is asked of a policy about a job. */
export interface Question {
  readonly action: Action
  readonly command?: Target['command']
  /** Gives up waiting for the answer. */
  readonly signal?: AbortSignal | undefined
}

/**
 * Asks the policy about a job.
 *
 * @returns the fields that are redacted from what is shown.
 * @throws {JobchartError} `JOB_NOT_FOUND` it is hidden; `FORBIDDEN` it can be seen, but not this.
 */
export async function authorizeJob(
  core: Core,
  who: Principal,
  job: Job,
  { action, command, signal }: Question,
): Promise<readonly string[]> {
  if (job.deletedAt !== undefined) throw jobNotFound(job.id)
  const seen = targetOf(job)
  const target = command === undefined ? seen : { ...seen, command }
  const verdict = await ask(core, who, action, target, signal)
  if (isShown(verdict)) return redactedBy(verdict)
  // A denial says that there is a job, so it is only for who may know that.
  const isSeen = verdict === 'deny' && action !== 'get' && isShown(await ask(core, who, 'get', seen, signal))
  if (!isSeen) throw jobNotFound(job.id)
  const what = command === undefined ? action : `send "${command.name}" to`
  throw new JobchartError('FORBIDDEN', `"${who.id}" may not ${what} this job`, { jobId: job.id })
}

/** The fields of a job that are not for the principal's eyes; undefined: the job itself is not. */
export async function redactedFor(core: Core, who: Principal, job: Job): Promise<readonly string[] | undefined> {
  const verdict = job.deletedAt !== undefined ? 'hide' : await ask(core, who, 'get', targetOf(job), undefined)
  return isShown(verdict) ? redactedBy(verdict) : undefined
}

/** A refusal that names another job, without it where the asker may not see that job. */
export async function withoutHidden(core: Core, who: Principal, error: unknown): Promise<unknown> {
  if (!(error instanceof JobchartError) || error.code !== 'ALREADY_RUNNING' || error.jobId === undefined) return error
  const job = await core.storage.get(error.jobId).catch(absentIfBroken)
  const isSeen = job !== undefined && (await redactedFor(core, who, job)) !== undefined
  return isSeen ? error : new JobchartError(error.code, error.message)
}

/**
 * Asks the policy about a stored pipeline.
 *
 * @returns the fields that are redacted from what is shown.
 * @throws {JobchartError} `PIPELINE_NOT_FOUND` it is hidden; `FORBIDDEN` it can be seen, but not this.
 */
export async function authorizePipeline(
  core: Core,
  who: Principal,
  pipeline: Pipeline,
  action: PipelineAction,
  signal: AbortSignal | undefined,
): Promise<readonly string[]> {
  const { id, tenant, type, createdBy, labels } = pipeline
  const target = { tenant, type, createdBy, labels, pipeline: id }
  const verdict = await ask(core, who, action, target, signal)
  if (isShown(verdict)) return redactedBy(verdict)
  const mayBeSeen = verdict === 'deny' && action !== 'getPipeline'
  const isSeen = mayBeSeen && isShown(await ask(core, who, 'getPipeline', target, signal))
  throw isSeen ? forbidden(who, action, `pipeline "${id}"`) : pipelineNotFound(id)
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

/** @throws {JobchartError} `FORBIDDEN` */
export async function authorizeSubmit(
  core: Core,
  who: Principal,
  target: Target,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (isShown(await ask(core, who, 'submit', target, signal))) return
  throw new JobchartError('FORBIDDEN', `"${who.id}" may not submit jobs of type "${target.type}"`)
}

/** @throws {JobchartError} `FORBIDDEN` the principal may list nothing at all. */
export async function authorizeList(
  core: Core,
  who: Principal,
  signal: AbortSignal | undefined,
  action: 'list' | 'listPipelines' = 'list',
): Promise<readonly Scope[]> {
  if (who.kind === 'system') return [{}]
  const scopes: unknown = await answer(core, () => core.policy.scope(who, action), false, signal)
  // A scope that names no tenant is of the principal's own: only the engine's session sees them all.
  if (Array.isArray(scopes) && scopes.length > 0 && scopes.every(isScope)) {
    return scopes.map((scope) => ({ ...scope, tenant: scope.tenant ?? who.tenant }))
  }
  throw new JobchartError('FORBIDDEN', `"${who.id}" may not list ${action === 'list' ? 'jobs' : 'pipelines'}`)
}

function targetOf(job: Job): Target {
  const { id: jobId, tenant, type, createdBy, labels, pipeline, status } = job
  return { jobId, tenant, type, createdBy, labels, status, ...(pipeline === undefined ? {} : { pipeline }) }
}

async function ask(
  core: Core,
  who: Principal,
  action: Action,
  target: Target,
  signal: AbortSignal | undefined,
): Promise<Verdict> {
  if (who.kind === 'system') return 'allow'
  const verdict: unknown = await answer<unknown>(core, () => core.policy.authorize(who, action, target), 'deny', signal)
  return isVerdict(verdict) ? verdict : 'deny'
}

function isShown(verdict: Verdict): boolean {
  return verdict === 'allow' || typeof verdict === 'object'
}

function redactedBy(verdict: Verdict): readonly string[] {
  return typeof verdict === 'object' ? verdict.redact : []
}

// A policy is a user's code: what is no answer of the port is a denial (P2).
function isVerdict(value: unknown): value is Verdict {
  if (typeof value !== 'object' || value === null) return value === 'allow' || value === 'deny' || value === 'hide'
  return 'redact' in value && Array.isArray(value.redact) && value.redact.every((field) => typeof field === 'string')
}

function isScope(value: unknown): value is Scope {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.entries(value).every(([key, each]) => {
    if (each === undefined) return true
    return key === 'labels' ? isLabels(each) : SCOPE_KEYS.has(key) && typeof each === 'string'
  })
}

const SCOPE_KEYS: ReadonlySet<string> = new Set(['tenant', 'createdBy', 'type', 'pipeline'])

function isLabels(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).every((each) => typeof each === 'string')
}

// P2: a throw, a rejection, and silence are denials. Whoever has given up waiting is told so, not denied.
async function answer<Answer>(
  core: Core,
  run: () => Answer | PromiseLike<Answer>,
  denial: Answer,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const silence = silenceOf(core, signal)
  try {
    const given = run()
    if (!isPromiseLike(given)) return given
    const answered = await Promise.race([given, silence.begins()])
    if (answered !== silence) return answered as Answer
  } catch {
    // A denial, below.
  } finally {
    silence.ends()
  }
  signal?.throwIfAborted()
  if (core.stopped.aborted) throw new JobchartError('ENGINE_STOPPED', 'the engine was stopped meanwhile')
  return denial
}

/** What is waited for beside an answer: its time is over, the asker gives up, or the engine stops. */
function silenceOf({ clock, stopped }: Core, signal: AbortSignal | undefined) {
  let ends = () => {}
  const silence = {
    begins: () =>
      new Promise<unknown>((resolve) => {
        const end = () => resolve(silence)
        const cancel = clock.timer(ANSWER_MS_MAX, end)
        const signals = signal === undefined ? [stopped] : [stopped, signal]
        for (const each of signals) each.addEventListener('abort', end)
        ends = () => {
          cancel()
          for (const each of signals) each.removeEventListener('abort', end)
        }
      }),
    ends: () => ends(),
  }
  return silence
}

function isPromiseLike<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof value === 'object' && value !== null && 'then' in value
}

// Who may see it cannot be asked.
function absentIfBroken(error: unknown): undefined {
  if (!isUnreadable(error)) throw error
}
