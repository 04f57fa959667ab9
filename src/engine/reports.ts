import type { BatchPiece, RecordedItem } from '../model/batch-piece.ts'
import { maySend } from '../model/can-handle.ts'
import type { ChartEvent } from '../model/chart.ts'
import { report, started, type TaskReport } from '../model/decision.ts'
import type { AnyJobType } from '../model/definition.ts'
import { hasCode, JobchartError, notHeld } from '../model/error.ts'
import { progressRow } from '../model/event.ts'
import { type Item, type ItemReport, parseItem } from '../model/item.ts'
import type { Job } from '../model/job.ts'
import { type ProgressReport, readProgress } from '../model/progress.ts'
import { stepAddress } from '../model/step-key.ts'
import { type Json, storableCopy } from '../model/storable.ts'
import {
  countsOf,
  type LineStream,
  type Progress,
  type StampedProgress,
  type Task,
  type TaskSettings,
} from '../model/task.ts'
import type { LineOptions, TaskChannel, TaskMessage } from '../port/executor.ts'
import type { NewLine, Note, Write } from '../port/storage.ts'
import { BatchReports } from './batch-reports.ts'
import { isNotWritten } from './commit.ts'
import { type Core, ENGINE, ofJob } from './core.ts'
import { isStorageFailure } from './health.ts'
import { PROGRESS_MS, pause, STORAGE_RETRY_MS } from './pause.ts'
import type { Change } from './tick.ts'

const LINE_CHARACTERS_MAX = 10_000
/** The most items of a job. */
export const ITEMS_MAX = 1_000_000
/** The most lines of one write, so that many lines do not block the event loop. */
const LINES_AT_ONCE = 1_000

/** The parts of an attempt that {@link Reports} needs. */
export interface Reporter {
  /**
   * The record of the job with which the attempt was started: as the commit that claimed the task left it, or as it was
   * read later, if the answer of that commit was lost.
   */
  readonly job: Job
  readonly task: Task
  readonly type: AnyJobType
  readonly settings: TaskSettings
  /** True: the attempt was told to stop, so failed writes are not tried again. */
  readonly isStopped: boolean
  readonly inbox: AsyncIterable<TaskMessage>
}

/**
 * The reports of a running attempt. Items, steps and events, which code awaits, are written again and again until the
 * storage accepts them. Log lines and progress are best effort; those not yet written are committed with the attempt's
 * end.
 */
export class Reports implements TaskChannel {
  readonly #core: Core
  readonly #of: Reporter
  /** Pending writes of items, steps and events. The end of the attempt is reported after them. */
  #unwritten: Set<Promise<unknown>> | undefined
  /** The last report to the chart. The next one is sent when this one is written. */
  #said: Promise<unknown> | undefined
  /** The time of the latest report, in milliseconds UTC. */
  #lastTime: number
  /** For each item key with a pending report: its newest report. */
  #newestItems: Map<string, Item> | undefined
  #hasWarned = false
  #isOver = false
  /** True: the job has ended or gone on without this task, so the task's progress no longer counts. */
  #isLeft = false
  #lines: NewLine[] = []
  #isWritingLines = false
  #batches = 0
  /** Notes that the storage failed to write, to be tried again. */
  #unsent: Write[] = []
  #progress: Progress | undefined
  #isProgressDue = false
  #cancelProgress: (() => void) | undefined
  #batch: BatchReports | undefined

  constructor(core: Core, reporter: Reporter) {
    this.#core = core
    this.#of = reporter
    this.#lastTime = reporter.job.updatedAt
  }

  /** Whether the attempt has reported no progress. */
  get isWithoutProgress(): boolean {
    return this.#progress === undefined && this.#batch?.progress === undefined
  }

