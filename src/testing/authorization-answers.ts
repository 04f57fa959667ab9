import { systemClock } from 'jobchart'
import { PRIVATE_PARTS } from '../model/private.ts'
import type { Policy, Principal, Scope, Target } from '../port/policy.ts'
import type { Question } from './authorization-samples.ts'

/** Arguments of the checks of a policy. */
export interface PolicyBench {
  readonly policy: Policy
  readonly principals: readonly Principal[]
  readonly targets: readonly Target[]
  /** Time limit for one answer of the policy, in milliseconds. */
  readonly answerMsMax: number
}

/** Checks by name. A name begins with the number of the guarantee of the port or of the kit. */
export interface PolicyChecks {
  readonly [name: string]: (bench: PolicyBench) => Promise<void>
}

/** Actions whose answer is a scope. */
export type ManyAction = 'list' | 'listAll' | 'listPipelines' | 'events'

/** The most questions that are asked at the same time. */
const AT_ONCE = 100

/** The answers to questions, in their order. @throws {Error} as {@link verdictOn} */
export async function verdictsOn(bench: PolicyBench, questions: readonly Question[]): Promise<readonly unknown[]> {
  const answers: unknown[] = []
  for (let from = 0; from < questions.length; from += AT_ONCE) {
    const some = questions.slice(from, from + AT_ONCE)
    answers.push(...(await Promise.all(some.map((question) => verdictOn(bench, question)))))
  }
  return answers
}

/** The policy's answer. @throws {Error} the policy throws, rejects, or does not answer in time. */
export async function verdictOn(bench: PolicyBench, { who, action, target }: Question): Promise<unknown> {
  return await answerOf(bench, `authorize(${said(who)}, ${said(action)}, ${said(target)})`, () =>
    bench.policy.authorize(who, action, target),
  )
}

/**
 * The scopes that the policy gives, each with its tenant; an empty list for `false`.
 *
 * @throws {Error} as {@link verdictOn}, and if the answer is not a list of scopes.
 */
export async function scopesOf(bench: PolicyBench, who: Principal, action: ManyAction): Promise<readonly Scope[]> {
  const answer = await scopeAnswer(bench, who, action)
  if (answer === false) return []
  const wrong = wrongInScopes(answer)
  if (wrong !== undefined) throw new Error(`scope(${said(who)}, ${said(action)}) gives ${wrong}`)
  // Checked above. A scope without a tenant covers the principal's own.
  return (answer as readonly Scope[]).map((scope) => ({ ...scope, tenant: scope.tenant ?? who.tenant }))
}

/** The unchanged answer of `scope`. @throws {Error} as {@link verdictOn} */
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

/** The policy did not answer in time. */
export class Late extends Error {}

/** The answer. @throws {Late} there is none within `msMax` milliseconds. */
export async function inTime<Answer>(answer: PromiseLike<Answer>, msMax: number): Promise<Answer> {
  let cancel = () => {}
  const silence = new Promise<never>((_, reject) => {
    cancel = systemClock().timer(msMax, () => reject(new Late(`does not answer in ${msMax} ms`)))
  })
  try {
    return await Promise.race([answer, silence])
  } finally {
    cancel()
  }
}

/** Whether a policy answered with a promise and not with a value. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value
}

/** Whether the verdict shows the job, or allows the action. */
export function isShown(verdict: unknown): boolean {
  return verdict === 'allow' || (typeof verdict === 'object' && verdict !== null)
}

/** The fields that a verdict redacts. */
export function redactedBy(verdict: unknown): readonly string[] {
  if (typeof verdict !== 'object' || verdict === null || !('redact' in verdict)) return []
  return Array.isArray(verdict.redact) ? verdict.redact.filter((field) => typeof field === 'string') : []
}

/** Whether the scope covers the target. */
export function covers({ tenant, createdBy, type, pipeline, labels = {} }: Scope, target: Target): boolean {
  const isSame = (asked: string | undefined, found: string | undefined) => asked === undefined || asked === found
  return (
    isSame(tenant, target.tenant) &&
    isSame(createdBy, target.createdBy) &&
    isSame(type, target.type) &&
    isSame(pipeline, target.pipeline) &&
    Object.entries(labels).every(([name, value]) => Object.hasOwn(target.labels, name) && target.labels[name] === value)
  )
}

const PRIVATE: readonly unknown[] = PRIVATE_PARTS

/** The reason why a verdict is invalid; undefined: it is valid. */
export function wrongInVerdict(verdict: unknown): string | undefined {
  if (verdict === 'allow' || verdict === 'deny' || verdict === 'hide') return undefined
  if (typeof verdict !== 'object' || verdict === null || !('redact' in verdict) || !isNames(verdict.redact)) {
    return `${said(verdict)}, where 'allow', 'deny', 'hide' or { redact: [fields], open?: [parts] } is expected`
  }
  const open = 'open' in verdict ? verdict.open : undefined
  if (open === undefined || (isNames(open) && open.every((part) => PRIVATE.includes(part)))) return undefined
  return `open: ${said(open)}, where a list of ${PRIVATE.join(', ')} is expected`
}

const SCOPE_FIELDS: readonly string[] = ['tenant', 'createdBy', 'type', 'pipeline']

/** The reason why scopes are invalid; undefined: they are valid. */
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

/** A value as text for a message. */
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
