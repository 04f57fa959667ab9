import type { BatchPiece, RecordedItem } from '../model/batch-piece.ts'
import { batchCounts, batchProgress } from '../model/batch-record.ts'
import { BatchTally } from '../model/batch-tally.ts'
import { report } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { JobchartError } from '../model/error.ts'
import { type Actor, progressRow } from '../model/event.ts'
import type { Job } from '../model/job.ts'
import { countsOf, type StampedProgress, type Task } from '../model/task.ts'
import type { Note, Write } from '../port/storage.ts'
import { type BatchOf, batchesOf, itemsBetween, rowsAhead } from './batch-items.ts'
import type { Core } from './core.ts'
import { PROGRESS_MS } from './pause.ts'
import type { Change } from './tick.ts'

/** A key of an item, and the index of that item. */
interface RecordedKey {
  readonly key: string
  readonly index: number
}

/** The attempt of a batch that reports. */
export interface BatchReporter {
  /** The record of the job with which the attempt was started. */
  readonly job: Job
  readonly task: Task
  readonly type: AnyJobType
  readonly by: Actor
  /** Writes that come first in each changeset. */
  readonly guards: () => readonly Write[]
  /** Makes a call of the storage, and may repeat it: a row is added once and ended once. */
  readonly call: <Result>(run: () => Promise<Result>) => Promise<Result>
}

/**
 * The reports of one attempt of a batch. Each piece of items is one changeset, with the counts after it. The counts are
 * published, and told to a chart that names `task.progress`, with the piece or at most 250 ms later.
 */
export class BatchReports {
  readonly #core: Core
  readonly #of: BatchReporter
  /**
   * The last write. The next one begins when this one has ended, so counts never go back. If it failed, it is not known
   * what is stored, so the next one fails with the same error.
   */
  #last: Promise<unknown> | undefined
  #tally: BatchTally | undefined
  /** The batch, then the same batch of the jobs that the job retries. */
  #batches: readonly BatchOf[] | undefined
  /** The counts that were stored last. */
  #stored: (StampedProgress & { readonly at: number }) | undefined
  /** True: the stored counts are not published yet. */
  #isDue = false
  #cancel: (() => void) | undefined
  #isOver = false

  constructor(core: Core, of: BatchReporter) {
    this.#core = core
    this.#of = of
  }

  /** The counts that this attempt has stored last. `undefined`: none. */
  get progress(): StampedProgress | undefined {
    return this.#stored
  }

