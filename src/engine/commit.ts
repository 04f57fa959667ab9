/**
 * A commit whose answer may be lost.
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

/** What became of a changeset; `failed`: it was not written, or that cannot be told. */
export type CommitResult = ChangesetResult | { readonly status: 'failed'; readonly error: unknown }

/** What became of a tick's commit. */
export interface Committed {
  readonly results: readonly CommitResult[]
  readonly claimed: readonly Claimed[]
  /** What a claim has written whose answer was lost. */
  readonly unheard: readonly WrittenRow[]
  /** The storage answered by an error: the claim is to be made again. */
  readonly isFailed: boolean
  /** Something may have been written unheard: what the claim made of tasks stands in the rows. */
  readonly isUncertain: boolean
}

/** How often a changeset that did not land is tried again. */
const TRIES_MAX = 3

/**
 * Commits, and finds out what became of it. It never rejects.
 *
 * @param sequence  what landed is looked for after this number of the log.
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
    return results[0] ?? { status: 'failed', error: new Error('the storage gave fewer results than changesets') }
  } catch (error) {
    if (isNotWritten(error)) return { status: 'failed', error }
    const landed = await storage.landed([changeset.id], sequence).catch(() => undefined)
    const [result] = await missing(storage, [changeset], error, { landed, sequence, tries })
    return result ?? { status: 'failed', error }
  }
}

interface Look {
  /** The rows of the log that were found; undefined: they could not be read. */
  readonly landed: readonly StoredEvents[] | undefined
  readonly sequence: number
  readonly tries: number
}

// Those that landed are applied, and the others are tried again.
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

/** The storage says that nothing was written. */
export function isNotWritten(error: unknown): boolean {
  return error instanceof JobchartError && error.code === 'STORAGE_UNAVAILABLE'
}

function outcomeUnknown(cause: unknown): JobchartError {
  const hint = 'the write may have landed; repeat it with the same idempotency key'
  return new JobchartError('OUTCOME_UNKNOWN', hint, { cause })
}
