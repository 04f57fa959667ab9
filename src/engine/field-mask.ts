/**
 * Which fields of a job or a pipeline are hidden from the caller.
 *
 * A mask comes from the policy's verdict. It is applied where a view, an event or an error leaves the session.
 */
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { PRIVATE_PARTS, type Private } from '../model/private.ts'
import type { Verdict } from '../port/policy.ts'

/** Which fields of a job or a pipeline are hidden from the caller. */
export interface FieldMask {
  /** All hidden parts: fields of the view, and other parts that may repeat a redacted field. */
  readonly hidden: ReadonlySet<string>
  /** The private parts that are shown. */
  readonly open: ReadonlySet<Private>
  /** The hidden fields of the view, by their names there. */
  readonly redacted: readonly string[]
  /** Equal for masks that hide the same. */
  readonly key: string
}

/** A verdict that shows the job. */
export type ShowingVerdict = Exclude<Verdict, 'deny' | 'hide'>

/** Hides nothing, and opens nothing that is private. */
export const WHOLE: FieldMask = { hidden: new Set(), open: new Set(), redacted: [], key: 'whole' }

/** Hides nothing and opens everything. For the engine's own session. */
export const ALL: FieldMask = {
  hidden: new Set(),
  open: new Set(PRIVATE_PARTS),
  redacted: [],
  key: 'all',
}

/** Fields of a view that may repeat the input. */
const REPEATING = ['output', 'error', 'message'] as const
/** Other parts that may repeat the input. */
const REPEATING_BESIDE = ['reason', 'logs', 'items', 'emitted'] as const
/** Fields that identify and order jobs. Always shown. */
const ALWAYS: ReadonlySet<string> = new Set(['id', 'createdAt'])

/** The mask of a job, from the verdict and the type's `safe` parts. */
export function jobMask(verdict: ShowingVerdict, safe: AnyJobType['safe'] | undefined): FieldMask {
  if (verdict === 'allow') return WHOLE
  const { redact, open } = verdict
  const isUnsafe = (part: (typeof REPEATING)[number] | (typeof REPEATING_BESIDE)[number]) => safe?.has(part) !== true
  const takesInput = redact.includes('input')
  return maskOf(
    [
      ...redact,
      ...(takesInput ? REPEATING.filter(isUnsafe) : []),
      // The last update of an ended job is its end, so `updatedAt` would reveal `endedAt`.
      ...(redact.includes('endedAt') ? ['updatedAt'] : []),
    ],
    [
      ...(takesInput ? [...REPEATING_BESIDE.filter(isUnsafe), 'context', 'tasks'] : []),
      // The status is derived from the state, so the state would reveal it.
      ...(redact.includes('status') ? ['state'] : []),
    ],
    open,
  )
}

/** The mask of a pipeline, from the verdict. */
export function pipelineMask(verdict: ShowingVerdict): FieldMask {
  if (verdict === 'allow') return WHOLE
  const { redact, open } = verdict
  return maskOf(redact.includes('paused') ? [...redact, 'pausedBy'] : redact, [], open)
}

/** Hides what either mask hides, and opens what both open. */
export function narrower(a: FieldMask, b: FieldMask): FieldMask {
  if (a.key === b.key) return a
  const open = [...a.open].filter((part) => b.open.has(part))
  return maskOf([...a.redacted, ...b.redacted], [...a.hidden, ...b.hidden], open)
}

function maskOf(fields: readonly string[], beside: readonly string[], open: readonly Private[] = []): FieldMask {
  // Frozen, because views share the list.
  const redacted = Object.freeze([...new Set(fields.filter((field) => !ALWAYS.has(field)))].sort())
  const hidden = new Set([...redacted, ...beside])
  return { hidden, open: new Set(open), redacted, key: JSON.stringify([[...hidden].sort(), [...open].sort()]) }
}

/**
 * A copy of a record without hidden fields. If nothing is hidden, the record itself.
 *
 * @param tells  the field of the job that a field of the record reveals; `undefined`: none. Default: the field with the
 * same name.
 */
export function masked<Shown extends object>(
  record: Shown,
  { hidden }: FieldMask,
  tells: (field: string) => string | undefined = (field) => field,
): Shown {
  if (hidden.size === 0) return record
  const shown = Object.entries(record).filter(([field]) => {
    const told = tells(field)
    return told === undefined || !hidden.has(told)
  })
  // Only hidden fields are missing, so the cast is safe.
  return Object.fromEntries(shown) as Shown
}

/** A record without hidden fields. Its `redacted` lists them. */
export function namingMasked<Shown extends { readonly redacted?: readonly string[] }>(
  record: Shown,
  mask: FieldMask,
  tells?: (field: string) => string | undefined,
): Shown {
  const shown = masked(record, mask, tells)
  return mask.redacted.length === 0 ? shown : { ...shown, redacted: mask.redacted }
}

/** Replaces an error whose message could reveal a hidden field. Its code is kept. */
export function maskedError(error: unknown, { hidden }: FieldMask): unknown {
  const mayTell =
    error instanceof JobchartError && ['status', 'type', 'version', 'pipeline'].some((field) => hidden.has(field))
  if (!mayTell) return error
  const { code, jobId, path } = error
  const issues = error.issues === undefined ? {} : { issues: error.issues }
  const where = { ...(jobId === undefined ? {} : { jobId }), ...(path === undefined ? {} : { path }) }
  return new JobchartError(code, 'the job does not take this', { ...issues, ...where })
}
