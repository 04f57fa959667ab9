import { JobchartError } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import type { Clock } from '../port/clock.ts'
import type { Changeset, ChangesetResult, StorageConnection, StoredEvents, Write } from '../port/storage.ts'

interface Waiting {
  readonly unit: Changeset
  readonly resolve: (result: ChangesetResult) => void
  readonly reject: (error: unknown) => void
}

/** How often a unit that did not land is tried again. */
const TRIES_MAX = 3

/**
 * Gathers the units of one turn of the event loop into one commit: one wait for the disk serves them all, which is
 * what makes full durability cheap.
 *
 * ```
 *  unit ─┐
 *  unit ─┼─ turn ─▶ storage.commit(units) ─▶ each its own result
 *  unit ─┘            │ nothing was written ─▶ each unit alone, so that one bad unit harms no other
 *                     │ unknown ─▶ landed? ─▶ those that did are applied; the others are tried alone
 * ```
 */
export class GroupCommit {
  readonly #clock: Clock
  readonly #storage: StorageConnection
  #waiting: Waiting[] = []
  #isFlushing = false
  readonly #instance: string
  #units = 0
  #sequence = 0

  /** `instance` makes the ids of units unique. */
  constructor(clock: Clock, storage: StorageConnection, instance: string) {
    this.#clock = clock
    this.#storage = storage
    this.#instance = instance
  }

  /** What landed is looked for after this sequence of the log. */
  startAt(sequence: number): void {
    this.#sequence = sequence
  }

  /** Nothing waits to be written. */
  get isIdle(): boolean {
    return this.#waiting.length === 0 && !this.#isFlushing
  }

  /**
   * Commits writes as one unit, with the others of this turn.
   *
   * @throws {JobchartError} `STORAGE_UNAVAILABLE` it was not written; `OUTCOME_UNKNOWN` that cannot be told.
   */
  commit(writes: readonly Write[]): Promise<ChangesetResult> {
    const unit = { id: `${this.#instance}/${++this.#units}`, writes }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ unit, resolve, reject })
      if (this.#waiting.length === 1 && !this.#isFlushing) this.#clock.turn(() => void this.#flush())
    })
  }

  async #flush(): Promise<void> {
    const batch = this.#waiting
    this.#waiting = []
    this.#isFlushing = true
    await this.#write(batch)
    this.#isFlushing = false
    if (this.#waiting.length > 0) this.#clock.turn(() => void this.#flush())
  }

  async #write(batch: readonly Waiting[], tries = 0): Promise<void> {
    try {
      const results = await this.#storage.commit(batch.map(({ unit }) => unit))
      for (const [index, waiting] of batch.entries()) this.#settle(waiting, results[index])
    } catch (error) {
      if (isNotWritten(error)) await this.#writeAlone(batch, error)
      else await this.#writeMissing(batch, error, tries)
    }
  }

  async #writeAlone(batch: readonly Waiting[], error: unknown): Promise<void> {
    if (batch.length === 1) return batch[0]?.reject(error)
    for (const waiting of batch) await this.#write([waiting])
  }

  async #writeMissing(batch: readonly Waiting[], error: unknown, tries: number): Promise<void> {
    let rows: readonly StoredEvents[]
    try {
      const ids = batch.map(({ unit }) => unit.id)
      rows = await this.#storage.landed(ids, this.#sequence)
    } catch {
      for (const { reject } of batch) reject(outcomeUnknown(error))
      return
    }
    for (const waiting of batch) {
      const own = rows.filter(({ unit }) => unit === waiting.unit.id)
      if (own.length > 0) this.#settle(waiting, appliedAs(waiting.unit, own))
      else if (tries < TRIES_MAX) await this.#write([waiting], tries + 1)
      else waiting.reject(outcomeUnknown(error))
    }
  }

  #settle({ resolve, reject }: Waiting, result: ChangesetResult | undefined): void {
    if (result === undefined) {
      reject(new Error('the storage gave fewer results than units'))
      return
    }
    if (result.status === 'applied')
      this.#sequence = Math.max(this.#sequence, ...result.rows.map(({ sequence }) => sequence))
    resolve(result)
  }
}

/** Whether an error says that nothing was written. */
export function isNotWritten(error: unknown): boolean {
  return error instanceof JobchartError && error.code === 'STORAGE_UNAVAILABLE'
}

function outcomeUnknown(cause: unknown): JobchartError {
  const hint = 'the write may have landed; repeat it with the same idempotency key'
  return new JobchartError('OUTCOME_UNKNOWN', hint, { cause })
}

// What was written tells whether a job was written as claimed: that row has more events.
function appliedAs({ writes }: Changeset, rows: readonly StoredEvents[]): ChangesetResult {
  const asClaimed = writes.flatMap((write) =>
    'claimed' in write && write.claimed !== undefined ? [write.claimed] : [],
  )
  const isClaimed = ({ jobId, events }: EventRow) =>
    asClaimed.some(({ job, events: row }) => job.id === jobId && row.events.length === events.length)
  const written = rows.map(({ sequence, unit, ...events }) => ({ events, sequence }))
  return { status: 'applied', rows: written.map((row) => ({ ...row, claimed: isClaimed(row.events) })) }
}
