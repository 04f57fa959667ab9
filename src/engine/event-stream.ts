import { JobchartError } from '../model/error.ts'
import type { EventRow } from '../model/event.ts'
import { canonicalText } from '../model/storable.ts'
import { isoTime } from '../model/time.ts'
import type { Principal, Scope } from '../port/policy.ts'
import type { StoredEvents } from '../port/storage.ts'
import { authorizeMany, maskOfEvent, reach, searchedBy } from './authorization.ts'
import type { Core } from './core.ts'
import { emittedIn, type Follower, type TailRow, withoutInputs } from './log-tail.ts'
import { type ShownEvent, shownEvents } from './shown-event.ts'
import { isPromiseLike } from './soon.ts'

/**
 * What was told before may not be all, or not what may be seen now: the rights of who follows have changed, or the storage
 * is an older one. Load again what is shown, and go on.
 */
export interface ResetEvent {
  readonly type: 'reset'
  /** Where the stream goes on: what follows has higher numbers. */
  readonly sequence: number
  /** ISO 8601. */
  readonly at: string
}

/** What `events` gives. */
export type SessionEvent = ShownEvent | ResetEvent

/** Nothing is sent under rights that were asked for longer ago. */
const RIGHTS_MS_MAX = 5_000
/** Rows that one read takes: few at first, since each may be as large as what a chart may emit. */
const ROWS_AT_FIRST = 100
const ROWS_AT_ONCE = 500
/** Of what charts have emitted, in characters: what one read has beyond it is read again. */
const EMITTED_AT_ONCE = 2_000_000
/** Numbers of the log that one read walks over at most, so that a search for the few that may be seen blocks nothing. */
const NUMBERS_AT_ONCE = 5_000

/** What is followed. */
export interface Wanted {
  readonly after: number
  readonly job?: string | undefined
  readonly type?: string | undefined
  readonly pipeline?: string | undefined
  readonly createdBy?: string | undefined
  readonly labels: { readonly [name: string]: string }
}

/** What the one who follows may see, as it was asked for. */
interface Rights {
  readonly who: Principal
  /** Absent for the events of one job, which its own right allows. */
  readonly scopes?: readonly Scope[]
  readonly askedAt: number
}

/**
 * The log as one person follows it, from a place of the reader's own.
 *
 * ```
 *  rights ─▶ rows after the place ─▶ covered by a scope ─▶ shown by the policy ─▶ the reader
 *    ▲        (tail, or storage)                                                    │
 *    └───────────── asked again where they are 5 s old, before anything is sent ◀──┘
 * ```
 *
 * It holds one batch of rows at most, however slow the reader is. Thousands may follow one engine, so that the way of an
 * event from the tail to its reader has no promise on it but the reader's own.
 */
export class EventStream {
  readonly #core: Core
  readonly #who: () => Principal
  readonly #wanted: Wanted
  readonly #signal: AbortSignal
  readonly #follower: Follower
  readonly #wake = () => this.#follower.wake()
  readonly #abort = () => this.end()
  #rights: Rights | undefined
  /** Why the one job cannot be followed any more: thrown when all that was committed before has been told. */
  #gone: unknown
  /** What is told next, in this order: of one row, or a reset. */
  #ready: readonly SessionEvent[] = []
  /** How much of it has been told. */
  #told = 0
  /** The rows after the one that is being told. */
  #rows: readonly TailRow[] = []
  /** What stands up to here has been told, or is not for who follows. */
  #position: number
  /** The same, once what is ready has been told, and once the rows have been too. */
  #next: number
  #through: number
  #rowsAtOnce = ROWS_AT_FIRST
  #hasEnded = false
  #giveUp: () => void = () => {}

