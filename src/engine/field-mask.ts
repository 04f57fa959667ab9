/**
 * Which fields of a job or a pipeline are hidden from who asks.
 *
 * A mask is made of the policy's verdict, and applied where a view, an event or an error leaves the session.
 */
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { PRIVATE_PARTS, type Private } from '../model/private.ts'
import type { Verdict } from '../port/policy.ts'

/** Which fields of a job or a pipeline are hidden from who asks. */
export interface FieldMask {
  /** All that is left out: fields of the view, and other parts that may repeat what is redacted. */
  readonly hidden: ReadonlySet<string>
  /** The private parts that are shown. */
  readonly open: ReadonlySet<Private>
  /** The fields of the view that are left out, as the view names them. */
  readonly redacted: readonly string[]
  /** Equal for masks that hide the same. */
  readonly key: string
}

/** A verdict that shows the job. */
export type ShowingVerdict = Exclude<Verdict, 'deny' | 'hide'>

/** Hides nothing, and opens nothing that is private. */
export const WHOLE: FieldMask = { hidden: new Set(), open: new Set(), redacted: [], key: 'whole' }

/** Hides nothing and opens everything: for the engine's own session. */
export const ALL: FieldMask = {
  hidden: new Set(),
  open: new Set(PRIVATE_PARTS),
  redacted: [],
  key: 'all',
}

/** Fields of a view in which the input may be repeated. */
const REPEATING = ['output', 'error', 'message'] as const
/** The same, of what is no field of a view. */
const REPEATING_BESIDE = ['reason', 'logs', 'items', 'emitted'] as const
/** By these a job is found and ordered: they are shown with anything else. */
const ALWAYS: ReadonlySet<string> = new Set(['id', 'createdAt'])

/** The mask of a job, by the verdict on it and by what its type names safe. */
export function jobMask(verdict: ShowingVerdict, safe: AnyJobType['safe'] | undefined): FieldMask {
  if (verdict === 'allow') return WHOLE
  const { redact, open } = verdict
  const isUnsafe = (part: (typeof REPEATING)[number] | (typeof REPEATING_BESIDE)[number]) => safe?.has(part) !== true
  const takesInput = redact.includes('input')
  return maskOf(
    [
      ...redact,
      ...(takesInput ? REPEATING.filter(isUnsafe) : []),
      // An ended job's last update is its end.
      ...(redact.includes('endedAt') ? ['updatedAt'] : []),
    ],
    [
      ...(takesInput ? [...REPEATING_BESIDE.filter(isUnsafe), 'context', 'tasks'] : []),
      // The label is made of it.
      ...(redact.includes('status') ? ['state'] : []),
    ],
    open,
  )
}

/** The mask of a pipeline, by the verdict on it. */
export function pipelineMask(verdict: ShowingVerdict): FieldMask {
  if (verdict === 'allow') return WHOLE
  const { redact, open } = verdict
  return maskOf(redact.includes('paused') ? [...redact, 'pausedBy'] : redact, [], open)
}

/** Hides what either hides, and opens what both open. */
export function narrower(a: FieldMask, b: FieldMask): FieldMask {
  if (a.key === b.key) return a
  const open = [...a.open].filter((part) => b.open.has(part))
  return maskOf([...a.redacted, ...b.redacted], [...a.hidden, ...b.hidden], open)
}

function maskOf(fields: readonly string[], beside: readonly string[], open: readonly Private[] = []): FieldMask {
  // Frozen, since each view that names them shares the list.
  const redacted = Object.freeze([...new Set(fields.filter((field) => !ALWAYS.has(field)))].sort())
  const hidden = new Set([...redacted, ...beside])
  return { hidden, open: new Set(open), redacted, key: JSON.stringify([[...hidden].sort(), [...open].sort()]) }
}

/**
 * A record without the fields that the mask hides. Where nothing is hidden, it is the record itself.
 *
 * @param tells  which field of the job a field of the record tells; undefined: none. Default: that of the same name.
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
  // All that the record always has stands in it, but for what is hidden.
  return Object.fromEntries(shown) as Shown
}

/** A record without what the mask hides, which names the fields that were left out. */
export function namingMasked<Shown extends { readonly redacted?: readonly string[] }>(
  record: Shown,
  mask: FieldMask,
  tells?: (field: string) => string | undefined,
): Shown {
  const shown = masked(record, mask, tells)
  return mask.redacted.length === 0 ? shown : { ...shown, redacted: mask.redacted }
}

/** A refusal without words that would tell what the mask hides: its code says enough. */
export function maskedError(error: unknown, { hidden }: FieldMask): unknown {
  const mayTell =
    error instanceof JobchartError && ['status', 'type', 'version', 'pipeline'].some((field) => hidden.has(field))
  if (!mayTell) return error
  const { code, jobId, path } = error
  const issues = error.issues === undefined ? {} : { issues: error.issues }
  const where = { ...(jobId === undefined ? {} : { jobId }), ...(path === undefined ? {} : { path }) }
  return new JobchartError(code, 'the job does not take this', { ...issues, ...where })
}
