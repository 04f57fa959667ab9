/**
 * Which fields of a job or a pipeline are hidden from the caller.
 *
 * A mask comes from the policy's verdict. It is applied where a view, an event or an error leaves the session.
 */
import { defined } from '../model/defined.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { PRIVATE_PARTS, type Private } from '../model/private.ts'
import type { Verdict } from '../port/policy.ts'

/** Which fields of a job or a pipeline are hidden from the caller. */
export interface FieldMask {
  /** All hidden parts: redacted fields of the view, and other parts that may repeat their values, e.g. log lines. */
  readonly hidden: ReadonlySet<string>
  /** The private parts that are shown, e.g. the chart's context. All other private parts are not shown. */
  readonly open: ReadonlySet<Private>
  /** The names of the hidden fields of the view. */
  readonly redacted: readonly string[]
  /** Equal for masks that hide and open the same. The events of a log row are cached under it. */
  readonly key: string
}

/** A verdict that allows the action: `'allow'`, or an object that says which fields are redacted. */
export type ShowingVerdict = Exclude<Verdict, 'deny' | 'hide'>

/** Hides nothing, and opens no private part. */
export const WHOLE: FieldMask = { hidden: new Set(), open: new Set(), redacted: [], key: 'whole' }

/** Hides nothing, and opens all private parts. For the engine's own session. */
export const ALL: FieldMask = {
  hidden: new Set(),
  open: new Set(PRIVATE_PARTS),
  redacted: [],
  key: 'all',
}

/**
 * Fields of a view that may repeat the input. They are hidden with the input, unless the job type lists them as `safe`.
 */
const REPEATING = ['output', 'error', 'message'] as const
/** Parts that are not fields of a view, and may repeat the input. They are hidden like the fields in `REPEATING`. */
const REPEATING_BESIDE = ['reason', 'logs', 'items', 'emitted'] as const
/** Fields of an item that are hidden if the job's field of the same name is redacted. */
const OF_ITEMS: ReadonlySet<string> = new Set(['input', 'output', 'error', 'message'])
/** Fields that identify and order jobs. Always shown. */
const ALWAYS: ReadonlySet<string> = new Set(['id', 'createdAt'])

/**
 * Makes the mask for a job from the policy's verdict. `safe` parts of the job type stay visible when the input is
 * hidden.
 */
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
      // Only agents to which the job is assigned can run it, so the agent would reveal the assignment.
      ...(redact.includes('assignment') ? ['agent'] : []),
    ],
    [
      ...(takesInput ? [...REPEATING_BESIDE.filter(isUnsafe), 'context', 'tasks'] : []),
      // The status is derived from the state, so the state would reveal it.
      ...(redact.includes('status') ? ['state'] : []),
      ...redact.filter((field) => OF_ITEMS.has(field)).map((field) => `items.${field}`),
    ],
    open,
  )
}

/** Makes the mask for a pipeline from the policy's verdict. */
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
 * @param tells  returns the job's field that a field of the record reveals; `undefined`: none. Example: the field `to`
 * of an event reveals the job's `status`. Default: the field with the same name.
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

/** A copy of a record without hidden fields. Its field `redacted` lists their names. */
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
  const { code, issues, jobId, path } = error
  return new JobchartError(code, 'the job does not take this', defined({ issues, jobId, path }))
}
