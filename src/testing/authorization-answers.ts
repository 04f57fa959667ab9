import { systemClock } from 'jobchart'
import { PRIVATE_PARTS } from '../model/private.ts'
import type { Policy, Principal, Scope, Target } from '../port/policy.ts'
import type { Question } from './authorization-samples.ts'

/** What each check of a policy gets: the policy, and whom and what to ask about. */
export interface PolicyBench {
  readonly policy: Policy
  readonly principals: readonly Principal[]
  readonly targets: readonly Target[]
  /** How long the policy may take for one answer, in milliseconds. */
  readonly answerMsMax: number
}

/** Checks by name. A name begins with the number of the guarantee that it checks, e.g. P4. */
export interface PolicyChecks {
  readonly [name: string]: (bench: PolicyBench) => Promise<void>
}

/** The actions that are answered by `scope` rather than by `authorize`. */
export type ManyAction = 'list' | 'listAll' | 'listPipelines' | 'events'

/** How many questions are asked at the same time, at most. */
const AT_ONCE = 100

/**
 * The policy's answers to the questions, in the same order.
 *
 * @throws {Error} for the same reasons as {@link verdictOn}.
 */
export async function verdictsOn(bench: PolicyBench, questions: readonly Question[]): Promise<readonly unknown[]> {
  const answers: unknown[] = []
  for (let from = 0; from < questions.length; from += AT_ONCE) {
    const some = questions.slice(from, from + AT_ONCE)
    answers.push(...(await Promise.all(some.map((question) => verdictOn(bench, question)))))
  }
  return answers
}

/**
 * The policy's answer to one question.
 *
 * @throws {Error} the policy throws, rejects, or does not answer in time.
 */
export async function verdictOn(bench: PolicyBench, { who, action, target }: Question): Promise<unknown> {
  return await answerOf(bench, `authorize(${said(who)}, ${said(action)}, ${said(target)})`, () =>
    bench.policy.authorize(who, action, target),
  )
}

/**
 * The scopes that the policy gives for an action. Each one has its tenant filled in. If the policy answers `false`, the
 * list is empty.
 *
 * @throws {Error} for the same reasons as {@link verdictOn}, or the answer is not a list of scopes.
 */
export async function scopesOf(bench: PolicyBench, who: Principal, action: ManyAction): Promise<readonly Scope[]> {
  const answer = await scopeAnswer(bench, who, action)
  if (answer === false) return []
  const wrong = wrongInScopes(answer)
  if (wrong !== undefined) throw new Error(`scope(${said(who)}, ${said(action)}) gives ${wrong}`)
  // The check above makes the cast safe. A scope without a tenant covers the principal's own tenant.
  return (answer as readonly Scope[]).map((scope) => ({ ...scope, tenant: scope.tenant ?? who.tenant }))
}

/**
 * The policy's answer to `scope`, unchecked and unchanged.
 *
 * @throws {Error} for the same reasons as {@link verdictOn}.
 */
export async function scopeAnswer(bench: PolicyBench, who: Principal, action: ManyAction): Promise<unknown> {
  return await answerOf(bench, `scope(${said(who)}, ${said(action)})`, () => bench.policy.scope(who, action))
}

async function answerOf({ answerMsMax }: PolicyBench, call: string, run: () => unknown): Promise<unknown> {
  let given: unknown
  try {
    given = run()
    if (!isPromiseLike(given)) return given
  } catch (error) {
    throw new Error(`${call} throws: ${textOf(error)}`, { cause: error })
  }
  try {
    return await inTime(given, answerMsMax)
  } catch (error) {
    if (error instanceof Late) throw new Error(`${call} ${error.message}`)
    throw new Error(`${call} rejects: ${textOf(error)}`, { cause: error })
  }
}

/** Thrown if the policy did not answer in time. */
export class Late extends Error {}

/**
 * Waits for the answer.
 *
 * @param late  what the error says if there is no answer in time.
 * @throws {Late} there is no answer within `msMax` milliseconds.
 */
export async function inTime<Answer>(
  answer: PromiseLike<Answer>,
  msMax: number,
  late = 'does not answer',
): Promise<Answer> {
  let cancel = () => {}
  const silence = new Promise<never>((_, reject) => {
    cancel = systemClock().timer(msMax, () => reject(new Late(`${late} in ${msMax} ms`)))
  })
  try {
    return await Promise.race([answer, silence])
  } finally {
    cancel()
  }
}

/** Whether the policy's answer is a promise. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value
}

/** Whether the verdict shows the job or allows the action. */
export function isShown(verdict: unknown): boolean {
  return verdict === 'allow' || (typeof verdict === 'object' && verdict !== null)
}

/** The fields that a verdict redacts. */
export function redactedBy(verdict: unknown): readonly string[] {
  if (typeof verdict !== 'object' || verdict === null || !('redact' in verdict)) return []
  return Array.isArray(verdict.redact) ? verdict.redact.filter((field) => typeof field === 'string') : []
}

/** Whether the scope covers the target. */
export function covers({ tenant, createdBy, assignee, type, pipeline, labels = {} }: Scope, target: Target): boolean {
  const isSame = (asked: string | undefined, found: string | undefined) => asked === undefined || asked === found
  return (
    isSame(tenant, target.tenant) &&
    isSame(createdBy, target.createdBy) &&
    isSame(assignee, target.assignee) &&
    isSame(type, target.type) &&
    isSame(pipeline, target.pipeline) &&
    Object.entries(labels).every(([name, value]) => Object.hasOwn(target.labels, name) && target.labels[name] === value)
  )
}

const PRIVATE: readonly unknown[] = PRIVATE_PARTS

/** Says why a verdict is invalid. `undefined`: it is valid. */
export function wrongInVerdict(verdict: unknown): string | undefined {
  if (verdict === 'allow' || verdict === 'deny' || verdict === 'hide') return undefined
  if (typeof verdict !== 'object' || verdict === null || !('redact' in verdict) || !isNames(verdict.redact)) {
    return `${said(verdict)}, where 'allow', 'deny', 'hide' or { redact: [fields], open?: [parts] } is expected`
  }
  const open = 'open' in verdict ? verdict.open : undefined
  if (open === undefined || (isNames(open) && open.every((part) => PRIVATE.includes(part)))) return undefined
  return `open: ${said(open)}, where a list of ${PRIVATE.join(', ')} is expected`
}

const SCOPE_FIELDS: readonly string[] = ['tenant', 'createdBy', 'assignee', 'type', 'pipeline']

/** Says why scopes are invalid. `undefined`: they are valid. */
export function wrongInScopes(scopes: unknown): string | undefined {
  if (scopes === false) return undefined
  if (!Array.isArray(scopes)) return `${said(scopes)}, where false or a list of scopes is expected`
  const wrong = scopes.find((scope) => !isScope(scope))
  return wrong === undefined ? undefined : `the scope ${said(wrong)}, which has a field that the port does not know`
}

function isScope(scope: unknown): boolean {
  if (typeof scope !== 'object' || scope === null || Array.isArray(scope)) return false
  return Object.entries(scope).every(([field, value]) => {
    if (value === undefined) return true
    if (field === 'redact') return isNames(value)
    if (field === 'labels') return typeof value === 'object' && value !== null && isNames(Object.values(value))
    return SCOPE_FIELDS.includes(field) && typeof value === 'string'
  })
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

/** The value as text for a message. */
export function said(value: unknown): string {
  try {
    return JSON.stringify(value) ?? String(value)
  } catch {
    return String(value)
  }
}

function textOf(error: unknown): string {
  return error instanceof Error ? error.message : said(error)
}
