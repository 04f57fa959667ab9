/**
 * The reports of agents on batches.
 *
 * The state of a batch's reports is kept between two calls, one for each job. It is made anew from the storage if that
 * has other counts than this engine has stored last: then an earlier engine, or another process, took reports since.
 */
import type { BatchPiece, RecordedItem } from '../model/batch-piece.ts'
import { jobError } from '../model/error.ts'
import { type Json, storableCopy } from '../model/storable.ts'
import type { StampedProgress } from '../model/task.ts'
import type { Write } from '../port/storage.ts'
import { actorOf, type Held, heldBy, leaseWrite, type Reporting } from './agent-reports.ts'
import { BatchReports } from './batch-reports.ts'
import type { Core } from './core.ts'

/** The most jobs whose state is kept. */
const KEPT_MAX = 1_000

interface Kept {
  readonly token: number
  readonly reports: BatchReports
}

const keptOf = new WeakMap<Core, Map<string, Kept>>()

/** A piece as it comes from outside: its values are not checked to be JSON. */
type GivenPiece = Omit<BatchPiece, 'added' | 'ended'> & {
  readonly added: readonly (Omit<BatchPiece['added'][number], 'input'> & { readonly input?: unknown })[]
  readonly ended: readonly (Omit<BatchPiece['ended'][number], 'output' | 'error'> & {
    readonly output?: unknown
    readonly error?: unknown
  })[]
}

/** Writes items of a batch. A piece that is sent again changes nothing. */
export async function reportItems(reporting: Reporting, given: GivenPiece): Promise<void> {
  const held = await heldBy(reporting)
  const piece = storablePiece(given)
  const reports = reportsOf(reporting, held)
  try {
    await reports.items(piece, () => isStored(reporting, held, reports.progress, piece))
  } catch (error) {
    forget(reporting)
    throw error
  }
  if (piece.isLast === true) forget(reporting)
}

/** The recorded items of a batch. */
export async function readItems(
  reporting: Reporting,
  range: { readonly from: number; readonly to: number },
): Promise<readonly RecordedItem[]> {
  return await reportsOf(reporting, await heldBy(reporting)).recordedItems(range)
}

/** Which of these keys of items are recorded. */
export async function readItemKeys(
  reporting: Reporting,
  keys: readonly string[],
): Promise<readonly { readonly key: string; readonly index: number }[]> {
  return await reportsOf(reporting, await heldBy(reporting)).itemKeys(keys)
}

/** The writes that publish the last counts of a batch. They are committed with the end of its attempt. */
export function lastCounts({ core, claim }: Reporting): readonly Write[] {
  const kept = keptOf.get(core)?.get(claim.job)
  return kept?.token === claim.token ? kept.reports.lastWrites() : []
}

function storablePiece({ added, ended, ...rest }: GivenPiece): BatchPiece {
  return {
    ...rest,
    added: added.map(({ input, ...item }) => ({ ...item, ...copied('input', input) })),
    ended: ended.map(({ output, error, ...item }) => ({
      ...item,
      ...copied('output', output),
      ...(error === undefined ? {} : { error: jobError(error) }),
    })),
  }
}

function copied<Name extends 'input' | 'output'>(name: Name, value: unknown): { readonly [Key in Name]?: Json } {
  if (value === undefined) return {}
  // The cast is safe: the object has this one property.
  return { [name]: storableCopy(value, `${name} of an item`, true) } as { readonly [Key in Name]?: Json }
}

// An agent sends a piece again if it got no answer, maybe while the first one is being written. The counts of a piece
// include its ends, so a piece with ends that is stored already has the stored counts.
async function isStored(
  { core }: Reporting,
  { job, task }: Held,
  stored: StampedProgress | undefined,
  { added, ended, counts, isLast }: BatchPiece,
): Promise<boolean> {
  const progress = stored ?? job.progress
  if (ended.length > 0) {
    const isCounted = progress?.invocation === task.invocation && settledOf(progress) === settledOf(counts)
    return isCounted && (isLast !== true || progress.isOver === true)
  }
  const [first] = added
  if (first === undefined) return false
  return (await core.storage.itemKeys(job.id, task.invocation, [first.key])).some(({ index }) => index === first.index)
}

function settledOf({ completed, failed, skipped = 0 }: Pick<StampedProgress, 'completed' | 'failed' | 'skipped'>) {
  return completed + failed + skipped
}

function reportsOf(reporting: Reporting, { job, task, type }: Held): BatchReports {
  const { core, agent, claim } = reporting
  const kept = keptOf.get(core) ?? new Map<string, Kept>()
  keptOf.set(core, kept)
  const known = kept.get(job.id)
  if (known !== undefined && known.token === claim.token && isSame(known.reports.progress, job.progress)) {
    return known.reports
  }
  const reports = new BatchReports(core, {
    ...{ job, task, type, by: actorOf(agent) },
    guards: () => [leaseWrite(reporting)],
    call: (run) => run(),
  })
  known?.reports.leave()
  kept.delete(job.id)
  kept.set(job.id, { token: claim.token, reports })
  const [oldest] = kept.keys()
  if (kept.size > KEPT_MAX && oldest !== undefined) kept.delete(oldest)
  return reports
}

// Before its first write, the state is that of the job as it was read then.
function isSame(known: StampedProgress | undefined, stored: StampedProgress | undefined): boolean {
  if (known === undefined || stored === undefined) return false
  const { token, at, begun } = stored
  return known.token === token && known.at === at && known.begun === begun && settledOf(known) === settledOf(stored)
}

function forget({ core, claim }: Reporting): void {
  const kept = keptOf.get(core)
  kept?.get(claim.job)?.reports.leave()
  kept?.delete(claim.job)
}
