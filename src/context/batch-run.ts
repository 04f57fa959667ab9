/**
 * Runs the items of a batch, over the channel of its task alone. So it runs the same in the engine's process, in a
 * thread, in a child process and in an agent.
 *
 * ```
 *  source ─▶ read (checked, with a key) ─▶ row written, `waiting` ─▶ may begin ─▶ runs ─▶ ended ─▶ end written
 *                                                                                 ▲  │
 *                                                                                 └──┘ back-off
 * ```
 *
 * - At most one write is on its way. It stores the rows that were read and the ends that came since the last one. It
 *   also raises `begun` by as many items as there are free places, so these may begin when it is stored.
 * - Therefore, after a crash, only items up to `begun` without a stored end may have run: the suspects. There are at most
 *   as many of them as run at once, plus those that wait for a retry.
 * - After one loss, the suspects run first, and new items begin when none of the suspects runs. So the cause of the loss
 *   is among fewer items after each further one. After two losses in a row without an end, the suspects run alone, one
 *   after the other, each marked by `careful`. The marked one fails after the third loss, and the others run as usual.
 * - The counts of a write are those after it.
 */
import type { ItemSettings } from '../model/batch.ts'
import type { AddedItem, BatchCounts, BatchPiece, BatchStart, EndedItem } from '../model/batch-piece.ts'
import { JobchartError } from '../model/error.ts'
import { isOptions, shownValue } from '../model/option-checks.ts'
import { errorValue } from '../model/record.ts'
import type { Clock } from '../port/clock.ts'
import { type Candidate, ItemReader, LOSSES_MAX, PIECE } from './batch-items.ts'
import { brokenSource, type ItemSource, listSource, StreamSource } from './batch-source.ts'
import { ItemRunner } from './item-runner.ts'
import type { ContextWork } from './task-context.ts'

/** The least number of small items that are read before they can begin. */
const AHEAD_MIN = 100
/** The number of losses after which the items that may have caused them run one at a time. */
const CAREFUL_LOSSES = 2

/** One attempt of a batch. */
export class BatchRun {
  readonly #work: ContextWork
  readonly #clock: Clock
  readonly #start: BatchStart
  readonly #source: ItemSource
  readonly #reader: ItemReader
  readonly #runner: ItemRunner
  /** As many items are read before they can begin, if they are small. */
  readonly #ahead: number
  /** How many items have ended, as the last write says. `total`: present as soon as it is known. */
  readonly #counts: { total: number | undefined; completed: number; failed: number; skipped: number }
  #begun: number
  /** The index of the item that runs alone. */
  #careful: number | undefined
  /** True: no item runs that may have caused a loss, and none of them is still to begin. */
  #isBeyondSuspects: boolean
  /** Items that were read and may not begin yet, in order. */
  readonly #candidates: Candidate[] = []
  /** Rows and ends that the next write stores. */
  #added: AddedItem[] = []
  readonly #ended: EndedItem[] = []
  /** Items that begin when the write is stored that is on its way. */
  #allowed: readonly Candidate[] = []
  /** True: no more candidates come. */
  #isRead = false
  /** True: nothing new begins; what runs goes on to its end. */
  #isClosing = false
  /** Present: the batch ends with this error when everything that runs has ended. */
  #broken: { readonly thrown: unknown } | undefined
  /** Present: the batch stops now, with this error. */
  #halted: { readonly thrown: unknown; readonly mayWrite: boolean } | undefined
  #wakeReader = () => {}
  #wakeWriter = () => {}

