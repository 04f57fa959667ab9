/**
 * Commits the changesets of a tick. If the storage's answer is lost, finds out what was written.
 *
 * ```
 *  commit ─ answered ───────────▶ the results
 *     │ nothing was written ────▶ commit each changeset alone, so that one bad changeset harms no other
 *     │ it is unknown ──────────▶ ask `landed`: changesets that it finds are applied; try each of the others again, alone
 * ```
 */
import { hasCode, JobchartError } from '../model/error.ts'
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
  /** Rows of events that the claim wrote, if the answer of its commit was lost. */
  readonly unheard: readonly WrittenRow[]
  /** True: the storage answered with an error, so the claim must be made again. */
  readonly isFailed: boolean
  /**
   * True: something may have been written although its answer was lost. Only the job rows tell which tasks were
   * claimed.
   */
  readonly isUncertain: boolean
}

/** How many times a changeset that was not written is tried again. */
const TRIES_MAX = 3

/**
 * Commits, and finds out the result. Never rejects.
 *
 * @param sequence  the highest log number known before the commit. If the answer is lost, the log is searched after
 * this number.
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

// After a lost answer: changesets that are found in the log were applied. The others are tried again.
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
  return hasCode(error, 'STORAGE_UNAVAILABLE')
}

function outcomeUnknown(cause: unknown): JobchartError {
  const hint = 'the write may have been stored; repeat it with the same idempotency key'
  return new JobchartError('OUTCOME_UNKNOWN', hint, { cause })
}
