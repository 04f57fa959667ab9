import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import type { Private, Verdict } from '../port/policy.ts'

/** What a verdict shows of a job, read once. */
export interface Grant {
  /** All that is left out: fields of the view, and other parts that may repeat what is redacted. */
  readonly hidden: ReadonlySet<string>
  readonly open: ReadonlySet<Private>
  /** The fields of the view that are left out, as they are named to who asks. */
  readonly redacted: readonly string[]
  /** Equal for grants that show the same. */
  readonly key: string
}

/** Nothing is left out, and nothing that is private shown. */
export const WHOLE: Grant = { hidden: new Set(), open: new Set(), redacted: [], key: 'whole' }

/** Everything is shown: for the engine's own session. */
export const ALL: Grant = {
  hidden: new Set(),
  open: new Set<Private>(['context', 'tasks', 'emitted']),
  redacted: [],
  key: 'all',
}

/** Parts of a view that the input may be repeated in. */
const DERIVED = ['output', 'error', 'message'] as const
/** The same, of what is no field of a view. */
const DERIVED_BESIDE = ['reason', 'logs', 'items', 'emitted'] as const
/** By these a job is found and ordered; who is shown anything is shown them. */
const ALWAYS: ReadonlySet<string> = new Set(['id', 'createdAt'])

const FIELDS = [
  ...['type', 'version', 'tenant', 'createdBy', 'trigger', 'pipeline', 'parentId', 'retryOf', 'retries', 'labels'],
  ...['status', 'phase', 'outcome', 'input', 'output', 'error', 'exitCode', 'message', 'progress', 'priority'],
  ...['startAt', 'admittedAt', 'startedAt', 'endedAt', 'updatedAt'],
]

/** Only that there is a job of this id. */
export const BARE: Grant = { hidden: new Set(FIELDS), open: new Set(), redacted: [...FIELDS].sort(), key: 'bare' }

/** What a verdict that shows the job shows of it. */
export function grantOf(verdict: Exclude<Verdict, 'deny' | 'hide'>, safe: AnyJobType['safe'] | undefined): Grant {
  if (verdict === 'allow') return WHOLE
  const { redact, open = [] } = verdict
  const named = redact.filter((field) => !ALWAYS.has(field))
  const isUnsafe = (part: (typeof DERIVED)[number] | (typeof DERIVED_BESIDE)[number]) => safe?.has(part) !== true
  const takesInput = named.includes('input')
  const derived = takesInput ? DERIVED.filter(isUnsafe) : []
  const beside = takesInput ? [...DERIVED_BESIDE.filter(isUnsafe), 'context', 'tasks'] : []
  const redacted = [...new Set([...named, ...derived])].sort()
  const hidden = [...redacted, ...beside]
  return { hidden: new Set(hidden), open: new Set(open), redacted, key: JSON.stringify([hidden, open]) }
}

/** Shows only what both show. */
export function both(a: Grant, b: Grant): Grant {
  if (a.hidden.size === 0 && a.open.size === 0) return b.open.size === 0 ? b : closed(b)
  if (b.hidden.size === 0 && b.open.size === 0) return closed(a)
  const hidden = [...new Set([...a.hidden, ...b.hidden])]
  const open = [...a.open].filter((part) => b.open.has(part))
  const redacted = [...new Set([...a.redacted, ...b.redacted])].sort()
  return { hidden: new Set(hidden), open: new Set(open), redacted, key: JSON.stringify([hidden, open]) }
}

function closed({ hidden, redacted }: Grant): Grant {
  return { hidden, open: new Set(), redacted, key: JSON.stringify([[...hidden], []]) }
}

/** A refusal, without words of it that would tell what the grant hides: its code says enough. */
export function withoutHiddenText(error: unknown, { hidden }: Grant): unknown {
  const mayTell = error instanceof JobchartError && ['status', 'type', 'version'].some((field) => hidden.has(field))
  if (!mayTell) return error
  const { code, jobId, path } = error
  const issues = error.issues === undefined ? {} : { issues: error.issues }
  const where = { ...(jobId === undefined ? {} : { jobId }), ...(path === undefined ? {} : { path }) }
  return new JobchartError(code, 'the job does not take this', { ...issues, ...where })
}