  constructor(core: Core, who: () => Principal, wanted: Wanted, signal: AbortSignal) {
    this.#core = core
    this.#who = who
    this.#wanted = wanted
    this.#signal = signal
    this.#position = wanted.after
    this.#next = wanted.after
    this.#through = wanted.after
    this.#follower = core.tail.follow()
    if (signal.aborted) this.end()
    else signal.addEventListener('abort', this.#abort)
  }

  /**
   * The next event; undefined: there is none any more, since the signal was aborted, or the one job that was asked for is
   * deleted. To be called again only when it has answered.
   *
   * @throws {JobchartError} `FORBIDDEN`, `JOB_NOT_FOUND`, `STORAGE_UNAVAILABLE`, `ENGINE_STOPPED`; nothing follows it.
   */
  async next(): Promise<SessionEvent | undefined> {
    try {
      while (!this.#isOver()) {
        const event = this.take()
        if (event !== undefined) return event
        await this.#advance()
      }
    } catch (error) {
      // Whoever has given up waits for nothing, and is told of nothing.
      if (!this.#hasEnded) {
        this.end()
        // A storage that is closed under a read says of itself only that it does not answer.
        throw this.#core.stopped.aborted ? engineStopped() : error
      }
    }
    this.end()
    return undefined
  }

  /** The policy has allowed the stream. */
  get isAllowed(): boolean {
    return this.#rights !== undefined
  }

  /** What comes after it has not been told. */
  get position(): number {
    return this.#position
  }

  /** The next event, where it is at hand and may be told. */
  take(): SessionEvent | undefined {
    const event = this.#ready[this.#told]
    if (event === undefined || this.#hasEnded || this.#core.stopped.aborted) return undefined
    // The policy, or the reader, may have taken its time.
    if (event.type !== 'reset' && this.#isOld()) return undefined
    this.#told++
    this.#position = this.#told < this.#ready.length ? event.sequence : this.#next
    if (event.type === 'job.deleted' && event.jobId === this.#wanted.job) this.end()
    return event
  }

  /** Reads no more, and keeps nothing: whoever waits for the next event is told that there is none. */
  end(): void {
    this.#hasEnded = true
    this.#signal.removeEventListener('abort', this.#abort)
    this.#follower.wake()
    this.#follower.leave()
    this.#forget()
    this.#giveUp()
  }

  // One step towards the next event.
  async #advance(): Promise<void> {
    if (this.#isOld()) await this.#orEnd(this.#renew())
    else if (this.#rows.length > 0) await this.#show()
    else if (this.#through < this.#core.tail.sequence) await this.#read()
    else if (this.#gone !== undefined) throw this.#gone
    // In the same step as the look at the tail: what comes after it finds a follower that waits.
    else await this.#wait()
  }

  // A storage need not answer soon, or ever. Undefined: it has ended meanwhile.
  #orEnd<Answer>(step: Promise<Answer>): Promise<Answer | undefined> {
    return new Promise((resolve, reject) => {
      this.#giveUp = () => resolve(undefined)
      step.then(resolve, reject)
    })
  }

  async #renew(): Promise<void> {
    // What was read under the rights of before is read again.
    this.#forget()
    const before = this.#rights
    this.#rights = await this.#ask()
    if (before === undefined ? await this.#isAhead() : isOther(before, this.#rights)) this.#tell([this.#reset()])
  }

  #forget(): void {
    this.#ready = []
    this.#told = 0
    this.#rows = []
    this.#next = this.#position
    this.#through = this.#position
  }

  #tell(events: readonly SessionEvent[]): void {
    this.#ready = events
    this.#told = 0
  }

  // A storage that was put back to an older state knows no such number yet, and would not reach the reader for long.
  async #isAhead(): Promise<boolean> {
    if (this.#position <= this.#core.tail.sequence) return false
    const last = await this.#core.storage.lastSequence()
    if (this.#position <= last) return false
    this.#position = last
    this.#forget()
    return true
  }

  #reset(): ResetEvent {
    return { type: 'reset', sequence: this.#position, at: isoTime(this.#core.clock.now()) }
  }

  /** @throws {JobchartError} `ENGINE_STOPPED` */
  #isOver(): boolean {
    if (this.#hasEnded) return true
    if (!this.#core.stopped.aborted) return false
    throw engineStopped()
  }

  #isOld(): boolean {
    return this.#rights === undefined || this.#core.clock.elapsed() - this.#rights.askedAt >= RIGHTS_MS_MAX
  }

  /** @throws {JobchartError} `FORBIDDEN`, `JOB_NOT_FOUND` */
  async #ask(): Promise<Rights> {
    const core = this.#core
    const who = this.#who()
    const askedAt = core.clock.elapsed()
    const { job, after, ...narrow } = this.#wanted
    if (job !== undefined) {
      await this.#reach(who, job)
      return { who, askedAt }
    }
    const scopes = await authorizeMany(core, who, 'events', this.#signal)
    return { who, askedAt, scopes: narrowed(who, scopes, narrow) }
  }

  // A job that was deleted since has its end in the log. Each row is judged by itself, so that nothing is told too much.
  async #reach(who: Principal, job: string): Promise<void> {
    try {
      await reach(this.#core, who, job, () => ({ action: 'events', signal: this.#signal }))
      this.#gone = undefined
    } catch (error) {
      const isGone = error instanceof JobchartError && error.code === 'JOB_NOT_FOUND'
      if (!isGone || this.#rights === undefined) throw error
      this.#gone = error
    }
  }

  // Takes the next rows: there are some, for whoever may see them.
  async #read(): Promise<void> {
    this.#position = this.#through
    const batch = this.#kept() ?? (await this.#orEnd(this.#stored()))
    if (batch === undefined) return
    this.#rows = latest(batch.rows)
    this.#through = batch.through
  }

  #kept(): Batch | undefined {
    const { tail } = this.#core
    const rows = tail.after(this.#position)
    return rows && { rows, through: tail.sequence }
  }

  async #stored(): Promise<Batch> {
    const { storage, tail } = this.#core
    const { job } = this.#wanted
    const after = this.#position
    const through = job === undefined ? Math.min(tail.sequence, after + NUMBERS_AT_ONCE) : tail.sequence
    const where = job === undefined ? { scopes: this.#rights?.scopes ?? [] } : { jobId: job }
    const limit = this.#rowsAtOnce
    const found = await storage.events({ after, limit, through, ...where })
    const rows = firstOf(found)
    const last = rows.at(-1)?.end ?? after
    this.#rowsAtOnce = rows.length < found.length ? rows.length : Math.min(ROWS_AT_ONCE, limit * 2)
    return { rows, through: found.length < limit && rows.length === found.length ? Math.max(through, last) : last }
  }

  // Takes rows up to the first of which something is told.
  async #show(): Promise<void> {
    const { who, scopes } = this.#rights ?? {}
    if (who === undefined) return
    for (const [index, { row, sequence, end }] of this.#rows.entries()) {
      const isMeant = scopes === undefined ? row.jobId === this.#wanted.job : scopes.some((scope) => covers(scope, row))
      if (!isMeant) continue
      const answer = maskOfEvent(this.#core, who, row, this.#signal)
      const mask = isPromiseLike(answer) ? await answer : answer
      const shown = mask === undefined ? [] : shownEvents(row, sequence, mask)
      const events = sequence > this.#position ? shown : shown.filter((event) => event.sequence > this.#position)
      if (events.length > 0) {
        this.#rows = this.#rows.slice(index + 1)
        this.#next = this.#rows.length === 0 ? this.#through : end
        this.#tell(events)
        return
      }
      // It is not asked about again where the rights grow old before anything is told.
      this.#position = end
      if (this.#isOld()) return
    }
    this.#rows = []
  }

  async #wait(): Promise<void> {
    const { clock } = this.#core
    const restMs = Math.max(0, (this.#rights?.askedAt ?? 0) + RIGHTS_MS_MAX - clock.elapsed())
    const cancel = clock.timer(restMs, this.#wake)
    await this.#follower.wait()
    cancel()
  }
}

function engineStopped(): JobchartError {
  return new JobchartError('ENGINE_STOPPED', 'the engine was stopped; follow on after the last sequence elsewhere')
}

/** Rows of the log, and the number up to which nothing else is for who follows. */
interface Batch {
  readonly rows: readonly TailRow[]
  readonly through: number
}

/** The first of what was read, at least one, as far as they may be kept. */
function firstOf(found: readonly StoredEvents[]): readonly TailRow[] {
  const rows: TailRow[] = []
  let emitted = 0
  for (const { sequence, changeset, ...row } of found) {
    emitted += emittedIn(row)
    if (rows.length > 0 && emitted > EMITTED_AT_ONCE) break
    rows.push({ row: withoutInputs(row), sequence, end: sequence + row.events.length - 1 })
  }
  return rows
}

/** Without progress that is overtaken in the same batch: of a job's reports in a row, the last. */
function latest(rows: readonly TailRow[]): readonly TailRow[] {
  if (!rows.some(({ row }) => isProgress(row))) return rows
  const overtaken = new Set<string>()
  const kept = [...rows].reverse().filter(({ row }) => {
    if (!isProgress(row)) overtaken.delete(row.jobId)
    else if (overtaken.has(row.jobId)) return false
    else overtaken.add(row.jobId)
    return true
  })
  return kept.reverse()
}

function isProgress({ events: [first] }: EventRow): boolean {
  return first?.type === 'job.progress'
}

/**
 * The scopes within what is asked for; none where the two exclude each other.
 *
 * @throws {JobchartError} `FORBIDDEN` a scope redacts what is asked for.
 */
function narrowed(
  who: Principal,
  scopes: readonly Scope[],
  { labels, ...fields }: Omit<Wanted, 'after' | 'job'>,
): readonly Scope[] {
  const asked = Object.entries(fields).filter(([, value]) => value !== undefined)
  const names = asked.map(([field]) => field)
  const open = searchedBy(who, scopes, Object.keys(labels).length === 0 ? names : [...names, 'labels'])
  return open.flatMap((scope) => {
    const all = { ...scope.labels, ...labels }
    const isApart =
      asked.some(([field, value]) => (scope[field as keyof typeof fields] ?? value) !== value) ||
      Object.entries(scope.labels ?? {}).some(([name, value]) => all[name] !== value)
    return isApart ? [] : [{ ...scope, ...Object.fromEntries(asked), labels: all }]
  })
}

function covers({ tenant, createdBy, type, pipeline, labels }: Scope, row: EventRow): boolean {
  if (tenant !== undefined && tenant !== row.tenant) return false
  if (createdBy !== undefined && createdBy !== row.createdBy) return false
  if (type !== undefined && type !== row.jobType) return false
  if (pipeline !== undefined && pipeline !== row.pipeline) return false
  for (const name in labels) if (!Object.hasOwn(row.labels, name) || row.labels[name] !== labels[name]) return false
  return true
}

function isOther(before: Rights, after: Rights): boolean {
  return textOf(before) !== textOf(after)
}

// A policy need not name its scopes in the same order each time.
function textOf({ scopes = [] }: Rights): string {
  return scopes.map(canonicalText).sort().join()
}
