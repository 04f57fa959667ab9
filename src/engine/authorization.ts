import { JobchartError, jobNotFound } from '../model/error.ts'
import type { Job } from '../model/job.ts'
import type { Action, Principal, Scope, Target, Verdict } from '../port/policy.ts'
import type { Core } from './core.ts'

/** How long a policy may take to answer. */
const ANSWER_MS_MAX = 5_000

/**
 * Asks the policy about a job.
 *
 * @returns the fields that are redacted from what is shown.
 * @throws {JobchartError} `JOB_NOT_FOUND` it is hidden; `FORBIDDEN` it can be seen, but not this.
 */
export async function authorizeJob(
  core: Core,
  who: Principal,
  action: Action,
  job: Job,
  command?: Target['command'],
): Promise<readonly string[]> {
  const target = { ...targetOf(job), ...(command === undefined ? {} : { command }) }
  const verdict = await ask(core, who, action, target)
  if (verdict === 'allow') return []
  if (typeof verdict === 'object') return verdict.redact
  // A denial says that there is a job, so it is only for who may know that.
  const isSeen = verdict === 'deny' && action !== 'get' && isShown(await ask(core, who, 'get', target))
  if (!isSeen) throw jobNotFound(job.id)
  const what = command === undefined ? action : `send "${command.name}" to`
  throw new JobchartError('FORBIDDEN', `"${who.id}" may not ${what} this job`, { jobId: job.id })
}

/** @throws {JobchartError} `FORBIDDEN` */
export async function authorizeSubmit(core: Core, who: Principal, target: Target): Promise<void> {
  if (isShown(await ask(core, who, 'submit', target))) return
  throw new JobchartError('FORBIDDEN', `"${who.id}" may not submit jobs of type "${target.type}"`)
}

/** @throws {JobchartError} `FORBIDDEN` the principal may list nothing at all. */
export async function authorizeList(core: Core, who: Principal): Promise<readonly Scope[]> {
  if (who.kind === 'system') return [{}]
  const scopes = await answer(core, () => core.policy.scope(who, 'list'), false)
  if (scopes !== false && scopes.length > 0) return scopes
  throw new JobchartError('FORBIDDEN', `"${who.id}" may not list jobs`)
}

/** What a policy may know of a job. */
function targetOf(job: Job): Target {
  const { id: jobId, tenant, type, createdBy, labels, pipeline, status } = job
  return { jobId, tenant, type, createdBy, labels, status, ...(pipeline === undefined ? {} : { pipeline }) }
}

async function ask(core: Core, who: Principal, action: Action, target: Target): Promise<Verdict> {
  if (who.kind === 'system') return 'allow'
  return await answer<Verdict>(core, () => core.policy.authorize(who, action, target), 'deny')
}

function isShown(verdict: Verdict): boolean {
  return verdict === 'allow' || typeof verdict === 'object'
}

// P2: a throw, a rejection, and silence are denials.
async function answer<Answer>(core: Core, run: () => Answer | PromiseLike<Answer>, denial: Answer): Promise<Answer> {
  let cancel = () => {}
  try {
    const given = run()
    if (!isPromiseLike(given)) return given
    const silence = new Promise<Answer>((resolve) => {
      cancel = core.clock.timer(ANSWER_MS_MAX, () => resolve(denial))
    })
    return await Promise.race([given, silence])
  } catch {
    return denial
  } finally {
    cancel()
  }
}

function isPromiseLike<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof value === 'object' && value !== null && 'then' in value
}
