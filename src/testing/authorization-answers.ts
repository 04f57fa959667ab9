import { systemClock } from 'jobchart'
import { PRIVATE_PARTS } from '../model/private.ts'
import type { Policy, Principal, Scope, Target } from '../port/policy.ts'
import type { Question } from './authorization-samples.ts'

/** What the checks of a policy work with. */
export interface PolicyBench {
  readonly policy: Policy
  readonly principals: readonly Principal[]
  readonly targets: readonly Target[]
  /** How long the policy may take for one answer, in milliseconds. */
  readonly answerMsMax: number
}

/** Checks by their name, which begins with the number of the guarantee, or with that of what the kit adds. */
export interface PolicyChecks {
  readonly [name: string]: (bench: PolicyBench) => Promise<void>
}

/** What of many is asked for by a scope. */
export type ManyAction = 'list' | 'listAll' | 'listPipelines' | 'events'

/** Questions that are asked at once. */
const AT_ONCE = 100

/** The answers to questions, each in its place. @throws {Error} as {@link verdictOn} */
export async function verdictsOn(bench: PolicyBench, questions: readonly Question[]): Promise<readonly unknown[]> {
  const answers: unknown[] = []
  for (let from = 0; from < questions.length; from += AT_ONCE) {
    const some = questions.slice(from, from + AT_ONCE)
    answers.push(...(await Promise.all(some.map((question) => verdictOn(bench, question)))))
  }
  return answers
}

/** What the policy answers. @throws {Error} it throws, rejects, or does not answer in time. */
export async function verdictOn(bench: PolicyBench, { who, action, target }: Question): Promise<unknown> {
  return await answerOf(bench, `authorize(${said(who)}, ${said(action)}, ${said(target)})`, () =>
    bench.policy.authorize(who, action, target),
  )
}

/**
 * The scopes that the policy gives, none for `false`, each with the tenant that it is of.
 *
 * @throws {Error} as {@link verdictOn}, and for what is no list of scopes.
 */
export async function scopesOf(bench: PolicyBench, who: Principal, action: ManyAction): Promise<readonly Scope[]> {
  const answer = await scopeAnswer(bench, who, action)
  if (answer === false) return []
  const wrong = wrongInScopes(answer)
  if (wrong !== undefined) throw new Error(`scope(${said(who)}, ${said(action)}) gives ${wrong}`)
  // Looked at above. A scope without a tenant is of the principal's own.
  return (answer as readonly Scope[]).map((scope) => ({ ...scope, tenant: scope.tenant ?? who.tenant }))
}

/** What `scope` answers, as it is. @throws {Error} as {@link verdictOn} */
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

/** There was no answer in time. */
export class Late extends Error {}

/** What is answered. @throws {Late} it does not come in `msMax` milliseconds. */
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

/** A policy may answer at once, or later. */
export function isPromiseLike(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && 'then' in value
}

/** The verdict shows the job, or lets the action be done. */
export function isShown(verdict: unknown): boolean {
  return verdict === 'allow' || (typeof verdict === 'object' && verdict !== null)
}

/** The fields that a verdict redacts. */
export function redactedBy(verdict: unknown): readonly string[] {
  if (typeof verdict !== 'object' || verdict === null || !('redact' in verdict)) return []
  return Array.isArray(verdict.redact) ? verdict.redact.filter((field) => typeof field === 'string') : []
}

/** The target is one of those of the scope. */
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

/** What is wrong with a verdict; undefined: it is one of the port's. */
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

/** What is wrong with scopes; undefined: they are the port's. */
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

/** A value as a message names it. */
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
