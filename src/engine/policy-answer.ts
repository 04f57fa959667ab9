import { isPromiseLike, whenKnown } from '../context/soon.ts'
import { JobchartError } from '../model/error.ts'
import { PRIVATE_PARTS } from '../model/private.ts'
import type { Action, Principal, Scope, Target, Verdict } from '../port/policy.ts'
import type { Core } from './core.ts'
import type { FoundPrincipal } from './principal.ts'

/** How long a policy may take to answer, in milliseconds. */
const ANSWER_MS_MAX = 5_000

/** What a policy was asked, and by whom. */
export interface PolicyQuestion {
  readonly principal: Principal
  readonly action: Action
}

/** Called when a policy failed. */
export type OnPolicyError = (error: unknown, asked: PolicyQuestion) => unknown

/** Wraps a listener so that its errors are ignored. */
export function quietly(listener: OnPolicyError): (error: unknown, asked: PolicyQuestion) => void {
  return (error, asked) => {
    try {
      Promise.resolve(listener(error, asked)).catch(() => {})
    } catch {
      // The listener for errors has failed itself. Its error cannot be reported anywhere.
    }
  }
}

/** Asks the policy for a verdict. An invalid answer counts as a denial. */
export function askVerdict(
  core: Core,
  principal: Principal,
  action: Action,
  target: Target,
  signal: AbortSignal | undefined,
): Verdict | Promise<Verdict> {
  const asking: Asking = { core, asked: { principal, action }, signal }
  const given = answer<unknown>(asking, () => core.policy.authorize(principal, action, target))
  if (given === 'allow' || given === 'deny' || given === 'hide') return given
  return whenKnown(given, (each) => verdictOf(asking, each))
}

function verdictOf(asking: Asking, given: unknown): Verdict {
  if (given === FAILED) return 'deny'
  return isVerdict(given) ? given : refused(asking, 'deny')
}

/** Asks the policy for the scopes of an action. `undefined`: the principal may see nothing. */
export function askScopes(
  core: Core,
  principal: Principal,
  action: Action,
  signal: AbortSignal | undefined,
): readonly Scope[] | undefined | Promise<readonly Scope[] | undefined> {
  const asking: Asking = { core, asked: { principal, action }, signal }
  const given = answer<unknown>(asking, () => core.policy.scope(principal, action))
  return whenKnown(given, (each) => scopesOf(asking, each))
}

function scopesOf(asking: Asking, given: unknown): readonly Scope[] | undefined {
  if (given === FAILED || given === false || (Array.isArray(given) && given.length === 0)) return undefined
  return Array.isArray(given) && given.every(isScope) ? given : refused(asking, undefined)
}

/** Asks the host for a person's current rights. `undefined`: none. */
export async function askPrincipal(
  core: Core,
  principal: Principal,
  signal: AbortSignal | undefined,
): Promise<FoundPrincipal | undefined> {
  const asking: Asking = { core, asked: { principal, action: 'submit' }, signal }
  const found = await answer<unknown>(asking, () => core.findPrincipal?.(principal.id, principal.tenant))
  if (found === FAILED || found === undefined) return undefined
  return isFound(found) ? found : refused(asking, undefined)
}

function isFound(value: unknown): value is FoundPrincipal {
  if (typeof value !== 'object' || value === null) return typeof value === 'string'
  const { role = '', relations = {} } = value as { readonly role?: unknown; readonly relations?: unknown }
  return typeof role === 'string' && isLabels(relations)
}

function refused<Denial>({ core, asked }: Asking, denial: Denial): Denial {
  core.policyFailed(
    new TypeError(`the policy's answer to "${asked.action}" is not valid; see Policy in jobchart/port`),
    asked,
  )
  return denial
}

function isVerdict(value: unknown): value is Verdict {
  if (typeof value !== 'object' || value === null) return value === 'allow' || value === 'deny' || value === 'hide'
  if (!('redact' in value) || !isNames(value.redact)) return false
  return !('open' in value) || value.open === undefined || (isNames(value.open) && value.open.every(isPrivate))
}

const PRIVATE: ReadonlySet<string> = new Set(PRIVATE_PARTS)

// A misspelt name would silently open nothing, so it makes the answer invalid.
function isPrivate(name: string): boolean {
  return PRIVATE.has(name)
}

function isScope(value: unknown): value is Scope {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.entries(value).every(([key, each]) => {
    if (each === undefined) return true
    if (key === 'redact') return isNames(each)
    return key === 'labels' ? isLabels(each) : SCOPE_KEYS.has(key) && typeof each === 'string'
  })
}

const SCOPE_KEYS: ReadonlySet<string> = new Set(['tenant', 'createdBy', 'assignee', 'type', 'pipeline'])

function isLabels(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).every((each) => typeof each === 'string')
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

interface Asking {
  readonly core: Core
  readonly asked: PolicyQuestion
  readonly signal: AbortSignal | undefined
}

/** The result if the policy throws, rejects, or does not answer in time. It counts as a denial. */
const FAILED = Symbol('the policy failed')

// Runs a question to the policy. A synchronous answer is returned without a promise.
function answer<Answer>(
  asking: Asking,
  run: () => Answer | PromiseLike<Answer>,
): Answer | typeof FAILED | Promise<Answer | typeof FAILED> {
  try {
    const given = run()
    return isPromiseLike(given) ? awaited(asking, given) : given
  } catch (error) {
    return failed(asking, error)
  }
}

// If the caller's signal is aborted, this throws the signal's reason. It does not count as a denial.
async function awaited<Answer>(asking: Asking, given: PromiseLike<Answer>): Promise<Answer | typeof FAILED> {
  const { core, signal, asked } = asking
  const silence = silenceOf(core, signal)
  try {
    const answered = await Promise.race([given, silence.begins()])
    if (answered !== silence) return answered as Answer
  } catch (error) {
    // A rejection that comes after the caller's abort does not get here: the race is over by then.
    return failed(asking, error)
  } finally {
    silence.ends()
  }
  signal?.throwIfAborted()
  if (core.stopped.aborted) throw new JobchartError('ENGINE_STOPPED', 'the engine was stopped meanwhile')
  return failed(asking, new JobchartError('TIMEOUT', `the policy did not answer to "${asked.action}" in 5 s`))
}

function failed({ core, asked }: Asking, error: unknown): typeof FAILED {
  core.policyFailed(error, asked)
  return FAILED
}

/** Ends the wait for an answer when the time is over, the caller aborts, or the engine stops. */
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