  /** Whether the batch has stored its last piece. */
  get isBatchOver(): boolean {
    const { job, task } = this.#of
    return (this.#stored ?? batchProgress(job, task)).isOver === true
  }

  /**
   * Writes items, and the counts after them.
   *
   * @param isStored  whether the piece is stored already. Asked when it is the turn of this write.
   */
  items(piece: BatchPiece, isStored?: () => Promise<boolean>): Promise<void> {
    return this.#inTurn(async () => {
      if ((await isStored?.()) !== true) await this.#writeItems(piece)
    })
  }

  /** The recorded items of the batch, with those of the jobs that its job retries. */
  recordedItems({ from, to }: { readonly from: number; readonly to: number }): Promise<readonly RecordedItem[]> {
    return this.#read((batches) => itemsBetween(this.#core.storage, batches, from, to))
  }

  /** Which of these keys of items the batch has recorded. If several jobs have a key, that of the first one counts. */
  itemKeys(keys: readonly string[]): Promise<readonly RecordedKey[]> {
    return this.#read(async (batches) => {
      const found = new Map<string, number>()
      for (const { jobId, invocation } of batches.toReversed()) {
        for (const { key, index } of await this.#core.storage.itemKeys(jobId, invocation, keys)) found.set(key, index)
      }
      return [...found].map(([key, index]) => ({ key, index }))
    })
  }

  // Reads of the batch and of those that its job retries. If one of them is deleted meanwhile, the read throws.
  #read<Result>(read: (batches: readonly BatchOf[]) => Promise<Result>): Promise<Result> {
    const { storage } = this.#core
    const { job, task, call } = this.#of
    return call(async () => {
      this.#batches ??= await batchesOf(storage, job, task)
      const found = await read(this.#batches)
      await batchesOf(storage, job, task)
      return found
    })
  }

  /** Publishes nothing more. Returns the writes that publish the last counts, to be committed with the attempt's end. */
  lastWrites(): readonly Write[] {
    this.leave()
    return this.#isDue && this.#stored !== undefined ? this.#publishing(this.#stored) : []
  }

  /** Publishes nothing more, because the job has ended or gone on without this task. */
  leave(): void {
    this.#isOver = true
    this.#cancel?.()
  }

  #inTurn(write: () => Promise<void>): Promise<void> {
    const before = this.#last
    const writing = (async () => {
      await before
      await write()
    })()
    writing.catch(() => {})
    this.#last = writing
    return writing
  }

  async #writeItems(piece: BatchPiece): Promise<void> {
    const { added, ended, isLast = false } = piece
    const { invocation } = this.#of.task
    this.#tally ??= await this.#newTally()
    const progress = this.#stamped(this.#tally.after(piece))
    const isShown = !this.#isOver && (isLast || this.#cancel === undefined)
    await this.#write({ kind: 'items', invocation, added, ended, progress, at: progress.at }, progress, isShown)
    this.#isDue = !isShown
    if (isShown && !isLast) this.#showLater()
  }

  async #newTally(): Promise<BatchTally> {
    const { job, task, call } = this.#of
    const progress = batchProgress(job, task)
    if ((progress.known ?? 0) === 0) return new BatchTally(progress, [])
    return new BatchTally(progress, await call(() => rowsAhead(this.#core.storage, job, task, progress.begun ?? 0)))
  }

  #stamped(progress: StampedProgress) {
    const at = Math.max(this.#core.clock.now(), this.#stored?.at ?? this.#of.job.updatedAt)
    return { ...progress, at, token: this.#of.task.token }
  }

  // Publishes later what is stored until then.
  #showLater(): void {
    if (this.#isOver) return
    this.#cancel?.()
    this.#cancel = this.#core.clock.timer(PROGRESS_MS, () => {
      this.#cancel = undefined
      void this.#inTurn(() => this.#show().catch(() => {}))
    })
  }

  async #show(): Promise<void> {
    const progress = this.#stored
    if (!this.#isDue || this.#isOver || progress === undefined) return
    this.#isDue = false
    await this.#write({ kind: 'progress', progress }, progress, true)
    this.#showLater()
  }

  async #write(note: Note, progress: StampedProgress & { readonly at: number }, isShown: boolean): Promise<void> {
    const { job, task, type, by, guards, call } = this.#of
    const { id: jobId } = job
    const change: Change = {
      by,
      jobs: [jobId],
      writes: [...guards(), this.#noteOf(note), ...(isShown ? [this.#eventOf(progress)] : [])],
      decide: (jobs, context) => {
        const stored = jobs.job(jobId)
        // A job has one progress: that of its newest batch.
        if (stored?.progress?.invocation !== task.invocation) throw stale()
        if (!isShown || !type.chart.isNamed('task.progress')) return undefined
        const counts = { kind: 'counts', counts: batchCounts(progress) } as const
        return report(jobs.typeOf(stored), stored, task.token, counts, context, jobs)
      },
    }
    await call(() => this.#core.ticks.submit(change))
    this.#stored = progress
    this.#core.dispatcher.progressed(jobId, progress)
  }

  #publishing(progress: StampedProgress & { readonly at: number }): readonly Write[] {
    return [this.#noteOf({ kind: 'progress', progress }), this.#eventOf(progress)]
  }

  #noteOf(note: Note): Write {
    return { op: 'note', jobId: this.#of.job.id, token: this.#of.task.token, note }
  }

  #eventOf(progress: StampedProgress & { readonly at: number }): Write {
    return { op: 'append', events: progressRow(this.#of.job, this.#of.by, countsOf(progress), progress.at) }
  }
}

function stale(): JobchartError {
  return new JobchartError('STALE_CLAIM', 'the items were not recorded: this attempt no longer holds its task')
}
