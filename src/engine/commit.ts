/**
 * Commits, and finds out the result if the answer was lost.
 *
 * ```
 *  commit ─ applied or refused, each ────────────────────────────▶ results
 *     │ nothing was written ─▶ each changeset alone, so that one bad changeset harms no other
 *     │ unknown ─▶ landed? ─▶ those that did are applied; the others are tried again, alone
 * ```
 */
import { JobchartError } from '../model/error.ts'
import type {
  Changeset,
  ChangesetResult,
  Claim,
  Claimed,
  StorageConnection,
  StoredEvents,
  WrittenRow,
} from '../port/storage.ts'

/** The result of a changeset. `failed`: it was not written, or its outcome is unknown. */
export type CommitResult = ChangesetResult | { readonly status: 'failed'; readonly error: unknown }

/** The result of a tick's commit. */
export interface Committed {
  readonly results: readonly CommitResult[]
  readonly claimed: readonly Claimed[]
  /** The rows written by a claim whose answer was lost. */
  readonly unheard: readonly WrittenRow[]
  /** The storage answered with an error, so the claim must be made again. */
  readonly isFailed: boolean
  /** Something may have been written without an answer. The rows tell which tasks were claimed. */
  readonly isUncertain: boolean
}

/** How often a changeset that was not written is tried again. */
const TRIES_MAX = 3

/**
 * Commits, and finds out the result. Never rejects.
 *
 * @param sequence  written changesets are looked for after this number of the log.
 */
export async function commit(
  storage: StorageConnection,
  changesets: readonly Changeset[],
  claim: Claim | undefined,
  sequence: number,
): Promise<Committed> {
  try {
    return { ...(await storage.commit(changesets, claim)), unheard: [], isFailed: false, isUncertain: false }
  } catch (error) {
    const failed = { claimed: [], isFailed: true }
    if (isNotWritten(error)) {
      return { ...failed, results: await alone(storage, changesets, error, sequence), unheard: [], isUncertain: false }
    }
    const ids = [...changesets, ...(claim === undefined ? [] : [claim])].map(({ id }) => id)
    const landed = await storage.landed(ids, sequence).catch(() => undefined)
    const results = await missing(storage, changesets, error, { landed, sequence, tries: 0 })
    const unheard = (landed ?? []).filter(({ changeset }) => changeset === claim?.id).map(writtenRow)
    return { ...failed, results, unheard, isUncertain: true }
  }
}

async function alone(
  storage: StorageConnection,
  changesets: readonly Changeset[],
  error: unknown,
  sequence: number,
): Promise<readonly CommitResult[]> {
  if (changesets.length === 1) return [{ status: 'failed', error }]
  const results: CommitResult[] = []
  for (const each of changesets) results.push(await one(storage, each, sequence, 0))
  return results
}

async function one(
  storage: StorageConnection,
  changeset: Changeset,
  sequence: number,
  tries: number,
): Promise<CommitResult> {
  try {
    const { results } = await storage.commit([changeset])
    return results[0] ?? { status: 'failed', error: new Error('the storage returned fewer results than changesets') }
  } catch (error) {
    if (isNotWritten(error)) return { status: 'failed', error }
    const landed = await storage.landed([changeset.id], sequence).catch(() => undefined)
    const [result] = await missing(storage, [changeset], error, { landed, sequence, tries })
    return result ?? { status: 'failed', error }
  }
}

interface Look {
  /** The rows found in the log. `undefined`: the log could not be read. */
  readonly landed: readonly StoredEvents[] | undefined
  readonly sequence: number
  readonly tries: number
}

// Changesets found in the log are applied. The others are tried again.
async function missing(
  storage: StorageConnection,
  changesets: readonly Changeset[],
  error: unknown,
  { landed, sequence, tries }: Look,
): Promise<readonly CommitResult[]> {
  if (landed === undefined) return changesets.map(() => ({ status: 'failed', error: outcomeUnknown(error) }))
  const results: CommitResult[] = []
  for (const each of changesets) {
    const own = landed.filter(({ changeset }) => changeset === each.id)
    if (own.length > 0) results.push({ status: 'applied', rows: own.map(writtenRow) })
    else if (tries < TRIES_MAX) results.push(await one(storage, each, sequence, tries + 1))
    else results.push({ status: 'failed', error: outcomeUnknown(error) })
  }
  return results
}

function writtenRow({ sequence, changeset, ...events }: StoredEvents): WrittenRow {
  return { events, sequence }
}

/** Whether the error means that nothing was written. */
export function isNotWritten(error: unknown): boolean {
  return error instanceof JobchartError && error.code === 'STORAGE_UNAVAILABLE'
}

function outcomeUnknown(cause: unknown): JobchartError {
  const hint = 'the write may have been stored; repeat it with the same idempotency key'
  return new JobchartError('OUTCOME_UNKNOWN', hint, { cause })
}