  constructor(settings: ItemSettings, work: ContextWork, input: unknown, clock: Clock) {
    const start: BatchStart = work.batch ?? { counts: { completed: 0, failed: 0, skipped: 0 }, begun: 0, losses: 0 }
    const { job, idempotencyKey, draining, channel } = work
    const { source, total } = sourceOf(settings, input, clock)
    this.#work = work
    this.#clock = clock
    this.#start = start
    this.#source = source
    this.#reader = new ItemReader(settings, channel, start)
    const shared = { job, idempotencyKey, draining, log: (text: string) => channel.log(text) }
    this.#runner = new ItemRunner(settings, shared, clock, {
      ended: (end) => this.#end(end),
      changed: () => this.#changed(),
    })
    this.#ahead = Math.min(PIECE, Math.max(AHEAD_MIN, settings.concurrency))
    this.#counts = { total: start.again === undefined ? total : undefined, ...start.counts }
    this.#begun = start.begun
    this.#isBeyondSuspects = start.losses === 0
    // The mark stays until the end of the item is stored, so that a further loss is put down to the item.
    if (this.#hasCulprit) this.#careful = start.careful
  }

  /** Runs all items. Resolves with their counts when the last end is stored. */
  async run(): Promise<BatchCounts> {
    const { signal, draining } = this.#work
    const stop = () => this.#halt(signal.reason, true)
    const drain = () => this.#close()
    signal.addEventListener('abort', stop)
    draining.addEventListener('abort', drain)
    try {
      if (draining.aborted) drain()
      if (signal.aborted) stop()
      const reading = this.#readAll().catch((thrown: unknown) => this.#halt(thrown, true))
      await this.#writeAll().catch((thrown: unknown) => this.#halt(thrown, false))
      await this.#runner.idle()
      await reading
      await this.#writeLast()
    } finally {
      signal.removeEventListener('abort', stop)
      draining.removeEventListener('abort', drain)
    }
    if (this.#halted !== undefined) throw this.#halted.thrown
    const counts = this.#countsNow()
    if (this.#broken !== undefined) throw withCounts(this.#broken.thrown, counts)
    return counts
  }

  // Reads items until there are enough, and goes on when some have begun.
  async #readAll(): Promise<void> {
    while (!this.#isEnding) {
      const ahead = Math.min(this.#ahead, this.#reader.atOnce)
      const room = ahead - this.#added.length
      if (room <= 0 || this.#candidates.length >= ahead) await this.#readerTurn()
      else if (!(await this.#read(room, ahead))) break
    }
    const closed = this.#source.close()
    await this.#endRest()
    this.#isRead = true
    if (this.#counts.total === undefined || !this.#isClosing) this.#counts.total = this.#settled + this.#live
    this.#changed()
    await closed
  }

  // Reads at most `room` items. Resolves with false if there are no more. A function of its own, because one that waits
  // keeps its variables in memory.
  async #read(room: number, ahead: number): Promise<boolean> {
    const values = await this.#nextValues(room, ahead)
    if (values === undefined) return false
    const { candidates, added, ended } = await this.#reader.read(values)
    this.#candidates.push(...candidates)
    this.#added.push(...added)
    this.#ended.push(...ended)
    if (this.#isClosing) this.#endCandidates()
    this.#changed()
    return true
  }

  get #isEnding(): boolean {
    return this.#isClosing || this.#halted !== undefined
  }

  #readerTurn(): Promise<void> {
    return new Promise((resume) => {
      this.#wakeReader = resume
    })
  }

  // The next values of the source. `undefined`: there are no more.
  async #nextValues(max: number, ahead: number): Promise<readonly unknown[] | undefined> {
    try {
      return await this.#source.next(max, ahead)
    } catch (thrown) {
      this.#broken ??= { thrown }
      this.#close()
      return undefined
    }
  }

  // Ends the rows of earlier attempts that this one has not read.
  async #endRest(): Promise<void> {
    while (this.#halted === undefined) {
      const ended = await this.#reader.restOfRows()
      if (ended === undefined) return
      if (ended.length > 0 && !this.#isClosing) {
        this.#broken ??= { thrown: new JobchartError('INVALID_INPUT', FEWER_ITEMS) }
        this.#close()
      }
      for (const each of ended) this.#ended.push(each)
      this.#changed()
      while (this.#ended.length > PIECE && this.#halted === undefined) await this.#readerTurn()
    }
  }

  async #writeAll(): Promise<void> {
    while (await this.#untilDue()) if (await this.#write()) return
  }

  // Writes a piece, and begins the items that may then begin. Resolves with true if this was the last piece.
  async #write(): Promise<boolean> {
    const piece = this.#piece()
    await this.#work.channel.items(piece)
    this.#reader.written(piece.added)
    if (piece.isLast === true) return true
    const allowed = this.#allowed
    this.#allowed = []
    for (const each of allowed) {
      if (!this.#isEnding) this.#runner.begin(each)
      else if (this.#isClosing) this.#ended.push(this.#reader.unbegunEnd(each.index))
    }
    this.#changed()
    return false
  }

  // Resolves with true when there is something to write, and with false when the batch stops. What comes in one turn of
  // the event loop is written together.
  async #untilDue(): Promise<boolean> {
    while (this.#halted === undefined) {
      if (this.#isWriteDue) {
        await new Promise<void>((resume) => this.#clock.turn(resume))
        return this.#halted === undefined
      }
      await new Promise<void>((resume) => {
        this.#wakeWriter = resume
      })
    }
    return false
  }

  get #isWriteDue(): boolean {
    return this.#added.length > 0 || this.#ended.length > 0 || this.#free > 0 || this.#isDone
  }

  get #isDone(): boolean {
    return this.#isRead && this.#live === 0
  }

  // What the next write stores.
  #piece(): BatchPiece {
    this.#allowed = this.#take()
    const added = this.#added
    this.#added = []
    const ended = this.#ended.splice(0, PIECE)
    for (const { status, index } of ended) {
      this.#counts[status]++
      if (this.#hasCulprit && index === this.#start.careful) this.#careful = undefined
    }
    this.#wakeReader()
    return {
      ...{ added, ended, counts: this.#countsNow(), begun: this.#begun },
      running: this.#runner.running + this.#allowed.length,
      ...(this.#careful === undefined ? {} : { careful: this.#careful }),
      ...(this.#isDone ? { isLast: true as const } : {}),
    }
  }

  // Takes as many items as may begin.
  #take(): readonly Candidate[] {
    const free = this.#free
    const last = this.#candidates[free - 1]
    if (last === undefined) return []
    if (this.#mustRunAlone) this.#careful = last.index
    const taken = this.#candidates.splice(0, free)
    this.#begun = Math.max(this.#begun, last.index)
    return taken
  }

  /** How many of the items that were read may begin. */
  get #free(): number {
    if (this.#candidates.length === 0 || this.#isEnding) return 0
    if (this.#mustRunAlone) return this.#runner.live + this.#allowed.length === 0 ? 1 : 0
    const room = Math.min(this.#runner.room(this.#allowed.length), this.#candidates.length)
    if (room === 0 || this.#isBeyondSuspects) return room
    return this.#suspects(room)
  }

  // After a loss: how many of the next items may begin, out of `room`. New items wait for the end of the suspects.
  #suspects(room: number): number {
    const { begun } = this.#start
    let count = 0
    while (count < room && (this.#candidates[count]?.index ?? begun + 1) <= begun) count++
    if (count > 0 || this.#allowed.length > 0 || this.#runner.doesRunUpTo(begun)) return count
    this.#isBeyondSuspects = true
    return room
  }

  // Whether the next item must run alone, because it may have caused losses.
  get #mustRunAlone(): boolean {
    const { losses, begun } = this.#start
    if (losses < CAREFUL_LOSSES || this.#hasCulprit) return false
    return this.#careful !== undefined || (this.#candidates[0]?.index ?? begun + 1) <= begun
  }

  // Whether an item ran alone when the last attempt was lost. That item ends as failed, and the others run as usual.
  get #hasCulprit(): boolean {
    const { losses, careful } = this.#start
    return careful !== undefined && losses >= LOSSES_MAX
  }

  /** How many items have no end that is counted. */
  get #live(): number {
    return this.#runner.live + this.#allowed.length + this.#candidates.length + this.#ended.length
  }

  get #settled(): number {
    const { completed, failed, skipped } = this.#counts
    return completed + failed + skipped
  }

  #countsNow(): BatchCounts {
    const { total, completed, failed, skipped } = this.#counts
    if (total === undefined) return { completed, failed, skipped }
    const open = this.#live
    // An earlier attempt may have known fewer items, e.g. because its source has failed.
    const all = Math.max(total, this.#settled + open)
    if (!this.#isClosing || !this.#isRead) return { total: all, completed, failed, skipped }
    // Items of a list that were never read have no row, and count as skipped.
    return { total: all, completed, failed, skipped: all - completed - failed - open }
  }

  #end(end: EndedItem): void {
    if (end.index === this.#careful) this.#careful = undefined
    this.#ended.push(end)
  }

  // Called after each change.
  #changed(): void {
    if (!this.#isEnding) this.#runner.beginDue(this.#allowed.length)
    if (this.#isWriteDue) this.#wakeWriter()
  }

  // Begins nothing new, because the batch drains or its source has failed.
  #close(): void {
    if (this.#isEnding) return
    this.#isClosing = true
    void this.#source.close()
    this.#endCandidates()
    this.#runner.close()
    this.#wakeReader()
    this.#changed()
  }

  #endCandidates(): void {
    for (const { index } of this.#candidates.splice(0)) this.#ended.push(this.#reader.unbegunEnd(index))
  }

  // Stops at once. What runs is told to stop, and may run again in a later attempt.
  #halt(thrown: unknown, mayWrite: boolean): void {
    if (this.#halted !== undefined) return
    this.#halted = { thrown, mayWrite }
    void this.#source.close()
    this.#runner.halt(thrown)
    this.#wakeReader()
    this.#wakeWriter()
  }

  // After a stop: stores the ends that are not stored yet, so that these items do not run again.
  async #writeLast(): Promise<void> {
    if (this.#halted?.mayWrite !== true) return
    try {
      while (this.#ended.length > 0) await this.#work.channel.items(this.#piece())
    } catch {
      // The attempt no longer holds its task, or the storage fails: the items stay as they are.
    }
  }
}

const FEWER_ITEMS = 'the source of a batch should give the same items each time; it gave fewer items than before'

/** Makes the source of the items from the settings and the input. `total`: the length of a list. */
function sourceOf(
  { source, items }: ItemSettings,
  input: unknown,
  clock: Clock,
): { readonly source: ItemSource; readonly total?: number } {
  if (source !== undefined) return { source: new StreamSource((signal) => source({ input, signal }), clock) }
  try {
    const list = items === undefined ? input : items({ input })
    if (Array.isArray(list)) return { source: listSource(list), total: list.length }
    const expected = 'the items of a batch should be a list: its input, or the result of its option items'
    throw new JobchartError('INVALID_INPUT', `${expected}; found ${shownValue(list)}`)
  } catch (thrown) {
    return { source: brokenSource(thrown) }
  }
}

/** The error of a batch, with its counts. */
function withCounts(thrown: unknown, counts: BatchCounts): unknown {
  const error = errorValue(thrown)
  return isOptions(error) ? { ...error, counts } : { name: 'Error', message: `${error}`, counts }
}