  // The time for a report. It never goes back, even if the wall clock does.
  #now(): number {
    this.#lastTime = Math.max(this.#lastTime, this.#core.clock.now())
    return this.#lastTime
  }

  /** Called when the job has ended or gone on without this task. The task's progress then no longer counts. */
  leave(): void {
    this.#isLeft = true
    this.#batch?.leave()
  }

  /** Resolves when all pending reports are stored. `undefined`: none is pending. */
  written(): Promise<unknown> | undefined {
    const unwritten = [...(this.#unwritten ?? [])]
    return unwritten.length === 0 ? undefined : Promise.allSettled(unwritten)
  }

  /** Reports progress. */
  progress(report: ProgressReport | number): void {
    // The progress of a batch is written with its items.
    if (this.#isOver || this.#isLeft || this.#of.settings.batch !== undefined) return
    const { progress, warning } = readProgress(report, this.#progress)
    if (warning !== undefined && !this.#hasWarned) {
      this.#hasWarned = true
      this.log(warning)
    }
    if (progress === undefined) return
    this.#progress = progress
    this.#isProgressDue = true
    if (this.#cancelProgress !== undefined) return
    void this.#writeProgress()
    this.#cancelProgress = this.#core.clock.timer(PROGRESS_MS, () => {
      this.#cancelProgress = undefined
      if (this.#isProgressDue && this.#progress !== undefined) this.progress(this.#progress)
    })
  }

  async #writeProgress(): Promise<void> {
    if (this.#progress === undefined) return
    this.#isProgressDue = false
    const progress = this.#stamped(this.#progress)
    const became = await this.#write(this.#progressWrites(progress))
    if (became === 'written') this.#core.dispatcher.progressed(this.#of.job.id, progress)
    else if (became === 'failed') this.#isProgressDue = true
  }

  #stamped(progress: Progress) {
    return { ...progress, at: this.#now(), token: this.#of.task.token }
  }

  #progressWrites(progress: StampedProgress & { readonly at: number }) {
    const { id: jobId } = this.#of.job
    const events = progressRow(this.#of.job, ENGINE, countsOf(progress), progress.at)
    return [
      { op: 'note', jobId, token: this.#of.task.token, note: { kind: 'progress', progress } },
      { op: 'append', events },
    ] as const satisfies readonly Write[]
  }

  /** Writes items of a batch, and the counts after them. */
  items(piece: BatchPiece): Promise<void> {
    return this.#beforeEnd(this.#batchReports.items(piece))
  }

  /** Whether the batch has stored its last piece. */
  get isBatchOver(): boolean {
    return this.#batchReports.isBatchOver
  }

  /** The recorded items of a batch, with those of the jobs that the job retries. */
  recordedItems(range: { readonly from: number; readonly to: number }): Promise<readonly RecordedItem[]> {
    return this.#batchReports.recordedItems(range)
  }

  /** Which of these keys of items this invocation of a batch has recorded. */
  itemKeys(keys: readonly string[]): Promise<readonly { readonly key: string; readonly index: number }[]> {
    return this.#batchReports.itemKeys(keys)
  }

  get #batchReports(): BatchReports {
    const { job, task, type } = this.#of
    this.#batch ??= new BatchReports(this.#core, {
      ...{ job, task, type },
      by: ENGINE,
      guards: () => [],
      call: (run) => this.#untilWritten(run),
    })
    return this.#batch
  }

  /** Adds a line to the job's log. */
  log(text: string, { stream }: LineOptions = {}): void {
    if (this.#isOver) return
    const isFirst = this.#lines.length === 0 && !this.#isWritingLines
    this.#lines.push(lineOf(text, this.#now(), stream))
    // Lines of one turn of the event loop are written as one note.
    if (isFirst) this.#core.clock.turn(() => void this.#writeLines())
  }

  async #writeLines(): Promise<void> {
    this.#isWritingLines = true
    while (this.#lines.length > 0) {
      const note = this.#logNote()
      // Safe to repeat: notes have keys, so writing a note twice changes nothing.
      const became = await this.#write([note])
      if (became === 'written') this.#core.publisher.logged(this.#of.job.id)
      else if (became === 'failed') this.#unsent.push(note)
    }
    this.#isWritingLines = false
  }

  #logNote(): Write {
    const { task, job } = this.#of
    const lines = this.#lines.splice(0, LINES_AT_ONCE)
    const key = `${task.token}.${++this.#batches}`
    return { op: 'note', jobId: job.id, token: task.token, note: { kind: 'log', key, lines } }
  }

  // Lines and progress are best effort, and nobody waits for them. So a write that the engine refuses is dropped, and
  // one that the storage failed to do may be tried again.
  async #write(writes: readonly Write[]): Promise<'written' | 'refused' | 'failed'> {
    try {
      await this.#core.ticks.submit({ by: ENGINE, writes })
      return 'written'
    } catch (error) {
      return isStorageFailure(error) ? 'failed' : 'refused'
    }
  }

  /** Records an item: the result of one part of the work. */
  async item(key: string, report: ItemReport = {}): Promise<void> {
    const item = parseItem(key, report, this.#now())
    const { invocation } = this.#of.task
    const full = () => new JobchartError('PAYLOAD_TOO_LARGE', `a job has at most ${ITEMS_MAX} items`)
    const newest = this.#newestItems ?? new Map<string, Item>()
    this.#newestItems = newest.set(key, item)
    try {
      // An item that waited for the storage must not replace a later report of its key.
      const isNewest = () => newest.get(key) === item
      await this.#note(`item "${key}"`, { kind: 'item', invocation, item, max: ITEMS_MAX }, { full, isNewest })
    } finally {
      if (newest.get(key) === item) newest.delete(key)
    }
  }

  async #note(
    what: string,
    note: Note,
    { full, isNewest = () => true }: { readonly full?: () => JobchartError; readonly isNewest?: () => boolean } = {},
  ): Promise<void> {
    const { id: jobId } = this.#of.job
    const change: Change = { by: ENGINE, writes: [{ op: 'note', jobId, token: this.#of.task.token, note }], full }
    const write = async () => (isNewest() ? await this.#core.ticks.submit(change) : undefined)
    try {
      // Safe to repeat: notes have keys, so writing a note twice changes nothing.
      await this.#beforeEnd(this.#untilWritten(write))
    } catch (error) {
      if (!hasCode(error, 'STALE_CLAIM')) throw error
      throw new JobchartError('STALE_CLAIM', `${what} was not recorded: this attempt no longer holds its task`)
    }
  }

  /** Records the result of a step. */
  async step(name: string, result: Json | undefined): Promise<void> {
    const { job, task } = this.#of
    const kept = {
      invoke: stepAddress(job, task),
      ordinal: task.ordinal,
      name,
      ...(result === undefined ? {} : { result }),
    }
    await this.#note(`step "${name}"`, { kind: 'step', ...kept })
  }

  /** The results of the steps that earlier attempts have recorded. */
  async recordedSteps(): Promise<ReadonlyMap<string, Json | undefined>> {
    const { job, task } = this.#of
    if (task.claims === 1 && job.stepOrigin === undefined) return new Map()
    return await this.#untilWritten(() => this.#core.storage.steps(job.id, stepAddress(job, task), task.ordinal))
  }

  /** Reports that the code runs now. The `timeout` of the attempt counts from here. */
  async started(handle?: Json): Promise<void> {
    const { job, task } = this.#of
    const change: Change = {
      by: ENGINE,
      ...ofJob(job.id, (type, stored, context, jobs) => {
        const decision = started(type, stored, task.token, handle, context, jobs)
        if (decision !== undefined) return decision
        throw notHeld(job.id)
      }),
    }
    await this.#untilWritten(() => this.#core.ticks.submit(change), isNotWritten)
  }

  /** The messages that the chart has sent to the task. */
  get inbox(): AsyncIterable<TaskMessage> {
    return this.#of.inbox
  }

  /**
   * Returns the log lines and the progress that are not stored yet, to be committed with the attempt's end. Later
   * reports are ignored.
   */
  lastNotes(): Write[] {
    this.#isOver = true
    this.#cancelProgress?.()
    const notes = this.#unsent
    while (this.#lines.length > 0) notes.push(this.#logNote())
    if (this.#isProgressDue && this.#progress !== undefined && !this.#isLeft) {
      notes.push(...this.#progressWrites(this.#stamped(this.#progress)))
    }
    if (!this.#isLeft) notes.push(...(this.#batch?.lastWrites() ?? []))
    return notes
  }

  /** Sends an event to the job's chart. Resolves with `true` if the chart took it. */
  send(event: TaskMessage): Promise<boolean> {
    return this.say({ kind: 'event', event })
  }

  /**
   * Sends a report to the chart. Resolves with `true` if the chart took it. A report that the chart may have received
   * is not sent again.
   */
  async say(told: TaskReport): Promise<boolean> {
    const said = checkedReport(this.#of.type, this.#of.settings, told)
    const before = this.#said
    let isTaken = false
    const change = this.#sayingOf(said, (handled) => {
      isTaken = handled
    })
    const saying = (async () => {
      await before
      await this.#untilWritten(() => this.#core.ticks.submit(change), isNotWritten)
    })()
    this.#said = this.#beforeEnd(saying).catch(() => {})
    await saying
    return isTaken
  }

  #sayingOf(said: TaskReport, decided: (handled: boolean) => void): Change {
    const { id } = this.#of.job
    return {
      by: ENGINE,
      ...ofJob(id, (type, stored, context, jobs) => {
        const decision = report(type, stored, this.#of.task.token, said, context, jobs)
        if (decision === undefined) throw notHeld(id)
        decided(decision.handled)
        return decision
      }),
    }
  }

  /** Makes the attempt's end wait for this write. */
  #beforeEnd<Result>(writing: Promise<Result>): Promise<Result> {
    const all = this.#unwritten ?? new Set()
    this.#unwritten = all
    const written = () => all.delete(writing)
    all.add(writing)
    writing.then(written, written)
    return writing
  }

  // Retry storage failures: the work is done, and should not be repeated because the storage was locked or full for a
  // while.
  async #untilWritten<Result>(run: () => Promise<Result>, mayRepeat = isStorageFailure): Promise<Result> {
    for (;;) {
      try {
        return await run()
      } catch (error) {
        if (!mayRepeat(error) || this.#of.isStopped || this.#core.stopped.aborted) throw error
        await pause(this.#core, STORAGE_RETRY_MS)
      }
    }
  }
}

/** A line for the job's log: cut to the length that is kept. */
export function lineOf(text: string, at: number, stream: LineStream | undefined): NewLine {
  const line = `${text}`.slice(0, LINE_CHARACTERS_MAX).toWellFormed()
  return { at, text: line, ...(stream === undefined ? {} : { stream }) }
}

/**
 * Checks that the task may send this report.
 *
 * @throws {JobchartError} `INVALID_INPUT` it may not send such an event; `NOT_STORABLE`.
 */
export function checkedReport(type: AnyJobType, settings: TaskSettings, said: TaskReport): TaskReport {
  if (said.kind === 'value') return { kind: 'value', value: storableCopy(said.value, 'value', true) }
  const { event } = said
  if (typeof event !== 'object' || event === null || typeof event.type !== 'string') {
    throw new JobchartError('INVALID_INPUT', 'an event should be an object with a type')
  }
  if (!maySend(type, settings, event.type)) {
    throw new JobchartError('INVALID_INPUT', `a task of job type "${type.type}" may not send "${event.type}"`)
  }
  const copy = storableCopy(event, `event "${event.type}"`, true)
  return { kind: 'event', event: copy as unknown as ChartEvent }
}
