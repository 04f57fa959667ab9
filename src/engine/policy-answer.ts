import { JobchartError } from '../model/error.ts'
import type { Action, Principal, Private, Scope, Target, Verdict } from '../port/policy.ts'
import type { Core } from './core.ts'

/** How long a policy may take to answer. */
const ANSWER_MS_MAX = 5_000

/** Asks the policy; whatever is no answer of the port is a denial (P2). */
export function askVerdict(
  core: Core,
  who: Principal,
  action: Action,
  target: Target,
  signal: AbortSignal | undefined,
): Verdict | Promise<Verdict> {
  const given = answer<unknown>(core, () => core.policy.authorize(who, action, target), 'deny', signal)
  return given instanceof Promise ? given.then(verdictOf) : verdictOf(given)
}

function verdictOf(given: unknown): Verdict {
  return isVerdict(given) ? given : 'deny'
}

/** Asks the policy for the scopes of an action; undefined: it shows nothing. */
export async function askScopes(
  core: Core,
  who: Principal,
  action: Action,
  signal: AbortSignal | undefined,
): Promise<readonly Scope[] | undefined> {
  const scopes: unknown = await answer<unknown>(core, () => core.policy.scope(who, action), false, signal)
  return Array.isArray(scopes) && scopes.length > 0 && scopes.every(isScope) ? scopes : undefined
}

function isVerdict(value: unknown): value is Verdict {
  if (typeof value !== 'object' || value === null) return value === 'allow' || value === 'deny' || value === 'hide'
  if (!('redact' in value) || !isNames(value.redact)) return false
  return !('open' in value) || value.open === undefined || (isNames(value.open) && value.open.every(isPrivate))
}

const PRIVATE: ReadonlySet<string> = new Set(['context', 'tasks', 'emitted'] satisfies Private[])

// One that is misspelt would open nothing, and look as if it did.
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

const SCOPE_KEYS: ReadonlySet<string> = new Set(['tenant', 'createdBy', 'type', 'pipeline'])

function isLabels(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false
  return Object.values(value).every((each) => typeof each === 'string')
}

function isNames(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((each) => typeof each === 'string')
}

// P2: a throw, a rejection, and silence are denials. What is answered at once is not waited for.
function answer<Answer>(
  core: Core,
  run: () => Answer | PromiseLike<Answer>,
  denial: Answer,
  signal: AbortSignal | undefined,
): Answer | Promise<Answer> {
  try {
    const given = run()
    return isPromiseLike(given) ? awaited(core, given, denial, signal) : given
  } catch {
    return denial
  }
}

// Whoever has given up waiting is told so, not denied.
async function awaited<Answer>(
  core: Core,
  given: PromiseLike<Answer>,
  denial: Answer,
  signal: AbortSignal | undefined,
): Promise<Answer> {
  const silence = silenceOf(core, signal)
  try {
    const answered = await Promise.race([given, silence.begins()])
    if (answered !== silence) return answered as Answer
  } catch {
    // An answer like any other: who has given up is not told that the policy failed.
    return denial
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

/** Whether a value is to be waited for. */
export function isPromiseLike<Value>(value: Value | PromiseLike<Value>): value is PromiseLike<Value> {
  return typeof value === 'object' && value !== null && 'then' in value
}
